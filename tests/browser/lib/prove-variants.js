// Opens a device of Dawn for Node through the page's own package, as if it were a GPU, proves all
// kernels on it, the variant named first before others, and prints what the engine says of it.
import { readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

import { create, globals } from 'webgpu';

import { requestSubgroups } from '../../../www/engine/gpu-features.js';
import { www } from './paths.js';

Object.assign(globalThis, globals);
globalThis.Window = class {}; // wgpu looks for the GPU of a window
const gpu = create(['backend=vulkan']);
Object.defineProperty(gpu, 'wgslLanguageFeatures', { value: new Set(gpu.wgslLanguageFeatures) });
Object.defineProperty(globalThis, 'navigator', { value: { gpu } });
Object.defineProperty(GPUAdapterInfo.prototype, 'isFallbackAdapter', { get: () => false });
requestSubgroups();

const { default: init, Gpu } = await import(join(www, 'pkg/radllama.js'));
await init({ module_or_path: readFileSync(join(www, 'pkg/radllama_bg.wasm')) });
const [prefer, ...needs] = process.argv.slice(2);
const device = await Gpu.open(true, prefer);
await device.selfTest(needs);
writeSync(1, JSON.stringify(device.info()));
// Dawn aborts if its instance is collected while the process ends.
await new Promise((resolve) => setTimeout(resolve, 200));
globalThis.keep = gpu;
process.exit(0);
