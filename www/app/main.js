/**
 * The page: it moves text between the form and the engine, and shows what the engine says. It checks
 * nothing that the engine checks.
 *
 * Parameters of its address: `model` (address of a manifest), `context` and `max_new_tokens`.
 */
import { RadllamaClient } from '../engine/client.js';
import { formatBytes, formatRate } from './format.js';
import { samples } from './samples.js';

const $ = (id) => document.getElementById(id);
const params = new URLSearchParams(location.search);
const manifestUrl = params.get('model') ?? 'weights/manifest.json';
const contextTokens = Number(params.get('context')) || undefined;
// What the address does not say the model's manifest does.
const options = { max_new_tokens: Number(params.get('max_new_tokens')) || undefined };

const client = new RadllamaClient();
window.radllama = client; // for the console and for tests

let running = null; // the AbortController of what runs now

for (const [index, { title }] of samples.entries()) $('sample').add(new Option(title, index));
$('sample').onchange = ({ target }) => {
  if (target.value !== '') $('findings').value = samples[target.value].findings;
};
$('findings').oninput = () => ($('sample').value = '');
$('generate').onclick = write;
$('stop').onclick = stop;
$('copy').onclick = copy;
$('forget').onclick = forget;
document.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    write();
  } else if (event.key === 'Escape') {
    stop();
  }
});

start();

/** Says what there is before anything large is fetched; a model that is stored loads at once. */
async function start() {
  const reason = await missingWebGpu();
  if (reason) return showUnsupported(reason);
  // A manifest that is not there or not good is reported when the model is asked for.
  const model = await client.probe(manifestUrl).catch(() => null);
  if (!model || running || client.loaded) return;
  showNotice(model.notice);
  const stored = model.storedBytes === model.totalBytes;
  setModelStatus('stored', `${model.name} · ${formatBytes(model.totalBytes)}${stored ? ', stored here' : ' download'}`);
  $('forget').hidden = model.storedBytes === 0;
  if (stored) run((signal) => load(signal));
}

/** Why WebGPU cannot be used here, if so. */
async function missingWebGpu() {
  if (!window.isSecureContext) return 'WebGPU needs a secure page, and this one came over plain http.';
  if (!navigator.gpu) return 'It has no WebGPU, the interface through which a page uses the graphics processor.';
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  return adapter ? null : 'It has WebGPU, but offers no graphics adapter to this page.';
}

/** The main action: loads the model if need be, and writes the impression. */
function write() {
  if ($('generate').disabled) return;
  run(async (signal) => {
    showText('');
    if (!client.loaded) await load(signal);
    await generate(signal);
  });
}

async function load(signal) {
  setModelStatus('busy', 'Loading the model');
  const meter = speedMeter();
  showProgress('Starting the GPU');
  try {
    const { gpu, model, load } = await client.load(manifestUrl, {
      contextTokens,
      signal,
      onProgress: (progress) => showLoading(progress, meter),
    });
    setModelStatus('ready', `${model.name} · ready`);
    showNotice(model.notice);
    showDevice(gpu, model, load);
  } catch (error) {
    setModelStatus(error.code === 'cancelled' ? 'none' : 'bad', 'No model loaded');
    throw error;
  } finally {
    $('progress').hidden = true;
  }
}

async function generate(signal) {
  let tokens = 0;
  let firstAt = 0;
  showProgress('Reading the findings');
  $('output').ariaBusy = 'true';
  const showRate = () => {
    firstAt ||= performance.now();
    $('progress').hidden = true;
    tokens++;
    const seconds = (performance.now() - firstAt) / 1000;
    if (tokens > 1) showStats(`Writing at ${formatRate((tokens - 1) / seconds)}`);
  };
  const result = await client.impression($('findings').value, options, {
    signal,
    onPrefill: (done, total) => showProgress('Reading the findings', `${done} of ${total} tokens`, done / total),
    onDelta: (text) => {
      $('text').append(text);
      showRate();
    },
    // Several texts grow side by side; the one that leads may change until the end.
    onDraft: (text) => {
      $('text').textContent = text;
      $('text').classList.add('draft');
      showRate();
    },
  });
  showText(result.text); // the deltas, once more and whole
  showResult(result);
}

/** Runs one piece of work at a time, with Stop in reach and its failure on the page. */
async function run(work) {
  if (running) return;
  running = new AbortController();
  $('generate').disabled = $('forget').disabled = true;
  $('stop').disabled = false;
  $('alert').hidden = true;
  $('stats').hidden = true;
  try {
    await work(running.signal);
  } catch (error) {
    if (error.code === 'cancelled') showStats('Stopped.');
    else showError(error);
  } finally {
    running = null;
    $('generate').disabled = !$('unsupported').hidden;
    $('forget').disabled = false;
    $('stop').disabled = true;
    $('progress').hidden = true;
    $('output').ariaBusy = 'false';
  }
}

function stop() {
  running?.abort();
}

async function copy() {
  await navigator.clipboard.writeText($('text').textContent);
  $('copy').textContent = 'Copied';
  setTimeout(() => ($('copy').textContent = 'Copy'), 1500);
}

async function forget() {
  await client.deleteStored();
  $('forget').hidden = true;
}

function showLoading({ phase, totalBytes, loadedBytes, networkBytes, pushedBytes, pipelines }, meter) {
  if (phase === 'start') return;
  if (phase === 'prepare') {
    const { done, total } = pipelines;
    return showProgress('Proving the GPU program', `${done} of ${total} kernels`, total ? done / total : undefined);
  }
  const bytes = (some) => `${formatBytes(some)} of ${formatBytes(totalBytes)}`;
  if (networkBytes > 0 && loadedBytes < totalBytes) {
    showProgress('Downloading the model', `${bytes(loadedBytes)}${meter(networkBytes)}`, loadedBytes / totalBytes);
  } else {
    showProgress('Putting the model on the GPU', bytes(pushedBytes), pushedBytes / totalBytes);
  }
}

/** A speed over the last seconds, as a suffix for a progress text. */
function speedMeter() {
  const seen = [];
  return (bytes) => {
    const now = performance.now();
    seen.push({ now, bytes });
    while (now - seen[0].now > 3000) seen.shift();
    const seconds = (now - seen[0].now) / 1000;
    return seconds < 0.5 ? '' : ` · ${formatBytes((bytes - seen[0].bytes) / seconds)}/s`;
  };
}

/** Without a fraction the bar shows only that something happens. */
function showProgress(phase, amount = '', fraction) {
  $('progress').hidden = false;
  $('phase').textContent = phase;
  $('amount').textContent = amount;
  if (fraction === undefined) $('bar').removeAttribute('value');
  else $('bar').value = fraction;
}

function showText(text) {
  $('text').textContent = text;
  $('text').classList.remove('draft');
  $('placeholder').hidden = true;
  $('copy').hidden = text === '';
}

function showResult({ text, stop, prompt_tokens, reused_tokens, ids, timings }) {
  const how = { cancelled: 'Stopped. ', length: 'Stopped at the length limit. ' }[stop] ?? '';
  const read = prompt_tokens - reused_tokens; // the rest was read for the impression before
  const prefill = `${read} tokens read at ${formatRate(timings.prefill_tokens_per_s)}`;
  const decode = `${ids.length} written at ${formatRate(timings.decode_tokens_per_s)}`;
  showStats(how + (ids.length > 0 ? `${prefill} (prefill), ${decode} (decode)` : ''));
  if (text === '' && stop === 'eos') showStats('The model ended at once, without a word.');
}

function showStats(text) {
  $('stats').hidden = false;
  $('stats').textContent = text;
}

function showError({ code = 'internal', message }) {
  if (code === 'no_adapter') return showUnsupported(sentence(message));
  $('alert').hidden = false;
  $('alert-message').textContent = sentence(message);
  $('alert-code').textContent = code;
}

/** An error message as a sentence; one that begins with a name, such as a file's, keeps it. */
function sentence(text) {
  const begun = text.replace(/^[a-z]+(?=[ ,]|$)/, (word) => word.charAt(0).toUpperCase() + word.slice(1));
  return begun.replace(/\.?$/, '.');
}

function showUnsupported(reason) {
  $('unsupported').hidden = false;
  $('unsupported-reason').textContent = reason;
  $('generate').disabled = true;
  setModelStatus('bad', 'WebGPU is missing');
}

function showNotice(notice) {
  $('notice').hidden = !notice;
  $('notice').textContent = notice ?? '';
}

function setModelStatus(state, text) {
  $('model-status').dataset.state = state;
  $('model-status').textContent = text;
}

function showDevice(gpu, model, load) {
  const variants = Object.entries(gpu.variants ?? {});
  const source = load.networkBytes === 0 ? "from this browser's storage" : `${formatBytes(load.networkBytes)} downloaded`;
  const rows = {
    Adapter: [...new Set([gpu.name, gpu.vendor, gpu.architecture])].filter(Boolean).join(' · '),
    'Kernel tier': gpu.tier,
    Kernels: variants.map(([kernel, variant]) => `${kernel}: ${variant}`).join(', '),
    'Passed over': Object.values(gpu.passed_over).join('; '),
    Model: model.name,
    Template: model.template,
    Context: `${model.context} tokens`,
    'GPU memory': model.gpu_bytes ? formatBytes(model.gpu_bytes) : '',
    Loaded: `${source}, in ${(load.loadMs / 1000).toFixed(1)} s`,
    'WebAssembly memory': formatBytes(load.wasmBytes),
  };
  $('device').replaceChildren(
    ...Object.entries(rows)
      .filter(([, value]) => value)
      .flatMap(([term, value]) => {
        const [dt, dd] = [document.createElement('dt'), document.createElement('dd')];
        dt.textContent = term;
        dd.textContent = value;
        return [dt, dd];
      }),
  );
  const what = gpu.tier === 'cpu' ? 'the processor, without a GPU' : [...new Set([gpu.name, gpu.vendor])].filter(Boolean).join(', ');
  $('device-summary').textContent = `Runs on ${what}`;
  $('forget').hidden = false;
}
