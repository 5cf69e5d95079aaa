/**
 * Counts what leaves the device: every request that the page or one of its workers makes.
 * @param {() => void} onChange
 * @returns {{ reset: () => void, read: () => { requests: number, bytes: number, how: string[] } }}
 */
export function watchSent(onChange) {
  let seen = { requests: 0, bytes: 0 };
  const add = (bytes) => {
    seen = { requests: seen.requests + 1, bytes: seen.bytes + bytes };
    onChange();
  };
  const workers = navigator.serviceWorker;
  workers?.addEventListener('message', ({ data }) => data?.type === 'sent' && add(data.bytes));
  // Without a service worker in between the browser still lists what this page itself asked for.
  new PerformanceObserver((list) => {
    if (workers?.controller) return;
    for (const { name } of list.getEntries()) if (/^https?:/.test(name)) add(name.length);
  }).observe({ type: 'resource' });
  return {
    reset() {
      seen = { requests: 0, bytes: 0 };
      onChange();
    },
    read: () => ({ ...seen, how: [workers?.controller ? BY_WORKER : BY_TIMING, BY_POLICY] }),
  };
}

const BY_WORKER =
  "Counted by this page's service worker, through which every request of the page and of its workers passes: address, visible headers and body of each.";
const BY_TIMING =
  'Counted from the list of requests that the browser keeps for this page (Resource Timing): the length of each address. This browser gives the page no service worker, which would see its workers too.';
const BY_POLICY =
  'The page may connect to nothing, and the worker that reads the report may not even load a script: their content security policies forbid it, and the browser enforces them.';
