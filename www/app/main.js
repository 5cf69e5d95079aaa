/**
 * The page: it moves text between the reader and the engine and shows what the engine says. It checks
 * nothing that the engine checks.
 *
 * Parameters of its address: `model` (a manifest's address), `context`, `max_new_tokens`, `beams`, and
 * `insert` (the origin of a window that opened this one and takes the impression by postMessage).
 */
import { RadllamaClient } from '../engine/client.js';
import { nextTask, pause } from '../engine/task.js';
import { ImpressionEngine } from '../radllama.js';
import { Acute } from './acute.js';
import { registerOffline } from './offline.js';
import { Details } from './details.js';
import { ask, startDialogs } from './dialogs.js';
import { $, el, say } from './dom.js';
import { Exporter } from './export.js';
import { formatBytes } from './format.js';
import { drawIcons } from './icons.js';
import { Loading } from './loading.js';
import { ModelPicker } from './models.js';
import { Output } from './output.js';
import { hideError, showError, showUnsupported } from './problems.js';
import { samples } from './samples.js';
import { Review } from './review.js';
import { Session, sameModel } from './session.js';
import { startShortcuts } from './shortcuts.js';
import { aboveImpression } from './text.js';
import { startTheme } from './theme.js';
import { Writing, showStats } from './writing.js';

const params = new URLSearchParams(location.search);
const DEFAULT = { url: 'weights/manifest.json', label: 'Radiology model', about: 'Tuned on chest X-ray reports' };
const BASE = { url: 'weights/base.json', label: 'Base model', about: 'Not tuned for radiology' };
const asked = params.get('model');
const offered = [DEFAULT, BASE];
if (asked && !offered.some(({ url }) => url === asked)) offered.unshift({ url: asked, label: asked, about: 'From this page’s address' });
const first = offered.find(({ url }) => url === (asked ?? DEFAULT.url));
if (first !== offered[0]) offered.unshift(...offered.splice(offered.indexOf(first), 1));

// What the address does not say the model's manifest does.
const number = (name) => Number(params.get(name)) || undefined;
const limits = { maxNewTokens: number('max_new_tokens'), beams: number('beams') };
const INSTRUCTION = 'Derive the impression from findings in the radiology report';

const session = new Session({ model: first.url, label: first.label }, { contextTokens: number('context') });
const review = new Review((findings, impression, options) => session.check(findings, impression, options));
const writing = new Writing(() => showControls(), review);
const acute = new Acute(writing);
const output = new Output(writing, params.get('insert'));
const exporter = new Exporter(writing, session);
const details = new Details(session);
const loading = new Loading(session, details);
const picker = new ModelPicker(offered, choose);
/** How long nothing is under way before the page is stored for use without a network. */
const REST_MS = 1000;
let supported = true;
/** Whether the reader has agreed already to leave the page. */
let leaving = false;
let sample = '';
/** What goes on once a lost model is back. */
let resume = null;
/** What is under way, from the press to the last word: a load and the writing after it are one. @type {AbortController | null} */
let job = null;

window.radllama = Object.assign(new RadllamaClient(), { ImpressionEngine, session, writing }); // for the console and for tests

connect();
start();

/** Brings the page up in small tasks, so that it is never held up; a model that is stored loads at once. */
async function start() {
  for (const step of [showControls, startTheme, startDialogs, fillSamples, drawIcons]) {
    step();
    await nextTask();
  }
  const stored = await welcome();
  showControls();
  if (stored && !session.engine) await load();
  do await pause(REST_MS);
  while (job);
  await offerUpdates(); // what it fetches comes after what is waited for
}

/** Says what there is before anything large is fetched. @returns {Promise<boolean>} whether the model is stored here */
async function welcome() {
  const support = await ImpressionEngine.supported();
  supported = support.supported;
  if (supported) return loading.showWelcome(support);
  showUnsupported(support.reason);
  return false;
}

function connect() {
  review.onReport = (report) => acute.show(report.acute);
  session.addEventListener('state', showControls);
  session.addEventListener('lost', ({ detail }) => lose(detail));
  details.onForget = () => !session.engine && !job && loading.showWelcome();
  $('generate').onclick = () => write();
  $('stop').onclick = stop;
  $('load').onclick = () => load();
  $('other-model').onclick = () => picker.openForDisk();
  $('model-button').onclick = () => picker.open();
  $('sealed').onclick = () => details.toggle(true);
  $('older').onclick = () => step(-1);
  $('newer').onclick = () => step(1);
  $('restore').onclick = restore;
  $('copy').onclick = () => output.copy();
  $('insert').onclick = () => output.insert();
  $('download').onclick = () => exporter.open();
  $('again').onsubmit = (event) => {
    event.preventDefault();
    write($('instruction').value.trim());
  };
  for (const button of document.querySelectorAll('[data-instruction]')) {
    button.onclick = () => {
      $('instruction').value = button.dataset.instruction;
      $('instruction').focus();
    };
  }
  $('findings').addEventListener('input', () => {
    $('sample').value = sample = '';
    showControls();
  });
  $('prior').oninput = () => ($('prior-state').textContent = $('prior').value.trim() ? 'given' : 'optional');
  addEventListener('beforeunload', (event) => {
    if (hasText() && !leaving) event.preventDefault();
  });
  startShortcuts([
    { keys: ['Mod', 'Enter'], chord: 'Enter', text: 'Write the impression', run: () => write($('instruction') === document.activeElement ? $('instruction').value.trim() : '') },
    { keys: ['Esc'], chord: 'Escape', text: 'Stop loading or writing', run: stop, when: () => job !== null },
    { keys: ['Alt', '1'], alt: 'Digit1', text: 'To the findings', run: () => $('findings').focus() },
    { keys: ['Alt', '2'], alt: 'Digit2', text: 'To the sample reports', run: () => $('sample').focus() },
    { keys: ['Alt', 'P'], alt: 'KeyP', text: 'To the prior report', run: openPrior },
    { keys: ['Alt', 'E'], alt: 'KeyE', text: 'Edit the impression', run: () => focusShown($('edit')) },
    { keys: ['Alt', 'N'], alt: 'KeyN', text: 'Next flag', run: () => review.step(1), when: hasOutput },
    { keys: ['Alt', 'B'], alt: 'KeyB', text: 'The flag before', run: () => review.step(-1), when: hasOutput },
    { keys: ['Alt', 'J'], alt: 'KeyJ', text: 'From a line to its findings, and back', run: () => review.cross(), when: hasOutput },
    { keys: ['Alt', 'K'], alt: 'KeyK', text: 'Record who was told of an acute finding', run: () => acute.record(), when: () => acute.asks },
    { keys: ['Alt', 'R'], alt: 'KeyR', text: 'Write again, with an instruction', run: () => focusShown($('instruction')) },
    { keys: ['Alt', '←', '→'], alt: 'ArrowLeft', text: 'Older and newer version', run: () => step(-1), when: () => writing.versions.all.length > 1 },
    { keys: ['Alt', 'Z'], alt: 'KeyZ', text: 'The model’s text, and back', run: restore, when: () => !$('edited').hidden },
    { keys: ['Alt', 'C'], alt: 'KeyC', text: 'Copy', run: () => output.copy(), when: hasOutput },
    { keys: ['Alt', 'I'], alt: 'KeyI', text: 'Insert', run: () => output.insert(), when: hasOutput },
    { keys: ['Alt', 'S'], alt: 'KeyS', text: 'Save as a file', run: () => exporter.open(), when: hasOutput },
    { keys: ['Alt', 'M'], alt: 'KeyM', text: 'Model and adapter', run: () => picker.open() },
    { keys: ['Alt', 'D'], alt: 'KeyD', text: 'Details, and what is stored', run: () => details.toggle() },
    { keys: ['?'], single: '?', text: 'This sheet', run: () => $('help').showModal() },
  ]);
  addEventListener('keydown', (event) => {
    if (event.altKey && !event.ctrlKey && event.code === 'ArrowRight' && writing.versions.all.length > 1) {
      event.preventDefault();
      step(1);
    }
  });
}

/** One piece of work at a time, with Stop in reach. @template T @param {(signal: AbortSignal) => Promise<T>} work @returns {Promise<T | undefined>} */
async function run(work) {
  if (job || !supported) return undefined;
  job = new AbortController();
  showControls();
  try {
    return await work(job.signal);
  } finally {
    job = null;
    showControls();
  }
}

function stop() {
  job?.abort();
  session.stop();
}

/** Loads the chosen model. @returns {Promise<boolean | undefined>} whether it is there */
const load = () => run(loadNow);

/** The main action: loads the model if need be, and writes. @param {string} [instruction] for this once */
const write = (instruction = '') => run((signal) => writeNow(instruction, signal));

async function loadNow() {
  hideError();
  showStats('');
  try {
    await loading.run();
    return true;
  } catch (error) {
    fail(error);
    return false;
  }
}

/** @param {string} instruction @param {AbortSignal} signal */
async function writeNow(instruction, signal) {
  hideError();
  const { findings } = aboveImpression($('findings').value);
  if (findings.trim() === '') {
    return fail({ code: 'empty_findings', message: 'there are no findings to write an impression of' });
  }
  resume = () => write(instruction);
  if (!session.engine && !(await loadNow())) return;
  if (signal.aborted) return fail({ code: 'cancelled' });
  const options = { ...limits, onPrefill: (done, total) => loading.show('Reading the findings', `${done} of ${total} tokens`, done / total) };
  if (instruction) options.instruction = `${INSTRUCTION}. ${instruction}`;
  if ($('prior').value.trim()) options.prior = $('prior').value;
  $('welcome').hidden = $('placeholder').hidden = true;
  showStats('');
  loading.show('Reading the findings');
  say('Writing');
  writing.begin();
  let result = null;
  try {
    result = await session.write(findings, options, (text, report) => {
      loading.hide();
      writing.grow(text, report);
    });
    resume = null;
  } catch (error) {
    fail(error);
  } finally {
    loading.hide();
    writing.end(result, { instruction, findings });
  }
  if (!result) return;
  details.showResult(result);
  $('instruction').value = '';
  if (result.text.trim() === '') showStats(result.stop === 'cancelled' ? 'Stopped.' : 'The model ended at once, without a word.');
  await review.settled;
  say(`${result.stop === 'cancelled' ? 'Stopped' : 'Impression written'}, ${writing.lineCount} lines${review.summary()}`);
}

function fail(error) {
  if (error.code === 'cancelled') {
    showStats('Stopped.');
    say('Stopped');
    return;
  }
  if (error.code === 'no_adapter') supported = false;
  showError(error, resume && { text: 'Load the model again and go on', run: () => (session.engine ? resume() : goOn()) });
  showControls();
}

/** The GPU went away. What was being written fails by itself; this is for when nothing was. */
function lose(error) {
  if (session.state === 'writing') return;
  resume = null;
  showError(error, { text: 'Load the model again', run: goOn });
}

async function goOn() {
  const next = resume;
  if (next) return next();
  if (await load()) $('findings').focus();
}

/** @param {import('./session.js').Choice} choice */
async function choose(choice) {
  if (job) {
    if (!(await ask({ title: 'Stop what is under way?', text: 'Another model can be loaded once it has ended.', yes: 'Stop it' }))) return;
    stop();
    while (job) await pause(20);
  }
  const before = session.choice;
  resume = null;
  hideError();
  const swap = session.engine && sameModel(before, choice) && choice.adapter !== undefined;
  session.choice = choice;
  if (!swap) return void load();
  await run(async () => {
    try {
      loading.show('Reading the adapter');
      await session.swapAdapter(choice.adapter);
      loading.showReady();
      say('The adapter is in use');
    } catch (error) {
      session.choice = before;
      fail(error);
    } finally {
      loading.hide();
    }
  });
}

function step(by) {
  writing.step(by);
  say(`Version ${$('version-text').textContent}`);
}

function restore() {
  writing.restore();
  say(writing.versions.isEdited ? 'Your edit is back' : 'The model’s text is back');
}

function openPrior() {
  $('prior-box').open = true;
  $('prior').focus();
}

function focusShown(field) {
  if (field.checkVisibility()) field.focus();
}

function hasOutput() {
  return !$('actions').hidden;
}

/** Whether text would be lost with the page: an impression that went nowhere, findings or a prior report that were written here. */
function hasText() {
  return writing.unsaved || (sample === '' && $('findings').value.trim() !== '') || $('prior').value.trim() !== '';
}

/** What can be pressed now. */
function showControls() {
  const { state, engine } = session;
  const busy = job !== null;
  const left = loading.leftBytes;
  $('generate').disabled = busy || !supported;
  $('load').disabled = $('regenerate').disabled = busy || !supported;
  $('stop').disabled = !busy;
  $('generate-text').textContent = engine || !left || state === 'loading' ? 'Write impression' : `Download ${formatBytes(left)} and write`;
  $('reads-above').hidden = !aboveImpression($('findings').value).cut;
  const shown = !$('output').hidden || !$('welcome').hidden || !$('unsupported').hidden || !$('alert').hidden || !$('progress').hidden;
  $('placeholder').hidden = shown || !engine;
}

function fillSamples() {
  for (const level of [...new Set(samples.map(({ level }) => level))]) {
    const group = el('optgroup', { label: level });
    for (const [index, { title, level: of }] of samples.entries()) if (of === level) group.append(new Option(title, index));
    $('sample').append(group);
  }
  $('sample').onchange = async ({ target }) => {
    const chosen = target.value;
    if (chosen === '') return;
    if (sample === '' && $('findings').value.trim() !== '') {
      const yes = await ask({ title: 'Replace the findings?', text: 'What you wrote on the left gives way to the sample.', yes: 'Replace' });
      if (!yes) return void (target.value = '');
    }
    sample = chosen;
    $('findings').value = samples[chosen].findings;
    review.findingsChanged();
    showControls();
  };
}

/** A new version waits until it is wanted; no code is swapped under what is being written. */
async function offerUpdates() {
  await registerOffline({
    onUpdate: (apply) => {
      $('update').hidden = false;
      $('update-later').onclick = () => ($('update').hidden = true);
      $('update-apply').onclick = async () => {
        const text = job ? 'An impression is being written. It would be lost.' : 'The text on this page is in memory only and would be lost. Copy or save it first.';
        if ((job || hasText()) && !(await ask({ title: 'Reload the page?', text, yes: 'Reload' }))) return;
        leaving = true;
        apply();
      };
    },
  }).catch(() => null);
}
