//! Every shader permutation on this machine's adapter against its CPU twin, over odd and real sizes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::print_stdout)] // says which adapter it ran on
#![cfg(feature = "gpu")]

use radllama::gpu::{self, Gpu};
use radllama::kernels::cases::{Extent, cases};
use radllama::kernels::{HEAD_DIMS, permutations};

#[test]
fn kernels_compute_what_their_twins_compute() {
    pollster::block_on(async {
        let gpu = Gpu::open(Default::default()).await.expect("tests need a Vulkan adapter");
        let (mut ran, mut faults) = (0, Vec::new());
        for permutation in permutations(&HEAD_DIMS) {
            if !gpu.can_run(permutation.variant) {
                continue;
            }
            let pipeline = match gpu.pipeline(&permutation).await {
                Ok(pipeline) => pipeline,
                Err(error) => {
                    faults.push(error.to_string());
                    continue;
                }
            };
            for case in cases(&permutation, Extent::Full) {
                let check = gpu::check(&gpu, &permutation, &pipeline, &case).await.unwrap();
                ran += 1;
                if !check.passed() {
                    faults.push(format!("{check:?}"));
                }
            }
        }
        println!("{}: {ran} cases", gpu.name());
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        assert!(ran > 200, "only {ran} cases ran");
    });
}
