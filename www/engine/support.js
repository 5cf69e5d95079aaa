const NO_WEBGPU =
  'This browser has no WebGPU, through which a page uses the graphics processor: use a current Chrome, Edge, Safari or Firefox.';

/**
 * What this device can do, without fetching anything; see `Support` in index.d.ts.
 * @returns {Promise<import('../index.d.ts').Support>}
 */
export async function supported() {
  const gpu = await offered();
  const [code, reason] = obstacle(gpu);
  return { supported: !code, code, reason, gpu: gpu && described(gpu), storage: await storage() };
}

async function offered() {
  return (await navigator.gpu?.requestAdapter({ powerPreference: 'high-performance' }).catch(() => null)) ?? null;
}

function obstacle(gpu) {
  if (!isSecureContext) {
    return ['insecure_context', 'WebGPU needs a secure page: open it over https or on localhost.'];
  }
  if (typeof WebAssembly === 'undefined') return ['no_wasm', 'This browser has WebAssembly switched off.'];
  if (!navigator.gpu) return ['no_webgpu', NO_WEBGPU];
  if (!gpu) {
    return ['no_adapter', 'This browser has WebGPU, but offers no graphics adapter: switch hardware acceleration on and look for a newer graphics driver.'];
  }
  return [null, null];
}

function described({ info = {}, features, limits }) {
  return {
    vendor: info.vendor ?? '',
    architecture: info.architecture ?? '',
    fallback: info.isFallbackAdapter ?? false,
    features: ['shader-f16', 'subgroups'].filter((feature) => features.has(feature)),
    maxBindingBytes: limits.maxStorageBufferBindingSize,
  };
}

async function storage() {
  const available = await navigator.storage?.getDirectory?.().then(() => true, () => false);
  const { usage = null, quota = null } = (await navigator.storage?.estimate?.().catch(() => null)) ?? {};
  return { available: available ?? false, usedBytes: usage, quotaBytes: quota };
}
