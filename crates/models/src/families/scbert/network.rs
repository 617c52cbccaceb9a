//! The network, in the layout of the published files. Dimensions are those of the tensors: there is no configuration.

use microtome_core::{Error, Result, Site};
use microtome_kernels::{Activation, KeyMaximum, LayerNorm, Linear};
use microtome_weights::{Audit, Checkpoint, Loader};
use rayon::prelude::*;

use super::files::SCOPE;
use super::model::{CLASS, CLASS_LOGITS, CLASS_PROB, LAST_TOKEN, ScBert, TOKEN_LOGITS};
use crate::nn::{Performer, PerformerShape, Wanted, offer_cells};
use crate::{CellRule, Model, SiteData, Tap, Tokens};

/// `eps` of torch's LayerNorm.
const NORM_EPS: f32 = 1e-5;

/// Dimensions, as the tensors have them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) n_blocks: usize,
    pub(super) d_model: usize,
    pub(super) n_heads: usize,
    pub(super) d_head: usize,
    pub(super) n_features: usize,
    pub(super) d_mlp: usize,
    /// Bins and the mask.
    pub(super) vocab: usize,
    /// Genes and the token behind them.
    pub(super) n_tokens: usize,
}

pub(super) struct Network {
    pub(super) shape: Shape,
    /// `[bin, d]`.
    pub(super) bins: Vec<f32>,
    /// `[position, d]`: gene2vec and a row of zeros, in the double precision of the files.
    pub(super) positions: Vec<f64>,
    pub(super) performer: Performer,
    pub(super) norm: LayerNorm,
    pub(super) head: Head,
    pub(super) n_parameters: u64,
}

/// What reads the final norm.
pub(super) enum Head {
    /// Pre-training: logits of the bins of every token.
    Bins(Linear),
    /// Fine-tuned: one number per token, then three maps to classes.
    Classes { filter: Linear, maps: Box<[Linear; 3]> },
}

impl Shape {
    /// The checkpoint's network, in its dictionary.
    pub(super) fn of(loader: &Loader<'_>) -> Result<Self> {
        let of = |name: &str| -> Result<[usize; 2]> {
            match loader.shape(name) {
                Some(&[a, b]) if a > 0 && b > 0 => Ok([a, b]),
                other => Err(Error::mismatch("a tensor that fixes the size of the model is missing or not a table")
                    .at_key(name)
                    .found(format!("{other:?}"))),
            }
        };
        let layer = |i: usize, rest: &str| format!("performer.net.layers.{i}.{rest}");
        let n_blocks = (0..).find(|i| !loader.has(&layer(*i, "0.norm.weight"))).unwrap_or(0);
        let [vocab, d_model] = of("token_emb.weight")?;
        let [n_tokens, _] = of("pos_emb.emb.weight")?;
        let [n_features, d_head] = of(&layer(0, "0.fn.fast_attention.projection_matrix"))?;
        let [inner, _] = of(&layer(0, "0.fn.to_q.weight"))?;
        let [d_mlp, _] = of(&layer(0, "1.fn.fn.w1.weight"))?;
        if !inner.is_multiple_of(d_head) || vocab < 3 || n_tokens < 2 {
            return Err(Error::mismatch("the tensors do not fit each other")
                .expected("queries of whole heads, at least 3 bins and 2 positions")
                .found(format!("{inner} columns of queries, heads of {d_head}, {vocab} bins, {n_tokens} positions")));
        }
        Ok(Self { n_blocks, d_model, n_heads: inner / d_head, d_head, n_features, d_mlp, vocab, n_tokens })
    }
}

/// The tensors of the network, without the state of the training.
pub(super) fn loader(checkpoint: &Checkpoint) -> Result<Loader<'_>> {
    let loader = Loader::new(checkpoint);
    loader.scope(SCOPE)?;
    // Left behind by distributed training.
    loader.strip_prefix("module.")?;
    Ok(loader)
}

impl Network {
    pub(super) fn load(checkpoint: &Checkpoint) -> Result<(Self, Audit)> {
        let loader = loader(checkpoint)?;
        let s = Shape::of(&loader)?;
        let d = s.d_model;
        let bins = loader.f32("token_emb.weight", &[s.vocab, d])?;
        let positions = loader.f64("pos_emb.emb.weight", &[s.n_tokens, d])?;
        let shape =
            PerformerShape { n_blocks: s.n_blocks, d_model: d, n_heads: s.n_heads, d_head: s.d_head, qkv_bias: false };
        let performer = Performer::load(&loader, "performer", shape)?;
        let weight = loader.f32("norm.weight", &[d])?;
        let norm = LayerNorm { weight, bias: loader.f32("norm.bias", &[d])?, eps: NORM_EPS };
        let head = Head::load(&loader, s)?;
        let audit = loader.finish(true)?;
        let parameters = audit.used.iter().filter(|t| !t.name.ends_with("projection_matrix"));
        let n_parameters = parameters.map(|t| t.shape.iter().map(|&n| n as u64).product::<u64>()).sum();
        Ok((Self { shape: s, bins, positions, performer, norm, head, n_parameters }, audit))
    }

    /// Bin and position, added in double precision and rounded once, as the mixed types of the reference lead to.
    fn embed(&self, tokens: &Tokens) -> Vec<f32> {
        let d = self.shape.d_model;
        let mut out = vec![0.0; tokens.ids.len() * d];
        for span in tokens.offsets.windows(2) {
            let rows = out[span[0] * d..span[1] * d].par_chunks_exact_mut(d);
            rows.zip(&tokens.ids[span[0]..span[1]]).zip(self.positions.par_chunks_exact(d)).for_each(
                |((row, &id), position)| {
                    let bin = &self.bins[id as usize * d..(id as usize + 1) * d];
                    for ((x, b), p) in row.iter_mut().zip(bin).zip(position) {
                        *x = (f64::from(*b) + p) as f32;
                    }
                },
            );
        }
        out
    }
}

impl Head {
    fn load(loader: &Loader<'_>, s: Shape) -> Result<Self> {
        let linear = |name: &str, n_out: usize, n_in: usize| -> Result<Linear> {
            let weight = loader.f32(&format!("{name}.weight"), &[n_out, n_in])?;
            Ok(Linear::pack(&weight, n_out, n_in, Some(&loader.f32(&format!("{name}.bias"), &[n_out])?)))
        };
        if !loader.has("to_out.conv1.weight") {
            return Ok(Self::Bins(linear("to_out", s.vocab, s.d_model)?));
        }
        let rows = |name: &str| match loader.shape(&format!("{name}.weight")) {
            Some(&[n, _]) => n,
            _ => 0,
        };
        let weight = loader.f32("to_out.conv1.weight", &[1, 1, 1, s.d_model])?;
        let filter = Linear::pack(&weight, 1, s.d_model, Some(&loader.f32("to_out.conv1.bias", &[1])?));
        let (first, second, classes) = (rows("to_out.fc1"), rows("to_out.fc2"), rows("to_out.fc3"));
        let maps = Box::new([
            linear("to_out.fc1", first, s.n_tokens)?,
            linear("to_out.fc2", second, first)?,
            linear("to_out.fc3", classes, second)?,
        ]);
        Ok(Self::Classes { filter, maps })
    }

    /// `[cell, class]` logits of cells that all have every token.
    fn classify(filter: &Linear, maps: &[Linear; 3], normed: &[f32], n_cells: usize) -> Vec<f32> {
        let mut x = vec![0.0; n_cells * maps[0].n_in()];
        filter.apply(normed, x.len(), Activation::Relu, &mut x);
        for (map, activation) in maps.iter().zip([Activation::Relu, Activation::Relu, Activation::None]) {
            let mut out = vec![0.0; n_cells * map.n_out()];
            map.apply(&x, n_cells, activation, &mut out);
            x = out;
        }
        x
    }
}

impl ScBert {
    /// The forward pass up to the last wanted site.
    pub(super) fn run(&self, tokens: &Tokens, wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let (network, d) = (&self.network, self.network.shape.d_model);
        let offer = |tap: &mut dyn Tap, site: Site, data: &[f32], width: usize| {
            if wanted.has(&site) {
                tap.offer(&site, tokens, SiteData::Tokens { data, width })?;
            }
            Ok::<(), Error>(())
        };
        let mut x = network.embed(tokens);
        offer(tap, Site::Embed, &x, d)?;
        let vectors =
            [(Site::CellEmbedding, CellRule::Mean), (Site::Extra(LAST_TOKEN.into()), CellRule::FromEnd(0))];
        let beyond = wanted.has(&Site::FinalNorm)
            || vectors.iter().any(|(s, _)| wanted.has(s))
            || self.readouts().iter().any(|s| wanted.has(s));
        if !network.performer.run(&mut x, tokens, KeyMaximum::Cell, wanted, beyond, tap)? {
            return Ok(());
        }
        let mut normed = vec![0.0; x.len()];
        network.norm.apply(&x, tokens.ids.len(), &mut normed);
        offer(tap, Site::FinalNorm, &normed, d)?;
        for (site, rule) in vectors.iter().filter(|(s, _)| wanted.has(s)) {
            offer_cells(tap, site, tokens, &normed, d, *rule, |n| self.gene_tokens(n))?;
        }
        match &network.head {
            Head::Bins(linear) if wanted.has(&Site::Extra(TOKEN_LOGITS.into())) => {
                let mut logits = vec![0.0; tokens.ids.len() * linear.n_out()];
                linear.apply(&normed, tokens.ids.len(), Activation::None, &mut logits);
                offer(tap, Site::Extra(TOKEN_LOGITS.into()), &logits, linear.n_out())
            }
            Head::Classes { filter, maps } if self.readouts().iter().any(|s| wanted.has(s)) => {
                self.offer_classes(tokens, &normed, filter, maps, wanted, tap)
            }
            _ => Ok(()),
        }
    }

    /// Logits, probabilities and the likeliest class; NaN for cells without tokens.
    fn offer_classes(
        &self,
        tokens: &Tokens,
        normed: &[f32],
        filter: &Linear,
        maps: &[Linear; 3],
        wanted: &Wanted,
        tap: &mut dyn Tap,
    ) -> Result<()> {
        let width = maps[2].n_out();
        let full: Vec<usize> = (0..tokens.n_cells()).filter(|&c| tokens.len_of(c) > 0).collect();
        let of_full = Head::classify(filter, maps, normed, full.len());
        let mut logits = vec![f32::NAN; tokens.n_cells() * width];
        let (mut probabilities, mut classes) = (logits.clone(), vec![f32::NAN; tokens.n_cells()]);
        for (&cell, row) in full.iter().zip(of_full.chunks_exact(width)) {
            logits[cell * width..(cell + 1) * width].copy_from_slice(row);
            let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = row.iter().map(|x| f64::from(x - top).exp()).sum();
            let of_cell = &mut probabilities[cell * width..(cell + 1) * width];
            of_cell.iter_mut().zip(row).for_each(|(p, x)| *p = (f64::from(x - top).exp() / sum) as f32);
            classes[cell] = row.iter().position(|x| *x == top).map_or(f32::NAN, |i| i as f32);
        }
        for (name, data, width) in
            [(CLASS_LOGITS, &logits, width), (CLASS_PROB, &probabilities, width), (CLASS, &classes, 1)]
        {
            let site = Site::Extra(name.into());
            if wanted.has(&site) {
                tap.offer(&site, tokens, SiteData::Cells { data, width })?;
            }
        }
        Ok(())
    }
}
