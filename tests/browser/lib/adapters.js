import { createHash } from 'node:crypto';

// The shapes of SmolLM2-135M that an adapter of q and v depends on: [out, in].
const SHAPES = { q_proj: [576, 576], v_proj: [192, 576] };
const LAYERS = 30;

/**
 * A PEFT adapter for the default model, made up from a seed: the bytes of its two files.
 * @param {number} seed
 * @param {{ layers?: number, rank?: number, metadata?: Record<string, string> }} [options]
 */
export function makeAdapter(seed, { layers = LAYERS, rank = 4, metadata } = {}) {
  let state = BigInt(seed);
  const value = (size) => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
    return size * (Number(state >> 40n) / 2 ** 23 - 1);
  };
  const header = metadata ? { __metadata__: metadata } : {};
  const pieces = [];
  let at = 0;
  const add = (name, shape, size) => {
    const data = Float32Array.from({ length: shape[0] * shape[1] }, () => value(size));
    header[name] = { dtype: 'F32', shape, data_offsets: [at, (at += data.byteLength)] };
    pieces.push(Buffer.from(data.buffer));
  };
  for (let layer = 0; layer < layers; layer++) {
    for (const [module, [out, cols]] of Object.entries(SHAPES)) {
      const name = `base_model.model.model.layers.${layer}.self_attn.${module}`;
      add(`${name}.lora_A.weight`, [rank, cols], 0.1);
      add(`${name}.lora_B.weight`, [out, rank], 0.15);
    }
  }
  const json = JSON.stringify(header);
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const config = {
    peft_type: 'LORA', task_type: 'CAUSAL_LM', base_model_name_or_path: 'made up', bias: 'none',
    r: rank, lora_alpha: 2 * rank, lora_dropout: 0, target_modules: Object.keys(SHAPES),
  };
  return { config: Buffer.from(JSON.stringify(config)), weights: Buffer.concat([length, text, ...pieces]) };
}

/** The name of a base: as radllama's adapters carry it. @param {{ sha256: string }[]} files */
export const baseHash = (files) =>
  createHash('sha256').update(files.map(({ sha256 }) => sha256).join('')).digest('hex');
