/**
 * `<radiology-impression>` in JSX, for React 19. Types only:
 *
 *     import type {} from 'radllama/react';
 *
 * React 19 sets the element's properties and listens to its events by their own names: `onimpression`,
 * `ondelta`, `onprogress`, `onflag`, `onacute`, `onerror`, all in lower case.
 */
import type { DetailedHTMLProps, HTMLAttributes } from 'react';
import type { RadiologyImpression, RadiologyImpressionEventMap } from './widget.js';

/** Properties that React may set. */
type Settable = Partial<
  Pick<
    RadiologyImpression,
    | 'model' | 'adapter' | 'baseUrl' | 'findings' | 'prior' | 'instruction' | 'options' | 'theme' | 'label'
    | 'texts' | 'preload' | 'defaultValue' | 'name' | 'required' | 'readOnly' | 'disabled' | 'htmlFor'
  >
>;

type Listeners = {
  [K in keyof RadiologyImpressionEventMap as `on${K}`]?: (event: RadiologyImpressionEventMap[K]) => void;
};

declare module 'react' {
  namespace JSX {
    interface IntrinsicElements {
      'radiology-impression': DetailedHTMLProps<
        Omit<HTMLAttributes<RadiologyImpression>, keyof Settable>,
        RadiologyImpression
      > &
        Settable &
        Listeners & { value?: string };
    }
  }
}
