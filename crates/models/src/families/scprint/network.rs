//! The network, in the layout of the published files. Which parts exist is told by the names and shapes of the tensors.

use microtome_core::{Error, Result, Site};
use microtome_kernels::{Activation, AttentionShape, LayerNorm, Mask};
use microtome_weights::{Audit, Checkpoint, Loader};

use super::encoder::{Encoder, layer_norm, linear};
use super::hyper::Hyper;
use super::layout::STATE;
use super::model::{
    CELL_MEAN, CELL_TOKENS, CLASS, DISPERSION, MEAN, PREDICTED, ScPrint, VALUE_EMBEDDING, ZERO_LOGITS,
};
use super::readout::{ClassHead, ExpressionHead};
use super::tokenise::{CellToken, CellTokens, DEPTH, SELECTED, depth_value};
use crate::block_layout::BlockNames;
use crate::nn::{Attend, Mlp, Norm, PreLnBlock, Residual, Wanted, offer_cells, run_stack};
use crate::{BlockLayout, CellRule, MASKED, Model, SiteData, Tap, Tokens};

/// eps of the norms of the blocks and of the final norm.
const BLOCK_EPS: f32 = 1e-6;

pub(super) struct Network {
    pub(super) d: usize,
    /// `[gene, d]`, protein embeddings.
    pub(super) gene_table: Vec<f32>,
    /// `[gene, d]`, genome positions as the file stores them.
    pub(super) positions: Vec<f32>,
    pub(super) values: Encoder,
    pub(super) depth: Option<Encoder>,
    /// `[2, d]`.
    metacell: Option<Vec<f32>>,
    /// `[1 + classes, d]`.
    pub(super) class_table: Vec<f32>,
    pub(super) blocks: Vec<PreLnBlock>,
    pub(super) norm: LayerNorm,
    pub(super) expression: ExpressionHead,
    pub(super) classes: Vec<ClassHead>,
    pub(super) cell_tokens: CellTokens,
    pub(super) n_parameters: u64,
}

impl Network {
    pub(super) fn load(checkpoint: &Checkpoint, hyper: &Hyper) -> Result<(Self, Audit)> {
        let d = hyper.d_model;
        let loader = Loader::new(checkpoint);
        if checkpoint.names().iter().any(|n| n.starts_with(&format!("{STATE}."))) {
            loader.scope(STATE)?;
        }
        loader.ignore("*grad_reverse_discriminator_loss.*", "adversarial head of training, not used at inference");
        loader.ignore("*mvc_decoder.*", "expression from the cell vector, a training objective");
        let n = hyper.genes.len();
        // 1.x names the table `embedding`, 2.x `embeddings`; it also tells in which order cell tokens were trained.
        let first_release = loader.has("gene_encoder.embedding.weight");
        let table = if first_release { "gene_encoder.embedding.weight" } else { "gene_encoder.embeddings.weight" };
        let gene_table = loader.f32(table, &[n, d])?;
        let positions = loader.f32("pos_encoder.pe", &[n, 1, d])?;
        let values = Encoder::load(&loader, "expr_encoder", d)?;
        check_layers(&values, hyper)?;
        let depth = loader
            .has("depth_encoder.encoder.0.weight")
            .then(|| Encoder::load(&loader, "depth_encoder", d))
            .transpose()?;
        let metacell = loader.optional_f32("metacell_encoder.embedding.weight", &[2, d])?;
        let class_table = loader.f32("class_encoder.embedding.weight", &[hyper.classes.len() + 1, d])?;
        let blocks = (0..hyper.n_blocks).map(|i| block(&loader, i, hyper)).collect::<Result<_>>()?;
        let norm = layer_norm(&loader, "transformer.norm", d, BLOCK_EPS)?;
        let expression = ExpressionHead::load(&loader, d)?;
        let classes = hyper.classes.iter().map(|c| ClassHead::load(&loader, c, d)).collect::<Result<_>>()?;
        let audit = loader.finish(true)?;
        let buffer = |name: &str| name.ends_with("pos_encoder.pe");
        let n_parameters = audit
            .used
            .iter()
            .filter(|t| !buffer(&t.name))
            .map(|t| t.shape.iter().map(|&n| n as u64).product::<u64>())
            .sum();
        let cell_tokens =
            CellTokens::new(n, hyper.classes.len(), depth.is_some(), metacell.is_some(), first_release);
        let network = Self {
            d,
            gene_table,
            positions,
            values,
            depth,
            metacell,
            class_table,
            blocks,
            norm,
            expression,
            classes,
            cell_tokens,
            n_parameters,
        };
        Ok((network, audit))
    }

    /// Names of the tensors of a block.
    pub(super) fn block_layout(&self, i: usize) -> Option<BlockLayout> {
        let name = |part: &str| format!("{}.{part}", block_name(i));
        let names = BlockNames {
            qkv: vec![name("mixer.Wqkv")],
            out: name("mixer.out_proj"),
            gate: None,
            up: name("mlp.fc1"),
            down: name("mlp.fc2"),
            norms: [name("norm1"), name("norm2")],
            norm_bias: true,
            transposed: false,
        };
        BlockLayout::pre_ln(self.blocks.get(i)?, &names, false)
    }

    fn is_gene(&self, id: u32) -> bool {
        (id as usize) < self.gene_table.len() / self.d
    }

    /// `[token, d]` of the value encoder; zeros for cell tokens and masked genes.
    fn value_embedding(&self, tokens: &Tokens) -> Vec<f32> {
        let encoded: Vec<usize> = (0..tokens.ids.len())
            .filter(|&i| self.is_gene(tokens.ids[i]) && tokens.values[i] != MASKED)
            .collect();
        let values: Vec<f32> = encoded.iter().map(|&i| tokens.values[i]).collect();
        let rows = self.values.apply(&values);
        let mut out = vec![0.0; tokens.ids.len() * self.d];
        for (&i, row) in encoded.iter().zip(rows.chunks_exact(self.d)) {
            out[i * self.d..(i + 1) * self.d].copy_from_slice(row);
        }
        out
    }

    /// Adds genes and positions to the value embedding, and puts the cell tokens in.
    fn embed(&self, tokens: &Tokens, x: &mut [f32]) -> Result<()> {
        let d = self.d;
        let genes = self.gene_table.len() / d;
        let depths: Vec<f32> = {
            let id = self.cell_tokens.id(CellToken::Depth);
            tokens.ids.iter().zip(&tokens.values).filter(|(i, _)| **i == id).map(|(_, v)| *v).collect()
        };
        let depth_rows = self.depth.as_ref().map(|e| e.apply(&depths)).unwrap_or_default();
        let mut depth_rows = depth_rows.chunks_exact(d);
        for ((row, &id), &value) in x.chunks_exact_mut(d).zip(&tokens.ids).zip(&tokens.values) {
            let id = id as usize;
            if id < genes {
                let (gene, place) = (&self.gene_table[id * d..(id + 1) * d], &self.positions[id * d..(id + 1) * d]);
                for ((x, g), p) in row.iter_mut().zip(gene).zip(place) {
                    *x = g + *x + p;
                }
                continue;
            }
            let cell_row = match (id - genes, &self.metacell) {
                (0, _) => depth_rows.next(),
                (1, Some(table)) => {
                    let flag = usize::from(value != 0.0);
                    table.get(flag * d..(flag + 1) * d)
                }
                (1, None) => None,
                (row, _) => self.class_table.get((row - 2) * d..(row - 1) * d),
            };
            let cell_row = cell_row.ok_or_else(|| {
                Error::mismatch("a token is not in the model's vocabulary").found(id.to_string())
            })?;
            row.copy_from_slice(cell_row);
        }
        Ok(())
    }
}

impl ScPrint {
    /// The forward pass up to the last wanted site.
    pub(super) fn run(&self, tokens: &Tokens, wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let (network, d) = (&self.network, self.network.d);
        let mut x = network.value_embedding(tokens);
        let values = Site::Extra(VALUE_EMBEDDING.into());
        if wanted.has(&values) {
            tap.offer(&values, tokens, SiteData::Tokens { data: &x, width: d })?;
        }
        network.embed(tokens, &mut x)?;
        if wanted.has(&Site::Embed) {
            tap.offer(&Site::Embed, tokens, SiteData::Tokens { data: &x, width: d })?;
        }
        let beyond = self.after_blocks().iter().any(|s| wanted.has(s));
        let attend = Attend::Softmax(Mask::FULL);
        if !run_stack(&network.blocks, &mut x, tokens, attend, wanted, beyond, tap)? {
            return Ok(());
        }
        let mut normed = vec![0.0; x.len()];
        network.norm.apply(&x, tokens.ids.len(), &mut normed);
        drop(x);
        if wanted.has(&Site::FinalNorm) {
            tap.offer(&Site::FinalNorm, tokens, SiteData::Tokens { data: &normed, width: d })?;
        }
        self.offer_cell_vectors(tokens, &normed, wanted, tap)?;
        self.offer_expression(tokens, &normed, wanted, tap)?;
        self.offer_classes(tokens, &normed, wanted, tap)
    }

    fn offer_cell_vectors(&self, tokens: &Tokens, x: &[f32], wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let d = self.network.d;
        let front = self.network.cell_tokens.len();
        let all = Site::Extra(CELL_TOKENS.into());
        if wanted.has(&all) {
            let rows: Vec<f32> = (0..tokens.n_cells())
                .flat_map(|c| &x[tokens.offsets[c] * d..(tokens.offsets[c] + front) * d])
                .copied()
                .collect();
            tap.offer(&all, tokens, SiteData::Cells { data: &rows, width: front * d })?;
        }
        let mean = Site::Extra(CELL_MEAN.into());
        if wanted.has(&mean) {
            offer_cells(tap, &mean, tokens, x, d, CellRule::Mean, |_| 0..front)?;
        }
        if wanted.has(&Site::CellEmbedding) {
            let genes = |n| self.gene_tokens(n);
            offer_cells(tap, &Site::CellEmbedding, tokens, x, d, CellRule::Marked, genes)?;
        }
        Ok(())
    }

    /// Mean, dispersion and zero logit of every gene token; zeros at cell tokens.
    fn offer_expression(&self, tokens: &Tokens, x: &[f32], wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let sites = [MEAN, DISPERSION, ZERO_LOGITS].map(|s| Site::Extra(s.into()));
        if !sites.iter().any(|s| wanted.has(s)) {
            return Ok(());
        }
        let d = self.network.d;
        let (depths, totals) = (per_cell(tokens, DEPTH)?, per_cell(tokens, SELECTED)?);
        let mut out = [0, 1, 2].map(|_| vec![0.0; tokens.ids.len()]);
        for cell in 0..tokens.n_cells() {
            let genes = self.gene_tokens(tokens.len_of(cell));
            let span = tokens.offsets[cell] + genes.start..tokens.offsets[cell] + genes.end;
            let rows = &x[span.start * d..span.end * d];
            let found = self.network.expression.apply(rows, depth_value(depths[cell]), totals[cell]);
            for (out, found) in out.iter_mut().zip(found) {
                out[span.clone()].copy_from_slice(&found);
            }
        }
        for (site, data) in sites.iter().zip(&out).filter(|(s, _)| wanted.has(s)) {
            tap.offer(site, tokens, SiteData::Tokens { data, width: 1 })?;
        }
        Ok(())
    }

    fn offer_classes(&self, tokens: &Tokens, x: &[f32], wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let predicted = Site::Extra(PREDICTED.into());
        let (d, n_cells, n_classes) = (self.network.d, tokens.n_cells(), self.network.classes.len());
        let mut best = vec![0.0; n_cells * n_classes];
        for (i, (class, head)) in self.hyper.classes.iter().zip(&self.network.classes).enumerate() {
            let site = Site::Extra(format!("{CLASS}{}", class.name));
            if !wanted.has(&site) && !wanted.has(&predicted) {
                continue;
            }
            let at = self.network.cell_tokens.of_class(i);
            let rows: Vec<f32> = (0..n_cells)
                .flat_map(|c| &x[(tokens.offsets[c] + at) * d..(tokens.offsets[c] + at + 1) * d])
                .copied()
                .collect();
            let logits = head.apply(&rows, n_cells);
            for (cell, row) in logits.chunks_exact(class.n).enumerate() {
                // The first of equals, as argmax does.
                let top = (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0);
                best[cell * n_classes + i] = top as f32;
            }
            if wanted.has(&site) {
                tap.offer(&site, tokens, SiteData::Cells { data: &logits, width: class.n })?;
            }
        }
        if wanted.has(&predicted) {
            tap.offer(&predicted, tokens, SiteData::Cells { data: &best, width: n_classes })?;
        }
        Ok(())
    }
}

fn per_cell<'t>(tokens: &'t Tokens, name: &str) -> Result<&'t [f32]> {
    tokens.per_cell.get(name).map(Vec::as_slice).ok_or_else(|| {
        Error::usage("these tokens were not made by the model's tokeniser")
            .expected(format!("a number per cell called {name}"))
    })
}

fn check_layers(values: &Encoder, hyper: &Hyper) -> Result<()> {
    let found = values.rest.len() as u64 + 1;
    match hyper.raw.get("expr_encoder_layers").and_then(serde_json::Value::as_u64) {
        Some(stated) if stated != found => Err(Error::mismatch("the value encoder has another depth than stated")
            .at_key("hyper_parameters.expr_encoder_layers")
            .expected(stated.to_string())
            .found(format!("{found} linear maps in expr_encoder"))),
        _ => Ok(()),
    }
}

fn block_name(i: usize) -> String {
    format!("transformer.blocks.{i}")
}

fn block(loader: &Loader<'_>, i: usize, hyper: &Hyper) -> Result<PreLnBlock> {
    let (d, n_heads) = (hyper.d_model, hyper.n_heads);
    let d_head = d / n_heads;
    let b = block_name(i);
    let name = format!("{b}.mixer.Wqkv");
    // Rows are queries of all heads, then keys, then values; fewer rows than 3 d mean shared key and value heads.
    let rows = match loader.shape(&format!("{name}.weight")) {
        Some([rows, _]) => *rows,
        _ => 3 * d,
    };
    let n_kv_heads = rows.saturating_sub(d) / (2 * d_head);
    let fits = n_kv_heads > 0 && (n_heads + 2 * n_kv_heads) * d_head == rows && n_heads.is_multiple_of(n_kv_heads);
    let stated = hyper.raw.get("num_heads_kv").and_then(serde_json::Value::as_u64);
    if !fits || stated.is_some_and(|n| n != n_kv_heads as u64) {
        return Err(Error::mismatch("the attention does not divide into the heads")
            .at_key(format!("{name}.weight"))
            .expected(format!(
                "(heads + 2 key/value heads) x {d_head} rows for {n_heads} heads and {} key/value heads",
                stated.map_or_else(|| n_heads.to_string(), |n| n.to_string())
            ))
            .found(format!("{rows} rows")));
    }
    let norm = |n: &str| Ok::<Norm, Error>(Norm::Layer(layer_norm(loader, &format!("{b}.{n}"), d, BLOCK_EPS)?));
    Ok(PreLnBlock {
        norm1: norm("norm1")?,
        shape: AttentionShape { n_kv_heads, ..AttentionShape::new(n_heads, d_head) },
        qkv: linear(loader, &name, rows, d)?,
        out: linear(loader, &format!("{b}.mixer.out_proj"), d, d)?,
        norm2: norm("norm2")?,
        mlp: Mlp::Plain {
            up: linear(loader, &format!("{b}.mlp.fc1"), 4 * d, d)?,
            activation: Activation::GeluErf,
            down: linear(loader, &format!("{b}.mlp.fc2"), d, 4 * d)?,
        },
        residual: Residual::Stream,
    })
}
