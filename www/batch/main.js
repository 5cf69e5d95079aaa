/**
 * The page that works through a file of findings. What was read and written lives in this browser's storage
 * (store.js), so that a reload goes on where it was; one tab at a time has it.
 *
 * Parameters of its address: `model` (a manifest's address), `context`, `max_new_tokens`, `beams`.
 */
import { ask, startDialogs } from '../app/dialogs.js';
import { $, download, say, toast } from '../app/dom.js';
import { count, formatLeft, sentence } from '../app/format.js';
import { drawIcons } from '../app/icons.js';
import { registerOffline } from '../app/offline.js';
import { startTheme } from '../app/theme.js';
import { Batch } from './batch.js';
import { Entry } from './entry.js';
import { asJsonLines, asTable } from './files.js';
import { Mapping } from './mapping.js';
import { Model, sameModel } from './model.js';
import { Reader } from './reader.js';
import { Store } from './store.js';
import { Table } from './table.js';

/** How often the table follows the work. */
const REDRAW_MS = 250;
const ADVICE = {
  device_lost: 'Nothing that was written is lost. Resume loads the model again and goes on.',
  out_of_memory: 'Close other tabs and programs that use the graphics processor, then resume.',
  storage_full: 'This browser gives the page no more room. Save what is there, delete it, and divide the file.',
  network: 'What has arrived is kept. Check the connection and try again.',
  other_model: 'Choose the model that the batch was begun with, or delete the batch and begin anew.',
};

const params = new URLSearchParams(location.search);
const number = (name) => Number(params.get(name)) || undefined;
const model = new Model(params);
const reader = new Reader();
const table = new Table((row) => entry.open(row));
const entry = new Entry(table);
const mapping = new Mapping(reader, read);
let store = null;
/** @type {Batch | null} */
let batch = null;
/** A load of the model. @type {AbortController | null} */
let loading = null;
/** Why nothing can be written here, if that is so. */
let unsupported = null;
let redraw = 0;
let shownState = '';
let awake = null;

window.radllama = { get batch() { return batch; }, get store() { return store; }, model }; // for the console and for tests

drawIcons();
startTheme();
startDialogs();
connect();
registerOffline({ onUpdate: () => {} });
begin();

/** Waits for its turn: the lock is held as long as this page is. */
function begin() {
  const hold = () => {
    open().catch(fail);
    return new Promise(() => {});
  };
  navigator.locks.request('radllama-batch', { ifAvailable: true }, (lock) => {
    if (lock) return hold();
    $('elsewhere').hidden = false;
    model.look();
    navigator.locks.request('radllama-batch', hold);
    return undefined;
  });
}

async function open() {
  $('elsewhere').hidden = true;
  store = await Store.open();
  const [job, reason] = await Promise.all([store.job(), model.look()]);
  unsupported = reason;
  if (job?.state === 'ready') {
    await show(job);
    if (job.wanted && model.leftBytes === 0 && !unsupported) {
      toast('Going on where it stopped');
      await run();
    }
    return;
  }
  if (job) await store.clear(); // its reading was cut short; the file is still where it was
  $('choose').hidden = false;
  if (job) showError({ code: 'unfinished', message: 'the file was not read to its end before this page was closed; choose it again' });
}

function connect() {
  mapping.onClose = () => {
    $('choose').hidden = false;
    hideError();
    $('pick').focus();
  };
  $('start').onclick = run;
  $('pause').onclick = pause;
  $('retry').onclick = async () => {
    await batch.retry();
    run();
  };
  $('delete').onclick = remove;
  $('save-jsonl').onclick = () => save(asJsonLines, 'jsonl');
  $('save-csv').onclick = () => save(asTable, 'csv');
}

/** Reads a file into the store. @param {File} file @param {{ encoding?: string, options: object }} how */
async function read(file, how) {
  hideError();
  mapping.problem('');
  navigator.storage?.persist?.().catch(() => {}); // so that no want of room elsewhere takes hours of work away
  const fields = $('map').querySelectorAll('button, select');
  for (const field of fields) field.disabled = true;
  $('read-progress').hidden = false;
  const options = { maxNewTokens: number('max_new_tokens'), beams: number('beams') };
  const job = { state: 'reading', name: file.name, bytes: file.size, total: 0, references: 0, options, model: null, wanted: false };
  let problem = '';
  try {
    await store.clear();
    await store.setJob(job);
    for await (const { rows, bytes } of reader.rows(file, how)) {
      await store.addRows(rows);
      job.total += rows.length;
      job.references += rows.filter(({ reference }) => reference).length;
      $('read-bar').value = file.size ? bytes / file.size : 1;
      $('read-count').textContent = count(job.total, 'row');
    }
    await store.setJob(Object.assign(job, { state: 'ready' }));
  } catch (error) {
    await store.clear().catch(() => {});
    problem = error.name === 'QuotaExceededError' ? 'This browser’s storage is full: divide the file, or delete what other pages keep.' : sentence(error.message);
  } finally {
    for (const field of fields) field.disabled = false;
    $('read-progress').hidden = true;
  }
  if (problem) return mapping.problem(problem);
  mapping.file = null;
  await show(job);
  const { unreadable } = batch.counts;
  if (unreadable) await table.choose('errors');
  say(`${count(job.total, 'row')} read, ${unreadable} of them cannot be used`);
  $('start').focus();
}

/** Shows a batch that is stored. */
async function show(job) {
  batch = new Batch(store, job, (reference, impression) => reader.score(reference, impression));
  await batch.restore();
  batch.addEventListener('change', changed);
  $('choose').hidden = $('map').hidden = true;
  $('work').hidden = false;
  $('work-title').textContent = job.name;
  table.use(store, batch);
  entry.use(store);
  showWork();
}

/** A change of state shows at once, rows a few times a second. */
function changed() {
  if (batch.state !== shownState) showWork();
  shownState = batch.state;
  if (redraw) return;
  redraw = setTimeout(() => {
    redraw = 0;
    if (!batch) return;
    showWork();
    showScores();
    table.draw();
  }, REDRAW_MS);
}

/** Loads the model if need be, and works. */
async function run() {
  if (!batch || batch.state !== 'idle' || loading || batch.left === 0 || unsupported) return;
  hideError();
  loading = new AbortController();
  showWork();
  $('pause').focus();
  try {
    const engine = await model.get(loading.signal, tell);
    const { job } = batch;
    if (job.model && !sameModel(job.model, model.identity)) {
      throw Object.assign(new Error(`this batch was begun with another model, ${job.model.name}`), { code: 'other_model' });
    }
    await store.setJob(Object.assign(job, { model: model.identity, wanted: true }));
    loading = null;
    say('Writing');
    await keepAwake();
    await batch.run(engine);
    if (batch.error) throw batch.error;
    if (batch.left === 0) await want(false);
  } catch (error) {
    if (error.code === 'device_lost' || error.code === 'internal') model.drop();
    if (error.code !== 'cancelled') fail(error);
  } finally {
    loading = null;
    awake?.release().catch(() => {});
    awake = null;
    showWork();
    showScores();
    await table.draw();
    // The button that had the focus is gone.
    if (document.activeElement === document.body || document.activeElement === $('pause')) {
      (batch?.left ? $('start') : $('filters').querySelector(':checked')).focus();
    }
    say(batch?.left === 0 ? 'The batch is done' : 'Paused');
  }
}

async function pause() {
  loading?.abort();
  batch?.pause();
  await want(false);
}

/** Whether a reload is to go on by itself. */
async function want(wanted) {
  if (!batch || batch.job.wanted === wanted) return;
  await store.setJob(Object.assign(batch.job, { wanted }));
}

/** A screen that goes dark would end a long batch on some machines. */
async function keepAwake() {
  awake = (await navigator.wakeLock?.request('screen').catch(() => null)) ?? null;
}

async function remove() {
  const text = 'All findings, impressions and flags of this batch are removed from this browser. Files that you saved stay.';
  if (!(await ask({ title: 'Delete this batch?', text, yes: 'Delete everything' }))) return;
  loading?.abort();
  batch.pause();
  while (loading || batch.state !== 'idle') await new Promise((resolve) => setTimeout(resolve, 20));
  await store.clear();
  batch = null;
  $('work').hidden = true;
  $('choose').hidden = false;
  hideError();
  toast('Deleted');
  $('pick').focus();
}

async function save(make, ending) {
  const rows = batch.matching(table.filter);
  const name = batch.job.name.replace(/(\.(csv|tsv|txt|jsonl|ndjson|json))?(\.gz)?$/i, '');
  const part = table.filter === 'all' ? '' : `-${table.filter}`;
  download(await make(store, rows), `${name}-impressions${part}.${ending}`);
  toast(`${count(rows.length, 'row')} saved`);
}

/** @param {string} phase @param {number} [fraction] @param {string} [left] */
function tell(phase, fraction, left = '') {
  $('phase').textContent = phase;
  $('left').textContent = left;
  if (fraction === undefined) $('bar').removeAttribute('value');
  else $('bar').value = fraction;
}

function showWork() {
  if (!batch) return;
  const { state, total, left, counts } = batch;
  const running = state === 'running';
  const writable = total - counts.unreadable;
  const bad = counts.failed + counts.unreadable;
  const told = [count(total, 'row'), `${counts.done} done`];
  if (bad) told.push(count(bad, 'error'));
  if (counts.hard) told.push(`${counts.hard} with a hard flag`);
  $('work-about').textContent = told.join(' · ');
  const busy = loading !== null || state !== 'idle';
  $('start').disabled = busy || left === 0 || unsupported !== null;
  $('start').hidden = left === 0 || busy;
  $('start-text').textContent = counts.done + counts.failed > 0 ? 'Resume' : model.leftBytes ? 'Download the model and start' : 'Start';
  $('pause').disabled = !busy || state === 'pausing';
  $('pause').hidden = !busy;
  $('pause').textContent = state === 'pausing' ? 'Pausing …' : 'Pause';
  $('retry').hidden = counts.failed === 0 || busy;
  if (loading) return;
  const done = writable - left;
  const phase = unsupported ?? (running ? `Writing row ${batch.current || '…'}` : left === 0 ? 'Done' : state === 'pausing' ? 'Pausing' : done ? 'Paused' : 'Ready');
  const seconds = batch.secondsLeft;
  tell(phase, writable ? done / writable : 1, `${done} of ${writable}${running && left ? ` · ${formatLeft(seconds) || 'measuring'}` : ''}`);
}

function showScores() {
  if (!batch) return;
  const { sum, rows } = batch.rouge;
  $('scores').hidden = rows === 0;
  const mean = (at) => (sum[at] / rows).toFixed(3);
  $('scores').textContent = `ROUGE-1 ${mean(0)} · -2 ${mean(1)} · -L ${mean(2)}, mean of ${count(rows, 'row')}`;
}

function fail(error) {
  showError(error);
  showWork();
}

function showError({ code = 'internal', message }) {
  $('alert').hidden = false;
  $('alert-message').textContent = sentence(message);
  $('alert-advice').textContent = ADVICE[code] ?? '';
  $('alert-advice').hidden = !ADVICE[code];
  $('alert-code').textContent = code;
}

function hideError() {
  $('alert').hidden = true;
}
