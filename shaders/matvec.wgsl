// Quantized matrix x vector for decode: out[row] = W[row] . x, then the epilogue.
// Layout: kernels/matvec.rs. Twin: kernels::matvec::reference.
struct Params {
    rows: u32, // values written
    blocks: u32, // of 32 columns
    pad0: u32,
    pad1: u32,
}
@group(0) @binding(0) var<storage, read> codes: array<vec4<u32>>; // [rows][cols]
@group(0) @binding(1) var<storage, read> scales: array<u32>; // [rows][cols / 32]
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>; // [cols / 4]
@group(0) @binding(3) var<storage, read_write> out: array<f32>; // [rows]
@group(0) @binding(4) var<uniform> params: Params;
#import weights
#import epilogue

#if serial
// A thread computes four rows, so that each activation it loads is used four times.
const THREADS: u32 = 16u; // matvec::SERIAL_THREADS
const ROWS: u32 = 4u * THREADS;
#if swiglu
const WRITTEN: u32 = ROWS / 2u;
#else
const WRITTEN: u32 = ROWS;
#endif

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let last = params.rows - 1u;
    let row = (group.y * groups.x + group.x) * WRITTEN + thread;
    let row0 = min(row, last) * params.blocks;
    let row1 = min(row + THREADS, last) * params.blocks;
#if swiglu
    let row2 = row0 + params.rows * params.blocks; // the up rows of the gate rows 0 and 1
    let row3 = row1 + params.rows * params.blocks;
#else
    let row2 = min(row + 2u * THREADS, last) * params.blocks;
    let row3 = min(row + 3u * THREADS, last) * params.blocks;
#endif
    var sums = vec4<f32>();
    for (var block = 0u; block < params.blocks; block++) {
        let at = block * 8u;
        let x0 = x[at];
        let x1 = x[at + 1u];
        let x2 = x[at + 2u];
        let x3 = x[at + 3u];
        let x4 = x[at + 4u];
        let x5 = x[at + 5u];
        let x6 = x[at + 6u];
        let x7 = x[at + 7u];
        let total = dot((x0 + x1) + (x2 + x3) + (x4 + x5) + (x6 + x7), vec4<f32>(1.0));
        let y0 = x0 * RAW;
        let y1 = x1 * RAW;
        let y2 = x2 * RAW;
        let y3 = x3 * RAW;
        let y4 = x4 * RAW;
        let y5 = x5 * RAW;
        let y6 = x6 * RAW;
        let y7 = x7 * RAW;
        let scale0 = block_scale(row0 + block);
        let scale1 = block_scale(row1 + block);
        let scale2 = block_scale(row2 + block);
        let scale3 = block_scale(row3 + block);
        sums += vec4<f32>(
            scale0.x * raw_dot(row0 + block, y0, y1, y2, y3, y4, y5, y6, y7) + scale0.y * total,
            scale1.x * raw_dot(row1 + block, y0, y1, y2, y3, y4, y5, y6, y7) + scale1.y * total,
            scale2.x * raw_dot(row2 + block, y0, y1, y2, y3, y4, y5, y6, y7) + scale2.y * total,
            scale3.x * raw_dot(row3 + block, y0, y1, y2, y3, y4, y5, y6, y7) + scale3.y * total,
        );
    }
#if swiglu
    if row <= last {
        finish_pair(row, sums.x, sums.z);
    }
    if row + THREADS <= last {
        finish_pair(row + THREADS, sums.y, sums.w);
    }
#else
    for (var i = 0u; i < 4u; i++) {
        if row + i * THREADS <= last {
            finish(row + i * THREADS, sums[i]);
        }
    }
#endif
}
#else
const ROWS: u32 = 8u; // matvec::ROWS
const LANES: u32 = 8u; // threads a row: the narrowest subgroup that the subgroup variant accepts

#if subgroup
fn sum_of_lanes(value: f32, thread: u32) -> f32 {
    var sum = value;
    sum += subgroupShuffleXor(sum, 1u);
    sum += subgroupShuffleXor(sum, 2u);
    sum += subgroupShuffleXor(sum, 4u);
    return sum;
}
#else
var<workgroup> partial: array<f32, ROWS * LANES>;

fn sum_of_lanes(value: f32, thread: u32) -> f32 {
    workgroupBarrier();
    partial[thread] = value;
    workgroupBarrier();
    let first = thread / LANES * LANES;
    var sum = 0.0;
    for (var lane = 0u; lane < LANES; lane++) {
        sum += partial[first + lane];
    }
    return sum;
}
#endif

// A lane's share of a row: every LANES-th block.
fn dot_lane(row: u32, lane: u32) -> f32 {
    var sum = 0.0;
    for (var block = lane; block < params.blocks; block += LANES) {
        let at = block * 8u;
        let x0 = x[at];
        let x1 = x[at + 1u];
        let x2 = x[at + 2u];
        let x3 = x[at + 3u];
        let x4 = x[at + 4u];
        let x5 = x[at + 5u];
        let x6 = x[at + 6u];
        let x7 = x[at + 7u];
        let total = dot((x0 + x1) + (x2 + x3) + (x4 + x5) + (x6 + x7), vec4<f32>(1.0));
        let weights = row * params.blocks + block;
        let scale = block_scale(weights);
        let product = raw_dot(
            weights,
            x0 * RAW, x1 * RAW, x2 * RAW, x3 * RAW, x4 * RAW, x5 * RAW, x6 * RAW, x7 * RAW,
        );
        sum += scale.x * product + scale.y * total;
    }
    return sum;
}

@compute @workgroup_size(ROWS * LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = (group.y * groups.x + group.x) * ROWS + thread / LANES;
    let lane = thread % LANES;
    // Past the last row, the last row is computed again and not written: barriers stay uniform.
    let read_row = min(row, params.rows - 1u);
    let first = sum_of_lanes(dot_lane(read_row, lane), thread);
#if swiglu
    let second = sum_of_lanes(dot_lane(read_row + params.rows, lane), thread);
#endif
    if lane == 0u && row < params.rows {
#if swiglu
        finish_pair(row, first, second);
#else
        finish(row, first);
#endif
    }
}
#endif
