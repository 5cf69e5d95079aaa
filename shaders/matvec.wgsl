// Quantized matrix x vector for decode: out[row] = W[row] . x, then the epilogue.
// Layout: kernels/matvec.rs. Twin: kernels::matvec::reference.
#import product
#if lora
#import lora
#endif
#import weights
#import epilogue

// A team of LANES threads shares four rows, each thread taking every LANES-th block: what it loads of x
// serves four products. For swiglu the last two rows are the up rows of the first two.
#if serial
const LANES: u32 = 1u;
const TEAMS: u32 = 16u; // matvec::SERIAL_TEAMS

fn sum_of_lanes(value: vec4<f32>, thread: u32) -> vec4<f32> {
    return value;
}
#else
const LANES: u32 = 8u; // the narrowest subgroup that the subgroup variant accepts
const TEAMS: u32 = 8u; // matvec::TEAMS
#if subgroup

fn sum_of_lanes(value: vec4<f32>, thread: u32) -> vec4<f32> {
    var sum = value;
    sum += subgroupShuffleXor(sum, 1u);
    sum += subgroupShuffleXor(sum, 2u);
    sum += subgroupShuffleXor(sum, 4u);
    return sum;
}
#else
var<workgroup> shares: array<vec4<f32>, TEAMS * LANES>;

fn sum_of_lanes(value: vec4<f32>, thread: u32) -> vec4<f32> {
    shares[thread] = value;
    workgroupBarrier();
    let first = thread / LANES * LANES;
    var sum = vec4<f32>();
    for (var lane = 0u; lane < LANES; lane++) {
        sum += shares[first + lane];
    }
    return sum;
}
#endif
#endif
#if swiglu
const WRITTEN: u32 = 2u * TEAMS;
#else
const WRITTEN: u32 = 4u * TEAMS;
#endif

@compute @workgroup_size(TEAMS * LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let last = params.rows - 1u;
    let lane = thread % LANES;
    let row = (group.y * groups.x + group.x) * WRITTEN + thread / LANES;
    // Past the last row, the last row is computed again and not written: barriers stay uniform.
    let row0 = min(row, last) * params.blocks;
    let row1 = min(row + TEAMS, last) * params.blocks;
#if swiglu
    let row2 = row0 + params.rows * params.blocks;
    let row3 = row1 + params.rows * params.blocks;
#else
    let row2 = min(row + 2u * TEAMS, last) * params.blocks;
    let row3 = min(row + 3u * TEAMS, last) * params.blocks;
#endif
    var share = vec4<f32>();
    for (var block = lane; block < params.blocks; block += LANES) {
        let at = block * 8u;
#repeat 8
        let x$i = x[at + $iu];
#end
        let total = dot((x0 + x1) + (x2 + x3) + (x4 + x5) + (x6 + x7), vec4<f32>(1.0));
#repeat 8
        let y$i = x$i * RAW;
#end
#repeat 4
        let scale$i = block_scale(row$i + block);
        let product$i = raw_dot(row$i + block, y0, y1, y2, y3, y4, y5, y6, y7);
#end
        share += vec4<f32>(
            scale0.x * product0 + scale0.y * total,
            scale1.x * product1 + scale1.y * total,
            scale2.x * product2 + scale2.y * total,
            scale3.x * product3 + scale3.y * total,
        );
    }
#if lora
    let lora0 = min(row, last);
    let lora1 = min(row + TEAMS, last);
#if swiglu
    let lora2 = lora0 + params.rows;
    let lora3 = lora1 + params.rows;
#else
    let lora2 = min(row + 2u * TEAMS, last);
    let lora3 = min(row + 3u * TEAMS, last);
#endif
#repeat 4
    let part$i = lora_part(lora$i);
#end
    var side = vec4<f32>();
    // Rows of one tensor share their part of t, loaded once then: nearly always. Gate and up rows have
    // two. A loop for each case: a CPU adapter does not jump over the lines of a false `if` inside.
#if swiglu
    let shared_parts = part0 == part1 && part2 == part3;
#else
    let shared_parts = part0 == part1 && part0 == part2 && part0 == part3;
#endif
    if shared_parts {
        for (var quad = lane; quad < params.quads; quad += LANES) {
            let t0 = lora_t[part0 + quad];
            let t1 = t0;
#if swiglu
            let t2 = lora_t[part2 + quad];
#else
            let t2 = t0;
#endif
            let t3 = t2;
#repeat 4
            side[$i] += dot(factors(lora_b[lora$i * params.quads + quad]), t$i);
#end
        }
    } else {
        for (var quad = lane; quad < params.quads; quad += LANES) {
#repeat 4
            side[$i] += dot(factors(lora_b[lora$i * params.quads + quad]), lora_t[part$i + quad]);
#end
        }
    }
    share += side * FACTOR_UNIT;
#endif
    let sums = sum_of_lanes(share, thread);
    if lane != 0u {
        return;
    }
#if swiglu
    if row <= last {
        finish_pair(row, sums.x, sums.z);
    }
    if row + TEAMS <= last {
        finish_pair(row + TEAMS, sums.y, sums.w);
    }
#else
    for (var i = 0u; i < 4u; i++) {
        if row + i * TEAMS <= last {
            finish(row + i * TEAMS, sums[i]);
        }
    }
#endif
}
