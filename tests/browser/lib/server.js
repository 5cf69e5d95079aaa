import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { Readable } from 'node:stream';

import { www } from './paths.js';

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};

/**
 * A file server that can misbehave. Its settings may be changed while it runs:
 * - `root`: the folder that is served;
 * - `ranges`: whether byte ranges are answered (otherwise always the whole file, status 200);
 * - `cutAfter`: bytes of body after which a connection for a model file is destroyed;
 * - `cuts`: how many connections are still to be destroyed that way;
 * - `bytesPerSecond`: the speed of each connection for a model file;
 * - `files`: path → Buffer, or `{ bytes, read(start, end) }` giving an iterable of Buffers: instead
 *   of, or besides, what lies on the disk;
 * - `headers`: more headers for every answer, or a function of the path that gives them.
 *
 * `requests` lists what was asked for: `{ method, path, range, bodyBytes }`.
 */
export class TestServer {
  root = www;
  ranges = true;
  cutAfter = Infinity;
  cuts = Infinity;
  bytesPerSecond = Infinity;
  files = new Map();
  headers = {};
  requests = [];

  /** @param {Partial<TestServer>} [settings] */
  static async start(settings = {}) {
    const server = Object.assign(new TestServer(), settings);
    server.http = createServer((request, response) => {
      server.#answer(request, response).catch(() => response.destroy());
    });
    await new Promise((resolve) => server.http.listen(0, '127.0.0.1', resolve));
    server.url = `http://localhost:${server.http.address().port}/`;
    return server;
  }

  /** Requests for model files. */
  get weightRequests() {
    return this.requests.filter(({ path }) => path.endsWith('.gguf'));
  }

  async close() {
    this.http.closeAllConnections();
    await new Promise((resolve) => this.http.close(resolve));
  }

  async #answer(request, response) {
    const path = decodeURIComponent(new URL(request.url, this.url).pathname);
    const entry = { method: request.method, path, range: request.headers.range, bodyBytes: 0 };
    this.requests.push(entry);
    request.on('data', (data) => (entry.bodyBytes += data.length));
    const file = await this.#find(path);
    if (!file) return response.writeHead(404).end();
    const [, first, last] = (this.ranges && /^bytes=(\d+)-(\d*)$/.exec(request.headers.range)) || [];
    const start = Number(first ?? 0);
    const end = Math.min(last ? Number(last) + 1 : file.bytes, file.bytes);
    const headers = {
      'Content-Type': TYPES[extname(path) || '.html'] ?? 'application/octet-stream',
      'Content-Length': end - start,
      'Cache-Control': 'no-cache',
      ...(typeof this.headers === 'function' ? this.headers(path) : this.headers),
    };
    if (first !== undefined && start >= file.bytes) {
      return response.writeHead(416, { 'Content-Range': `bytes */${file.bytes}` }).end();
    }
    if (first !== undefined) headers['Content-Range'] = `bytes ${start}-${end - 1}/${file.bytes}`;
    response.writeHead(first === undefined ? 200 : 206, headers);
    await this.#send(file.read(start, end), response, path.endsWith('.gguf'));
  }

  async #find(path) {
    const given = this.files.get(path);
    if (Buffer.isBuffer(given)) {
      return { bytes: given.length, read: (start, end) => [given.subarray(start, end)] };
    }
    if (given) return given;
    const name = join(this.root, normalize(path.endsWith('/') ? `${path}index.html` : path));
    const info = await stat(name).catch(() => null);
    if (!info?.isFile()) return null;
    const read = (start, end) => (end > start ? createReadStream(name, { start, end: end - 1 }) : []);
    return { bytes: info.size, read };
  }

  async #send(chunks, response, misbehaves) {
    let sent = 0;
    for await (const chunk of Readable.from(chunks)) {
      // In small steps, so that a cut or a change of speed comes where it was asked for.
      for (let at = 0; at < chunk.length; at += 65536) {
        if (response.destroyed) return;
        const step = chunk.subarray(at, at + 65536);
        if (misbehaves && sent >= this.cutAfter && this.cuts > 0) {
          this.cuts--;
          await new Promise((resolve) => setTimeout(resolve, 50)); // what was sent gets through
          return response.destroy();
        }
        if (!response.write(step)) await drained(response);
        sent += step.length;
        if (misbehaves && this.bytesPerSecond < Infinity) {
          await new Promise((resolve) => setTimeout(resolve, (step.length / this.bytesPerSecond) * 1000));
        }
      }
    }
    response.end();
  }
}

/** Resolves once a response takes more, or never will. */
function drained(response) {
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done).off('close', done);
      resolve();
    };
    response.on('drain', done).on('close', done);
  });
}
