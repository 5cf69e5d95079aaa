/**
 * The widget's look. Colours follow `color-scheme` through light-dark(); a host changes them by the
 * custom properties in `:host`, or styles the parts. Text keeps a contrast of 4.5:1 on its ground.
 */
const css = `
:host {
  --_accent: var(--radllama-accent, light-dark(#0b6a68, #6fd3c3));
  --_on-accent: var(--radllama-on-accent, light-dark(#ffffff, #06231f));
  --_ground: var(--radllama-background, light-dark(#ffffff, #171d1f));
  --_field: var(--radllama-field, light-dark(#f8faf9, #101517));
  --_ink: var(--radllama-text, light-dark(#172121, #e4ebea));
  --_soft: var(--radllama-muted, light-dark(#56656a, #9aa9ab));
  --_line: var(--radllama-border, light-dark(#d5dddd, #2e383b));
  --_error: var(--radllama-error, light-dark(#9a2320, #ffb1a8));
  --_caution: var(--radllama-caution, light-dark(#7a5200, #e0b35a));
  --_radius: var(--radllama-radius, 10px);
  --_gap: var(--radllama-gap, 12px);
  display: block;
  min-inline-size: 0;
  color-scheme: light dark;
  container: radllama / inline-size;
  font: var(--radllama-font-size, 15px)/1.5 var(--radllama-font, system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif);
  text-align: start;
  letter-spacing: normal;
  text-transform: none;
}
:host([theme='light']) { color-scheme: light; }
:host([theme='dark']) { color-scheme: dark; }
:host([hidden]) { display: none; }
*, ::before, ::after { box-sizing: border-box; }
[hidden] { display: none !important; }

.panel {
  position: relative;
  display: grid;
  gap: var(--_gap);
  padding: calc(var(--_gap) + 2px);
  border: 1px solid var(--_line);
  border-radius: var(--_radius);
  background: var(--_ground);
  color: var(--_ink);
}
.head { display: flex; flex-wrap: wrap; gap: 2px 12px; align-items: baseline; justify-content: space-between; }
label { font-weight: 620; letter-spacing: -.003em; }
.status {
  display: flex;
  gap: 7px;
  align-items: baseline;
  min-inline-size: 0;
  color: var(--_soft);
  font-size: .86em;
  font-variant-numeric: tabular-nums;
}
.status::before {
  content: '';
  flex: none;
  inline-size: .5em;
  block-size: .5em;
  border-radius: 50%;
  background: var(--_line);
  translate: 0 -.1em;
}
.panel[data-phase='ready'] .status::before,
.panel[data-phase='done'] .status::before { background: var(--_accent); }
.panel[data-busy] .status::before { background: var(--_accent); animation: breathe 1.6s ease-in-out infinite; }
.panel[data-phase='error'] .status::before { background: var(--_error); }
@keyframes breathe { 50% { opacity: .25; } }

.field { display: grid; gap: 5px; }
textarea, input, button { margin: 0; font: inherit; color: inherit; letter-spacing: inherit; }
textarea, input {
  display: block;
  inline-size: 100%;
  min-inline-size: 0;
  padding: 9px 11px;
  border: 1px solid var(--_line);
  border-radius: calc(var(--_radius) - 3px);
  background: var(--_field);
}
textarea {
  min-block-size: 6.2em;
  max-block-size: var(--radllama-max-height, 26em);
  resize: vertical;
  line-height: 1.55;
  field-sizing: content;
  overflow-wrap: anywhere;
  scrollbar-width: thin;
}
textarea::placeholder, input::placeholder { color: var(--_soft); opacity: 1; }
textarea:read-only { background: var(--_field); }
:focus { outline: none; }
textarea:focus-visible, input:focus-visible, button:focus-visible {
  outline: 2px solid var(--_accent);
  outline-offset: 1px;
}
.panel[data-draft] .text { color: var(--_soft); }

.flags { display: grid; gap: 2px; margin: 0; padding: 0; list-style: none; font-size: .88em; }
.flags li { border-inline-start: 2px solid var(--_severity); }
.flags [data-severity='hard'] { --_severity: var(--_error); --_sign: '▲'; }
.flags [data-severity='soft'] { --_severity: var(--_caution); --_sign: '◆'; }
.flags [data-severity='advisory'] { --_severity: var(--_accent); --_sign: '●'; }
.flags button {
  display: flex;
  flex-wrap: wrap;
  gap: 0 .5em;
  inline-size: 100%;
  min-block-size: 0;
  padding: 3px 8px;
  border: 0;
  border-radius: 0 4px 4px 0;
  font-size: inherit;
  font-weight: 400;
  text-align: start;
}
.flags button:hover { background: color-mix(in oklab, var(--_ink) 7%, transparent); }
.flags [part='flag-severity'] { color: var(--_severity); font-weight: 620; }
.flags [part='flag-severity']::before { content: var(--_sign) / ''; margin-inline-end: .4em; font-size: .8em; }
.flags [part='flag-line'] { color: var(--_soft); font-variant-numeric: tabular-nums; }
.flags [part='flag-message'] { flex: 1 1 14em; }
.acute { margin: 0; padding: 6px 10px; border: 1px solid var(--_error); border-radius: calc(var(--_radius) - 3px); font-size: .9em; font-weight: 560; }

.track {
  position: absolute;
  inset: -1px calc(var(--_radius) - 2px) auto;
  block-size: 2px;
  border-radius: 2px;
  overflow: hidden;
}
.bar {
  block-size: 100%;
  background: var(--_accent);
  transform-origin: 0 50%;
  scale: 0 1;
  transition: scale .25s ease-out;
}
.track:dir(rtl) .bar { transform-origin: 100% 50%; }
.track[data-endless] .bar { scale: .32 1; transition: none; animation: slide 1.5s ease-in-out infinite; }
@keyframes slide { from { translate: -32% 0; } to { translate: 100% 0; } }

.actions { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; }
button {
  min-block-size: 34px;
  padding: 5px 12px;
  border: 1px solid var(--_line);
  border-radius: calc(var(--_radius) - 3px);
  background: transparent;
  font-size: .93em;
  line-height: 1.3;
  font-weight: 520;
  cursor: pointer;
}
button:hover:not(:disabled) { border-color: var(--_soft); }
button:active:not(:disabled) { translate: 0 1px; }
button:disabled { opacity: .5; cursor: default; }
button[aria-expanded='true'] { border-color: var(--_accent); }
.primary { padding-inline: 15px; border-color: transparent; background: var(--_accent); color: var(--_on-accent); font-weight: 600; }
.primary:hover:not(:disabled) { border-color: transparent; filter: brightness(1.08); }
.quiet { border-color: transparent; padding-inline: 9px; color: var(--_soft); }
.quiet:hover:not(:disabled) { border-color: transparent; color: var(--_ink); background: color-mix(in oklab, var(--_ink) 7%, transparent); }
.end { margin-inline-start: auto; }
.primary:focus-visible { outline-offset: 2px; }

.error {
  display: flex;
  gap: 2px 10px;
  flex-wrap: wrap;
  justify-content: space-between;
  align-items: baseline;
  padding: 8px 11px;
  border-radius: calc(var(--_radius) - 3px);
  background: color-mix(in oklab, var(--_error) 11%, var(--_ground));
  color: var(--_error);
  font-size: .93em;
  overflow-wrap: anywhere;
}
.error code { font: .86em ui-monospace, 'Cascadia Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace; }
.notice { margin: 0; color: var(--_soft); font-size: .8em; line-height: 1.45; text-wrap: pretty; }
.live { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

@container radllama (max-width: 420px) {
  .panel { gap: 10px; padding: 11px; }
  .primary { flex: 1 0 100%; min-block-size: 38px; }
  .end { margin-inline-start: 0; }
  .actions { gap: 6px 4px; }
}
@media (pointer: coarse) { button { min-block-size: 44px; } }
@media (prefers-reduced-motion: reduce) {
  .bar { transition: none; }
  .panel[data-busy] .status::before, .track[data-endless] .bar { animation: none; }
  .track[data-endless] .bar { scale: 1 1; opacity: .45; }
}
@media (forced-colors: active) {
  .bar, .status::before { background: CanvasText; forced-color-adjust: none; }
  .primary { border-color: ButtonBorder; }
}
`;

let sheet = null;

/** The stylesheet that all widgets of a page share: adopted, as a strict policy allows no style element. */
export function styleSheet() {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
  }
  return sheet;
}
