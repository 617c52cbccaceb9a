//! A block: gated linear attention and a bilinear feed-forward part, each in a DeepNorm.

use microtome_core::{Axis, BlockSite, Result, Site};
use microtome_kernels::{Activation, Activations, LayerNorm, Linear, Rows, unnormalised_attention};
use microtome_weights::Loader;
use rayon::prelude::*;

use super::config::{Config, LAYER_NORM_EPS};
use crate::nn::{Mlp, Wanted, stored};
use crate::{MapKind, SiteData, Tap, Tokens};

/// Smallest norm of the rescale.
const LEAST_NORM: f64 = 1e-12;

pub(super) struct Block {
    pub(super) n_heads: usize,
    pub(super) d_head: usize,
    /// Queries, keys, values and gate as one map: the outputs are `q | k | v | u`.
    pub(super) inputs: Linear,
    pub(super) out: Linear,
    pub(super) norm1: LayerNorm,
    /// Bilinear: a gate without an activation.
    pub(super) mlp: Mlp,
    pub(super) norm2: LayerNorm,
    /// Factor of the stream before it is added to.
    pub(super) alpha: f32,
}

/// Sites of a block besides the usual ones.
pub(super) fn gate_site(i: usize) -> Site {
    Site::Extra(format!("blocks.{i}.attn.gate"))
}

/// The rescaled mixture before the gate.
pub(super) fn inner_norm_site(i: usize) -> Site {
    Site::Extra(format!("blocks.{i}.attn.inner_norm"))
}

/// Sites of block `i` in the order of the forward pass. There is nothing in front of a softmax, so there are no scores.
pub(super) fn sites(i: usize) -> Vec<(Site, Vec<Axis>)> {
    let heads = || BlockSite::Z.axes().to_vec();
    let mut out = vec![];
    for place in BlockSite::ALL.into_iter().filter(|p| *p != BlockSite::Scores) {
        if place == BlockSite::Pattern {
            out.push((gate_site(i), heads()));
        }
        if place == BlockSite::Z {
            out.push((inner_norm_site(i), heads()));
        }
        out.push((Site::Block(i, place), place.axes().to_vec()));
    }
    out
}

impl Block {
    pub(super) fn load(loader: &Loader<'_>, i: usize, config: &Config) -> Result<Self> {
        let d = config.d_model;
        let b = format!("encoder.{i}");
        let mut weight = vec![];
        for part in ["q", "k", "v", "u"] {
            weight.extend(loader.f32(&format!("{b}.attn.{part}_proj.weight"), &[d, d])?);
        }
        let map = |name: &str| stored::linear_without_bias(loader, &format!("{b}.{name}_proj"), d, d);
        let norm = |name: &str| -> Result<LayerNorm> {
            Ok(LayerNorm {
                weight: loader.f32(&format!("{b}.{name}.gamma"), &[d])?,
                bias: loader.f32(&format!("{b}.{name}.beta"), &[d])?,
                eps: LAYER_NORM_EPS,
            })
        };
        Ok(Self {
            n_heads: config.n_heads,
            d_head: config.d_head(),
            inputs: Linear::pack(&weight, 4 * d, d, None),
            out: map("attn.o")?,
            norm1: norm("post_norm1")?,
            mlp: Mlp::Gated {
                gate: map("ffn.u")?,
                activation: Activation::None,
                up: map("ffn.v")?,
                down: map("ffn.o")?,
            },
            norm2: norm("post_norm2")?,
            alpha: config.alpha(),
        })
    }

    /// Runs block `i` in place over the stream `x` (`[token, d]`), offering every wanted place.
    pub(super) fn run(
        &self,
        i: usize,
        x: &mut [f32],
        tokens: &Tokens,
        wanted: &Wanted,
        tap: &mut dyn Tap,
    ) -> Result<()> {
        let (rows, d) = (tokens.ids.len(), self.n_heads * self.d_head);
        let stream = |tap: &mut dyn Tap, place: BlockSite, data: &[f32]| {
            let site = Site::Block(i, place);
            if wanted.has(&site) {
                tap.offer(&site, tokens, SiteData::Tokens { data, width: d })
            } else {
                Ok(())
            }
        };
        let heads = |tap: &mut dyn Tap, site: Site, data: &[f32]| {
            let (n_heads, d_head) = (self.n_heads, self.d_head);
            if wanted.has(&site) {
                tap.offer(&site, tokens, SiteData::Heads { data, n_heads, d_head })
            } else {
                Ok(())
            }
        };
        stream(tap, BlockSite::ResidPre, x)?;
        let qkvu = self.features(x, tokens);
        let parts = [
            Site::Block(i, BlockSite::Q),
            Site::Block(i, BlockSite::K),
            Site::Block(i, BlockSite::V),
            gate_site(i),
        ];
        for (site, part) in parts.into_iter().zip(0..) {
            if wanted.has(&site) {
                let data: Vec<f32> =
                    qkvu.chunks_exact(4 * d).flat_map(|r| &r[part * d..(part + 1) * d]).copied().collect();
                heads(tap, site, &data)?;
            }
        }
        self.offer_maps(i, &qkvu, tokens, wanted, tap)?;
        let mut z = vec![0.0; rows * d];
        let [q, k, v] = [0, d, 2 * d].map(|first| Rows::columns(&qkvu, 4 * d, first));
        let scale = 1.0 / self.d_head as f32;
        unnormalised_attention(q, k, v, &tokens.offsets, self.n_heads, self.d_head, scale, &mut z);
        z.par_chunks_exact_mut(self.d_head).for_each(rescale);
        heads(tap, inner_norm_site(i), &z)?;
        z.par_chunks_exact_mut(d).zip(qkvu.par_chunks_exact(4 * d)).for_each(|(z, row)| {
            z.iter_mut().zip(&row[3 * d..]).for_each(|(z, u)| *z *= u);
        });
        drop(qkvu);
        heads(tap, Site::Block(i, BlockSite::Z), &z)?;
        let mut part = vec![0.0; rows * d];
        self.out.apply(&z, rows, Activation::None, &mut part);
        stream(tap, BlockSite::AttnOut, &part)?;
        self.deep_norm(&self.norm1, x, &part, rows, &mut z);
        let mut mid = z;
        stream(tap, BlockSite::ResidMid, &mid)?;
        self.mlp.apply(&mid, rows, &mut Activations::default(), &mut part);
        stream(tap, BlockSite::MlpOut, &part)?;
        self.deep_norm(&self.norm2, &mut mid, &part, rows, x);
        stream(tap, BlockSite::ResidPost, x)
    }

    /// `relu(q) | relu(k) | v / sqrt(n) | silu(u)` with `n` the cell's genes.
    fn features(&self, x: &[f32], tokens: &Tokens) -> Vec<f32> {
        let (rows, d) = (tokens.ids.len(), self.n_heads * self.d_head);
        let mut out = vec![0.0; rows * 4 * d];
        self.inputs.apply(x, rows, Activation::None, &mut out);
        let factors: Vec<f32> = tokens
            .offsets
            .windows(2)
            .flat_map(|w| {
                std::iter::repeat_n(1.0 / ((w[1] - w[0]).saturating_sub(1) as f32).sqrt(), w[1] - w[0])
            })
            .collect();
        out.par_chunks_exact_mut(4 * d).zip(&factors).for_each(|(row, factor)| {
            let (qk, vu) = row.split_at_mut(2 * d);
            qk.iter_mut().for_each(|x| *x = x.max(0.0));
            let (v, u) = vu.split_at_mut(d);
            v.iter_mut().for_each(|x| *x *= factor);
            u.iter_mut().for_each(|x| *x /= 1.0 + (-*x).exp());
        });
        out
    }

    /// `out = norm(alpha x + part)`; `x` is used up.
    fn deep_norm(&self, norm: &LayerNorm, x: &mut [f32], part: &[f32], rows: usize, out: &mut [f32]) {
        x.par_iter_mut().zip(part).for_each(|(x, p)| *x = self.alpha * *x + p);
        norm.apply(x, rows, out);
    }

    /// What multiplies the values, `relu(q_i) . relu(k_j) / d_head`, one cell at a time.
    fn offer_maps(
        &self,
        i: usize,
        qkvu: &[f32],
        tokens: &Tokens,
        wanted: &Wanted,
        tap: &mut dyn Tap,
    ) -> Result<()> {
        let site = Site::Block(i, BlockSite::Pattern);
        if !wanted.has(&site) {
            return Ok(());
        }
        let (n_heads, d_head) = (self.n_heads, self.d_head);
        let (d, width) = (n_heads * d_head, 4 * n_heads * d_head);
        for cell in 0..tokens.n_cells() {
            let (first, n_tokens) = (tokens.offsets[cell], tokens.len_of(cell));
            let mut data = vec![0.0; n_heads * n_tokens * n_tokens];
            data.par_chunks_exact_mut(n_tokens.max(1)).enumerate().for_each(|(row, out)| {
                let (head, query) = (row / n_tokens, row % n_tokens);
                let at = |token: usize, part: usize| {
                    let from = (first + token) * width + part * d + head * d_head;
                    &qkvu[from..from + d_head]
                };
                let q = at(query, 0);
                for (key, o) in out.iter_mut().enumerate() {
                    let dot: f64 = q.iter().zip(at(key, 1)).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    *o = (dot / d_head as f64) as f32;
                }
            });
            let map = SiteData::Map { cell, data: &data, n_heads, n_tokens, kind: MapKind::NonNegative };
            tap.offer(&site, tokens, map)?;
        }
        Ok(())
    }
}

/// Divides a head's vector by its root mean square.
fn rescale(row: &mut [f32]) {
    let mean: f64 = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / row.len() as f64;
    let factor = 1.0 / mean.sqrt().max(LEAST_NORM);
    row.iter_mut().for_each(|v| *v = (f64::from(*v) * factor) as f32);
}

#[cfg(test)]
mod tests {
    use super::rescale;

    #[test]
    fn a_rescaled_head_has_unit_mean_square_and_zeros_stay() {
        let mut row = [3.0, 0.0, -4.0, 0.0];
        rescale(&mut row);
        assert_eq!(row, [1.2, 0.0, -1.6, 0.0]);
        let mut zeros = [0.0; 4];
        rescale(&mut zeros);
        assert_eq!(zeros, [0.0; 4]);
    }
}
