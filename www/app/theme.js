import { $, say } from './dom.js';
import { icon } from './icons.js';
import { keep } from './kept.js';

const KEY = 'radllama-theme';
const NEXT = { system: 'dark', dark: 'light', light: 'system' };
const LOOK = { system: ['auto', 'as the system'], dark: ['moon', 'dark'], light: ['sun', 'light'] };
const GROUND = { dark: '#0b0c0e', light: '#f3f4f5' };

/** The switch between the system's theme, dark and light. The choice is kept; see theme-now.js. */
export function startTheme() {
  const light = matchMedia('(prefers-color-scheme: light)');
  const set = (theme) => {
    if (theme === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    keep(KEY, theme === 'system' ? null : theme);
    show(theme);
  };
  const show = (theme) => {
    const [name, text] = LOOK[theme];
    $('theme').replaceChildren(icon(name));
    $('theme').ariaLabel = `Theme: ${text}`;
    $('theme').title = `Theme: ${text}`;
    const seen = theme === 'system' ? (light.matches ? 'light' : 'dark') : theme;
    document.querySelector('meta[name="theme-color"]').content = GROUND[seen];
  };
  const now = () => document.documentElement.dataset.theme ?? 'system';
  light.addEventListener('change', () => show(now()));
  $('theme').onclick = () => {
    set(NEXT[now()]);
    say(`Theme: ${LOOK[now()][1]}`);
  };
  show(now());
}
