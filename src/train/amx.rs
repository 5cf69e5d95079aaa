//! bf16 matrix products on Intel's AMX tiles (Intel 64 Architectures SDM vol. 1, ch. 18), with f32
//! sums: several times the rate of any f32 product on the CPUs that have them. Everywhere else
//! [`available`] says no and training uses f32 products.
//!
//! A tile holds 16 rows of 64 bytes. `tdpbf16ps` adds to C \[16\]\[16\] f32 the product of A
//! \[16\]\[32\] and B \[32\]\[16\] in bf16, where a row of the B tile holds two rows of B interleaved.

use rayon::prelude::*;

/// Rows and columns of C that one call of the inner kernel computes: two tiles each way.
const BLOCK: usize = 32;
/// Depth of one tile product.
const DEPTH: usize = 32;
/// Most rows of C that a thread takes at a time: A's part of them stays in its second-level cache.
const CHUNK: usize = 512;

/// Rows that a thread takes of `m`: many, since each chunk reads all of B, but two chunks a thread, so
/// that one that is held up is not waited for long.
fn chunk(m: usize) -> usize {
    m.div_ceil(2 * rayon::current_num_threads()).next_multiple_of(BLOCK).clamp(2 * BLOCK, CHUNK)
}

/// Whether this CPU multiplies bf16 tiles and the system lets this process use them.
pub(super) fn available() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        static AVAILABLE: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
        *AVAILABLE.get_or_init(|| tiles::supported() && tiles::permitted())
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    false
}

/// Rounds to the nearest bf16, ties to even. Values must not be NaN.
fn bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// Two values of B that lie below each other.
fn word(upper: f32, lower: f32) -> u32 {
    u32::from(bf16(upper)) | (u32::from(bf16(lower)) << 16)
}

/// A matrix A \[m\]\[k\] in bf16, its sizes filled up with zeros to multiples of 32.
#[derive(Debug)]
pub(super) struct Rows {
    k: usize,
    values: Vec<u16>,
}

impl Rows {
    /// Rounds rows of `width`.
    pub(super) fn new(rows: &[f32], width: usize) -> Rows {
        let k = width.next_multiple_of(DEPTH);
        let height = (rows.len() / width).next_multiple_of(BLOCK);
        let mut values = vec![0; height * k];
        values.par_chunks_mut(BLOCK * k).zip(rows.par_chunks(BLOCK * width)).for_each(
            |(values, rows)| {
                for (values, row) in values.chunks_exact_mut(k).zip(rows.chunks_exact(width)) {
                    values.iter_mut().zip(row).for_each(|(value, &v)| *value = bf16(v));
                }
            },
        );
        Rows { k, values }
    }
}

/// A matrix B \[k\]\[n\] in bf16, laid out as tiles: by 16 columns, then by 32 rows. Sizes are filled up
/// with zeros to multiples of 32.
#[derive(Debug)]
pub(super) struct Packed {
    /// Rows and columns, filled up.
    k: usize,
    n: usize,
    /// Words of two rows' values, the upper row's in the low half.
    tiles: Vec<u32>,
}

impl Packed {
    /// Packs B from its rows of `width`.
    pub(super) fn from_rows(rows: &[f32], width: usize) -> Packed {
        let height = rows.len() / width;
        let (k, n) = (height.next_multiple_of(DEPTH), width.next_multiple_of(BLOCK));
        let mut tiles = vec![0; k * n / 2];
        tiles.par_chunks_mut(8 * k).enumerate().for_each(|(block, tiles)| {
            let first = (16 * block).min(width);
            let last = (first + 16).min(width);
            for (pair, tiles) in rows.chunks(2 * width).zip(tiles.chunks_exact_mut(16)) {
                let (upper, lower) = pair.split_at(width);
                let upper = &upper[first..last];
                match lower.get(first..last) {
                    Some(lower) => {
                        for ((tile, &u), &l) in tiles.iter_mut().zip(upper).zip(lower) {
                            *tile = word(u, l);
                        }
                    }
                    None => tiles.iter_mut().zip(upper).for_each(|(tile, &u)| *tile = word(u, 0.0)),
                }
            }
        });
        Packed { k, n, tiles }
    }

    /// Packs B from its columns, each `height` values long.
    pub(super) fn from_columns(columns: &[f32], height: usize) -> Packed {
        let width = columns.len() / height;
        let (k, n) = (height.next_multiple_of(DEPTH), width.next_multiple_of(BLOCK));
        let mut tiles = vec![0; k * n / 2];
        let sixteen = columns.par_chunks(16 * height);
        tiles.par_chunks_mut(8 * k).zip(sixteen).for_each(|(tiles, columns)| {
            for (j, column) in columns.chunks_exact(height).enumerate() {
                for (pair, tiles) in column.chunks(2).zip(tiles.chunks_exact_mut(16)) {
                    tiles[j] = word(pair[0], pair.get(1).copied().unwrap_or(0.0));
                }
            }
        });
        Packed { k, n, tiles }
    }

    /// C += A B, with C in rows of `width`.
    pub(super) fn multiply_add(&self, a: &Rows, c: &mut [f32], width: usize) {
        let (k, n) = (self.k, self.n);
        assert!(a.k == k && width <= n && a.values.len() / k >= c.len() / width);
        let chunk = chunk(a.values.len() / k);
        c.par_chunks_mut(chunk * width).zip(a.values.par_chunks(chunk * k)).for_each(|(c, a)| {
            let rows = c.len() / width;
            if rows * k == a.len() && width == n {
                return self.chunk(a, c);
            }
            let mut filled = vec![0.0; a.len() / k * n];
            self.chunk(a, &mut filled);
            for (c, filled) in c.chunks_exact_mut(width).zip(filled.chunks_exact(n)) {
                c.iter_mut().zip(filled).for_each(|(c, filled)| *c += filled);
            }
        });
    }

    /// C += A B for a multiple of 32 rows.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    fn chunk(&self, a: &[u16], c: &mut [f32]) {
        let (k, n) = (self.k, self.n);
        let _configured = tiles::Configured::new();
        for (b, column) in self.tiles.chunks_exact(BLOCK * k / 2).zip((0..n).step_by(BLOCK)) {
            for (a, c) in a.chunks_exact(BLOCK * k).zip(c.chunks_exact_mut(BLOCK * n)) {
                tiles::block(a, b, &mut c[column..], k, n);
            }
        }
    }

    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    fn chunk(&self, _: &[u16], _: &mut [f32]) {}
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[allow(unsafe_code, reason = "tile instructions have no stable intrinsics; each use says why")]
mod tiles {
    use std::arch::asm;
    use std::arch::x86_64::{__cpuid, __cpuid_count};

    /// CPUID leaf 7: AMX-BF16 and AMX-TILE.
    pub(super) fn supported() -> bool {
        const BF16: u32 = 1 << 22;
        const TILE: u32 = 1 << 24;
        __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & (BF16 | TILE) == BF16 | TILE
    }

    /// Linux hands out the tile state on request, once a process (arch_prctl(2), since 5.16).
    pub(super) fn permitted() -> bool {
        const ARCH_PRCTL: i64 = 158;
        const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
        const XTILEDATA: u64 = 18;
        let result: i64;
        // SAFETY: a system call that touches no memory of ours; rcx and r11 are what it clobbers.
        unsafe {
            asm!("syscall", inlateout("rax") ARCH_PRCTL => result, in("rdi") ARCH_REQ_XCOMP_PERM,
                 in("rsi") XTILEDATA, out("rcx") _, out("r11") _, options(nostack));
        }
        result == 0
    }

    /// A thread's tiles, all of 16 rows of 64 bytes, as long as it lives.
    pub(super) struct Configured;

    impl Configured {
        pub(super) fn new() -> Self {
            let mut config = [0u8; 64];
            config[0] = 1; // the only palette
            for tile in 0..8 {
                config[16 + 2 * tile] = 64; // bytes a row
                config[48 + tile] = 16; // rows
            }
            // SAFETY: `available` has checked CPU and permission; the operand is the 64 bytes it reads.
            unsafe { asm!("ldtilecfg [{}]", in(reg) config.as_ptr(), options(nostack)) };
            Configured
        }
    }

    impl Drop for Configured {
        fn drop(&mut self) {
            // SAFETY: gives the tile state back; nothing else uses it.
            unsafe { asm!("tilerelease", options(nostack, nomem)) };
        }
    }

    /// C \[32\]\[32\] of rows `n` apart += A \[32\]\[k\] × B, tiles of two columns of tiles of depth k.
    pub(super) fn block(a: &[u16], b: &[u32], c: &mut [f32], k: usize, n: usize) {
        assert!(a.len() >= 32 * k && b.len() >= 16 * k && c.len() >= 31 * n + 32 && k >= 32);
        // SAFETY: the assertion covers every address: A's two tiles walk along 32 rows of k, B's along
        // two runs of 8 k words, and C's four tiles lie within 31 rows of n and 32 more values.
        unsafe {
            asm!(
                "tileloadd tmm0, [{c0} + {c_stride}]",
                "tileloadd tmm1, [{c0} + {c_stride} + 64]",
                "tileloadd tmm2, [{c1} + {c_stride}]",
                "tileloadd tmm3, [{c1} + {c_stride} + 64]",
                "2:",
                "tileloadd tmm4, [{a0} + {a_stride}]",
                "tileloadd tmm5, [{a1} + {a_stride}]",
                "tileloadd tmm6, [{b0} + {b_stride}]",
                "tileloadd tmm7, [{b1} + {b_stride}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a0}, 64", "add {a1}, 64", "add {b0}, 1024", "add {b1}, 1024",
                "dec {steps}", "jnz 2b",
                "tilestored [{c0} + {c_stride}], tmm0",
                "tilestored [{c0} + {c_stride} + 64], tmm1",
                "tilestored [{c1} + {c_stride}], tmm2",
                "tilestored [{c1} + {c_stride} + 64], tmm3",
                a0 = inout(reg) a.as_ptr() => _,
                a1 = inout(reg) a.as_ptr().add(16 * k) => _,
                b0 = inout(reg) b.as_ptr() => _,
                b1 = inout(reg) b.as_ptr().add(8 * k) => _,
                steps = inout(reg) k / 32 => _,
                c0 = in(reg) c.as_mut_ptr(),
                c1 = in(reg) c.as_mut_ptr().add(16 * n),
                a_stride = in(reg) 2 * k,
                b_stride = in(reg) 64usize,
                c_stride = in(reg) 4 * n,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}
