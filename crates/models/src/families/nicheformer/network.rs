//! The network: `nn.TransformerEncoder` with post-LN layers over embeddings and learned positions.

use microtome_core::{BlockSite, Result, Site};
use microtome_kernels::{Activation, AttentionShape, Linear, Lookup, Mask, PostLnBlock, Scratch, gather_sum};
use microtome_weights::{Audit, Checkpoint, Loader};

use super::config::{Config, LAYER_NORM_EPS};
use super::contexts::N_CONTEXTS;
use super::model::{MASKED_MEAN, MLM_LOGITS, Nicheformer, WITH_CONTEXT};
use super::tokens::ATTENTION_MASK;
use crate::block_layout::BlockNames;
use crate::nn::{Wanted, pool_cell, run_post_ln, stored};
use crate::{BlockLayout, CellRule, GENE_MASK, SiteData, Tap, Tokens};

pub(super) struct Network {
    pub(super) d: usize,
    pub(super) words: Vec<f32>,
    pub(super) positions: Vec<f32>,
    pub(super) blocks: Vec<PostLnBlock>,
    /// Masked-gene readout.
    pub(super) head: Option<Linear>,
    pub(super) n_parameters: u64,
}

impl Network {
    pub(super) fn load(checkpoint: &Checkpoint, config: &Config) -> Result<(Self, Audit)> {
        let d = config.d_model;
        let loader = Loader::new(checkpoint);
        // By name: a Lightning checkpoint that was written again as safetensors keeps the level.
        if checkpoint.names().iter().any(|n| n.starts_with("state_dict.")) {
            loader.scope("state_dict")?;
        }
        loader.strip_prefix("nicheformer.")?;
        let words = loader.f32("embeddings.weight", &[config.n_rows(), d])?;
        let positions = loader.f32("positional_embedding.weight", &[config.context_length, d])?;
        let blocks = (0..config.n_blocks)
            .map(|i| block(&loader, &format!("encoder.layers.{i}"), config))
            .collect::<Result<_>>()?;
        let head = if loader.has("classifier_head.weight") {
            Some(stored::linear(&loader, "classifier_head", config.n_tokens, d)?)
        } else {
            None
        };
        loader.ignore(
            "encoder_layer.*",
            "the template that the layers were copied from before training; never run",
        );
        loader.ignore("pooler_head.*", "head of a training task; the published cell vector does not use it");
        loader.ignore("cls_head.*", "head of a training task; the published cell vector does not use it");
        loader.ignore("pos", "a buffer that counts 0, 1, 2, ...");
        let audit = loader.finish(true)?;
        let n_parameters =
            audit.used.iter().map(|t| t.shape.iter().map(|&n| n as u64).product::<u64>()).sum();
        Ok((Self { d, words, positions, blocks, head, n_parameters }, audit))
    }

    /// Names of the tensors of a block.
    pub(super) fn block_layout(&self, i: usize) -> Option<BlockLayout> {
        BlockLayout::post_ln(self.blocks.get(i)?, &BlockNames::torch(&format!("encoder.layers.{i}")))
    }

    /// `word[id] + position[i]`, padding included.
    fn embed(&self, tokens: &Tokens) -> Vec<f32> {
        let places: Vec<u32> = tokens.offsets.windows(2).flat_map(|w| 0..(w[1] - w[0]) as u32).collect();
        let lookups = [
            Lookup { table: &self.words, ids: &tokens.ids },
            Lookup { table: &self.positions, ids: &places },
        ];
        let mut out = vec![0.0; tokens.ids.len() * self.d];
        gather_sum(&lookups, self.d, &mut out);
        out
    }
}

fn block(loader: &Loader<'_>, name: &str, config: &Config) -> Result<PostLnBlock> {
    let (d, f) = (config.d_model, config.d_mlp);
    let weight = loader.f32(&format!("{name}.self_attn.in_proj_weight"), &[3 * d, d])?;
    let bias = loader.f32(&format!("{name}.self_attn.in_proj_bias"), &[3 * d])?;
    Ok(PostLnBlock {
        shape: AttentionShape::new(config.n_heads, d / config.n_heads),
        qkv: Linear::pack(&weight, 3 * d, d, Some(&bias)),
        out: stored::linear(loader, &format!("{name}.self_attn.out_proj"), d, d)?,
        norm1: stored::layer_norm(loader, &format!("{name}.norm1"), d, LAYER_NORM_EPS)?,
        up: stored::linear(loader, &format!("{name}.linear1"), f, d)?,
        activation: Activation::Relu,
        down: stored::linear(loader, &format!("{name}.linear2"), d, f)?,
        norm2: stored::layer_norm(loader, &format!("{name}.norm2"), d, LAYER_NORM_EPS)?,
    })
}

impl Nicheformer {
    /// The forward pass up to the last wanted site.
    pub(super) fn run(&self, tokens: &Tokens, wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let network = &self.network;
        let mut x = network.embed(tokens);
        if wanted.has(&Site::Embed) {
            tap.offer(&Site::Embed, tokens, SiteData::Tokens { data: &x, width: network.d })?;
        }
        let bias = self.hidden_keys(tokens);
        let mask = Mask::FULL.with_key_bias(&bias);
        let beyond = self.after_blocks().iter().any(|s| wanted.has(s));
        let last = (0..network.blocks.len()).rev().find(|&i| wanted.last_in(i).is_some());
        let needed = if beyond { network.blocks.len() } else { last.map_or(0, |i| i + 1) };
        let mut scratch = Scratch::default();
        for (i, block) in network.blocks.iter().enumerate().take(needed) {
            let output = wanted.has_at(i, BlockSite::ResidPost);
            if wanted.inside(i) || wanted.has_at(i, BlockSite::ResidPre) {
                let stops = !beyond && i + 1 == needed && !output;
                run_post_ln(block, i, &mut x, tokens, mask, wanted, stops, tap)?;
                if stops {
                    return Ok(());
                }
            } else {
                block.forward(&mut x, &tokens.offsets, mask, &mut scratch);
            }
            if output {
                tap.offer(&Site::resid_post(i), tokens, SiteData::Tokens { data: &x, width: network.d })?;
            }
        }
        if beyond { self.read_out(tokens, &x, wanted, tap) } else { Ok(()) }
    }

    /// `-inf` for hidden keys, 0 for all others. Hidden keys are hidden from themselves too, unlike under `Mask::visible`.
    pub(super) fn hidden_keys(&self, tokens: &Tokens) -> Vec<f32> {
        let bias = |hidden: bool| if hidden { f32::NEG_INFINITY } else { 0.0 };
        match tokens.per_token.get(ATTENTION_MASK) {
            Some(mask) => mask.iter().map(|&m| bias(m == 0.0)).collect(),
            None => tokens.ids.iter().map(|&id| bias(id == self.vocabulary.pad)).collect(),
        }
    }

    fn read_out(&self, tokens: &Tokens, x: &[f32], wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let d = self.network.d;
        for site in self.cell_sites() {
            if !wanted.has(&site) {
                continue;
            }
            let mut data = vec![0.0; tokens.n_cells() * d];
            for (cell, out) in data.chunks_exact_mut(d).enumerate() {
                let span = tokens.offsets[cell]..tokens.offsets[cell + 1];
                let rows = &x[span.start * d..span.end * d];
                let (genes, all) = (N_CONTEXTS.min(span.len())..span.len(), 0..span.len());
                let marks = tokens.column(GENE_MASK, cell);
                match &site {
                    Site::CellEmbedding => pool_cell(rows, d, CellRule::Mean, genes, None, out),
                    Site::Extra(name) if name == WITH_CONTEXT => {
                        pool_cell(rows, d, CellRule::Mean, all, None, out)
                    }
                    _ => pool_cell(rows, d, CellRule::Marked, all, marks, out),
                };
            }
            tap.offer(&site, tokens, SiteData::Cells { data: &data, width: d })?;
        }
        let site = Site::Extra(MLM_LOGITS.into());
        if let (true, Some(head)) = (wanted.has(&site), &self.network.head) {
            let mut data = vec![0.0; tokens.ids.len() * head.n_out()];
            head.apply(x, tokens.ids.len(), Activation::None, &mut data);
            tap.offer(&site, tokens, SiteData::Tokens { data: &data, width: head.n_out() })?;
        }
        Ok(())
    }

    pub(super) fn cell_sites(&self) -> [Site; 3] {
        [Site::CellEmbedding, Site::Extra(WITH_CONTEXT.into()), Site::Extra(MASKED_MEAN.into())]
    }

    /// Sites computed from the output of the last block.
    fn after_blocks(&self) -> Vec<Site> {
        self.cell_sites().into_iter().chain([Site::Extra(MLM_LOGITS.into())]).collect()
    }
}
