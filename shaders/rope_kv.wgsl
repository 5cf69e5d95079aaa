// Rotary embedding of queries (in place) and keys (into the cache); values into the cache.
// A thread turns or copies one pair of neighbours. Layout: kernels/rope_kv.rs.
// Twin: kernels::rope_kv::reference.
#import step
struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    pad: u32,
}
@group(0) @binding(0) var<storage, read> table: array<vec2<f32>>; // [context][Dh / 2]: cos, sin
@group(0) @binding(1) var<storage, read_write> qkv: array<vec2<f32>>; // [T][(H + 2 Hkv) Dh / 2]
@group(0) @binding(2) var<storage, read_write> k_cache: array<vec2<f32>>; // [context][Hkv Dh / 2]
@group(0) @binding(3) var<storage, read_write> v_cache: array<vec2<f32>>; // [context][Hkv Dh / 2]
@group(0) @binding(4) var<uniform> params: Params;
@group(0) @binding(5) var<uniform> step: Step;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let half = params.head_dim / 2u;
    let q_pairs = params.heads * half;
    let kv_pairs = params.kv_heads * half;
    let pair = id.x;
    if pair >= q_pairs + 2u * kv_pairs {
        return;
    }
    let position = cache_position(id.y);
    let at = id.y * (q_pairs + 2u * kv_pairs) + pair;
    let value = qkv[at];
    if pair >= q_pairs + kv_pairs {
        v_cache[position * kv_pairs + pair - q_pairs - kv_pairs] = value;
        return;
    }
    let turn = table[text_position(id.y) * half + pair % half];
    let turned = vec2<f32>(
        value.x * turn.x - value.y * turn.y,
        value.x * turn.y + value.y * turn.x,
    );
    if pair >= q_pairs {
        k_cache[position * kv_pairs + pair - q_pairs] = turned;
    } else {
        qkv[at] = turned;
    }
}
