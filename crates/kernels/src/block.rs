//! A post-norm transformer block as one fused pass.

use rayon::prelude::*;

use crate::activation::Activation;
use crate::attention::{AttentionShape, Mask, Rows, attention};
use crate::buffer::{Activations, with_buffers};
use crate::gemm::{
    Out, PANEL, Product, copy_rows, gemm, gemm_to_left, left_len, left_of, spare_len, strided_len,
};
use crate::isa::Isa;
use crate::linear::{Linear, block_rows};
use crate::norm::{LayerNorm, norm_sum_rows};

/// `x = norm1(x + out(attention(qkv(x))))`, then `x = norm2(x + down(act(up(x))))` (Vaswani et al. 2017).
#[derive(Clone, Debug)]
pub struct PostLnBlock {
    /// Heads.
    pub shape: AttentionShape,
    /// Queries, keys and values as one map: the outputs are `q | k | v`.
    pub qkv: Linear,
    /// Output map of the attention.
    pub out: Linear,
    /// Norm after the attention.
    pub norm1: LayerNorm,
    /// First map of the feed-forward network.
    pub up: Linear,
    /// Its activation.
    pub activation: Activation,
    /// Second map of the feed-forward network.
    pub down: Linear,
    /// Norm after the feed-forward network.
    pub norm2: LayerNorm,
}

/// Buffers of a forward pass, kept from block to block: `[token, q | k | v]` and `[token, heads * d_head]`.
#[derive(Debug, Default)]
pub struct Scratch {
    qkv: Activations,
    z: Activations,
}

impl PostLnBlock {
    /// Runs the block in place over `x` `[token, d]`. Bit for bit what `Linear::apply`, [`attention`] and
    /// `LayerNorm::apply_residual` give one after the other.
    ///
    /// # Panics
    /// When the maps do not fit each other, or `x` and `offsets` disagree.
    pub fn forward(&self, x: &mut [f32], offsets: &[usize], mask: Mask<'_>, scratch: &mut Scratch) {
        self.check();
        let d = self.qkv.n_in();
        let n_tokens = offsets.last().copied().unwrap_or(0);
        assert!(
            Some(x.len()) == n_tokens.checked_mul(d),
            "block: x has {} numbers, expected {n_tokens} x {d}",
            x.len()
        );
        let (q_width, width) = (self.shape.n_heads * self.shape.d_head, self.qkv.n_out());
        let kv_width = self.shape.n_kv_heads * self.shape.d_head;
        scratch.qkv.resize(n_tokens * width);
        scratch.z.resize(n_tokens * q_width);
        self.qkv.apply(x, n_tokens, Activation::None, &mut scratch.qkv);
        let q = Rows::columns(&scratch.qkv, width, 0);
        let k = Rows::columns(&scratch.qkv, width, q_width);
        let v = Rows::columns(&scratch.qkv, width, q_width + kv_width);
        attention(q, k, v, offsets, &self.shape, mask, &mut scratch.z);
        let isa = Isa::current();
        let rows = block_rows(isa, n_tokens);
        let blocks = x.par_chunks_mut((rows * d).max(1)).zip(scratch.z.par_chunks((rows * q_width).max(1)));
        blocks.for_each(|(x, z)| self.after_attention(isa, x, z));
    }

    fn check(&self) {
        let d = self.qkv.n_in();
        let heads = (self.shape.n_heads + 2 * self.shape.n_kv_heads) * self.shape.d_head;
        assert!(self.qkv.n_out() == heads, "block: qkv has {} outputs, expected {heads}", self.qkv.n_out());
        let z = self.shape.n_heads * self.shape.d_head;
        assert!(self.out.n_in() == z && self.out.n_out() == d, "block: out is not {z} -> {d}");
        assert!(self.up.n_in() == d && self.down.n_out() == d, "block: up and down are not {d} wide");
        assert!(self.up.n_out() == self.down.n_in(), "block: up and down do not fit each other");
        assert!(self.norm1.width() == d && self.norm2.width() == d, "block: norms are not {d} wide");
    }

    /// The rest of the block for some rows, while they stay in the second-level cache.
    fn after_attention(&self, isa: Isa, x: &mut [f32], z: &[f32]) {
        let d = self.qkv.n_in();
        let rows = x.len() / d;
        let (out, up, down) = (self.out.packed(), self.up.packed(), self.down.packed());
        let left = left_len(isa, rows, out).max(left_len(isa, rows, up));
        let lens = [left, strided_len(rows), spare_len(isa, rows, down), rows * d];
        with_buffers(lens, |[a, hidden, spare, y]| {
            copy_rows(isa, z, out.k(), rows, out, 1.0, a);
            gemm(isa, &self.out.product(rows, Activation::None), a, &mut Out::new(y, d));
            norm_sum_rows(isa, self.norm1.view(), y, x);
            x.copy_from_slice(y);
            copy_rows(isa, x, d, rows, up, 1.0, a);
            for block in 0..down.n_blocks() {
                // The hidden columns of one depth block of `down`, written where its product wants them.
                let depth = down.depth(block);
                let panels = depth.start / PANEL..depth.end.div_ceil(PANEL);
                let product = Product { panels, ..self.up.product(rows, self.activation) };
                gemm_to_left(isa, &product, a, down, block, hidden, spare);
                let mut product =
                    Product { blocks: block..block + 1, ..self.down.product(rows, Activation::None) };
                product.epilogue.accumulate = block > 0;
                gemm(isa, &product, left_of(isa, down, hidden, spare), &mut Out::new(y, d));
            }
            norm_sum_rows(isa, self.norm2.view(), y, x);
            x.copy_from_slice(y);
        });
    }
}
