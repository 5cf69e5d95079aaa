/**
 * The page for reader studies. Files are read, planned and analysed in the sealed worker; the page holds answers, and
 * until the end no system's name.
 *
 * Parameters of its address, for studies that are written here: `model` (a manifest's address), `context`,
 * `max_new_tokens`.
 */
import { ask, startDialogs } from '../app/dialogs.js';
import { $, el, say, toast } from '../app/dom.js';
import { count, sentence } from '../app/format.js';
import { drawIcons } from '../app/icons.js';
import { registerOffline } from '../app/offline.js';
import { startShortcuts } from '../app/shortcuts.js';
import { startTheme } from '../app/theme.js';
import { RadllamaClient } from '../engine/client.js';
import { Maker, made, write } from './make.js';
import { Rating } from './rating.js';
import { Results } from './results.js';
import { Sitting, letter } from './sitting.js';
import { Store, keyOf } from './store.js';

const VIEWS = ['start', 'make', 'writing', 'rate', 'results'];
const params = new URLSearchParams(location.search);
const number = (name) => Number(params.get(name)) || undefined;
const client = new RadllamaClient();
const rating = new Rating((sitting) => keep(sitting));
const results = new Results((files, study, title) => client.sealed('reportStudy', { files, study, title }), fail);
const maker = new Maker((name, bytes) => client.sealed('readFindings', { name, bytes }), (draft) => writeDraft(draft));
/** @type {Store} */
let store = null;
/** @type {Sitting | null} */
let sitting = null;
/** Gives the sitting's lock back. */
let release = () => {};
let writing = null;
let view = 'start';

window.radllama = { get sitting() { return sitting; }, get figures() { return results.figures; } }; // for the console and for tests

drawIcons();
startTheme();
startDialogs();
registerOffline({ onUpdate: () => {} });
wire();
open().catch(fail);

async function open() {
  store = await Store.open();
  await showStart();
}

function wire() {
  const rates = () => view === 'rate';
  const free = () => rates() && !document.activeElement?.matches('button, a, summary');
  startShortcuts([
    ...[1, 2, 3, 4, 5].map((mark) => ({ keys: mark === 1 ? ['1', '…', '5'] : [], text: mark === 1 ? 'Mark the criterion, go to the next' : '', single: String(mark), when: rates, run: () => rating.rate(mark) })),
    { keys: ['↑', '↓'], text: 'Criterion before, after', run: () => {}, when: () => false },
    ...[0, 1, 2, 3].map((place) => ({ keys: place === 0 ? ['A', '…', 'D'] : [], text: place === 0 ? 'The impression you would rather sign' : '', single: letter(place).toLowerCase(), when: rates, run: () => rating.prefer(place) })),
    { keys: ['Enter'], text: 'Next report', single: 'Enter', when: free, run: next },
    { keys: ['Backspace'], text: 'Report before', single: 'Backspace', when: free, run: back },
    { keys: ['?'], text: 'This list', single: '?', run: () => $('help').showModal() },
  ]);
  for (const term of [...$('keys').querySelectorAll('dt')].filter((dt) => !dt.textContent)) (term.nextElementSibling.remove(), term.remove());
  $('next').onclick = next;
  $('back').onclick = back;
  $('leave').onclick = pause;
  $('alert-close').onclick = () => ($('alert').hidden = true);
  $('study-pick').onclick = () => $('study-file').click();
  $('study-file').onchange = () => taken('study-file', ([file]) => openFile(file));
  $('merge-pick').onclick = () => $('merge-file').click();
  $('merge-file').onchange = () => taken('merge-file', merge);
  $('make-open').onclick = () => show('make', $('findings-pick'));
  $('make-cancel').onclick = () => showStart();
  $('writing-stop').onclick = () => writing?.abort();
  $('results-close').onclick = () => leave();
  document.addEventListener('visibilitychange', () => {
    if (!sitting || view !== 'rate') return;
    if (document.hidden) keep(sitting);
    else sitting.resume();
  });
  addEventListener('pagehide', () => sitting && view === 'rate' && keep(sitting));
}

async function taken(id, work) {
  const files = [...$(id).files];
  $(id).value = '';
  $('alert').hidden = true;
  if (files.length > 0) await work(files).catch(fail);
}

/** Shows one of the page's views, with the focus where the work goes on. */
function show(name, focus = $('main')) {
  view = name;
  for (const id of VIEWS) $(id).hidden = id !== name;
  $('leave').hidden = name !== 'rate';
  $('main').dataset.view = name;
  if (name !== 'rate' && name !== 'results') $('study-name').textContent = $('study-reader').textContent = '';
  focus?.focus();
}

async function showStart() {
  const [sittings, draft] = [await store.sittings(), await store.draft()];
  $('kept').hidden = sittings.length === 0 && !draft;
  $('kept-list').replaceChildren(...(draft ? [draftItem(draft)] : []), ...sittings.map(sittingItem));
  show('start');
}

function keptItem({ title, about, go, onGo, question, onDelete }) {
  const remove = el('button', { type: 'button', class: 'danger quiet' }, 'Delete');
  const begin = el('button', { type: 'button' }, go);
  begin.onclick = () => onGo().catch(fail);
  remove.onclick = async () => {
    if (!(await ask({ title: `Delete ${title}?`, text: question, yes: 'Delete' }))) return;
    await onDelete();
    await showStart();
    toast('Deleted from this browser');
  };
  return el('li', {}, el('div', {}, el('b', {}, title), el('p', { class: 'soft num' }, about)), el('div', { class: 'row' }, begin, remove));
}

function sittingItem(kept) {
  const done = kept.answers.filter(({ marks, preferred }) => preferred !== null && marks.flat().every((mark) => mark !== null)).length;
  return keptItem({
    title: kept.title || 'Reader study',
    about: `Reader ${kept.reader}, ${done} of ${kept.count} rated${kept.ended ? ', ended' : ''}`,
    go: kept.ended ? 'Results' : 'Go on',
    onGo: () => resume(kept),
    question: `${kept.reader}’s answers to ${count(done, 'report')} and the findings of the study are removed from this browser. Files that were saved stay.`,
    onDelete: () => store.deleteSitting(kept),
  });
}

function draftItem(draft) {
  const written = Object.values(draft.outputs).reduce((sum, outputs) => sum + outputs.length, 0);
  return keptItem({
    title: draft.title || 'Study being written',
    about: `${written} of ${draft.reports.length * draft.systems.length} impressions are written`,
    go: 'Go on writing',
    onGo: () => writeDraft(draft),
    question: 'Its findings and the impressions written so far are removed from this browser.',
    onDelete: () => store.putDraft(null),
  });
}

/** Opens a study file for whoever says who reads. @param {File | { name: string, bytes: Uint8Array }} file */
async function openFile(file) {
  const bytes = file instanceof Blob ? new Uint8Array(await file.arrayBuffer()) : file.bytes;
  // A first look, so that a bad file is told before anybody is asked for a name.
  const { title, screens, systems } = await client.sealed('beginStudy', { name: file.name, bytes, reader: '-' });
  $('reader-about').textContent = `${title || file.name}: ${count(screens.length, 'report')}, ${systems} impressions of each.`;
  const reader = await askReader();
  if (reader === null) return;
  const begun = await client.sealed('beginStudy', { name: file.name, bytes, reader });
  await store.putFile({ study: begun.study, name: file.name, bytes });
  await begin(begun, await store.sitting(keyOf(begun.study, begun.reader)));
}

/** @returns {Promise<string | null>} */
function askReader() {
  $('reader-problem').hidden = true;
  return new Promise((resolve) => {
    let answer = null;
    $('reader-form').onsubmit = (event) => {
      if ($('reader-code').value.trim()) return (answer = $('reader-code').value.trim());
      event.preventDefault();
      $('reader-problem').textContent = 'Enter initials or a code.';
      $('reader-problem').hidden = false;
      $('reader-code').focus();
    };
    $('reader').onclose = () => resolve(answer);
    $('reader-code').value = '';
    $('reader').showModal();
    $('reader-code').focus();
  });
}

async function resume(kept) {
  const file = await store.file(kept.study);
  const begun = await client.sealed('beginStudy', { name: file.name, bytes: file.bytes, reader: kept.reader });
  await begin(begun, kept);
}

/** Shows where a reader is, in the one tab that may change it. */
async function begin(begun, kept) {
  release();
  if (!(await lock(keyOf(begun.study, begun.reader)))) throw Object.assign(new Error('this reader’s study is open in another tab; go on there, or close it'), { code: 'busy' });
  sitting = new Sitting(begun, kept);
  $('study-name').textContent = begun.title || 'Reader study';
  $('study-reader').textContent = `reader ${begun.reader}`;
  $('criteria').replaceChildren(...begun.criteria.flatMap(({ title, question }) => [el('dt', {}, title), el('dd', {}, question)]));
  $('criteria-box').hidden = false;
  if (sitting.ended) return showResults();
  await store.putSitting(sitting.kept);
  show('rate', null);
  showReport();
}

function lock(name) {
  return new Promise((resolve) => {
    navigator.locks.request(`radllama-study ${name}`, { ifAvailable: true }, (held) => {
      resolve(Boolean(held));
      return held && new Promise((free) => (release = free));
    });
  });
}

function showReport() {
  rating.show(sitting);
  sitting.resume();
}

/** Stores the answers; what fails is told, and the next answer tries again. */
function keep(of) {
  of.pause();
  if (view === 'rate' && !document.hidden) of.resume();
  return store.putSitting(of.kept).catch(fail);
}

async function next() {
  if (rating.showMissing()) return;
  if (!sitting.isLast) return go(sitting.at + 1);
  const open = sitting.firstOpen();
  if (open >= 0) return go(open);
  const yes = await ask({
    title: 'All reports are rated',
    text: 'Systems are named once you finish, and answers can no longer be changed. You can then save them as a file.',
    yes: 'Finish', no: 'Not yet',
  });
  if (!yes) return;
  sitting.pause();
  sitting.ended = true;
  await store.putSitting(sitting.kept);
  await showResults().catch(fail);
}

function back() {
  if (sitting.at > 0) go(sitting.at - 1);
}

function go(at) {
  sitting.go(at);
  keep(sitting);
  showReport();
}

/** Leaves the study; with answers in it, it can be ended for good instead. */
async function pause() {
  await keep(sitting);
  if (sitting.done > 0) {
    const end = await ask({
      title: `Pause at report ${sitting.at + 1} of ${sitting.count}?`,
      text: `Your answers are kept in this browser and you can go on at any time. Or end the study with ${count(sitting.done, 'report')} rated: systems are named then, and answers can no longer be changed.`,
      yes: 'End the study', no: 'Pause',
    });
    if (end) {
      sitting.pause();
      sitting.ended = true;
      await store.putSitting(sitting.kept);
      return showResults().catch(fail);
    }
  }
  return leave();
}

async function leave() {
  sitting?.pause();
  sitting = null;
  results.clear(); // names of systems: the next reader here may not see them
  release();
  await showStart();
}

async function showResults() {
  const { study, title, reader } = sitting.begun;
  const file = await store.file(study);
  const text = await client.sealed('readerFile', { name: file.name, bytes: file.bytes, reader, answers: sitting.answers });
  const own = { name: `${(title || 'study').replace(/[^\p{L}\p{N}]+/gu, '-').toLowerCase()}-${reader}.csv`, bytes: new TextEncoder().encode(text), own: true };
  await results.show({ files: [own], study, title });
  show('results', $('results-title'));
  say('The study has ended; the results are shown');
}

/** Merges readers' files without a study of one's own. @param {File[]} files */
async function merge(files) {
  const read = await Promise.all(files.map(async (file) => ({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) })));
  await results.show({ files: read });
  show('results', $('results-title'));
}

/** Writes what a study lacks, then begins it. @param {import('./store.js').Draft} draft */
async function writeDraft(draft) {
  writing = new AbortController();
  $('bar').removeAttribute('value');
  $('phase').textContent = 'Loading the model';
  $('left').textContent = '';
  show('writing', $('writing-stop'));
  const tell = (phase, fraction, left = '') => {
    $('phase').textContent = phase;
    $('left').textContent = left;
    if (fraction === undefined) $('bar').removeAttribute('value');
    else $('bar').value = fraction;
  };
  try {
    await store.putDraft(draft);
    const options = { model: params.get('model') ?? undefined, contextTokens: number('context'), maxNewTokens: number('max_new_tokens') };
    await write(draft, { ...options, signal: writing.signal, keep: (kept) => store.putDraft(kept), tell });
    const { made: study, leftOut } = made(draft);
    const text = await client.sealed('makeStudy', study);
    const file = { name: `${draft.title || 'study'}.jsonl`, bytes: new TextEncoder().encode(text) };
    if (leftOut > 0) toast(`${count(leftOut, 'report')} could not be asked and ${leftOut === 1 ? 'is' : 'are'} left out`);
    await showStart();
    await openFile(file);
    if (sitting) await store.putDraft(null);
  } catch (error) {
    await showStart();
    if (error.code !== 'cancelled') fail(error);
  } finally {
    writing = null;
  }
}

function fail(error) {
  const code = error?.code ?? error?.name ?? 'internal';
  if (code === 'cancelled') return;
  $('alert-message').textContent = sentence(String(error?.message ?? error));
  $('alert-code').textContent = String(code);
  $('alert').hidden = false;
  $('alert').scrollIntoView({ block: 'nearest' });
}
