// As a plain object, so that nothing needs to be imported.
export default {
  base: './',
  // Its workers and its WebAssembly are found by import.meta.url, which a pre-bundled copy has not.
  optimizeDeps: { exclude: ['radllama'] },
  worker: { format: 'es' },
};
