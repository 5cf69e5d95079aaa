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

// One block of a row times its 32 activations.
fn dot_block(block: u32, at: u32) -> f32 {
    var sum = 0.0;
    for (var i = 0u; i < 8u; i++) {
        sum += dot(block_quad(block, i), x[at + i]);
    }
    return sum;
}

#if serial
const THREADS: u32 = 32u; // matvec::SERIAL_THREADS

fn dot_row(row: u32) -> f32 {
    var sum = 0.0;
    for (var block = 0u; block < params.blocks; block++) {
        sum += dot_block(row * params.blocks + block, block * 8u);
    }
    return sum;
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = (group.y * groups.x + group.x) * THREADS + thread;
    if row >= params.rows {
        return;
    }
#if swiglu
    finish_pair(row, dot_row(row), dot_row(row + params.rows));
#else
    finish(row, dot_row(row));
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

fn dot_lane(row: u32, lane: u32) -> f32 {
    var sum = 0.0;
    for (var block = lane; block < params.blocks; block += LANES) {
        sum += dot_block(row * params.blocks + block, block * 8u);
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
