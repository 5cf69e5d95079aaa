/**
 * The service worker: keeps the page itself for use without a network, each file under its hash, and
 * counts what passes to the network. Models are not its business: they lie in OPFS (engine/cache.js).
 *
 * A new version is kept beside the running one and waits until the page asks for it, so that code never
 * changes under an impression that is being written.
 */
const FILES = []; // [path, SHA-256 in base64] of every file of the page: `cargo xtask page` writes this line

const VERSION = FILES.reduce((hash, [path, sha]) => [...(path + sha)].reduce((h, c) => (h * 31 + c.charCodeAt(0)) >>> 0, hash), 7);
const CACHE = `radllama-page-${VERSION.toString(16)}`;
/** Manifests of models as they were last seen. They change without the page. */
const MANIFESTS = 'radllama-manifests';
/** Those that the page offers. */
const OFFERED = ['weights/manifest.json', 'weights/base.json'];

const scope = new URL('./', self.location.href);
const kept = new Set(FILES.map(([path]) => new URL(path, scope).href));

self.addEventListener('install', (event) => event.waitUntil(precache()));
self.addEventListener('activate', (event) => event.waitUntil(activate()));
self.addEventListener('message', ({ data }) => data?.type === 'activate' && self.skipWaiting());
self.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  url.search = url.hash = '';
  if (url.pathname.endsWith('/')) url.pathname += 'index.html';
  if (request.method === 'GET' && kept.has(url.href)) return event.respondWith(fromCache(url.href, request));
  tellSent(request);
  const manifest = request.method === 'GET' && url.origin === scope.origin && url.pathname.endsWith('.json');
  if (manifest) event.respondWith(fromNetworkFirst(request));
});

async function precache() {
  const cache = await caches.open(CACHE);
  const add = async ([path, sha]) => {
    const url = new URL(path, scope).href;
    if (await cache.match(url)) return;
    // The hash is checked by the browser: a file of another version ends the installation.
    await cache.put(url, await fetch(url, { cache: 'no-cache', integrity: `sha256-${sha}` }));
  };
  await Promise.all(FILES.map(add));
  // A download may have begun before this worker stood between page and network.
  const manifests = await caches.open(MANIFESTS);
  await Promise.allSettled(OFFERED.map((path) => manifests.add(new Request(new URL(path, scope), { cache: 'no-cache' }))));
}

async function activate() {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith('radllama-page-') && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await self.clients.claim();
}

async function fromCache(url, request) {
  const cache = await caches.open(CACHE);
  const found = await cache.match(url);
  if (found) return found;
  tellSent(request); // the browser took it away to make room
  return fetch(request);
}

async function fromNetworkFirst(request) {
  const cache = await caches.open(MANIFESTS).catch(() => null);
  try {
    const response = await fetch(request);
    if (response.ok) await cache?.put(request, response.clone()).catch(() => {});
    return response;
  } catch (error) {
    const found = await cache?.match(request);
    if (found) return found;
    throw error;
  }
}

/** Tells the open pages of a request that leaves: its line, its headers as far as they can be seen, its body. */
async function tellSent(request) {
  const body = request.body ? (await request.clone().arrayBuffer()).byteLength : 0;
  const headers = [...request.headers].reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0);
  const bytes = request.method.length + request.url.length + headers + body;
  const windows = await self.clients.matchAll({ type: 'window' });
  for (const page of windows) page.postMessage({ type: 'sent', url: request.url, bytes });
}
