// The low-rank side path that an adapted product adds to W . x: row r of B times its tensor's part of
// t = A . x. Layout and twin: kernels/lora.rs.
#import factors

// Where weight row `row` finds its part of a token in `lora_t`, in quads.
fn lora_part(row: u32) -> u32 {
    let second = select(0u, params.second_at, row >= params.second);
    return select(second, params.third_at, row >= params.third);
}

// The side path of a row for four tokens whose t begin at the quads `at`: of every `stride`th quad from
// `first` on.
fn lora_side(row: u32, at: vec4<u32>, first: u32, stride: u32) -> vec4<f32> {
    let b = row * params.quads;
    let t = at + lora_part(row);
    var sum = vec4<f32>();
    for (var quad = first; quad < params.quads; quad += stride) {
        sum += factors(lora_b[b + quad]) * mat4x4<f32>(
            lora_t[t.x + quad],
            lora_t[t.y + quad],
            lora_t[t.z + quad],
            lora_t[t.w + quad],
        );
    }
    return sum * FACTOR_UNIT;
}
