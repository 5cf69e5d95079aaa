import { $, download, el } from '../app/dom.js';
import { count } from '../app/format.js';

/**
 * What a study found: figures, plots, and the files to take away. The figures come whole from the sealed worker; here
 * they are only laid out.
 */
export class Results {
  /** Readers' files: `{ name, bytes, own }`. */
  #files = [];
  #report = null;
  #study;
  #title = '';
  #ask;

  /**
   * @param {(files: { name: string, bytes: Uint8Array }[], study: string | undefined, title: string) => Promise<object>} ask
   * @param {(error: unknown) => void} fail
   */
  constructor(ask, fail) {
    this.#ask = ask;
    $('save-report').onclick = () => save(`${this.#stem()}-report.html`, this.#report.html, 'text/html');
    $('save-figures').onclick = () => save(`${this.#stem()}-figures.csv`, this.#report.csv, 'text/csv');
    $('save-ratings').onclick = () => {
      const own = this.#files.find(({ own }) => own);
      if (own && this.#files.length === 1) save(own.name, own.bytes, 'text/csv');
      else save(`${this.#stem()}-ratings.csv`, this.#report.ratings, 'text/csv');
    };
    $('more-pick').onclick = () => $('more-file').click();
    $('more-file').onchange = async () => {
      const chosen = [...$('more-file').files];
      $('more-file').value = '';
      await this.add(chosen).catch(fail);
    };
  }

  /** The figures that are shown; for the console and for tests. */
  get figures() {
    return this.#report?.figures ?? null;
  }

  /**
   * Shows a study.
   * @param {{ files: { name: string, bytes: Uint8Array, own?: boolean }[], study?: string, title?: string }} given
   */
  async show({ files, study, title = '' }) {
    // Before anything is changed: files that cannot be used leave what is shown as it is.
    const report = await this.#ask(files, study, title);
    this.#files = files;
    this.#study = study ?? report.figures.study;
    this.#title = title;
    this.#draw(report);
  }

  /** Adds readers' files. @param {File[]} chosen */
  async add(chosen) {
    const more = await Promise.all(chosen.map(async (file) => ({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) })));
    await this.show({ files: [...this.#files, ...more], study: this.#study, title: this.#title });
  }

  /** Takes all of it off the page. */
  clear() {
    this.#files = [];
    this.#report = null;
    $('results-body').replaceChildren();
    $('results-title').textContent = $('results-about').textContent = '';
  }

  #stem() {
    return this.#title.trim().replace(/[^\p{L}\p{N}]+/gu, '-').toLowerCase() || 'study';
  }

  #draw(report) {
    this.#report = report;
    const { figures, plots } = report;
    $('results-title').textContent = this.#title || 'Reader study';
    const readers = figures.readers.map(({ code, reports }) => `${code} (${reports})`).join(', ');
    $('results-about').textContent = `${count(figures.reports, 'report')}, ${count(figures.systems.length, 'system')}, ${count(figures.readers.length, 'reader')}: ${readers}.`;
    const own = this.#files.length === 1 && this.#files[0].own;
    $('save-ratings-text').textContent = own ? 'My ratings (CSV)' : 'All ratings (CSV)';
    const titles = [
      ['means', 'Marks by criterion', 'Means over all marks with 95 % intervals of a bootstrap over reports.'],
      ['preferences', 'Which impression readers would rather sign', preferred(figures)],
      ['marks', 'How often each mark was given', 'From 1, the lowest, to 5.'],
      ['agreement', 'How far readers agree', 'Krippendorff’s alpha, ordinal: 1 is perfect, 0 as by chance.'],
    ];
    const shown = figures.readers.length > 1 ? titles : titles.slice(0, 3);
    const sections = shown.map(([name, title, about]) =>
      el('section', { class: 'plot', 'aria-label': title }, el('h3', {}, title), el('p', { class: 'soft' }, about),
        el('div', { class: 'plot-scroll', tabIndex: 0, role: 'group', 'aria-label': title }, drawing(plots[name]))));
    $('results-body').replaceChildren(this.#key(figures), ...sections, differences(figures));
  }

  /** Systems by the marks that plots give them. */
  #key(figures) {
    const items = figures.systems.map((name, at) => el('li', { class: `key-${at}` }, name));
    return el('ul', { class: 'key', 'aria-label': 'Systems' }, ...items);
  }
}

/** In words what the preference came to. */
function preferred({ systems, preference, reports }) {
  const judged = preference.votes.reduce((sum, votes) => sum + votes, 0);
  if (judged === 0) return 'No preferences were given.';
  const parts = systems.map((name, at) => `${name} ${preference.votes[at]} of ${judged} judgements and ${preference.won[at]} of ${reports} reports`);
  const test = systems.length > 2 ? 'Friedman’s test over reports' : 'Sign test over reports';
  return `${parts.join('; ')}. ${test}: p ${probability(preference.p)}.`;
}

function differences({ systems, criteria, differences: all }) {
  const head = ['Difference', 'Criterion', 'Mean', '95 % interval', 'p (Holm)'];
  const rows = all.flatMap(({ system, against, gains }) =>
    gains.map((gain, at) => gain && [
      `${systems[system]} − ${systems[against]}`, (criteria[at] ?? 'mean_of_five').replaceAll('_', ' '), signed(gain.difference),
      `${signed(gain.interval.low)} to ${signed(gain.interval.high)}`, probability(gain.p_holm),
    ]).filter(Boolean));
  const cells = (row, tag) => row.map((cell, at) => el(at === 0 && tag === 'td' ? 'th' : tag, at === 0 && tag === 'td' ? { scope: 'row' } : tag === 'th' ? { scope: 'col' } : {}, cell));
  const table = el('table', {}, el('caption', {}, 'Differences of marks that the same reader gave both for the same report; exact randomization test over reports'),
    el('thead', {}, el('tr', {}, ...cells(head, 'th'))), el('tbody', {}, ...rows.map((row) => el('tr', {}, ...cells(row, 'td')))));
  return el('section', { class: 'plot', 'aria-label': 'Differences' }, el('h3', {}, 'Differences'),
    el('div', { class: 'plot-scroll', tabIndex: 0, role: 'group', 'aria-label': 'Differences' }, table));
}

const signed = (value) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(2)}`;
const probability = (p) => (p === null ? 'not tested' : p < 0.001 ? '< 0.001' : p.toFixed(3));

/** A plot as nodes. It is the worker's own SVG, in which every name is escaped; the page runs no inline script. */
function drawing(svg) {
  const parsed = new DOMParser().parseFromString(svg, 'image/svg+xml');
  return document.importNode(parsed.documentElement, true);
}

/** @param {string} name @param {BlobPart} content @param {string} type */
const save = (name, content, type) => download(new Blob([content], { type: `${type};charset=utf-8` }), name);
