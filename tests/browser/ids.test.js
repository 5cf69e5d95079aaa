// The browser writes what the native program writes.
import assert from 'node:assert/strict';

import { open, visit } from './lib/browser.js';
import { native } from './lib/native.js';
import { test } from './lib/test.js';

const PROMPT = 'The heart is normal in size. There is a small right pleural effusion.';
const COUNT = 16;

test('Chromium gives the same token ids as the native program', async (t) => {
  const { ids: promptIds } = native('base.json', 'tokenize', '--text', PROMPT);
  const expected = native('base.json', 'generate', '--prompt-ids', promptIds.join(','), '--max-new-tokens', String(COUNT));
  const { page, server } = await open(t);
  await visit(page, server, { model: 'none.json' });
  const result = await page.evaluate(
    async ({ promptIds, options }) => {
      await window.radllama.load('weights/base.json');
      return window.radllama.generate(promptIds, options);
    },
    { promptIds, options: { max_new_tokens: COUNT } },
  );
  assert.equal(result.prompt_tokens, promptIds.length);
  assert.equal(result.text, expected.text);
  assert.deepEqual(result.ids, expected.ids);
});

test('Chromium finds the same beams as the native program', async (t) => {
  const { ids: promptIds } = native('base.json', 'tokenize', '--text', PROMPT);
  const args = ['--beams', '4', '--length-penalty', '0.6', '--n-best', '2', '--max-new-tokens', '8'];
  const expected = native('base.json', 'generate', '--prompt-ids', promptIds.join(','), ...args);
  const { page, server } = await open(t);
  await visit(page, server, { model: 'none.json' });
  const result = await page.evaluate(
    async ({ promptIds, options }) => {
      await window.radllama.load('weights/base.json');
      return window.radllama.generate(promptIds, options);
    },
    { promptIds, options: { max_new_tokens: 8, beams: 4, length_penalty: 0.6, n_best: 2 } },
  );
  const ids = ({ n_best }) => n_best.map((found) => found.ids);
  assert.deepEqual(ids(result), ids(expected));
  assert.ok(Math.abs(result.score - expected.score) < 1e-3, `${result.score}, ${expected.score}`);
});

test('the default model, adapter and beams included, writes what it writes natively', async (t) => {
  const expected = native('manifest.json', 'impression', '--findings', PROMPT);
  const { page, server } = await open(t);
  await visit(page, server, { model: 'none.json' });
  const { info, result, drafts } = await page.evaluate(async (findings) => {
    const info = await window.radllama.load('weights/manifest.json');
    const drafts = [];
    const result = await window.radllama.impression(findings, {}, { onDraft: (text) => drafts.push(text) });
    return { info, result, drafts };
  }, PROMPT);
  assert.ok(info.model.adapter);
  assert.equal(result.text, expected.text);
  assert.deepEqual(result.ids, expected.ids);
  assert.equal(result.stop, 'eos');
  assert.ok(drafts.length > 1, 'the text that leads is told meanwhile');
});
