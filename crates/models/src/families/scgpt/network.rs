//! The network, in the layouts of the published files.

use microtome_core::{BlockSite, Error, Matrix, Result, Site};
use microtome_kernels::{
    Activation, AttentionShape, LayerNorm, Linear, Lookup, Mask, PostLnBlock, Rows, Scratch, add_assign,
    attention_map, gather_sum,
};
use microtome_weights::{Audit, Checkpoint, Loader};

use super::batch_norm::{BatchNorm, batches};
use super::config::Config;
use super::grn::rank_mean;
use super::heads::Heads;
use super::model::{ScGpt, extra, names};
use crate::nn::stored::{layer_norm, linear};
use crate::nn::{ValueEncoder, Wanted, run_post_ln, sigmoid, unit_rows};
use crate::{MapKind, SiteData, Tap, Tokens};
use crate::BlockLayout;
use crate::block_layout::BlockNames;

/// Of every LayerNorm.
pub(super) const EPS: f32 = 1e-5;
/// Values above this are cut; there is no lower bound.
const MAX_VALUE: f32 = 512.0;

pub(super) struct Network {
    pub(super) d: usize,
    pub(super) words: Vec<f32>,
    pub(super) word_norm: LayerNorm,
    pub(super) values: ValueEncoder,
    pub(super) batch_norm: BatchNorm,
    pub(super) blocks: Vec<PostLnBlock>,
    pub(super) heads: Heads,
    /// How the file names the attention projections.
    pub(super) layout: &'static str,
    pub(super) n_parameters: u64,
}

impl Network {
    pub(super) fn load(checkpoint: &Checkpoint, c: &Config, n_tokens: usize) -> Result<(Self, Audit)> {
        let d = c.d_model;
        let loader = Loader::new(checkpoint);
        loader.strip_prefix("module.")?;
        let words = loader.f32("encoder.embedding.weight", &[n_tokens, d]).map_err(|e| {
            e.remedy("vocab.json and the weights must come from one folder; missing special tokens are appended to the file's tokens")
        })?;
        let word_norm = layer_norm(&loader, "encoder.enc_norm", d, EPS)?;
        let values = ValueEncoder {
            max: MAX_VALUE,
            linear1: linear(&loader, "value_encoder.linear1", d, 1)?,
            activation: Activation::Relu,
            linear2: linear(&loader, "value_encoder.linear2", d, d)?,
            norm: Some(layer_norm(&loader, "value_encoder.norm", d, EPS)?),
        };
        let batch_norm = BatchNorm::load(&loader, d)?;
        let layout = layout(&loader)?;
        let blocks = (0..c.n_blocks).map(|i| block(&loader, i, layout, c)).collect::<Result<_>>()?;
        let heads = Heads::load(&loader, d)?;
        loader.ignore("flag_encoder.weight", "marks generated tokens in pre-training; no token is generated here");
        let audit = loader.finish(true)?;
        let n_parameters =
            audit.used.iter().map(|t| t.shape.iter().map(|&n| n as u64).product::<u64>()).sum();
        let network = Self { d, words, word_norm, values, batch_norm, blocks, heads, layout, n_parameters };
        Ok((network, audit))
    }

    /// Names of the tensors of a block.
    pub(super) fn block_layout(&self, i: usize, block: &PostLnBlock) -> Option<BlockLayout> {
        let b = format!("transformer_encoder.layers.{i}");
        let names = BlockNames {
            qkv: vec![format!("{b}.self_attn.{}", self.layout.trim_end_matches('.'))],
            out: out_name(&format!("{b}.self_attn"), self.layout),
            ..BlockNames::torch(&b)
        };
        BlockLayout::post_ln(block, &names)
    }

    /// `norm(E[id])` of every token.
    pub(super) fn gene_vectors(&self, ids: &[u32]) -> Vec<f32> {
        let mut rows = vec![0.0; ids.len() * self.d];
        gather_sum(&[Lookup { table: &self.words, ids }], self.d, &mut rows);
        let mut out = vec![0.0; rows.len()];
        self.word_norm.apply(&rows, ids.len(), &mut out);
        out
    }

    /// `norm(E)` of the whole vocabulary, `[token, d]`.
    pub(super) fn gene_table(&self) -> Option<Matrix> {
        let rows = self.words.len() / self.d;
        let mut out = Matrix::zeros(rows, self.d);
        self.word_norm.apply(&self.words, rows, out.data_mut());
        Some(out)
    }
}

impl ScGpt {
    /// The forward pass up to the last wanted site.
    pub(super) fn run(&self, tokens: &Tokens, wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let (network, d) = (&self.network, self.network.d);
        let offer = |tap: &mut dyn Tap, site: Site, data: &[f32]| {
            if wanted.has(&site) {
                tap.offer(&site, tokens, SiteData::Tokens { data, width: d })?;
            }
            Ok::<(), Error>(())
        };
        let genes = network.gene_vectors(&tokens.ids);
        offer(tap, extra(names::EMBED_GENE), &genes)?;
        let mut x = network.values.apply(&tokens.values);
        offer(tap, extra(names::EMBED_VALUE), &x)?;
        add_assign(&mut x, &genes);
        drop(genes);
        network.batch_norm.apply(&mut x, tokens)?;
        offer(tap, Site::Embed, &x)?;

        let n = network.blocks.len();
        let beyond = self.sites_beyond().iter().any(|s| wanted.has(s));
        let routing = [names::GRN_SCORES, names::GRN_RANKS].iter().any(|s| wanted.has(&extra(s)));
        let last = (0..n).rev().find(|&i| wanted.last_in(i).is_some());
        let needed = if beyond || routing { n } else { last.map_or(0, |i| i + 1) };
        let mut scratch = Scratch::default();
        for (i, block) in network.blocks.iter().enumerate().take(needed) {
            if i + 1 == n && routing {
                self.offer_routing(block, &x, tokens, wanted, tap)?;
            }
            let output = wanted.has_at(i, BlockSite::ResidPost);
            let stops = !beyond && i + 1 == needed && !output;
            if wanted.inside(i) || wanted.has_at(i, BlockSite::ResidPre) {
                run_post_ln(block, i, &mut x, tokens, Mask::FULL, wanted, stops, tap)?;
            } else if !stops {
                block.forward(&mut x, &tokens.offsets, Mask::FULL, &mut scratch);
            }
            if stops {
                return Ok(());
            }
            offer(tap, Site::resid_post(i), &x)?;
        }
        if beyond { self.read_out(tokens, &x, wanted, tap) } else { Ok(()) }
    }

    /// Products of queries and keys of a block, and their double ranks, one cell at a time.
    fn offer_routing(
        &self,
        block: &PostLnBlock,
        x: &[f32],
        tokens: &Tokens,
        wanted: &Wanted,
        tap: &mut dyn Tap,
    ) -> Result<()> {
        let (d, rows) = (self.network.d, tokens.ids.len());
        let mut qkv = vec![0.0; rows * 3 * d];
        block.qkv.apply(x, rows, Activation::None, &mut qkv);
        let [q, k] = [0, 1].map(|part| Rows::columns(&qkv, 3 * d, part * d));
        let shape = AttentionShape { scale: 1.0, ..block.shape };
        let n_heads = shape.n_heads;
        for cell in 0..tokens.n_cells() {
            let span = tokens.offsets[cell]..tokens.offsets[cell + 1];
            let n_tokens = span.len();
            let mut scores = vec![0.0; n_heads * n_tokens * n_tokens];
            let mut pattern = scores.clone();
            attention_map(q, k, &shape, Mask::FULL, span, Some(&mut scores), &mut pattern);
            drop(pattern);
            let site = extra(names::GRN_SCORES);
            if wanted.has(&site) {
                let map = SiteData::Map { cell, data: &scores, n_heads, n_tokens, kind: MapKind::Logits };
                tap.offer(&site, tokens, map)?;
            }
            let site = extra(names::GRN_RANKS);
            if wanted.has(&site) {
                let data = &rank_mean(&scores, n_heads, n_tokens)[..];
                let map = SiteData::Map { cell, data, n_heads: 1, n_tokens, kind: MapKind::NonNegative };
                tap.offer(&site, tokens, map)?;
            }
        }
        Ok(())
    }

    /// Cell vectors and readouts of the last block's output.
    fn read_out(&self, tokens: &Tokens, x: &[f32], wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let (d, rows, heads) = (self.network.d, tokens.ids.len(), &self.network.heads);
        let firsts = tokens.offsets.windows(2).flat_map(|w| &x[w[0] * d..(w[0] + 1) * d]);
        let raw: Vec<f32> = firsts.copied().collect();
        let per_cell = |tap: &mut dyn Tap, site: Site, make: &dyn Fn() -> Vec<f32>| {
            if wanted.has(&site) {
                let data = make();
                let width = data.len() / tokens.n_cells();
                tap.offer(&site, tokens, SiteData::Cells { data: &data, width })?;
            }
            Ok::<(), Error>(())
        };
        per_cell(tap, extra(names::CELL_RAW), &|| raw.clone())?;
        per_cell(tap, Site::CellEmbedding, &|| unit_rows(&raw, d))?;

        // Decoders of models with a batch label read the label's vector behind the token's or the cell's.
        let per_token_sites = [names::MLM, names::MLM_ZERO, names::MVC, names::MVC_ZERO].map(extra);
        if per_token_sites.iter().any(|s| wanted.has(s)) {
            let labels = match &heads.batch_encoder {
                Some(encoder) => Some(encoder.vectors(&batches(tokens, encoder.n)?)),
                None => None,
            };
            let per_cell_label = |cell: usize| labels.as_deref().map_or(&[][..], |l| &l[cell * d..(cell + 1) * d]);
            let join = |rows: &[f32], cell: usize| -> Vec<f32> {
                rows.chunks_exact(d).flat_map(|r| r.iter().chain(per_cell_label(cell))).copied().collect()
            };
            let cells = (0..tokens.n_cells()).collect::<Vec<_>>();
            let stream = || -> Vec<f32> {
                cells.iter().flat_map(|&c| join(&x[tokens.offsets[c] * d..tokens.offsets[c + 1] * d], c)).collect()
            };
            let cell_vectors: Vec<f32> =
                cells.iter().flat_map(|&c| join(&raw[c * d..(c + 1) * d], c)).collect();
            let per_token = |tap: &mut dyn Tap, name: &str, data: Option<Vec<f32>>, probability: bool| {
                let Some(mut data) = data else { return Ok(()) };
                if probability {
                    data.iter_mut().for_each(|v| *v = sigmoid(*v));
                }
                tap.offer(&extra(name), tokens, SiteData::Tokens { data: &data, width: 1 })
            };
            let asked = |name: &str| wanted.has(&extra(name));
            for (name, head, probability) in
                [(names::MLM, &heads.expression, false), (names::MLM_ZERO, &heads.expression_zero, true)]
            {
                let data = head.as_ref().filter(|_| asked(name)).map(|h| h.apply(&stream(), rows));
                per_token(tap, name, data, probability)?;
            }
            for (name, head, probability) in
                [(names::MVC, &heads.cell_query, false), (names::MVC_ZERO, &heads.cell_query_zero, true)]
            {
                let genes = || self.network.gene_vectors(&tokens.ids);
                let data =
                    head.as_ref().filter(|_| asked(name)).map(|h| h.apply(&genes(), &cell_vectors, tokens));
                per_token(tap, name, data, probability)?;
            }
        }
        for (name, head) in [(names::CLS, &heads.classes), (names::DAB, &heads.batches)] {
            if let Some(head) = head {
                per_cell(tap, extra(name), &|| head.apply(&raw, tokens.n_cells()))?;
            }
        }
        Ok(())
    }
}

/// The key that holds queries, keys and values in one, as rows `[q; k; v]`, each head by head.
const LAYOUTS: [&str; 3] = ["Wqkv.", "_impl.Wqkv.", "in_proj_"];

fn layout(loader: &Loader<'_>) -> Result<&'static str> {
    let first = "transformer_encoder.layers.0.self_attn";
    LAYOUTS.into_iter().find(|l| loader.has(&format!("{first}.{l}weight"))).ok_or_else(|| {
        Error::unreadable("the checkpoint has no attention projection under any of the published names")
            .at_key(format!("{first}.*"))
            .expected(LAYOUTS.map(|l| format!("{l}weight")).join(" or "))
    })
}

/// Name of the output map of the attention `a`.
fn out_name(a: &str, layout: &str) -> String {
    if layout.starts_with("_impl") { format!("{a}._impl.out_proj") } else { format!("{a}.out_proj") }
}

fn block(loader: &Loader<'_>, i: usize, layout: &str, c: &Config) -> Result<PostLnBlock> {
    let (d, f) = (c.d_model, c.d_mlp);
    let b = format!("transformer_encoder.layers.{i}");
    let a = format!("{b}.self_attn");
    let weight = loader.f32(&format!("{a}.{layout}weight"), &[3 * d, d])?;
    let bias = loader.f32(&format!("{a}.{layout}bias"), &[3 * d])?;
    let out = out_name(&a, layout);
    Ok(PostLnBlock {
        shape: AttentionShape::new(c.n_heads, d / c.n_heads),
        qkv: Linear::pack(&weight, 3 * d, d, Some(&bias)),
        out: linear(loader, &out, d, d)?,
        norm1: layer_norm(loader, &format!("{b}.norm1"), d, EPS)?,
        up: linear(loader, &format!("{b}.linear1"), f, d)?,
        activation: Activation::Relu,
        down: linear(loader, &format!("{b}.linear2"), d, f)?,
        norm2: layer_norm(loader, &format!("{b}.norm2"), d, EPS)?,
    })
}
