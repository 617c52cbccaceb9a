//! The network, in the published layout.

use microtome_core::{Error, Matrix, Result, Site};
use microtome_kernels::{Activation, AttentionShape, LayerNorm, Linear, Mask};
use microtome_weights::{Audit, Checkpoint, Loader};

use super::config::Config;
use super::model::TranscriptFormer;
use super::norms::NormTap;
use super::vocabulary::Vocabulary;
use crate::block_layout::BlockNames;
use crate::model::Model;
use crate::nn::stored::{layer_norm, linear, linear_without_bias};
use crate::nn::{Attend, Mlp, Norm, PreLnBlock, Residual, Wanted, run_stack};
use crate::{BlockLayout, SiteData, Tap, Tokens};

/// Of every LayerNorm; the configuration's own `log_counts_eps` is another.
pub(super) const EPS: f32 = 1e-5;
/// Token vectors that exist at one time.
pub(super) const ROWS: usize = 1024;
const TABLE: &str = "gene_embeddings.embedding.weight";

/// `out(norm(relu(hidden(x))))`.
#[derive(Clone)]
pub(super) struct Readout {
    pub(super) hidden: Linear,
    pub(super) norm: LayerNorm,
    pub(super) out: Linear,
}

impl Readout {
    fn load(loader: &Loader<'_>, name: &str, n_in: usize, n_hidden: usize, n_out: usize) -> Result<Self> {
        Ok(Self {
            hidden: linear(loader, &format!("{name}.0"), n_hidden, n_in)?,
            norm: layer_norm(loader, &format!("{name}.2"), n_hidden, EPS)?,
            out: linear(loader, &format!("{name}.4"), n_out, n_hidden)?,
        })
    }

    /// `[rows, n_out]`.
    pub(super) fn apply(&self, x: &[f32], rows: usize) -> Vec<f32> {
        let mut hidden = vec![0.0; rows * self.hidden.n_out()];
        self.hidden.apply(x, rows, Activation::Relu, &mut hidden);
        let mut normed = vec![0.0; hidden.len()];
        self.norm.apply(&hidden, rows, &mut normed);
        let mut out = vec![0.0; rows * self.out.n_out()];
        self.out.apply(&normed, rows, Activation::None, &mut out);
        out
    }
}

pub(super) struct Network {
    pub(super) d: usize,
    checkpoint: Checkpoint,
    table: String,
    n_genes: usize,
    /// Maps a protein vector to a token vector.
    pub(super) gene_mlp: Readout,
    /// `[assay, d]`.
    pub(super) assays: Vec<f32>,
    pub(super) blocks: Vec<PreLnBlock>,
    /// Added to the counts before the logarithm.
    count_eps: f32,
    pub(super) soft_cap: f32,
    pub(super) counts: Readout,
    pub(super) count_bias: Vec<f32>,
    pub(super) next: Option<Readout>,
    pub(super) n_parameters: u64,
}

impl Network {
    pub(super) fn load(checkpoint: Checkpoint, c: &Config, v: &Vocabulary) -> Result<(Self, Audit)> {
        let d = c.d_model;
        let loader = Loader::new(&checkpoint);
        let width = match loader.shape(TABLE) {
            Some(&[rows, width]) if rows == v.len() => width,
            other => {
                return Err(Error::mismatch("the table of protein vectors does not fit the vocabulary")
                    .at_key(TABLE)
                    .expected(format!("{} rows (special tokens and genes of the files in vocabs)", v.len()))
                    .found(format!("{other:?}"))
                    .remedy("config.json, vocabs and the weights must come from one folder"));
            }
        };
        let table = loader.table(TABLE, &[v.len(), width])?;
        let gene_mlp = Readout::load(&loader, "gene_embeddings.mlp.layers", width, d, d)?;
        let assays = loader.f32("aux_embeddings.assay.weight", &[v.n_assays(), d])?;
        let blocks = (0..c.n_blocks).map(|i| block(&loader, i, c)).collect::<Result<_>>()?;
        let counts = Readout::load(&loader, "mu.mlp.layers", 2 * d, d / 2, 1)?;
        let count_bias = loader.f32("mu.gene_embedding.weight", &[v.len(), 1])?;
        // The head is there only where its loss had a weight.
        let next = if loader.has("gene_id_head.layers.0.weight") {
            Some(Readout::load(&loader, "gene_id_head.layers", d, c.d_gene_head, v.len())?)
        } else {
            None
        };
        let audit = loader.finish(true)?;
        drop(loader);
        let n_parameters =
            audit.used.iter().map(|t| t.shape.iter().map(|&n| n as u64).product::<u64>()).sum();
        let network = Self {
            d,
            checkpoint,
            table,
            n_genes: v.len(),
            gene_mlp,
            assays,
            blocks,
            count_eps: c.count_eps,
            soft_cap: c.soft_cap,
            counts,
            count_bias,
            next,
            n_parameters,
        };
        Ok((network, audit))
    }

    /// Names of the tensors of a block.
    pub(super) fn block_layout(&self, i: usize, causal: bool) -> Option<BlockLayout> {
        let name = |part: &str| format!("{}.{part}", block_name(i));
        let names = BlockNames {
            qkv: (0..3).map(|part| name(&format!("self_attn.linears.{part}"))).collect(),
            out: name("self_attn.linears.3"),
            ..BlockNames::torch(&block_name(i))
        };
        BlockLayout::pre_ln(self.blocks.get(i)?, &names, causal)
    }

    /// Token vectors of genes and special tokens, `[id, d]`; only their rows of the table are read.
    pub(super) fn gene_vectors(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let mut out = Vec::with_capacity(ids.len() * self.d);
        for ids in ids.chunks(ROWS) {
            let rows: Vec<usize> = ids.iter().map(|&i| i as usize).collect();
            let vectors = self.checkpoint.read_rows_f32(&self.table, &rows)?;
            out.extend(self.gene_mlp.apply(&vectors, ids.len()));
        }
        Ok(out)
    }

    /// Token vectors of the whole vocabulary, `[token, d]`.
    pub(super) fn gene_table(&self) -> Option<Matrix> {
        let ids: Vec<u32> = (0..self.n_genes as u32).collect();
        Matrix::new(self.n_genes, self.d, self.gene_vectors(&ids).ok()?).ok()
    }

    /// Name, shape and values of the whole table of protein vectors.
    pub(super) fn protein_table(&self) -> Result<(String, Vec<usize>, Vec<f32>)> {
        Ok((TABLE.into(), vec![self.n_genes, self.d_protein()], self.checkpoint.read_f32(&self.table)?))
    }

    /// Columns of the table of protein vectors.
    pub(super) fn d_protein(&self) -> usize {
        self.gene_mlp.hidden.n_in()
    }

    /// Input of block 0.
    fn embed(&self, tokens: &Tokens) -> Result<Vec<f32>> {
        let n_genes = self.n_genes as u32;
        let genes: Vec<u32> = tokens.ids.iter().copied().filter(|&i| i < n_genes).collect();
        let vectors = self.gene_vectors(&genes)?;
        let mut of_genes = vectors.chunks_exact(self.d);
        let mut x = Vec::with_capacity(tokens.ids.len() * self.d);
        for &id in &tokens.ids {
            match id.checked_sub(n_genes) {
                Some(assay) => {
                    x.extend_from_slice(&self.assays[assay as usize * self.d..(assay as usize + 1) * self.d])
                }
                None => x.extend_from_slice(of_genes.next().unwrap_or_default()),
            }
        }
        Ok(x)
    }
}

impl TranscriptFormer {
    /// The forward pass up to the last wanted site, and the likelihood pass where something of it is wanted.
    pub(super) fn run(&self, tokens: &Tokens, wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let x = self.network.embed(tokens)?;
        let bias = self.count_bias(tokens);
        let embedding = Mask { causal: self.causal, ..Mask::FULL }.with_key_bias(&bias);
        let likelihood = Mask { bias_earlier_only: self.strict_likelihood, ..embedding };
        let of_likelihood = Self::sites_of_likelihood();
        let twice = of_likelihood.iter().any(|s| wanted.has(s));
        let again = if twice { x.clone() } else { vec![] };
        self.embedding_pass(tokens, x, embedding, wanted, tap)?;
        if twice { self.likelihood_pass(tokens, again, likelihood, wanted, tap) } else { Ok(()) }
    }

    /// What every key adds to its scores. An unknown assay is hidden like padding.
    pub(super) fn count_bias(&self, tokens: &Tokens) -> Vec<f32> {
        let hidden = self.vocabulary.len() as u32 + self.vocabulary.unknown_assay;
        let of_token = |(&id, &n): (&u32, &f32)| match id == hidden && self.hides_unknown {
            true => f32::NEG_INFINITY,
            false if self.counts_in_attention => (n + self.network.count_eps).ln_1p(),
            false => 0.0,
        };
        tokens.ids.iter().zip(&tokens.values).map(of_token).collect()
    }

    fn embedding_pass(
        &self,
        tokens: &Tokens,
        mut x: Vec<f32>,
        mask: Mask<'_>,
        wanted: &Wanted,
        tap: &mut dyn Tap,
    ) -> Result<()> {
        let network = &self.network;
        if wanted.has(&Site::Embed) {
            tap.offer(&Site::Embed, tokens, SiteData::Tokens { data: &x, width: network.d })?;
        }
        let beyond = self.sites_beyond().iter().any(|s| wanted.has(s));
        let mut norms = NormTap { tap, blocks: &network.blocks };
        // The norms are sites of their own, made of the places before them.
        let inner = Wanted::ask(&norms, self.sites().into_iter().map(|s| s.site));
        let attend = Attend::Softmax(mask);
        if run_stack(&network.blocks, &mut x, tokens, attend, &inner, beyond, &mut norms)? {
            self.read_out(tokens, &x, wanted, norms.tap)?;
        }
        Ok(())
    }
}

fn block_name(i: usize) -> String {
    format!("transformer_encoder.encoder_layers.{i}")
}

fn block(loader: &Loader<'_>, i: usize, c: &Config) -> Result<PreLnBlock> {
    let (d, f) = (c.d_model, c.d_mlp);
    let b = block_name(i);
    let a = format!("{b}.self_attn.linears");
    let (mut weights, mut biases) = (vec![], vec![]);
    for part in 0..3 {
        weights.extend(loader.f32(&format!("{a}.{part}.weight"), &[d, d])?);
        if c.attn_bias {
            biases.extend(loader.f32(&format!("{a}.{part}.bias"), &[d])?);
        }
    }
    let any = |name: &str, n_out: usize, n_in: usize, bias: bool| {
        if bias { linear(loader, name, n_out, n_in) } else { linear_without_bias(loader, name, n_out, n_in) }
    };
    let norm = |name: &str| Ok::<_, Error>(Norm::Layer(layer_norm(loader, &format!("{b}.{name}"), d, EPS)?));
    let soft_cap = (c.soft_cap > 0.0).then_some(c.soft_cap);
    Ok(PreLnBlock {
        norm1: norm("norm1")?,
        shape: AttentionShape { soft_cap, ..AttentionShape::new(c.n_heads, d / c.n_heads) },
        qkv: Linear::pack(&weights, 3 * d, d, c.attn_bias.then_some(&biases[..])),
        out: any(&format!("{a}.3"), d, d, c.attn_bias)?,
        norm2: norm("norm2")?,
        mlp: Mlp::Plain {
            up: any(&format!("{b}.linear1"), f, d, c.mlp_bias)?,
            activation: Activation::GeluErf,
            down: any(&format!("{b}.linear2"), d, f, c.mlp_bias)?,
        },
        residual: Residual::Normed,
    })
}
