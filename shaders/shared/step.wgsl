// What differs from step to step (kernels::Step).
struct Step {
    position: u32,
    tokens: u32,
    prefix: u32,
    candidates: u32,
}

// Where row `row` of the step stands in the text: rows follow one another, or are beams side by side.
fn text_position(row: u32) -> u32 {
    return step.position + select(row, 0u, step.prefix > 0u);
}

// Its row of the cache and its place in `ids`: beams lie behind their prefix, step after step.
fn cache_position(row: u32) -> u32 {
    let beams = step.prefix + (step.position - step.prefix) * step.tokens;
    return select(step.position, beams, step.prefix > 0u) + row;
}
