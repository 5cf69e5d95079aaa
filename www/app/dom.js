/** The element with an id. @param {string} id @returns {any} */
export const $ = (id) => document.getElementById(id);

/**
 * A new element. Text is set as text: nothing of a report or a model is ever read as HTML.
 * @param {string} tag
 * @param {Record<string, unknown>} [props] properties; `class` and what holds a dash are attributes
 * @param {...(Node | string)} children
 */
export function el(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (key === 'class' || key.includes('-')) element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children);
  return element;
}

/** Fills a list of terms; empty values are left out. @param {Element} list @param {Record<string, string | Node | null | undefined>} rows */
export function fillTerms(list, rows) {
  const shown = Object.entries(rows).filter(([, value]) => value);
  list.replaceChildren(...shown.flatMap(([term, value]) => [el('dt', {}, term), el('dd', {}, value)]));
}

/** Hands a file to the browser's downloads. @param {Blob} blob @param {string} name */
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  el('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

let toastTimer = 0;
/** A short word about what was just done, for eyes and for a screen reader. @param {string} text */
export function toast(text) {
  say(text);
  $('toast').textContent = text;
  $('toast').hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => ($('toast').hidden = true), 4000);
}

/**
 * Tells a screen reader, politely. Only beginnings and ends are told: text that streams is not.
 * @param {string} text
 */
export function say(text) {
  $('say').textContent = '';
  // A change is announced, the same text twice is not: so it goes away first.
  setTimeout(() => ($('say').textContent = text), 60);
}
