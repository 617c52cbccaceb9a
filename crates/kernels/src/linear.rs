//! Linear maps with packed weights.

use rayon::prelude::*;

use crate::activation::Activation;
use crate::buffer::with_buffers;
use crate::gemm::{
    BLOCK_ROWS, Epilogue, Format, PANEL, Packed, Precision, Product, Shared, copy_rows, gemm, left_len,
};
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::Level;

/// `x W^T + b`: a weight `[n_out, n_in]`, packed once for the kernels, and an optional bias.
#[derive(Clone, Debug)]
pub struct Linear {
    packed: Packed,
    /// Padded to whole panels.
    bias: Option<Vec<f32>>,
}

/// Panels per task when there are few rows: 512 columns.
const GROUP: usize = 16;
/// Rows of a full row block on AMX.
#[cfg(target_arch = "x86_64")]
const AMX_BLOCK_ROWS: usize = 256;

impl Linear {
    /// Packs a row-major weight `[n_out, n_in]`, in the precision of [`crate::with_precision`].
    ///
    /// # Panics
    /// When the weight is not `n_out x n_in` or the bias not `n_out` long.
    pub fn pack(weight: &[f32], n_out: usize, n_in: usize, bias: Option<&[f32]>) -> Self {
        Self::pack_as(weight, n_out, n_in, bias, Precision::current_over(n_in))
    }

    /// Packs a row-major weight `[n_out, n_in]` for a precision: in bf16 the weight and what it is applied to are rounded to bf16,
    /// sums, bias and result stay f32.
    ///
    /// # Panics
    /// When the weight is not `n_out x n_in` or the bias not `n_out` long.
    pub fn pack_as(
        weight: &[f32],
        n_out: usize,
        n_in: usize,
        bias: Option<&[f32]>,
        precision: Precision,
    ) -> Self {
        let len = weight.len();
        assert!(
            Some(len) == n_out.checked_mul(n_in),
            "Linear: weight has {len} numbers, expected {n_out} x {n_in}"
        );
        let bias = bias.map(|bias| {
            assert!(bias.len() == n_out, "Linear: bias has {} numbers, expected {n_out}", bias.len());
            let mut padded = bias.to_vec();
            padded.resize(n_out.next_multiple_of(PANEL), 0.0);
            padded
        });
        let mut packed = Packed::default();
        let isa = Isa::current();
        packed.pack_transposed(isa, weight, n_in, n_out, n_in, Format::best(isa, precision, n_in));
        Self { packed, bias }
    }

    /// Columns of the input.
    pub fn n_in(&self) -> usize {
        self.packed.k()
    }

    /// Columns of the output.
    pub fn n_out(&self) -> usize {
        self.packed.n()
    }

    /// The weight `[n_out, n_in]` row by row, in the precision that it is held in. It must be finite.
    ///
    /// Made by mapping unit vectors, so that it does not depend on how a format lays words out: a product with ones and zeros is exact.
    pub fn weight(&self) -> Vec<f32> {
        let (n_in, n_out) = (self.n_in(), self.n_out());
        let map = Self { packed: self.packed.clone(), bias: None };
        let mut out = vec![0.0; n_in * n_out];
        for first in (0..n_in).step_by(BLOCK_ROWS) {
            let rows = BLOCK_ROWS.min(n_in - first);
            let mut units = vec![0.0; rows * n_in];
            (0..rows).for_each(|row| units[row * n_in + first + row] = 1.0);
            let mut columns = vec![0.0; rows * n_out];
            map.apply(&units, rows, Activation::None, &mut columns);
            for (row, column) in columns.chunks_exact(n_out.max(1)).enumerate() {
                column.iter().enumerate().for_each(|(o, v)| out[o * n_in + first + row] = *v);
            }
        }
        out
    }

    /// The bias, `n_out` long.
    pub fn bias(&self) -> Option<&[f32]> {
        self.bias.as_deref().map(|b| &b[..self.n_out()])
    }

    /// `out = activation(x W^T + b)` for `x` `[rows, n_in]` and `out` `[rows, n_out]`.
    ///
    /// # Panics
    /// When `x` or `out` has another size.
    pub fn apply(&self, x: &[f32], rows: usize, activation: Activation, out: &mut [f32]) {
        let (n_in, n_out) = (self.n_in(), self.n_out());
        assert!(
            Some(x.len()) == rows.checked_mul(n_in),
            "Linear: x has {} numbers, expected {rows} x {n_in}",
            x.len()
        );
        let len = out.len();
        assert!(
            Some(len) == rows.checked_mul(n_out),
            "Linear: out has {len} numbers, expected {rows} x {n_out}"
        );
        if out.is_empty() {
            return;
        }
        let isa = Isa::current();
        let block = block_rows(isa, rows);
        let n_blocks = rows.div_ceil(block);
        let group = if n_blocks >= 4 * rayon::current_num_threads() { self.packed.n_panels() } else { GROUP };
        let n_groups = self.packed.n_panels().div_ceil(group);
        let shared = Shared::new(out);
        (0..n_blocks * n_groups).into_par_iter().for_each(|task| {
            let (row, panel) = (task / n_groups * block, task % n_groups * group);
            let n = block.min(rows - row);
            let panels = panel..(panel + group).min(self.packed.n_panels());
            with_buffers([left_len(isa, n, &self.packed)], |[a]| {
                copy_rows(isa, &x[row * n_in..], n_in, n, &self.packed, 1.0, a);
                // SAFETY: each task has its own rows or its own columns.
                let mut part = unsafe { shared.part(row * n_out + panel * PANEL, n_out) };
                gemm(isa, &Product { panels, ..self.product(n, activation) }, a, &mut part);
            });
        });
    }

    pub(crate) fn packed(&self) -> &Packed {
        &self.packed
    }

    /// The whole map for some rows.
    pub(crate) fn product(&self, rows: usize, activation: Activation) -> Product<'_> {
        let epilogue = Epilogue { accumulate: false, bias: self.bias.as_deref(), activation };
        Product::whole(rows, &self.packed, epilogue)
    }
}

/// Rows per task: full blocks when there is enough work for all threads, smaller ones otherwise. Results do not depend on it.
pub(crate) fn block_rows(isa: Isa, rows: usize) -> usize {
    let threads = rayon::current_num_threads();
    #[cfg(target_arch = "x86_64")]
    if let Level::Amx(_) = isa.0 {
        // Tiles are so fast that reading the weights counts: more rows per reading, fewer tasks.
        return rows.div_ceil(2 * threads).next_multiple_of(32).clamp(32, AMX_BLOCK_ROWS);
    }
    let _ = isa;
    rows.div_ceil(4 * threads).next_multiple_of(12).clamp(12, BLOCK_ROWS)
}
