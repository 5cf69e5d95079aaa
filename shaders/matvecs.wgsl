// Quantized matrix x a few vectors, for beams: out[t][row] = W[row] . x[t], then the epilogue.
// Layout: kernels/matvecs.rs. Twin: kernels::matvec::reference.
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
// As in matvec, a team of LANES threads shares four rows, each thread taking every LANES-th block. What
// it reads of a row serves TOKENS vectors, one a component of its sums.
const TOKENS: u32 = 4u; // matvecs::TOKENS
const LANES: u32 = 8u; // the narrowest subgroup that the subgroup variant accepts
const TEAMS: u32 = 8u; // matvec::TEAMS
#if swiglu
const WRITTEN: u32 = 2u * TEAMS;
#else
const WRITTEN: u32 = 4u * TEAMS;
#endif
#if base
var<workgroup> shares: array<vec4<f32>, 4u * TEAMS * LANES>; // [row][thread]

fn sum_of_lanes(row: u32, thread: u32) -> vec4<f32> {
    var sum = vec4<f32>();
    for (var lane = 0u; lane < LANES; lane++) {
        sum += shares[row * TEAMS * LANES + thread + lane];
    }
    return sum;
}
#endif
#if subgroup
fn sum_of_lanes(value: vec4<f32>) -> vec4<f32> {
    var sum = value;
    sum += subgroupShuffleXor(sum, 1u);
    sum += subgroupShuffleXor(sum, 2u);
    sum += subgroupShuffleXor(sum, 4u);
    return sum;
}
#endif

// Quads 2j and 2j + 1 of a block times the activations of four tokens, one a column.
fn product(block: u32, j: u32, scale: vec2<f32>, a: mat4x4<f32>, b: mat4x4<f32>) -> vec4<f32> {
    let raw = raw_pair(block, j);
    let factor = RAW * scale.x;
    return (raw[0] * factor + scale.y) * a + (raw[1] * factor + scale.y) * b;
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

@compute @workgroup_size(TEAMS * LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let last_row = params.rows - 1u;
    let lane = thread % LANES;
    let row = (group.y * groups.x + group.x) * WRITTEN + thread / LANES;
    // Past the last row, the last row is computed again and not written: barriers stay uniform.
    let row0 = min(row, last_row) * params.blocks;
    let row1 = min(row + TEAMS, last_row) * params.blocks;
#if swiglu
    let row2 = row0 + params.rows * params.blocks;
    let row3 = row1 + params.rows * params.blocks;
#else
    let row2 = min(row + 2u * TEAMS, last_row) * params.blocks;
    let row3 = min(row + 3u * TEAMS, last_row) * params.blocks;
#endif
    let token = group.z * TOKENS;
    let last = step.tokens - 1u;
    let quads = params.blocks * 8u;
    let t0 = token * quads;
    let t1 = min(token + 1u, last) * quads;
    let t2 = min(token + 2u, last) * quads;
    let t3 = min(token + 3u, last) * quads;
#repeat 4
    var sum$i = vec4<f32>();
#end
    for (var block = lane; block < params.blocks; block += LANES) {
#repeat 4
        let scale$i = block_scale(row$i + block);
#end
        for (var j = 0u; j < 4u; j++) {
            let at = block * 8u + 2u * j;
            let a = mat4x4<f32>(x[t0 + at], x[t1 + at], x[t2 + at], x[t3 + at]);
            let b = mat4x4<f32>(x[t0 + at + 1u], x[t1 + at + 1u], x[t2 + at + 1u], x[t3 + at + 1u]);
#repeat 4
            sum$i += product(row$i + block, j, scale$i, a, b);
#end
        }
    }
#if lora
    let lora0 = min(row, last_row);
    let lora1 = min(row + TEAMS, last_row);
#if swiglu
    let lora2 = lora0 + params.rows;
    let lora3 = lora1 + params.rows;
#else
    let lora2 = min(row + 2u * TEAMS, last_row);
    let lora3 = min(row + 3u * TEAMS, last_row);
#endif
    let tokens = min(vec4<u32>(token, token + 1u, token + 2u, token + 3u), vec4<u32>(last));
    let side_at = tokens * params.stride;
#repeat 4
    sum$i += lora_side(lora$i, side_at, lane, LANES);
#end
#endif
#if base
#repeat 4
    shares[$iu * TEAMS * LANES + thread] = sum$i;
#end
    workgroupBarrier();
#endif
#if subgroup
#repeat 4
    sum$i = sum_of_lanes(sum$i);
#end
#endif
    if lane != 0u {
        return;
    }
#if base
#repeat 4
    sum$i = sum_of_lanes($iu, thread);
#end
#endif
#if swiglu
    finish_pairs(token, row, sum0, sum2);
    finish_pairs(token, row + TEAMS, sum1, sum3);
#else
#repeat 4
    finish_row(token, row + $iu * TEAMS, sum$i);
#end
#endif
}
#endif
