// What a matrix product does with its result: kernels::Epilogue. `out` is the kernel's output.

#if store
fn finish(at: u32, value: f32) {
    out[at] = value;
}
#endif
#if add
fn finish(at: u32, value: f32) {
    out[at] += value;
}
#endif
#if swiglu
fn finish_pair(at: u32, gate: f32, up: f32) {
    out[at] = gate / (1.0 + exp(-gate)) * up;
}
#endif
