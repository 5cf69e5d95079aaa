// The order and the bounds of a download, without a browser: the stream is plain JavaScript.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after } from 'node:test';

import { PIECE_BYTES } from '../../www/engine/limits.js';
import { PieceStream } from '../../www/engine/download.js';
import { TestServer } from './lib/server.js';
import { test } from './lib/test.js';

const server = await TestServer.start();
after(() => server.close());

/** Files of so many bytes on the server, each full of its own number. */
function serve(sizes) {
  return sizes.map((bytes, i) => {
    const path = `many/${i}.gguf`;
    server.files.set(`/${path}`, Buffer.alloc(bytes, i + 1));
    return { path, url: server.url + path, bytes, sha256: '' };
  });
}

/** Reads everything; file and length of each piece, and the hash of each file's bytes. */
async function read(files, headPieces) {
  const seen = files.map(() => 0);
  const hashes = files.map(() => createHash('sha256'));
  const pieces = [];
  const headComplete = (file) => seen[file] >= headPieces;
  const stream = new PieceStream(files, files.map(() => null), { headComplete });
  for await (const { file, bytes } of stream) {
    seen[file]++;
    hashes[file].update(bytes);
    pieces.push({ file, bytes: bytes.length });
    await new Promise((resolve) => setTimeout(resolve, 2)); // the network is faster than the engine
  }
  return { stream, pieces, hashes: hashes.map((hash) => hash.digest('hex')) };
}

const MIB = 1024 * 1024;
// More files than connections, and more heads than the memory holds pieces.
const SIZES = Array.from({ length: 15 }, (_, i) => (i % 3 === 0 ? 11 : 5) * MIB + i);

for (const ranges of [true, false]) {
  test(`heads of many files come first and nothing waits for ever, ${ranges ? 'with' : 'without'} byte ranges`, async () => {
    server.ranges = ranges;
    const files = serve(SIZES);
    const { stream, pieces, hashes } = await read(files, 2);
    const heads = SIZES.flatMap((_, file) => [file, file]);
    assert.deepEqual(pieces.slice(0, heads.length).map(({ file }) => file), heads);
    const rest = pieces.slice(heads.length).map(({ file }) => file);
    assert.deepEqual(rest, rest.toSorted((a, b) => a - b), 'the rest comes file after file');
    assert.ok(pieces.every(({ bytes }) => bytes <= PIECE_BYTES));
    const expected = SIZES.map((bytes, i) => createHash('sha256').update(Buffer.alloc(bytes, i + 1)).digest('hex'));
    assert.deepEqual(hashes, expected);
    assert.equal(stream.networkBytes, SIZES.reduce((a, b) => a + b), 'each byte is counted once');
  });
}
