import { ADVICE, RELOADS } from './advice.js';
import { $ } from './dom.js';
import { sentence } from './format.js';

/**
 * An error, with what to do about it.
 * @param {{ code?: string, message: string }} error
 * @param {{ text: string, run: () => void } | null} [reload] the way on, for errors that ended the model
 */
export function showError({ code = 'internal', message }, reload) {
  if (code === 'no_adapter' || code === 'no_webgpu') return showUnsupported(sentence(message));
  $('alert').hidden = false;
  $('alert-message').textContent = sentence(message);
  $('alert-advice').textContent = ADVICE[code] ?? '';
  $('alert-advice').hidden = !ADVICE[code];
  $('alert-code').textContent = code;
  const offers = Boolean(reload) && RELOADS.has(code);
  $('alert-action').hidden = !offers;
  if (!offers) return;
  $('alert-action').textContent = reload.text;
  $('alert-action').onclick = () => {
    hideError();
    reload.run();
  };
}

export function hideError() {
  $('alert').hidden = true;
}

/** @param {string} reason */
export function showUnsupported(reason) {
  $('unsupported').hidden = false;
  $('unsupported-reason').textContent = reason;
  $('welcome').hidden = $('alert').hidden = $('placeholder').hidden = true;
  $('model-dot').dataset.state = 'bad';
  $('model-status').textContent = 'WebGPU is missing';
  $('model-device').textContent = '';
}
