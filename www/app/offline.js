/**
 * Makes the page work without a network, and lets a new version wait until it is wanted.
 * @param {{ onUpdate: (apply: () => void) => void }} options `onUpdate` hears that a new version waits;
 *   `apply()` changes to it and loads the page again
 * @returns {Promise<{ controlled: boolean, offlineReady: boolean }>}
 */
export async function registerOffline({ onUpdate }) {
  const workers = navigator.serviceWorker; // not there in some private windows
  if (!workers) return { controlled: false, offlineReady: false };
  try {
    const url = new URL('sw.js', document.baseURI);
    const registration = await workers.register(url, { updateViaCache: 'none' });
    const tell = (worker) => workers.controller && onUpdate(() => apply(worker));
    if (registration.waiting) tell(registration.waiting);
    registration.addEventListener('updatefound', () => {
      const worker = registration.installing;
      worker.addEventListener('statechange', () => worker.state === 'installed' && tell(worker));
    });
    await workers.ready;
    return { controlled: workers.controller !== null, offlineReady: true };
  } catch {
    return { controlled: false, offlineReady: false }; // the page works, but only with a network
  }
}

function apply(worker) {
  navigator.serviceWorker.addEventListener('controllerchange', () => location.reload());
  worker.postMessage({ type: 'activate' });
}
