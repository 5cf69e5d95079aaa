// Products with several tokens for CPU adapters: a whole kernel body, also that of matvecs.

// A thread computes eight rows for four tokens: enough work on each load that a CPU adapter is kept
// busy by arithmetic. Its rows are THREADS apart; for swiglu the last four are the up rows of the
// first four.
const THREADS: u32 = 8u; // matmul::SERIAL_THREADS
const TOKENS: u32 = 4u; // matmul::SERIAL_TOKENS
#if swiglu
const WRITTEN: u32 = 4u * THREADS;
#else
const WRITTEN: u32 = 8u * THREADS;
#endif

// Quads 2j and 2j + 1 of a block times the activations of four tokens, one a column.
fn product(block: u32, j: u32, scale: vec2<f32>, a: mat4x4<f32>, b: mat4x4<f32>) -> vec4<f32> {
    let raw = raw_pair(block, j);
    let factor = RAW * scale.x;
    return (raw[0] * factor + scale.y) * a + (raw[1] * factor + scale.y) * b;
}

fn first_block(row: u32) -> u32 {
    return min(row, params.rows - 1u) * params.blocks;
}

#if swiglu
fn finish_pairs(token: u32, row: u32, gate: vec4<f32>, up: vec4<f32>) {
    if row < params.rows {
        for (var t = 0u; t < TOKENS && token + t < step.tokens; t++) {
            finish_pair((token + t) * params.rows + row, gate[t], up[t]);
        }
    }
}
#else
fn finish_row(token: u32, row: u32, values: vec4<f32>) {
    if row < params.rows {
        for (var t = 0u; t < TOKENS && token + t < step.tokens; t++) {
            finish((token + t) * params.rows + row, values[t]);
        }
    }
}
#endif

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = group.x * WRITTEN + thread;
    let row0 = first_block(row);
    let row1 = first_block(row + THREADS);
    let row2 = first_block(row + 2u * THREADS);
    let row3 = first_block(row + 3u * THREADS);
#if swiglu
    let up = params.rows * params.blocks;
    let row4 = row0 + up;
    let row5 = row1 + up;
    let row6 = row2 + up;
    let row7 = row3 + up;
#else
    let row4 = first_block(row + 4u * THREADS);
    let row5 = first_block(row + 5u * THREADS);
    let row6 = first_block(row + 6u * THREADS);
    let row7 = first_block(row + 7u * THREADS);
#endif
    let token = group.y * TOKENS;
    let last = step.tokens - 1u;
    let quads = params.blocks * 8u;
    let t0 = token * quads;
    let t1 = min(token + 1u, last) * quads;
    let t2 = min(token + 2u, last) * quads;
    let t3 = min(token + 3u, last) * quads;
#repeat 8
    var sum$i = vec4<f32>();
#end
    for (var block = 0u; block < params.blocks; block++) {
#repeat 8
        let scale$i = block_scale(row$i + block);
#end
        for (var j = 0u; j < 4u; j++) {
            let at = block * 8u + 2u * j;
            let a = mat4x4<f32>(x[t0 + at], x[t1 + at], x[t2 + at], x[t3 + at]);
            let b = mat4x4<f32>(x[t0 + at + 1u], x[t1 + at + 1u], x[t2 + at + 1u], x[t3 + at + 1u]);
#repeat 8
            sum$i += product(row$i + block, j, scale$i, a, b);
#end
        }
    }
#if lora
    let tokens = min(vec4<u32>(token, token + 1u, token + 2u, token + 3u), vec4<u32>(last));
    let at = tokens * params.stride;
#repeat 4
    let lora$i = min(row + $iu * THREADS, params.rows - 1u);
    sum$i += lora_side(lora$i, at, 0u, 1u);
#end
#if swiglu
    sum4 += lora_side(lora0 + params.rows, at, 0u, 1u);
    sum5 += lora_side(lora1 + params.rows, at, 0u, 1u);
    sum6 += lora_side(lora2 + params.rows, at, 0u, 1u);
    sum7 += lora_side(lora3 + params.rows, at, 0u, 1u);
#else
    sum4 += lora_side(min(row + 4u * THREADS, params.rows - 1u), at, 0u, 1u);
    sum5 += lora_side(min(row + 5u * THREADS, params.rows - 1u), at, 0u, 1u);
    sum6 += lora_side(min(row + 6u * THREADS, params.rows - 1u), at, 0u, 1u);
    sum7 += lora_side(min(row + 7u * THREADS, params.rows - 1u), at, 0u, 1u);
#endif
#endif
#if swiglu
    finish_pairs(token, row + 0u * THREADS, sum0, sum4);
    finish_pairs(token, row + 1u * THREADS, sum1, sum5);
    finish_pairs(token, row + 2u * THREADS, sum2, sum6);
    finish_pairs(token, row + 3u * THREADS, sum3, sum7);
#else
#repeat 8
    finish_row(token, row + $iu * THREADS, sum$i);
#end
#endif
}
