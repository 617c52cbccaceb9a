//! The network: Hugging Face's `BertForMaskedLM` with learned positions, in the layout of the published files.

use microtome_core::{BlockSite, Error, Result, Site};
use microtome_kernels::{AttentionShape, LayerNorm, Linear, Lookup, Mask, PostLnBlock, Scratch, gather_sum};
use microtome_weights::{Audit, Checkpoint, Loader};

use super::config::Config;
use super::model::{Geneformer, MLM_LOGITS, MLM_TRANSFORM};
use crate::nn::{MaskedHead, Wanted, offer_cells, run_post_ln};
use crate::{Model, SiteData, Tap, Tokens};

pub(super) struct Network {
    d: usize,
    pub(super) words: Vec<f32>,
    positions: Vec<f32>,
    types: Vec<f32>,
    pub(super) norm: LayerNorm,
    pub(super) blocks: Vec<PostLnBlock>,
    pub(super) head: Option<MaskedHead>,
    pub(super) n_parameters: u64,
}

impl Network {
    pub(super) fn load(checkpoint: &Checkpoint, config: &Config) -> Result<(Self, Audit)> {
        let (d, vocabulary) = (config.d_model, config.vocab_size);
        let loader = Loader::new(checkpoint);
        let e = "bert.embeddings";
        let words = loader.f32(&format!("{e}.word_embeddings.weight"), &[vocabulary, d])?;
        let positions = loader.f32(&format!("{e}.position_embeddings.weight"), &[config.max_tokens, d])?;
        let types = loader.f32(&format!("{e}.token_type_embeddings.weight"), &[config.type_vocab_size, d])?;
        let norm = layer_norm(&loader, &format!("{e}.LayerNorm"), config)?;
        let blocks = (0..config.n_blocks).map(|i| block(&loader, i, config)).collect::<Result<_>>()?;
        loader.ignore("bert.embeddings.position_ids", "a buffer that counts 0, 1, 2, ...");
        let head = head(&loader, config)?;
        let audit = loader.finish(true)?;
        let n_parameters =
            audit.used.iter().map(|t| t.shape.iter().map(|&n| n as u64).product::<u64>()).sum();
        Ok((Self { d, words, positions, types, norm, blocks, head, n_parameters }, audit))
    }

    /// `LN(word[id] + type[0] + position[i])`, added in the reference's order.
    fn embed(&self, tokens: &Tokens) -> Vec<f32> {
        let n = tokens.ids.len();
        let places: Vec<u32> = tokens.offsets.windows(2).flat_map(|w| 0..(w[1] - w[0]) as u32).collect();
        let zeros = vec![0u32; n];
        let lookups = [
            Lookup { table: &self.words, ids: &tokens.ids },
            Lookup { table: &self.types, ids: &zeros },
            Lookup { table: &self.positions, ids: &places },
        ];
        let mut sum = vec![0.0; n * self.d];
        gather_sum(&lookups, self.d, &mut sum);
        let mut out = vec![0.0; n * self.d];
        self.norm.apply(&sum, n, &mut out);
        out
    }
}

impl Geneformer {
    /// The forward pass up to the last wanted site.
    pub(super) fn run(&self, tokens: &Tokens, wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let network = &self.network;
        let mut x = network.embed(tokens);
        self.offer_stream(&Site::Embed, tokens, &x, wanted, tap)?;
        let mut scratch = Scratch::default();
        for i in 0..self.blocks_needed(wanted) {
            let block = &network.blocks[i];
            if wanted.inside(i) || wanted.has_at(i, BlockSite::ResidPre) {
                let stops = i + 1 == self.blocks_needed(wanted) && !self.output_needed(i, wanted);
                run_post_ln(block, i, &mut x, tokens, Mask::FULL, wanted, stops, tap)?;
                if stops {
                    return Ok(());
                }
            } else {
                block.forward(&mut x, &tokens.offsets, Mask::FULL, &mut scratch);
            }
            self.offer_stream(&Site::resid_post(i), tokens, &x, wanted, tap)?;
        }
        self.read_out(tokens, &x, wanted, tap)
    }

    /// Offers a point of the stream and the cell vectors that are pooled from it.
    fn offer_stream(
        &self,
        site: &Site,
        tokens: &Tokens,
        x: &[f32],
        wanted: &Wanted,
        tap: &mut dyn Tap,
    ) -> Result<()> {
        let d = self.network.d;
        if wanted.has(site) {
            tap.offer(site, tokens, SiteData::Tokens { data: x, width: d })?;
        }
        for (cell_site, rule) in self.pooled_from(site) {
            if wanted.has(&cell_site) {
                offer_cells(tap, &cell_site, tokens, x, d, rule, |n| self.gene_tokens(n))?;
            }
        }
        Ok(())
    }

    /// Whether the output of block `i` itself is wanted, by whatever name.
    fn output_needed(&self, i: usize, wanted: &Wanted) -> bool {
        let site = Site::resid_post(i);
        let last = i + 1 == self.network.blocks.len();
        wanted.has(&site)
            || self.pooled_from(&site).iter().any(|(s, _)| wanted.has(s))
            || (last && self.readouts().iter().any(|s| wanted.has(s)))
    }

    /// Blocks to run, the last one perhaps in part.
    fn blocks_needed(&self, wanted: &Wanted) -> usize {
        (0..self.network.blocks.len())
            .rev()
            .find(|&i| wanted.last_in(i).is_some() || self.output_needed(i, wanted))
            .map_or(0, |i| i + 1)
    }

    fn readouts(&self) -> [Site; 2] {
        [Site::Extra(MLM_TRANSFORM.into()), Site::Extra(MLM_LOGITS.into())]
    }

    fn read_out(&self, tokens: &Tokens, x: &[f32], wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let [transform, logits] = self.readouts();
        let Some(head) = &self.network.head else { return Ok(()) };
        if !wanted.has(&transform) && !wanted.has(&logits) {
            return Ok(());
        }
        let rows = tokens.ids.len();
        let transformed = head.transform(x, rows);
        if wanted.has(&transform) {
            tap.offer(&transform, tokens, SiteData::Tokens { data: &transformed, width: self.network.d })?;
        }
        if wanted.has(&logits) {
            let data = head.logits(&transformed, rows, &self.network.words);
            tap.offer(&logits, tokens, SiteData::Tokens { data: &data, width: head.bias.len() })?;
        }
        Ok(())
    }
}

fn layer_norm(loader: &Loader<'_>, name: &str, config: &Config) -> Result<LayerNorm> {
    let d = config.d_model;
    Ok(LayerNorm {
        weight: loader.f32(&format!("{name}.weight"), &[d])?,
        bias: loader.f32(&format!("{name}.bias"), &[d])?,
        eps: config.layer_norm_eps,
    })
}

fn linear(loader: &Loader<'_>, name: &str, n_out: usize, n_in: usize) -> Result<Linear> {
    let weight = loader.f32(&format!("{name}.weight"), &[n_out, n_in])?;
    let bias = loader.f32(&format!("{name}.bias"), &[n_out])?;
    Ok(Linear::pack(&weight, n_out, n_in, Some(&bias)))
}

fn block(loader: &Loader<'_>, i: usize, config: &Config) -> Result<PostLnBlock> {
    let (d, f) = (config.d_model, config.d_mlp);
    let b = format!("bert.encoder.layer.{i}");
    let (mut weight, mut bias) = (vec![], vec![]);
    for part in ["query", "key", "value"] {
        let name = format!("{b}.attention.self.{part}");
        weight.extend(loader.f32(&format!("{name}.weight"), &[d, d])?);
        bias.extend(loader.f32(&format!("{name}.bias"), &[d])?);
    }
    Ok(PostLnBlock {
        shape: AttentionShape::new(config.n_heads, d / config.n_heads),
        qkv: Linear::pack(&weight, 3 * d, d, Some(&bias)),
        out: linear(loader, &format!("{b}.attention.output.dense"), d, d)?,
        norm1: layer_norm(loader, &format!("{b}.attention.output.LayerNorm"), config)?,
        up: linear(loader, &format!("{b}.intermediate.dense"), f, d)?,
        activation: config.activation,
        down: linear(loader, &format!("{b}.output.dense"), d, f)?,
        norm2: layer_norm(loader, &format!("{b}.output.LayerNorm"), config)?,
    })
}

/// The masked-gene head, or none for a fine-tuned classifier.
fn head(loader: &Loader<'_>, config: &Config) -> Result<Option<MaskedHead>> {
    let (d, vocabulary) = (config.d_model, config.vocab_size);
    let names = loader.names();
    let has = |prefix: &str| names.iter().any(|n| n.starts_with(prefix));
    if !has("cls.predictions.") {
        if !config.classifier && !has("classifier.") {
            return Err(Error::unreadable("the checkpoint has no masked-gene head")
                .at_key("cls.predictions.*")
                .expected("the head of BertForMaskedLM, or a fine-tuned classifier (classifier.*)"));
        }
        loader.ignore("classifier.*", "head of a fine-tuned classifier; the network below it is what is run");
        loader.ignore("bert.pooler.*", "pooler of the classifier's head; no published cell vector uses it");
        return Ok(None);
    }
    loader.tied("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight")?;
    loader.tied("cls.predictions.decoder.bias", "cls.predictions.bias")?;
    let name = "cls.predictions.transform";
    Ok(Some(MaskedHead {
        dense: linear(loader, &format!("{name}.dense"), d, d)?,
        activation: config.activation,
        norm: layer_norm(loader, &format!("{name}.LayerNorm"), config)?,
        bias: loader.f32("cls.predictions.bias", &[vocabulary])?,
        decoder: std::sync::OnceLock::new(),
    }))
}
