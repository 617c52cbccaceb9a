//! The network, in the layout of the published files.

use microtome_core::{Error, Result, Site};
use microtome_kernels::{Activation, AttentionShape, LayerNorm, Lookup, Mask, add_assign, gather_sum};
use microtome_weights::{Audit, Checkpoint, Loader};

use super::config::Config;
use super::model::{TahoeX1, extra, names};
use super::tokens::DRUG;
use crate::nn::stored::{layer_norm, linear, linear_without_bias};
use crate::nn::{
    Attend, CellQueryReadout, LayeredReadout, Mlp, Norm, PreLnBlock, Residual, ValueEncoder, Wanted, run_stack,
    unit_rows,
};
use crate::block_layout::BlockNames;
use crate::{BlockLayout, SiteData, Tap, Tokens};

/// Of the gene, value and drug norms, whatever `norm_config` says.
const ENCODER_EPS: f32 = 1e-5;

pub(super) struct Network {
    pub(super) d: usize,
    pub(super) words: Vec<f32>,
    pub(super) word_norm: Option<LayerNorm>,
    pub(super) values: ValueEncoder,
    pub(super) drugs: Option<DrugEncoder>,
    pub(super) blocks: Vec<PreLnBlock>,
    pub(super) norm: LayerNorm,
    pub(super) expression: LayeredReadout,
    pub(super) cell_query: Option<CellQueryReadout>,
    pub(super) n_parameters: u64,
}

/// `norm(proj(act(fc(fingerprint))))` of a drug.
pub(super) struct DrugEncoder {
    fingerprints: Vec<f32>,
    pub(super) n: usize,
    pub(super) layers: LayeredReadout,
    pub(super) norm: LayerNorm,
}

impl DrugEncoder {
    /// `[cell, d]`.
    fn vectors(&self, ids: &[u32]) -> Vec<f32> {
        let width = self.fingerprints.len() / self.n;
        let mut rows = vec![0.0; ids.len() * width];
        gather_sum(&[Lookup { table: &self.fingerprints, ids }], width, &mut rows);
        let projected = self.layers.apply(&rows, ids.len());
        let mut out = vec![0.0; projected.len()];
        self.norm.apply(&projected, ids.len(), &mut out);
        out
    }
}

impl Network {
    pub(super) fn load(checkpoint: &Checkpoint, c: &Config) -> Result<(Self, Audit)> {
        let d = c.d_model;
        let loader = Loader::new(checkpoint);
        if loader.names().iter().any(|n| n.starts_with("state.model.")) {
            loader.scope("state.model")?;
        }
        loader.strip_prefix("model.")?;
        let words = loader.f32("gene_encoder.embedding.weight", &[c.vocab_size, d])?;
        let word_norm = c.gene_norm.then(|| layer_norm(&loader, "gene_encoder.enc_norm", d, ENCODER_EPS)).transpose()?;
        let e = "expression_encoder";
        let values = ValueEncoder {
            max: c.max_value,
            linear1: linear(&loader, &format!("{e}.linear1"), d, 1)?,
            activation: c.value_activation,
            linear2: linear(&loader, &format!("{e}.linear2"), d, d)?,
            norm: c.value_norm.then(|| layer_norm(&loader, &format!("{e}.norm"), d, ENCODER_EPS)).transpose()?,
        };
        let drugs = drugs(&loader, c)?;
        let blocks = (0..c.n_blocks).map(|i| block(&loader, i, c)).collect::<Result<_>>()?;
        let norm = layer_norm(&loader, "transformer_encoder.norm", d, c.norm_eps)?;
        let x = "expression_decoder";
        let layers = 0..c.decoder.n_layers;
        let expression = LayeredReadout {
            layers: layers
                .map(|i| Ok((linear(&loader, &format!("{x}.linear_layers.{i}"), d, d)?, None)))
                .collect::<Result<_>>()?,
            activation: c.decoder.activation,
            out: linear(&loader, &format!("{x}.out_proj"), 1, d)?,
        };
        let cell_query = c.cell_query.map(|q| {
            Ok::<_, Error>(CellQueryReadout {
                query: linear(&loader, "mvc_decoder.gene2query", d, d)?,
                activation: q.activation,
                weight: linear_without_bias(&loader, "mvc_decoder.W", d, d)?,
                scaled: q.scaled,
            })
        });
        let cell_query = cell_query.transpose()?;
        loader.ignore("flag_encoder.weight", "marks generated tokens in training; no token is generated here");
        let audit = loader.finish(true)?;
        let n_parameters =
            audit.used.iter().map(|t| t.shape.iter().map(|&n| n as u64).product::<u64>()).sum();
        let network = Self { d, words, word_norm, values, drugs, blocks, norm, expression, cell_query, n_parameters };
        Ok((network, audit))
    }

    /// Names of the tensors of a block.
    pub(super) fn block_layout(&self, i: usize) -> Option<BlockLayout> {
        let name = |part: &str| format!("transformer_encoder.layers.{i}.{part}");
        let names = BlockNames {
            qkv: vec![name("self_attn.Wqkv")],
            out: name("self_attn.out_proj"),
            gate: None,
            up: name("up_proj"),
            down: name("down_proj"),
            norms: [name("norm1"), name("norm2")],
            norm_bias: true,
            transposed: false,
        };
        BlockLayout::pre_ln(self.blocks.get(i)?, &names, false)
    }

    /// Vector of every token before its value is added.
    fn gene_vectors(&self, ids: &[u32]) -> Vec<f32> {
        let mut rows = vec![0.0; ids.len() * self.d];
        gather_sum(&[Lookup { table: &self.words, ids }], self.d, &mut rows);
        let Some(norm) = &self.word_norm else { return rows };
        let mut out = vec![0.0; rows.len()];
        norm.apply(&rows, ids.len(), &mut out);
        out
    }

    /// Vectors of the cells' drugs, when the tokens hold drugs.
    fn drug_vectors(&self, tokens: &Tokens) -> Result<Option<Vec<f32>>> {
        let Some(column) = tokens.per_cell.get(DRUG) else { return Ok(None) };
        let encoder = self.drugs.as_ref().ok_or_else(|| {
            Error::mismatch("the tokens hold drugs, and the model has no drug encoder").at_key("chem_encoder")
        })?;
        if let Some(bad) = column.iter().find(|d| **d as usize >= encoder.n) {
            return Err(Error::mismatch("a cell's drug is beyond the table of fingerprints")
                .at_key(DRUG)
                .expected(format!("below {}", encoder.n))
                .found(bad.to_string()));
        }
        if let Some(cell) = (0..tokens.n_cells()).find(|&c| tokens.len_of(c) < 2) {
            return Err(Error::mismatch("a cell with a drug has no token for it").found(format!("cell {cell} of the minibatch")));
        }
        let ids: Vec<u32> = column.iter().map(|&d| d as u32).collect();
        Ok(Some(encoder.vectors(&ids)))
    }
}

impl TahoeX1 {
    /// The forward pass up to the last wanted site.
    pub(super) fn run(&self, tokens: &Tokens, wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let (network, d, rows) = (&self.network, self.network.d, tokens.ids.len());
        let offer = |tap: &mut dyn Tap, site: Site, data: &[f32], width: usize| {
            if wanted.has(&site) {
                tap.offer(&site, tokens, SiteData::Tokens { data, width })?;
            }
            Ok::<(), Error>(())
        };
        let genes = network.gene_vectors(&tokens.ids);
        offer(tap, extra(names::EMBED_GENE), &genes, d)?;
        let mut x = network.values.apply(&tokens.values);
        offer(tap, extra(names::EMBED_VALUE), &x, d)?;
        add_assign(&mut x, &genes);
        drop(genes);
        if let Some(drugs) = network.drug_vectors(tokens)? {
            // The drug takes the place of the second token, whatever its own vector and value are.
            for (drug, &start) in drugs.chunks_exact(d).zip(&tokens.offsets) {
                x[(start + 1) * d..(start + 2) * d].copy_from_slice(drug);
            }
            if wanted.has(&extra(names::EMBED_CHEM)) {
                let site = extra(names::EMBED_CHEM);
                tap.offer(&site, tokens, SiteData::Cells { data: &drugs, width: d })?;
            }
        }
        offer(tap, Site::Embed, &x, d)?;
        let beyond = self.sites_beyond().iter().any(|s| wanted.has(s));
        if !run_stack(&network.blocks, &mut x, tokens, Attend::Softmax(Mask::FULL), wanted, beyond, tap)? {
            return Ok(());
        }
        let mut normed = vec![0.0; x.len()];
        network.norm.apply(&x, rows, &mut normed);
        drop(x);
        offer(tap, Site::FinalNorm, &normed, d)?;
        let firsts = tokens.offsets.windows(2).flat_map(|w| &normed[w[0] * d..(w[0] + 1) * d]);
        let raw: Vec<f32> = firsts.copied().collect();
        for (site, unit) in [(extra(names::CELL_RAW), false), (Site::CellEmbedding, true)] {
            if wanted.has(&site) {
                let data = if unit { unit_rows(&raw, d) } else { raw.clone() };
                tap.offer(&site, tokens, SiteData::Cells { data: &data, width: d })?;
            }
        }
        if wanted.has(&extra(names::EXPRESSION)) {
            offer(tap, extra(names::EXPRESSION), &network.expression.apply(&normed, rows), 1)?;
        }
        drop(normed);
        match &network.cell_query {
            Some(head) if wanted.has(&extra(names::CELL_QUERY)) => {
                let answers = head.apply(&network.gene_vectors(&tokens.ids), &raw, tokens);
                offer(tap, extra(names::CELL_QUERY), &answers, 1)
            }
            _ => Ok(()),
        }
    }
}

fn drugs(loader: &Loader<'_>, c: &Config) -> Result<Option<DrugEncoder>> {
    let (Some(activation), Some(&[n, width])) =
        (c.drug_activation, loader.shape("chem_encoder.embedding.weight"))
    else {
        return Ok(None);
    };
    let d = c.d_model;
    Ok(Some(DrugEncoder {
        fingerprints: loader.f32("chem_encoder.embedding.weight", &[n, width])?,
        n,
        layers: LayeredReadout {
            layers: vec![(linear(loader, "chem_encoder.fc", d, width)?, None)],
            activation,
            out: linear(loader, "chem_encoder.proj", d, d)?,
        },
        norm: layer_norm(loader, "chem_encoder.norm", d, ENCODER_EPS)?,
    }))
}

fn block(loader: &Loader<'_>, i: usize, c: &Config) -> Result<PreLnBlock> {
    let (d, f) = (c.d_model, c.d_mlp);
    let b = format!("transformer_encoder.layers.{i}");
    let norm = |name: &str| Ok::<_, Error>(Norm::Layer(layer_norm(loader, &format!("{b}.{name}"), d, c.norm_eps)?));
    Ok(PreLnBlock {
        norm1: norm("norm1")?,
        shape: AttentionShape::new(c.n_heads, d / c.n_heads),
        qkv: linear(loader, &format!("{b}.self_attn.Wqkv"), 3 * d, d)?,
        out: linear(loader, &format!("{b}.self_attn.out_proj"), d, d)?,
        norm2: norm("norm2")?,
        mlp: Mlp::Plain {
            up: linear(loader, &format!("{b}.up_proj"), f, d)?,
            activation: c.activation,
            down: linear(loader, &format!("{b}.down_proj"), d, f)?,
        },
        residual: Residual::Stream,
    })
}

/// Kernel activation of a block's feed-forward part, for the description of an opened model.
pub(super) fn activation_name(activation: Activation) -> &'static str {
    match activation {
        Activation::Relu => "relu",
        Activation::GeluErf => "gelu, exact",
        _ => "other",
    }
}
