//! The encoder, in the layout of the published file.

use std::borrow::Cow;

use microtome_core::{Error, Result, Site};
use microtome_kernels::{
    Activation, AttentionShape, LayerNorm, Linear, Lookup, Mask, PostLnBlock, add_assign, gather_sum,
};
use microtome_weights::{Audit, Checkpoint, Loader};

use super::config::Config;
use super::decoder::Decoder;
use super::model::{BIN_WEIGHT, CELL_RULE, MAX_EMBEDDING, ScFoundation, VALUE};
use crate::nn::{SoftBins, Wanted, offer_cells, run_post_ln_stack};
use crate::block_layout::BlockNames;
use crate::{BlockLayout, CellRule, MASKED, Model, SiteData, Tap, Tokens};

/// `eps` of torch's LayerNorm.
pub(super) const NORM_EPS: f32 = 1e-5;

pub(super) struct Network {
    pub(super) d: usize,
    pub(super) values: SoftBins,
    /// Value vector of a masked gene.
    pub(super) mask: Vec<f32>,
    /// `[row, d]`: genes, T, S, padding.
    pub(super) positions: Vec<f32>,
    pub(super) blocks: Vec<PostLnBlock>,
    pub(super) norm: LayerNorm,
    pub(super) decoder: Decoder,
    pub(super) n_parameters: u64,
}

impl Network {
    /// Reads one sub-model; the others are listed as outside.
    pub(super) fn load(checkpoint: &Checkpoint, part: &str, c: &Config) -> Result<(Self, Audit)> {
        let d = c.d_model;
        let loader = Loader::new(checkpoint);
        loader.scope(&format!("{part}.state_dict"))?;
        loader.strip_prefix("model.")?;
        let values = soft_bins(&loader, c)?;
        let mask = loader.f32("token_emb.emb_mask.weight", &[1, d])?;
        loader.ignore("token_emb.emb_pad.weight", "vector of padding; cells are never padded here");
        let positions = loader.f32("pos_emb.weight", &[c.n_rows() + 1, d])?;
        let blocks = (0..c.n_blocks).map(|i| block(&loader, i, c)).collect::<Result<_>>()?;
        let norm = layer_norm(&loader, "encoder.norm", d)?;
        let decoder = Decoder::load(&loader, c)?;
        let audit = loader.finish(true)?;
        // The random projections are buffers, not parameters.
        let parameters = audit.used.iter().filter(|t| !t.name.ends_with("projection_matrix"));
        let n_parameters =
            parameters.map(|t| t.shape.iter().map(|&n| n as u64).product::<u64>()).sum::<u64>() + d as u64;
        Ok((Self { d, values, mask, positions, blocks, norm, decoder, n_parameters }, audit))
    }

    /// Names of the tensors of a block.
    pub(super) fn block_layout(&self, i: usize) -> Option<BlockLayout> {
        let names = BlockNames::torch(&format!("encoder.transformer_encoder.{i}"));
        BlockLayout::post_ln(self.blocks.get(i)?, &names)
    }

    /// Vectors of values; [`MASKED`] selects the mask.
    pub(super) fn value_embedding(&self, values: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; values.len() * self.d];
        self.values.apply(values, &mut out);
        for (row, _) in out.chunks_exact_mut(self.d).zip(values).filter(|(_, v)| **v == MASKED) {
            row.copy_from_slice(&self.mask);
        }
        out
    }
}

/// What the encoder sees: everything but masked genes.
pub(super) fn visible(tokens: &Tokens) -> Cow<'_, Tokens> {
    if !tokens.values.contains(&MASKED) {
        return Cow::Borrowed(tokens);
    }
    let mut out = Tokens::new();
    for cell in 0..tokens.n_cells() {
        let (ids, values) = tokens.cell(cell);
        let (ids, values): (Vec<u32>, Vec<f32>) =
            ids.iter().zip(values).filter(|(_, v)| **v != MASKED).map(|(&i, &v)| (i, v)).unzip();
        out.push(&ids, &values, tokens.n_ties[cell], tokens.n_cut[cell]);
    }
    out.per_cell.clone_from(&tokens.per_cell);
    Cow::Owned(out)
}

impl ScFoundation {
    /// The forward pass up to the last wanted site.
    pub(super) fn run(&self, tokens: &Tokens, wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let seen = visible(tokens);
        let decodes = self.decodes(wanted);
        if let Some(encoded) = self.encode(&seen, wanted, decodes, tap)?
            && decodes
        {
            self.decode(tokens, &seen, encoded, wanted, tap)?;
        }
        Ok(())
    }

    /// Output of the final norm, when it or anything after it is wanted.
    fn encode(
        &self,
        tokens: &Tokens,
        wanted: &Wanted,
        decodes: bool,
        tap: &mut dyn Tap,
    ) -> Result<Option<Vec<f32>>> {
        let (network, d) = (&self.network, self.network.d);
        let offer = |tap: &mut dyn Tap, site: Site, data: &[f32], width: usize| {
            if wanted.has(&site) {
                tap.offer(&site, tokens, SiteData::Tokens { data, width })?;
            }
            Ok::<(), Error>(())
        };
        let weights = Site::Extra(BIN_WEIGHT.into());
        if wanted.has(&weights) {
            let data = network.values.bin_weights(&tokens.values);
            offer(tap, weights, &data, network.values.weight1.len())?;
        }
        let mut x = network.value_embedding(&tokens.values);
        offer(tap, Site::Extra(VALUE.into()), &x, d)?;
        let mut positions = vec![0.0; x.len()];
        gather_sum(&[Lookup { table: &network.positions, ids: &tokens.ids }], d, &mut positions);
        add_assign(&mut x, &positions);
        offer(tap, Site::Embed, &x, d)?;
        let vectors = [(Site::CellEmbedding, CELL_RULE), (Site::Extra(MAX_EMBEDDING.into()), CellRule::MaxOfAll)];
        let beyond = decodes || wanted.has(&Site::FinalNorm) || vectors.iter().any(|(s, _)| wanted.has(s));
        if !run_post_ln_stack(&network.blocks, &mut x, tokens, Mask::FULL, wanted, beyond, tap)? {
            return Ok(None);
        }
        let mut normed = positions;
        network.norm.apply(&x, tokens.ids.len(), &mut normed);
        offer(tap, Site::FinalNorm, &normed, d)?;
        for (site, rule) in vectors.iter().filter(|(s, _)| wanted.has(s)) {
            offer_cells(tap, site, tokens, &normed, d, *rule, |n| self.gene_tokens(n))?;
        }
        Ok(Some(normed))
    }
}

fn soft_bins(loader: &Loader<'_>, c: &Config) -> Result<SoftBins> {
    let (n, d) = (c.n_bins, c.d_model);
    let mix = loader.f32("token_emb.mlp2.weight", &[n, n])?;
    let bias2 = loader.f32("token_emb.mlp2.bias", &[n])?;
    let table = loader.f32("token_emb.emb.weight", &[n, d])?;
    let columns: Vec<f32> = (0..d * n).map(|i| table[(i % n) * d + i / n]).collect();
    Ok(SoftBins {
        weight1: loader.f32("token_emb.mlp.weight", &[n, 1])?,
        bias1: loader.f32("token_emb.mlp.bias", &[n])?,
        slope: 0.1,
        mix: Linear::pack(&mix, n, n, Some(&bias2)),
        alpha: c.bin_alpha,
        table: Linear::pack(&columns, d, n, None),
    })
}

pub(super) fn layer_norm(loader: &Loader<'_>, name: &str, d: usize) -> Result<LayerNorm> {
    let weight = loader.f32(&format!("{name}.weight"), &[d])?;
    Ok(LayerNorm { weight, bias: loader.f32(&format!("{name}.bias"), &[d])?, eps: NORM_EPS })
}

pub(super) fn linear(loader: &Loader<'_>, name: &str, n_out: usize, n_in: usize) -> Result<Linear> {
    let weight = loader.f32(&format!("{name}.weight"), &[n_out, n_in])?;
    let bias = loader.f32(&format!("{name}.bias"), &[n_out])?;
    Ok(Linear::pack(&weight, n_out, n_in, Some(&bias)))
}

/// torch's `TransformerEncoderLayer`; its feed-forward width is four times the model's, as in the reference.
fn block(loader: &Loader<'_>, i: usize, c: &Config) -> Result<PostLnBlock> {
    let d = c.d_model;
    let f = 4 * d;
    let b = format!("encoder.transformer_encoder.{i}");
    let weight = loader.f32(&format!("{b}.self_attn.in_proj_weight"), &[3 * d, d])?;
    let bias = loader.f32(&format!("{b}.self_attn.in_proj_bias"), &[3 * d])?;
    Ok(PostLnBlock {
        shape: AttentionShape::new(c.n_heads, d / c.n_heads),
        qkv: Linear::pack(&weight, 3 * d, d, Some(&bias)),
        out: linear(loader, &format!("{b}.self_attn.out_proj"), d, d)?,
        norm1: layer_norm(loader, &format!("{b}.norm1"), d)?,
        up: linear(loader, &format!("{b}.linear1"), f, d)?,
        activation: Activation::Relu,
        down: linear(loader, &format!("{b}.linear2"), d, f)?,
        norm2: layer_norm(loader, &format!("{b}.norm2"), d)?,
    })
}
