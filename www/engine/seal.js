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

const POLICY = "default-src 'none'; script-src blob: 'wasm-unsafe-eval'; worker-src blob:";

/**
 * Makes the sealed worker, or, where the page's own policy allows no blob: worker, an ordinary one: it
 * tells itself whether it is sealed.
 * @param {string} source the worker's whole script
 * @param {() => Worker} ordinary
 * @param {ConstructorParameters<typeof Link>[1]} options
 * @returns {Promise<{ link: Link, remove: () => void }>}
 */
export async function sealedLink(source, ordinary, options) {
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
    const link = new Link(new frame.contentWindow.Worker(url, { type: 'module' }), options);
    await link.up;
    return { link, remove };
  } catch {
    remove();
  }
  const link = new Link(ordinary(), options);
  try {
    await link.up;
  } catch {
    throw new RadllamaError(
      'worker_refused',
      "the page's content security policy allows no worker: worker-src must name 'self' and blob:",
    );
  }
  return { link, remove: () => {} };
}
