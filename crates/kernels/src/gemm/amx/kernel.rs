//! The innermost loops: an output tile of 32 x 32 (or 16 x 32) in four (two) tile registers.
//!
//! Rust has no intrinsics for tiles yet, so they are written in assembly. Registers 0 to 3 hold the output, 4 and 5 two times 16 rows of
//! the left side, 6 and 7 two times 16 columns of the right side.

use std::arch::asm;

use crate::simd::Tiles;

/// One output tile.
#[derive(Clone, Copy)]
pub(super) struct Step {
    /// Left tiles: per group of steps (and part) 32 rows of 16 words.
    pub(super) a: *const f32,
    /// Right tiles: per group of steps (and part) 16 rows of 32 words.
    pub(super) b: *const f32,
    /// Groups of steps to sum over; not 0.
    pub(super) groups: usize,
    /// Output.
    pub(super) c: *mut f32,
    /// Distance of output rows in words.
    pub(super) stride: usize,
    /// Add to the output instead of overwriting it.
    pub(super) accumulate: bool,
    /// What to fetch into the second-level cache meanwhile; need not be valid.
    pub(super) next: *const f32,
}

/// The four (two) products of the registers 4 to 7, with `$fetch` in between.
macro_rules! products {
    (whole, $($fetch:literal)?) => {
        concat!(
            "tdpbf16ps tmm0, tmm4, tmm6\n", $($fetch,)? "tdpbf16ps tmm1, tmm4, tmm7\n",
            "tdpbf16ps tmm2, tmm5, tmm6\n", "tdpbf16ps tmm3, tmm5, tmm7\n",
        )
    };
    (half, $($fetch:literal)?) => {
        concat!("tdpbf16ps tmm0, tmm4, tmm6\n", $($fetch,)? "tdpbf16ps tmm1, tmm4, tmm7\n")
    };
}

/// Loads the left tiles at a constant distance.
macro_rules! left {
    (whole, $at:literal) => {
        concat!(
            "tileloadd tmm4, [{a} + {s64} + ",
            $at,
            "]\n",
            "tileloadd tmm5, [{a} + {s64} + ",
            $at,
            " + 1024]\n"
        )
    };
    (half, $at:literal) => {
        concat!("tileloadd tmm4, [{a} + {s64} + ", $at, "]\n")
    };
}

/// Loads the right tiles at a constant distance.
macro_rules! right {
    ($at:literal) => {
        concat!(
            "tileloadd tmm6, [{b} + {s128} + ",
            $at,
            "]\n",
            "tileloadd tmm7, [{b} + {s128} + ",
            $at,
            " + 64]\n"
        )
    };
}

macro_rules! begin {
    (whole) => {
        concat!(
            "test {acc:e}, {acc:e}\n",
            "jz 3f\n",
            "tileloadd tmm0, [{c} + {sc}]\n",
            "tileloadd tmm1, [{c} + {sc} + 64]\n",
            "tileloadd tmm2, [{d} + {sc}]\n",
            "tileloadd tmm3, [{d} + {sc} + 64]\n",
            "jmp 2f\n",
            "3:\n",
            "tilezero tmm0\n",
            "tilezero tmm1\n",
            "tilezero tmm2\n",
            "tilezero tmm3\n",
            "2:\n",
        )
    };
    (half) => {
        concat!(
            "/* one tile of rows: {d} is not used */\n",
            "test {acc:e}, {acc:e}\n",
            "jz 3f\n",
            "tileloadd tmm0, [{c} + {sc}]\n",
            "tileloadd tmm1, [{c} + {sc} + 64]\n",
            "jmp 2f\n",
            "3:\n",
            "tilezero tmm0\n",
            "tilezero tmm1\n",
            "2:\n",
        )
    };
}

macro_rules! end {
    ($step:literal, whole) => {
        concat!(
            "add {a}, ",
            $step,
            "\n",
            "add {b}, ",
            $step,
            "\n",
            "add {p}, ",
            $step,
            "\n",
            "dec {n}\n",
            "jnz 2b\n",
            "tilestored [{c} + {sc}], tmm0\n",
            "tilestored [{c} + {sc} + 64], tmm1\n",
            "tilestored [{d} + {sc}], tmm2\n",
            "tilestored [{d} + {sc} + 64], tmm3\n",
        )
    };
    ($step:literal, half) => {
        concat!(
            "add {a}, ",
            $step,
            "\n",
            "add {b}, ",
            $step,
            "\n",
            "add {p}, ",
            $step,
            "\n",
            "dec {n}\n",
            "jnz 2b\n",
            "tilestored [{c} + {sc}], tmm0\n",
            "tilestored [{c} + {sc} + 64], tmm1\n",
        )
    };
}

/// Runs assembly with the operands of a [`Step`].
macro_rules! run {
    ($t:ident, $($code:expr),* $(,)?) => {
        asm!(
            $($code),*,
            a = inout(reg) $t.a => _, b = inout(reg) $t.b => _, n = inout(reg) $t.groups => _, p = inout(reg) $t.next => _,
            c = in(reg) $t.c, d = in(reg) $t.c.wrapping_add(16 * $t.stride), sc = in(reg) 4 * $t.stride,
            acc = in(reg) u32::from($t.accumulate), s64 = in(reg) 64usize, s128 = in(reg) 128usize,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

macro_rules! pairs_kernel {
    ($(#[$meta:meta])* $name:ident, $form:ident) => {
        $(#[$meta])*
        ///
        /// # Safety
        /// The pointers of `t` but `next` are valid for `groups` groups and for the output tile.
        pub(super) unsafe fn $name(_tiles: &Tiles, t: Step) {
            // SAFETY: `_tiles` proves that the registers are configured; the caller vouches for the pointers. A prefetch never faults.
            unsafe {
                run!(t, begin!($form), right!("0"), left!($form, "0"),
                    "prefetcht1 [{p}]\n prefetcht1 [{p} + 64]",
                    products!($form, "prefetcht1 [{p} + 128]\n prefetcht1 [{p} + 192]\n"), end!("2048", $form));
            }
        }
    };
}

pairs_kernel!(
    /// Pairs of bf16, 32 rows.
    pairs_whole, whole
);
pairs_kernel!(
    /// Pairs of bf16, 16 rows.
    pairs_half, half
);

macro_rules! split_kernel {
    ($(#[$meta:meta])* $name:ident, $form:ident) => {
        $(#[$meta])*
        ///
        /// # Safety
        /// The pointers of `t` but `next` are valid for `groups` groups of three parts and for the output tile.
        pub(super) unsafe fn $name(_tiles: &Tiles, t: Step) {
            // Parts lie 2048 bytes apart. The six products go from small to large: leading x last, middle x middle, last x leading,
            // middle x leading, leading x middle, leading x leading.
            // SAFETY: `_tiles` proves that the registers are configured; the caller vouches for the pointers. A prefetch never faults.
            unsafe {
                run!(t, begin!($form),
                    right!("4096"), left!($form, "0"),
                    products!($form, "prefetcht1 [{p}]\n prefetcht1 [{p} + 64]\n"),
                    right!("2048"), left!($form, "2048"),
                    products!($form, "prefetcht1 [{p} + 128]\n prefetcht1 [{p} + 192]\n"),
                    right!("0"), left!($form, "4096"),
                    products!($form, "prefetcht1 [{p} + 256]\n prefetcht1 [{p} + 320]\n"),
                    left!($form, "2048"),
                    products!($form, "prefetcht1 [{p} + 384]\n prefetcht1 [{p} + 448]\n"),
                    right!("2048"), left!($form, "0"),
                    products!($form, "prefetcht1 [{p} + 512]\n prefetcht1 [{p} + 576]\n"),
                    right!("0"),
                    products!($form, "prefetcht1 [{p} + 640]\n prefetcht1 [{p} + 704]\n"),
                    end!("6144", $form));
            }
        }
    };
}

split_kernel!(
    /// Exact sums of three bf16, 32 rows.
    split_whole, whole
);
split_kernel!(
    /// Exact sums of three bf16, 16 rows.
    split_half, half
);
