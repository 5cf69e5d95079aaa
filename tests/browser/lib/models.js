import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { www } from './paths.js';

/** The default model's base alone, its manifest and the bytes of its files, as they are served. */
export function baseModel() {
  const manifest = JSON.parse(readFileSync(join(www, 'weights/base.json'), 'utf8'));
  const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  return { manifest, bytes };
}

/** The SHA-256 of bytes, in hexadecimal. */
export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/**
 * Puts a model under `/bad/` on a server: the base's manifest's fields with other files.
 * @param {import('./server.js').TestServer} server
 * @param {Record<string, Buffer>} files
 * @param {(manifest: object) => void} [change]
 * @returns {string} the manifest's address
 */
export function serveModel(server, files, change = () => {}) {
  const entries = Object.entries(files);
  const manifest = {
    ...baseModel().manifest,
    files: entries.map(([path, bytes]) => ({ path, bytes: bytes.length, sha256: sha256(bytes) })),
  };
  change(manifest);
  for (const [name, bytes] of entries) server.files.set(`/bad/${name}`, bytes);
  server.files.set('/bad/manifest.json', Buffer.from(JSON.stringify(manifest)));
  return 'bad/manifest.json';
}

/** One file of it. */
export function baseFile(index) {
  const { manifest } = baseModel();
  return readFileSync(join(www, 'weights', manifest.files[index].path));
}
