// Reads `[{ file, code, features, overrides? }]`, creates a compute pipeline of each that the
// adapter can run, and prints `{ features, results: [{ file, created?, skipped?, error? }] }`.
import { readFileSync, writeSync } from 'node:fs';

import { create, globals } from 'webgpu';

Object.assign(globalThis, globals);
const shaders = JSON.parse(readFileSync(0, 'utf8'));
const gpu = create(['backend=vulkan']);
const adapter = await gpu.requestAdapter();
if (!adapter) throw new Error(`no adapter from ${process.env.VK_ICD_FILENAMES}`);
const features = [...adapter.features];
const requiredFeatures = ['shader-f16', 'subgroups'].filter((feature) => features.includes(feature));
// As the engine does, nothing beyond what the adapter offers.
const { maxStorageBuffersPerShaderStage, maxComputeWorkgroupStorageSize } = adapter.limits;
const requiredLimits = { maxStorageBuffersPerShaderStage, maxComputeWorkgroupStorageSize };
const device = await adapter.requestDevice({ requiredFeatures, requiredLimits });

const results = [];
for (const { file, code, features: needed = [], overrides } of shaders) {
  if (!needed.every((feature) => requiredFeatures.includes(feature))) {
    results.push({ file, skipped: true });
    continue;
  }
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code, label: file });
  const { messages } = await module.getCompilationInfo();
  const invalid = await device.popErrorScope();
  const errors = messages.filter(({ type }) => type === 'error').map((m) => `${m.lineNum}:${m.linePos} ${m.message}`);
  if (errors.length > 0 || invalid) {
    results.push({ file, error: errors.join('\n') || invalid.message });
    continue;
  }
  try {
    await device.createComputePipelineAsync({ layout: 'auto', compute: { module, constants: overrides } });
    results.push({ file, created: true });
  } catch ({ message }) {
    results.push({ file, error: message });
  }
}
writeSync(1, JSON.stringify({ features, results }));
// Dawn aborts if its threads still work when the process ends, or if its instance is collected first.
device.destroy();
await new Promise((resolve) => setTimeout(resolve, 200));
globalThis.keep = gpu;
