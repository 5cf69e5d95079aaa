// What differs from step to step (kernels::Step).
struct Step {
    position: u32,
    tokens: u32,
    pad0: u32,
    pad1: u32,
}
