// Reads `[{ file, code, features, overrides? }]`, creates a compute pipeline of each that the
// adapter can run, and prints `{ features, results: [{ file, created?, skipped?, error? }] }`.
import { readFileSync, writeSync } from 'node:fs';

import { create as createGpu, globals } from 'webgpu';

Object.assign(globalThis, globals);
const shaders = JSON.parse(readFileSync(0, 'utf8'));
const gpu = createGpu(['backend=vulkan']);
const adapter = await gpu.requestAdapter();
if (!adapter) throw new Error(`no adapter from ${process.env.VK_ICD_FILENAMES}`);
const features = [...adapter.features];
const requiredFeatures = ['shader-f16', 'subgroups'].filter((feature) => features.includes(feature));
// As the engine does, nothing beyond what the adapter offers.
const { maxStorageBuffersPerShaderStage, maxComputeWorkgroupStorageSize } = adapter.limits;
const requiredLimits = { maxStorageBuffersPerShaderStage, maxComputeWorkgroupStorageSize };
const device = await adapter.requestDevice({ requiredFeatures, requiredLimits });

async function create({ file, code, features: needed = [], overrides }) {
  if (!needed.every((feature) => requiredFeatures.includes(feature))) return { file, skipped: true };
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code, label: file });
  const scope = device.popErrorScope(); // before anything is awaited: the scope is this module's alone
  const { messages } = await module.getCompilationInfo();
  const invalid = await scope;
  const errors = messages.filter(({ type }) => type === 'error').map((m) => `${m.lineNum}:${m.linePos} ${m.message}`);
  if (errors.length > 0 || invalid) return { file, error: errors.join('\n') || invalid.message };
  try {
    await device.createComputePipelineAsync({ layout: 'auto', compute: { module, constants: overrides } });
    return { file, created: true };
  } catch ({ message }) {
    return { file, error: message };
  }
}

const results = await Promise.all(shaders.map(create)); // drivers compile on several threads
writeSync(1, JSON.stringify({ features, results }));
// Dawn aborts if its threads still work when the process ends, or if its instance is collected first.
device.destroy();
await new Promise((resolve) => setTimeout(resolve, 200));
globalThis.keep = gpu;
