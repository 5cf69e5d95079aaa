import { RadllamaError, throwIfCancelled, typed } from './errors.js';

/**
 * One file of a model.
 * `adapter`: which of the adapter's two files it is, where it is none of the model's own.
 * @typedef {{ path: string, url: string, bytes: number, sha256: string,
 *             adapter?: 'config' | 'weights' }} ModelFile
 */

/**
 * Fetches something whole, or fails as `network` or `cancelled`.
 * @param {string} url
 * @param {RequestInit} [options]
 * @returns {Promise<Response>}
 */
export async function get(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    throwIfCancelled(options?.signal);
    throw networkError(url, typed(error).message);
  }
  if (!response.ok) throw networkError(url, `the server answered ${response.status}`);
  return response;
}

/**
 * Fetches a manifest's text. Whether it is a good manifest is for the engine to say.
 * @param {string} url
 * @param {AbortSignal} [signal]
 * @returns {Promise<string>}
 */
export async function fetchManifest(url, signal) {
  return (await get(url, { signal, cache: 'no-cache' })).text();
}

/**
 * The files of a manifest that the engine has accepted, with addresses relative to the manifest's: the
 * model's, then its adapter's.
 * @param {string} text
 * @param {string} url
 * @returns {ModelFile[]}
 */
export function manifestFiles(text, url) {
  const { files, adapter } = JSON.parse(text);
  const file = ({ path, bytes, sha256 }) => ({ path, url: new URL(path, url).href, bytes, sha256 });
  const more = ['config', 'weights'].map((part) => adapter && { ...file(adapter[part]), adapter: part });
  return [...files.map(file), ...more.filter(Boolean)];
}

/** @param {string} url @param {string} reason */
export function networkError(url, reason) {
  return new RadllamaError(
    'network',
    `${url} could not be fetched: ${reason}; check the connection and try again`,
  );
}
