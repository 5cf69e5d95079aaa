/**
 * Where reports are read: a worker that can reach nothing.
 *
 * A worker made from a blob: URL is under the policy of the document that makes it. So an empty frame is
 * added to the page, its document is given a policy that allows blob: scripts and WebAssembly and nothing
 * else, and the worker is made in that frame (CSP 3, "inherit": w3c.github.io/webappsec-csp). The page's
 * own policy, if it has one, holds there as well.
 */
import { RadllamaError } from './errors.js';
import { Link } from './link.js';
import { nextTask } from './task.js';

const POLICY = "default-src 'none'; script-src blob: 'wasm-unsafe-eval'; worker-src blob:";

/** Browsers under load now and then fail to start a worker that they are asked for; the next one starts. */
const TRIES = 3;

/**
 * Makes the sealed worker, or, where the page's own policy allows no blob: worker, an ordinary one: it
 * tells itself whether it is sealed.
 * @param {string} source the worker's whole script
 * @param {() => Worker} ordinary
 * @param {ConstructorParameters<typeof Link>[1]} options `onEnd` is of the worker that is returned, not of tries
 * @returns {Promise<{ link: Link, remove: () => void }>}
 */
export async function sealedLink(source, ordinary, options) {
  for (let tries = 0; tries < TRIES; tries++) {
    await nextTask(); // a frame is the most that is ever asked of the page's thread at once
    const made = await inFrame(source, options).catch(() => null);
    if (made) return made;
  }
  try {
    return { link: await started(ordinary(), options), remove: () => {} };
  } catch {
    throw new RadllamaError(
      'worker_refused',
      "the page's content security policy allows no worker: worker-src must name 'self' and blob:",
    );
  }
}

async function inFrame(source, options) {
  const frame = document.createElement('iframe');
  frame.hidden = true;
  frame.title = 'radllama engine';
  const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
  const remove = () => (frame.remove(), URL.revokeObjectURL(url));
  try {
    document.documentElement.append(frame); // beside the body, which belongs to the page
    const inside = frame.contentDocument;
    const meta = inside.createElement('meta');
    meta.httpEquiv = 'Content-Security-Policy';
    meta.content = POLICY;
    inside.head.append(meta);
    return { link: await started(new frame.contentWindow.Worker(url, { type: 'module' }), options), remove };
  } catch (error) {
    remove();
    throw error;
  }
}

/** The link to a worker, once that runs. One that never does is told by the rejection alone. */
async function started(worker, { onEnd, ...options }) {
  let up = false;
  const link = new Link(worker, { ...options, onEnd: (error) => up && onEnd(error) });
  await link.up;
  up = true;
  return link;
}
