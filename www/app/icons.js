/** Icons of the page: 16 px, strokes of 1.5 px in the colour of the text around them. */
const PATHS = {
  'chevron-down': 'M4.5 6.5 8 10l3.5-3.5',
  'chevron-left': 'M9.5 4.5 6 8l3.5 3.5',
  'chevron-right': 'M6.5 4.5 10 8l-3.5 3.5',
  lock: 'M4.75 7V5.25a3.25 3.25 0 0 1 6.5 0V7M3.75 7h8.5v6.25h-8.5z',
  sun: 'M8 5.25a2.75 2.75 0 1 1 0 5.5 2.75 2.75 0 0 1 0-5.5M8 1.5v1M8 13.5v1M1.5 8h1M13.5 8h1M3.4 3.4l.7.7M11.9 11.9l.7.7M12.6 3.4l-.7.7M4.1 11.9l-.7.7',
  moon: 'M13.25 9.5A5.75 5.75 0 0 1 6.5 2.75a5.75 5.75 0 1 0 6.75 6.75Z',
  auto: 'M8 2.25a5.75 5.75 0 1 1 0 11.5 5.75 5.75 0 0 1 0-11.5M8 2.25v11.5M8 5.5h4.9M8 8h5.7M8 10.5h4.9',
  keyboard: 'M1.75 4.25h12.5v7.5H1.75zM4.25 6.75h.01M6.75 6.75h.01M9.25 6.75h.01M11.75 6.75h.01M5 9.5h6',
  sidebar: 'M2.25 3.25h11.5v9.5H2.25zM10 3.25v9.5',
  refresh: 'M13 8a5 5 0 1 1-1.5-3.55M13 2.5v3h-3',
  stop: 'M4.75 4.75h6.5v6.5h-6.5z',
  copy: 'M5.75 5.75h7.5v7.5h-7.5zM10.25 5.5V2.75h-7.5v7.5H5.5',
  insert: 'M2.75 3.25h10.5M2.75 6.25h6M8 8.5v5M5.75 11.25 8 13.5l2.25-2.25',
  download: 'M8 2.5v7.75M4.75 7.25 8 10.5l3.25-3.25M2.75 13.25h10.5',
  alert: 'M8 2.25 14.25 13H1.75zM8 6.5v3M8 11.25h.01',
  question: 'M8 2.25a5.75 5.75 0 1 1 0 11.5 5.75 5.75 0 0 1 0-11.5M6.5 6.6a1.5 1.5 0 1 1 2.25 1.3c-.5.3-.75.6-.75 1.1M8 11.1h.01',
  bell: 'M4.25 11.25V7a3.75 3.75 0 0 1 7.5 0v4.25M2.75 11.25h10.5M6.75 13.5h2.5',
  link: 'M6.75 9.25a2.6 2.6 0 0 0 3.7.1l2.1-2.1a2.6 2.6 0 0 0-3.7-3.7l-1 1M9.25 6.75a2.6 2.6 0 0 0-3.7-.1l-2.1 2.1a2.6 2.6 0 0 0 3.7 3.7l1-1',
  ring: 'M8 4a4 4 0 1 1 0 8 4 4 0 0 1 0-8',
  phone: 'M3.5 2.75h2.25l1 3-1.5 1a7.25 7.25 0 0 0 4 4l1-1.5 3 1v2.25c0 .4-.35.75-.75.75A9.75 9.75 0 0 1 2.75 3.5c0-.4.35-.75.75-.75Z',
  close: 'M4 4l8 8M12 4l-8 8',
  file: 'M4 1.75h5l3 3v9.5H4zM9 1.75v3h3',
  folder: 'M1.75 4.25v-1h4.5l1.25 1.5h6.75v8H1.75z',
  trash: 'M3 4.25h10M6 4.25v-1.5h4v1.5M4.25 4.25l.5 9h6.5l.5-9',
};

/** One icon; it says nothing to a screen reader. @param {keyof typeof PATHS} name */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  for (const [key, value] of [['viewBox', '0 0 16 16'], ['class', 'icon'], ['aria-hidden', 'true']]) svg.setAttribute(key, value);
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}

/** Draws the icons that the page's markup names. */
export function drawIcons() {
  for (const place of document.querySelectorAll('[data-icon]')) place.replaceChildren(icon(place.dataset.icon));
}
