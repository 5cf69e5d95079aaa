// Weights in the planar GPU formats of src/quant, in blocks of 32 along a row. The kernel declares
// `codes` and `scales` and counts blocks over the whole tensor.
//
// A quad is four neighbouring weights. "Raw" quads are codes masked in place, without a shift each:
// raw * RAW is the code, and scale.x * code + scale.y the weight. Powers of two: nothing is lost, and a
// factor on one side of a product can as well stand on the other.

#if weights_q4
const RAW: vec4<f32> = vec4<f32>(1.0, 0.0625, 0.00390625, 0.000244140625);
// Through i32: unsigned conversion is several instructions on CPUs.
fn raw_quad(word: u32) -> vec4<f32> {
    return vec4<f32>(vec4<i32>(vec4<u32>(word) & vec4<u32>(0xfu, 0xf0u, 0xf00u, 0xf000u)));
}
// Quads 2j and 2j + 1 of a block, j in 0..4.
fn raw_pair(block: u32, j: u32) -> mat2x4<f32> {
    let word = codes[block][j];
    return mat2x4<f32>(raw_quad(word), raw_quad(word >> 16u));
}
fn raw_dot(
    block: u32,
    x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>,
    x4: vec4<f32>, x5: vec4<f32>, x6: vec4<f32>, x7: vec4<f32>,
) -> f32 {
    let unit = codes[block];
    return dot(raw_quad(unit.x), x0) + dot(raw_quad(unit.x >> 16u), x1)
        + dot(raw_quad(unit.y), x2) + dot(raw_quad(unit.y >> 16u), x3)
        + dot(raw_quad(unit.z), x4) + dot(raw_quad(unit.z >> 16u), x5)
        + dot(raw_quad(unit.w), x6) + dot(raw_quad(unit.w >> 16u), x7);
}
#endif
#if weights_q8
const RAW: vec4<f32> = vec4<f32>(1.0, 0.00390625, 0.0000152587890625, 1.0);
fn raw_quad(word: u32) -> vec4<f32> {
    let low = vec3<u32>(word) & vec3<u32>(0xffu, 0xff00u, 0xff0000u);
    return vec4<f32>(vec4<i32>(vec4<u32>(low, word >> 24u)));
}
fn raw_pair(block: u32, j: u32) -> mat2x4<f32> {
    let unit = 2u * block + (j >> 1u);
    let word = (j & 1u) << 1u;
    return mat2x4<f32>(raw_quad(codes[unit][word]), raw_quad(codes[unit][word + 1u]));
}
fn raw_dot(
    block: u32,
    x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>,
    x4: vec4<f32>, x5: vec4<f32>, x6: vec4<f32>, x7: vec4<f32>,
) -> f32 {
    let a = codes[2u * block];
    let b = codes[2u * block + 1u];
    return dot(raw_quad(a.x), x0) + dot(raw_quad(a.y), x1)
        + dot(raw_quad(a.z), x2) + dot(raw_quad(a.w), x3)
        + dot(raw_quad(b.x), x4) + dot(raw_quad(b.y), x5)
        + dot(raw_quad(b.z), x6) + dot(raw_quad(b.w), x7);
}
#endif
#if weights_f16
const RAW: vec4<f32> = vec4<f32>(1.0);
fn halves(a: u32, b: u32) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(a), unpack2x16float(b));
}
fn raw_pair(block: u32, j: u32) -> mat2x4<f32> {
    let unit = codes[4u * block + j];
    return mat2x4<f32>(halves(unit.x, unit.y), halves(unit.z, unit.w));
}
fn raw_dot(
    block: u32,
    x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>,
    x4: vec4<f32>, x5: vec4<f32>, x6: vec4<f32>, x7: vec4<f32>,
) -> f32 {
    let a = codes[4u * block];
    let b = codes[4u * block + 1u];
    let c = codes[4u * block + 2u];
    let d = codes[4u * block + 3u];
    return dot(halves(a.x, a.y), x0) + dot(halves(a.z, a.w), x1)
        + dot(halves(b.x, b.y), x2) + dot(halves(b.z, b.w), x3)
        + dot(halves(c.x, c.y), x4) + dot(halves(c.z, c.w), x5)
        + dot(halves(d.x, d.y), x6) + dot(halves(d.z, d.w), x7);
}
#endif
#if weights_f32
const RAW: vec4<f32> = vec4<f32>(1.0);
fn floats(at: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(codes[at]);
}
fn raw_pair(block: u32, j: u32) -> mat2x4<f32> {
    let at = 8u * block + 2u * j;
    return mat2x4<f32>(floats(at), floats(at + 1u));
}
fn raw_dot(
    block: u32,
    x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>,
    x4: vec4<f32>, x5: vec4<f32>, x6: vec4<f32>, x7: vec4<f32>,
) -> f32 {
    let at = 8u * block;
    return dot(floats(at), x0) + dot(floats(at + 1u), x1)
        + dot(floats(at + 2u), x2) + dot(floats(at + 3u), x3)
        + dot(floats(at + 4u), x4) + dot(floats(at + 5u), x5)
        + dot(floats(at + 6u), x6) + dot(floats(at + 7u), x7);
}
#endif

// Scale and minimum of a block. Formats without: the weights as they are.
#if scaled
fn block_scale(block: u32) -> vec2<f32> {
    return unpack2x16float(scales[block]);
}
#else
fn block_scale(block: u32) -> vec2<f32> {
    return vec2<f32>(1.0, 0.0);
}
#endif

// Quads 2j and 2j + 1 as weights.
fn weight_pair(block: u32, j: u32) -> mat2x4<f32> {
    let scale = block_scale(block);
    let raw = raw_pair(block, j);
    let factor = RAW * scale.x;
    return mat2x4<f32>(raw[0] * factor + scale.y, raw[1] * factor + scale.y);
}
