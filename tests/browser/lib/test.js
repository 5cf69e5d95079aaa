import { test as nodeTest } from 'node:test';

/** Long enough for a model on a CPU; a test that hangs fails instead of stopping all others. */
const TIMEOUT_MS = 600_000;

/** Declares a test. @param {string} name @param {(t: import('node:test').TestContext) => unknown} run */
export const test = (name, run) => nodeTest(name, { timeout: TIMEOUT_MS }, run);
