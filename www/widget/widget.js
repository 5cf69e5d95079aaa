/**
 * `<radiology-impression>`: importing this module defines the element, unless it is defined already.
 * The types and the list of what can be set and styled are in ../widget.d.ts.
 */
import { RadiologyImpression } from './element.js';

export { RadiologyImpression };
export { RadllamaError } from '../engine/errors.js';

// On a server there are no elements; the import does nothing there.
const registry = globalThis.customElements;
if (registry && !registry.get('radiology-impression')) {
  registry.define('radiology-impression', RadiologyImpression);
}
