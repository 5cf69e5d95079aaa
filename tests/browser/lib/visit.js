import { openBare } from './bare.js';

/**
 * A visit to the page in a browser that was just started: from the navigation until the last word of an
 * impression that was asked for at once. The page measures it itself: a driver that looks in on it takes tasks
 * of its thread.
 * @param {string} profile the browser's directory; a second visit has the first one's
 * @param {string} url
 * @returns {Promise<{ interactive: number, ready: number, word: number, longTasks: [number, number][], computed: number }>}
 *   milliseconds from the navigation until the page takes text, the model is on the GPU with every kernel proven, and
 *   the first word stands; the main thread's tasks of 50 ms and more (Long Tasks API: start, length); the most that
 *   any of its tasks computed, by the thread's own clock
 */
export async function visit(profile, url) {
  const { session, close } = await openBare(profile);
  for (const domain of ['Page', 'Runtime']) await session.send(`${domain}.enable`);
  await session.send('Page.addScriptToEvaluateOnNewDocument', { source: `(${measure})()` });
  const endTrace = await traceTasks(session);
  const told = new Promise((resolve) => session.on('Runtime.consoleAPICalled', ({ args: [{ value }] }) => String(value).startsWith('visit: ') && resolve(value)));
  await session.send('Page.navigate', { url });
  const times = JSON.parse((await told).slice('visit: '.length));
  const computed = await endTrace(url);
  await close();
  return { ...times, computed };
}

/** In the page: asks for an impression as soon as the page takes it, and tells the times in the console. */
function measure() {
  if (window !== top) return;
  const times = { longTasks: [] };
  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) times.longTasks.push([startTime, duration].map(Math.round));
  }).observe({ type: 'longtask', buffered: true });
  const $ = (id) => document.getElementById(id);
  const reached = (name, is) => {
    if (times[name] === undefined && is()) times[name] = performance.now();
    return times[name] !== undefined;
  };
  const look = () => {
    if (!reached('interactive', () => ($('model-status')?.textContent ?? 'Looking for a model') !== 'Looking for a model')) return;
    if ($('findings').value === '') $('findings').value = 'The heart is normal in size. There is a small right pleural effusion.';
    reached('ready', () => window.radllama.session.engine);
    if (times.word === undefined && $('stop').disabled) $('generate').click(); // a stored model loads by itself first
    if (!reached('word', () => document.querySelector('#output li')?.textContent.trim()) || !$('stop').disabled) return;
    clearInterval(timer);
    setTimeout(() => console.log(`visit: ${JSON.stringify(times)}`), 200); // long tasks are told late
  };
  const timer = setInterval(look, 50);
}

/** Watches the page's main thread; the function it returns ends that and gives the most that any task computed, in ms. */
async function traceTasks(session) {
  const events = [];
  session.on('Tracing.dataCollected', ({ value }) => events.push(...value));
  await session.send('Tracing.start', { transferMode: 'ReportEvents', traceConfig: { includedCategories: ['toplevel', 'devtools.timeline'] } });
  return async (url) => {
    const complete = new Promise((done) => session.once('Tracing.tracingComplete', done));
    await session.send('Tracing.end');
    await complete;
    // The browser has main threads of its own pages, too: ours is where this address was committed.
    const ours = new Set(events.filter(({ name, args }) => name === 'CommitLoad' && args.data.url.startsWith(url)).map(({ pid, tid }) => `${pid} ${tid}`));
    const tasks = events.filter(({ ph, name, pid, tid }) => ph === 'X' && name.endsWith('RunTask') && ours.has(`${pid} ${tid}`));
    return Math.max(...tasks.map(({ tdur = 0 }) => tdur / 1000));
  };
}
