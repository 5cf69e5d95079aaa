import { dialogOpen } from './dialogs.js';
import { $, el } from './dom.js';
import { keep, kept } from './kept.js';

const MAC = /mac|iphone|ipad/i.test(navigator.userAgentData?.platform ?? navigator.platform ?? '');
const KEY = 'radllama-single-keys';

/**
 * The keyboard. Chords with Ctrl or Alt work everywhere; single keys only outside text fields, and can
 * be switched off (WCAG 2.1.4). Alt chords go by the key's place, as Alt changes the letter on a Mac.
 * @typedef {{ keys: string[], text: string, run: () => void, when?: () => boolean,
 *             chord?: string, alt?: string, single?: string }} Shortcut
 */

/** @param {Shortcut[]} shortcuts */
export function startShortcuts(shortcuts) {
  const mod = MAC ? '⌘' : 'Ctrl';
  const alt = MAC ? '⌥' : 'Alt';
  for (const key of document.querySelectorAll('kbd.mod')) key.textContent = `${mod} ⏎`;
  const name = (key) => ({ Mod: mod, Alt: alt })[key] ?? key;
  $('keys').replaceChildren(...shortcuts.flatMap(({ keys, text }) => [
    el('dt', {}, text), el('dd', {}, ...keys.map((key) => el('kbd', {}, name(key)))),
  ]));
  $('single-keys').checked = kept(KEY) !== 'off';
  $('single-keys').onchange = () => keep(KEY, $('single-keys').checked ? 'on' : 'off');
  $('help-button').onclick = () => $('help').showModal();

  addEventListener('keydown', (event) => {
    if (event.isComposing || event.defaultPrevented || dialogOpen()) return;
    const found = shortcuts.find((shortcut) => matches(shortcut, event));
    if (!found || found.when?.() === false) return;
    event.preventDefault();
    found.run();
  });
}

function matches({ chord, alt, single }, event) {
  const mod = event.ctrlKey || event.metaKey;
  if (chord === 'Enter') return event.key === 'Enter' && mod && !event.altKey && !event.shiftKey;
  if (chord === 'Escape') return event.key === 'Escape';
  // AltGr is Ctrl+Alt, and writes letters on many keyboards.
  if (alt && event.code === alt) return event.altKey && !mod && !event.shiftKey;
  return Boolean(single) && event.key === single && !mod && !event.altKey && $('single-keys').checked && !writesIn(event.target);
}

/** Whether a key typed here would write. */
const writesIn = (target) => target instanceof HTMLElement && (target.isContentEditable || target.matches('textarea, select, input:not([type=radio]):not([type=checkbox])'));
