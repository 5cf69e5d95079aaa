// Quantized matrix x T vectors for prefill: out[t][row] = W[row] . x[t], then the epilogue.
// Layout: kernels/matvec.rs. Twin: kernels::matvec::reference.
#import product
#if lora
@group(0) @binding(7) var<uniform> step: Step;
#import lora
#else
@group(0) @binding(5) var<uniform> step: Step;
#endif
#import step
#import weights
#import epilogue

#if serial
#import matmul_serial
#else
// A workgroup of 128 threads computes 64 weight rows x 32 tokens, a thread 4 x 4 of them, from one
// block of 32 columns at a time in workgroup memory: 12 KiB of the 16 that every device has.
const TILE_ROWS: u32 = 64u; // matmul::TILE_ROWS
const TILE_TOKENS: u32 = 32u; // matmul::TILE_TOKENS
const THREADS: u32 = 128u;
#if f16
alias Codes = vec4<f16>; // codes of 4 and 8 bits and f16 weights fit f16 exactly
#else
alias Codes = vec4<f32>;
#endif
var<workgroup> tile_w: array<Codes, 8u * TILE_ROWS>; // [quad][row]
var<workgroup> tile_x: array<vec4<f32>, 8u * TILE_TOKENS>; // [quad][token]
#if f16
var<workgroup> tile_scale: array<vec2<f32>, TILE_ROWS>;
#endif

// The weight row behind row `r` of the tile whose first is `first`; for swiglu the tile's second
// half holds the up rows of the first half's gate rows.
fn weight_row(first: u32, r: u32) -> u32 {
#if swiglu
    let half = TILE_ROWS / 2u;
    return min(first + r % half, params.rows - 1u) + r / half * params.rows;
#else
    return min(first + r, params.rows - 1u);
#endif
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
#if swiglu
    let first_row = group.x * TILE_ROWS / 2u;
#else
    let first_row = group.x * TILE_ROWS;
#endif
    let first_token = group.y * TILE_TOKENS;
    let tr = thread % 16u; // rows tr, tr + 16, tr + 32, tr + 48 of the tile
    let tt = thread / 16u; // tokens 4 tt .. 4 tt + 3
    let load_row = thread % TILE_ROWS;
    let load_block = weight_row(first_row, load_row) * params.blocks;
    let load_pair = thread / TILE_ROWS * 2u;
    let load_token = min(first_token + thread % TILE_TOKENS, step.tokens - 1u);
    let load_x = load_token * params.blocks * 8u;
    var sums: array<vec4<f32>, 4>; // [row][token]
    for (var block = 0u; block < params.blocks; block++) {
        for (var j = load_pair; j < load_pair + 2u; j++) {
#if f16
            let pair = raw_pair(load_block + block, j);
            tile_w[2u * j * TILE_ROWS + load_row] = Codes(pair[0] * RAW);
            tile_w[(2u * j + 1u) * TILE_ROWS + load_row] = Codes(pair[1] * RAW);
#else
            let pair = weight_pair(load_block + block, j);
            tile_w[2u * j * TILE_ROWS + load_row] = pair[0];
            tile_w[(2u * j + 1u) * TILE_ROWS + load_row] = pair[1];
#endif
        }
#if f16
        if load_pair == 0u {
            tile_scale[load_row] = block_scale(load_block + block);
        }
#endif
        for (var i = thread / TILE_TOKENS; i < 8u; i += THREADS / TILE_TOKENS) {
            tile_x[i * TILE_TOKENS + thread % TILE_TOKENS] = x[load_x + block * 8u + i];
        }
        workgroupBarrier();
#if f16
        // Zeros written out: without them Dawn over lavapipe carries the last round's values along.
        var products = array<vec4<f32>, 4>();
        var x_sums = vec4<f32>();
#endif
        for (var i = 0u; i < 8u; i++) {
            let x0 = tile_x[i * TILE_TOKENS + 4u * tt];
            let x1 = tile_x[i * TILE_TOKENS + 4u * tt + 1u];
            let x2 = tile_x[i * TILE_TOKENS + 4u * tt + 2u];
            let x3 = tile_x[i * TILE_TOKENS + 4u * tt + 3u];
#if f16
            let one = vec4<f32>(1.0);
            x_sums += vec4<f32>(dot(x0, one), dot(x1, one), dot(x2, one), dot(x3, one));
#endif
            for (var r = 0u; r < 4u; r++) {
                let w = vec4<f32>(tile_w[i * TILE_ROWS + tr + 16u * r]);
                let product = vec4<f32>(dot(w, x0), dot(w, x1), dot(w, x2), dot(w, x3));
#if f16
                products[r] += product;
#else
                sums[r] += product;
#endif
            }
        }
#if f16
        for (var r = 0u; r < 4u; r++) {
            let scale = tile_scale[tr + 16u * r];
            sums[r] += scale.x * products[r] + scale.y * x_sums;
        }
#endif
        workgroupBarrier();
    }
#if lora
    let tokens = min(vec4<u32>(0u, 1u, 2u, 3u) + (first_token + 4u * tt), vec4<u32>(step.tokens - 1u));
    let at = tokens * params.stride;
    for (var r = 0u; r < 4u; r++) {
        sums[r] += lora_side(weight_row(first_row, tr + 16u * r), at, 0u, 1u);
    }
#endif
    for (var t = 0u; t < 4u; t++) {
        let token = first_token + 4u * tt + t;
        if token >= step.tokens {
            return;
        }
#if swiglu
        for (var r = 0u; r < 2u; r++) {
            let row = first_row + tr + 16u * r;
            if row < params.rows {
                finish_pair(token * params.rows + row, sums[r][t], sums[r + 2u][t]);
            }
        }
#else
        for (var r = 0u; r < 4u; r++) {
            let row = first_row + tr + 16u * r;
            if row < params.rows {
                finish(token * params.rows + row, sums[r][t]);
            }
        }
#endif
    }
}
#endif
