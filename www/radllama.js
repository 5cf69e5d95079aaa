/** radllama's public entry; index.d.ts has the types. */
export { ImpressionEngine } from './engine/engine.js';
export { RadllamaError } from './engine/errors.js';

/** This release, as in package.json. */
export const version = '0.1.0';
