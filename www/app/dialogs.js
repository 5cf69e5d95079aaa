import { $ } from './dom.js';

/** Closes what asks to be closed; the browser gives the focus back to where it came from. */
export function startDialogs() {
  for (const dialog of document.querySelectorAll('dialog')) {
    dialog.addEventListener('click', ({ target }) => {
      if (target === dialog || target.closest('[data-close]')) dialog.close();
    });
  }
}

/** @returns {boolean} whether a dialog is open, which then has the keyboard */
export const dialogOpen = () => document.querySelector('dialog[open]') !== null;

/**
 * Asks; the safe answer has the focus.
 * @param {{ title: string, text: string, yes: string, no?: string }} question
 * @returns {Promise<boolean>}
 */
export function ask({ title, text, yes, no = 'Cancel' }) {
  const dialog = $('confirm');
  $('confirm-title').textContent = title;
  $('confirm-text').textContent = text;
  $('confirm-yes').textContent = yes;
  $('confirm-no').textContent = no;
  return new Promise((resolve) => {
    let answer = false;
    $('confirm-yes').onclick = () => {
      answer = true;
      dialog.close();
    };
    $('confirm-no').onclick = () => dialog.close();
    dialog.onclose = () => resolve(answer);
    dialog.showModal();
    $('confirm-no').focus();
  });
}
