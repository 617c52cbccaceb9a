//! The network: Hugging Face's `BertForMaskedLM` with learned positions, in the layout of the published files.

use microtome_core::{BlockSite, Error, Result, Site};
use microtome_kernels::{Mask, PostLnBlock, Scratch};
use microtome_weights::{Audit, Checkpoint, Loader};

use super::config::Config;
use super::model::{Geneformer, MLM_LOGITS, MLM_TRANSFORM};
use crate::nn::bert::{self, BertEmbedding};
use crate::nn::{MaskedHead, Wanted, offer_cells, run_post_ln};
use crate::{Model, SiteData, Tap, Tokens};

pub(super) struct Network {
    d: usize,
    pub(super) embedding: BertEmbedding,
    pub(super) blocks: Vec<PostLnBlock>,
    pub(super) head: Option<MaskedHead>,
    pub(super) n_parameters: u64,
}

impl Network {
    pub(super) fn load(checkpoint: &Checkpoint, config: &Config) -> Result<(Self, Audit)> {
        let loader = Loader::new(checkpoint);
        let types = [("token_type_embeddings", config.type_vocab_size)];
        let embedding = BertEmbedding::load(&loader, "bert.", &config.bert, &types)?;
        let blocks = bert::blocks(&loader, "bert.", &config.bert)?;
        let head = head(&loader, config)?;
        let audit = loader.finish(true)?;
        let n_parameters =
            audit.used.iter().map(|t| t.shape.iter().map(|&n| n as u64).product::<u64>()).sum();
        Ok((Self { d: config.bert.d_model, embedding, blocks, head, n_parameters }, audit))
    }
}

impl Geneformer {
    /// The forward pass up to the last wanted site.
    pub(super) fn run(&self, tokens: &Tokens, wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let network = &self.network;
        let mut x = network.embedding.apply(tokens);
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
            let data = head.logits(&transformed, rows, &self.network.embedding.words);
            tap.offer(&logits, tokens, SiteData::Tokens { data: &data, width: head.bias.len() })?;
        }
        Ok(())
    }
}

/// The masked-gene head, or none for a fine-tuned classifier.
fn head(loader: &Loader<'_>, config: &Config) -> Result<Option<MaskedHead>> {
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
    let words = "bert.embeddings.word_embeddings.weight";
    bert::masked_head(loader, "cls.predictions", words, &config.bert).map(Some)
}
