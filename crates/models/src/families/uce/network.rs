//! The network, in the published layout.

use microtome_core::{Error, Matrix, Result, Site};
use microtome_kernels::{Activation, AttentionShape, LayerNorm, Linear, Mask, PostLnBlock, add_assign};
use microtome_weights::{Audit, Checkpoint, Loader};

use super::model::{Uce, extra, names};
use super::sentence::PAD;
use crate::block_layout::BlockNames;
use crate::nn::stored::{layer_norm, linear};
use crate::nn::{Wanted, run_post_ln_stack, unit_rows};
use crate::{BlockLayout, SiteData, Tap, Tokens};

/// Of every LayerNorm.
pub(super) const EPS: f32 = 1e-5;
/// Token vectors and hidden rows that exist at one time.
const ROWS: usize = 1024;
/// What the reference adds to the scores of padding.
pub(super) const PAD_BIAS: f32 = 1.0;

/// Before the number of a block.
const LAYERS: &str = "transformer_encoder.layers";

/// The frozen table of protein vectors; rows are read where they are needed.
pub(super) struct TokenTable {
    checkpoint: Checkpoint,
    name: String,
    pub(super) rows: usize,
    pub(super) width: usize,
}

impl TokenTable {
    pub(super) fn read(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let rows: Vec<usize> = ids.iter().map(|&i| i as usize).collect();
        self.checkpoint.read_rows_f32(&self.name, &rows)
    }
}

/// `linear`, then norm and activation in either order.
#[derive(Clone)]
pub(super) struct Step {
    pub(super) linear: Linear,
    pub(super) norm: LayerNorm,
    pub(super) activation: Activation,
    pub(super) norm_first: bool,
}

impl Step {
    fn load(loader: &Loader<'_>, linear_name: &str, norm_name: &str, norm_first: bool) -> Result<Self> {
        let linear = any_linear(loader, linear_name)?;
        let norm = layer_norm(loader, norm_name, linear.n_out(), EPS)?;
        Ok(Self { linear, norm, activation: Activation::GeluErf, norm_first })
    }

    pub(super) fn apply(&self, x: &[f32], rows: usize) -> Vec<f32> {
        let mut hidden = vec![0.0; rows * self.linear.n_out()];
        let first = if self.norm_first { Activation::None } else { self.activation };
        self.linear.apply(x, rows, first, &mut hidden);
        let mut out = vec![0.0; hidden.len()];
        self.norm.apply(&hidden, rows, &mut out);
        if self.norm_first {
            self.activation.apply(&mut out);
        }
        out
    }
}

/// Steps and a last linear map.
#[derive(Clone)]
pub(super) struct Decoder {
    pub(super) steps: Vec<Step>,
    pub(super) out: Linear,
}

impl Decoder {
    fn load(loader: &Loader<'_>, name: &str) -> Result<Self> {
        let step = |i: usize| Step::load(loader, &format!("{name}.{i}.0"), &format!("{name}.{i}.1"), true);
        let steps = (0..3).map(step).collect::<Result<Vec<_>>>()?;
        let out = any_linear(loader, &format!("{name}.3"))?;
        let widths = steps.iter().map(|s| &s.linear).chain([&out]);
        if widths.clone().zip(widths.skip(1)).any(|(a, b)| a.n_out() != b.n_in()) {
            return Err(
                Error::mismatch("the layers of a readout do not fit together").at_key(name.to_string())
            );
        }
        Ok(Self { steps, out })
    }

    pub(super) fn n_in(&self) -> usize {
        self.steps.first().map_or(self.out.n_in(), |s| s.linear.n_in())
    }

    /// `[rows, n_out]`.
    pub(super) fn apply(&self, x: &[f32], rows: usize) -> Vec<f32> {
        let mut x = x.to_vec();
        for step in &self.steps {
            x = step.apply(&x, rows);
        }
        let mut out = vec![0.0; rows * self.out.n_out()];
        self.out.apply(&x, rows, Activation::None, &mut out);
        out
    }
}

pub(super) struct Network {
    pub(super) d: usize,
    pub(super) table: TokenTable,
    pub(super) encoder: Step,
    /// `sqrt(d)`.
    pub(super) embed_scale: f32,
    /// `[position, d]`, as the file holds them.
    pub(super) positions: Vec<f32>,
    pub(super) blocks: Vec<PostLnBlock>,
    pub(super) decoder: Decoder,
    /// Whether a gene is expressed, asked of a cell's vector and a gene's.
    pub(super) expression: Decoder,
    pub(super) gene_layer: Step,
    /// Whether token vectors are divided by their length.
    pub(super) unit_tokens: bool,
    pub(super) n_parameters: u64,
}

impl Network {
    /// `tokens` is read when the file has no token table of its own.
    pub(super) fn load(
        checkpoint: Checkpoint,
        tokens: Option<Checkpoint>,
        n_heads: usize,
    ) -> Result<(Self, Audit)> {
        let loader = Loader::new(&checkpoint);
        loader.strip_prefix("module.")?;
        let encoder = Step::load(&loader, "encoder.0", "encoder.2", false)?;
        let (d, width) = (encoder.linear.n_out(), encoder.linear.n_in());
        let n_positions = shape_of(&loader, "pos_encoder.pe", 3)?[0];
        let positions = loader.f32("pos_encoder.pe", &[n_positions, 1, d])?;
        let n_blocks = (0..).take_while(|i| loader.has(&format!("{LAYERS}.{i}.linear1.weight"))).count();
        if n_blocks == 0 {
            return Err(
                Error::mismatch("the checkpoint has no transformer blocks").at_key(format!("{LAYERS}.0.*"))
            );
        }
        let blocks = (0..n_blocks)
            .map(|i| block(&loader, &format!("{LAYERS}.{i}"), d, n_heads))
            .collect::<Result<_>>()?;
        let decoder = Decoder::load(&loader, "decoder")?;
        let expression = Decoder::load(&loader, "binary_decoder")?;
        let gene_layer = Step::load(&loader, "gene_embedding_layer.0", "gene_embedding_layer.2", false)?;
        let fits = decoder.n_in() == d
            && gene_layer.linear.n_in() == width
            && expression.n_in() == decoder.out.n_out() + gene_layer.linear.n_out()
            && expression.out.n_out() == 1;
        if !fits {
            return Err(Error::mismatch("the readouts do not fit the network")
                .at_key("decoder, binary_decoder, gene_embedding_layer"));
        }
        const TABLE: &str = "pe_embedding.weight";
        let own = match loader.shape(TABLE).map(<[usize]>::to_vec) {
            Some(shape) => Some((loader.table(TABLE, &[shape[0], width])?, shape[0])),
            None => None,
        };
        let audit = loader.finish(true)?;
        drop(loader);
        let table = match (own, tokens) {
            (Some((name, rows)), _) => TokenTable { checkpoint, name, rows, width },
            (None, Some(tokens)) => table_of(tokens, width)?,
            (None, None) => {
                return Err(Error::unreadable("the checkpoint has no table of protein vectors")
                    .at_key(TABLE)
                    .remedy("put all_tokens.torch beside it"));
            }
        };
        let counted: u64 =
            audit.used.iter().map(|t| t.shape.iter().map(|&n| n as u64).product::<u64>()).sum();
        let in_weights = audit.used.iter().any(|t| t.name.ends_with(TABLE));
        let n_parameters = counted + if in_weights { 0 } else { (table.rows * table.width) as u64 };
        let embed_scale = (d as f64).sqrt() as f32;
        let network = Self {
            d,
            table,
            encoder,
            embed_scale,
            positions,
            blocks,
            decoder,
            expression,
            gene_layer,
            unit_tokens: true,
            n_parameters,
        };
        Ok((network, audit))
    }

    /// Names of the tensors of a block.
    pub(super) fn block_layout(&self, i: usize) -> Option<BlockLayout> {
        BlockLayout::post_ln(self.blocks.get(i)?, &BlockNames::torch(&format!("{LAYERS}.{i}")))
    }

    /// Vectors of tokens as the network takes them: divided by their length.
    fn token_vectors(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let rows = self.table.read(ids)?;
        if !self.unit_tokens {
            return Ok(rows);
        }
        let mut out = unit_rows(&rows, self.table.width);
        // A row of zeros stays one.
        out.iter_mut().filter(|v| v.is_nan()).for_each(|v| *v = 0.0);
        Ok(out)
    }

    /// `gene_embedding_layer` of rows of the table, `[id, d]`.
    pub(super) fn gene_vectors(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let mut out = Vec::with_capacity(ids.len() * self.gene_layer.linear.n_out());
        for ids in ids.chunks(ROWS) {
            out.extend(self.gene_layer.apply(&self.table.read(ids)?, ids.len()));
        }
        Ok(out)
    }

    /// Logit of a gene being expressed in a cell, for rows of `[cell vector | gene vector]`.
    pub(super) fn expression_logits(&self, cell: &[f32], genes: &[f32]) -> Vec<f32> {
        let width = self.gene_layer.linear.n_out();
        let mut out = Vec::with_capacity(genes.len() / width.max(1));
        for genes in genes.chunks(ROWS * width) {
            let rows: Vec<f32> =
                genes.chunks_exact(width).flat_map(|g| cell.iter().chain(g)).copied().collect();
            out.extend(self.expression.apply(&rows, genes.len() / width));
        }
        out
    }

    /// `gene_embedding_layer` of the whole table, `[token, d]`.
    pub(super) fn gene_table(&self) -> Option<Matrix> {
        let ids: Vec<u32> = (0..self.table.rows as u32).collect();
        Matrix::new(self.table.rows, self.gene_layer.linear.n_out(), self.gene_vectors(&ids).ok()?).ok()
    }

    /// Input of block 0.
    fn embed(&self, tokens: &Tokens) -> Result<Vec<f32>> {
        let mut x = Vec::with_capacity(tokens.ids.len() * self.d);
        for ids in tokens.ids.chunks(ROWS) {
            x.extend(self.encoder.apply(&self.token_vectors(ids)?, ids.len()));
        }
        x.iter_mut().for_each(|v| *v *= self.embed_scale);
        for span in tokens.offsets.windows(2) {
            let n = (span[1] - span[0]) * self.d;
            add_assign(&mut x[span[0] * self.d..span[1] * self.d], &self.positions[..n]);
        }
        Ok(x)
    }
}

impl Uce {
    /// The forward pass up to the last wanted site.
    pub(super) fn run(&self, tokens: &Tokens, wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let (network, d) = (&self.network, self.network.d);
        let site = extra(names::TOKEN_UNIT);
        if wanted.has(&site) {
            let data = &network.token_vectors(&tokens.ids)?[..];
            tap.offer(&site, tokens, SiteData::Tokens { data, width: network.table.width })?;
        }
        let mut x = network.embed(tokens)?;
        if wanted.has(&Site::Embed) {
            tap.offer(&Site::Embed, tokens, SiteData::Tokens { data: &x, width: d })?;
        }
        let bias = self.bias_of_padding(tokens);
        let mask = bias.as_deref().map_or(Mask::FULL, |b| Mask::FULL.with_key_bias(b));
        let beyond = self.sites_beyond().iter().any(|s| wanted.has(s));
        if run_post_ln_stack(&network.blocks, &mut x, tokens, mask, wanted, beyond, tap)? {
            self.read_out(tokens, &x, wanted, tap)?;
        }
        Ok(())
    }

    /// What padding adds to its scores; none where there is no padding.
    pub(super) fn bias_of_padding(&self, tokens: &Tokens) -> Option<Vec<f32>> {
        let bias = |&id: &u32| if id == PAD { self.pad_bias } else { 0.0 };
        tokens.ids.contains(&PAD).then(|| tokens.ids.iter().map(bias).collect())
    }

    fn read_out(&self, tokens: &Tokens, x: &[f32], wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let (network, d) = (&self.network, self.network.d);
        let width = network.decoder.out.n_out();
        let site = extra(names::DECODER);
        if wanted.has(&site) {
            let parts = x.chunks(ROWS * d).map(|x| network.decoder.apply(x, x.len() / d));
            let data = &parts.collect::<Vec<_>>().concat()[..];
            tap.offer(&site, tokens, SiteData::Tokens { data, width })?;
        }
        let firsts: Vec<f32> =
            tokens.offsets.windows(2).flat_map(|w| &x[w[0] * d..(w[0] + 1) * d]).copied().collect();
        let raw = network.decoder.apply(&firsts, tokens.n_cells());
        let unit = unit_rows(&raw, width);
        for (site, data) in [(extra(names::CELL_RAW), &raw), (Site::CellEmbedding, &unit)] {
            if wanted.has(&site) {
                tap.offer(&site, tokens, SiteData::Cells { data, width })?;
            }
        }
        let site = extra(names::EXPRESSION);
        if wanted.has(&site) {
            let mut data = Vec::with_capacity(tokens.ids.len());
            for (cell, unit) in unit.chunks_exact(width).enumerate() {
                data.extend(network.expression_logits(unit, &network.gene_vectors(tokens.cell(cell).0)?));
            }
            tap.offer(&site, tokens, SiteData::Tokens { data: &data, width: 1 })?;
        }
        Ok(())
    }
}

/// A bare tensor of the whole table.
fn table_of(tokens: Checkpoint, width: usize) -> Result<TokenTable> {
    let name = tokens.names().first().map(|n| (*n).to_string()).unwrap_or_default();
    match tokens.info(&name).map(|i| i.shape.clone()).as_deref() {
        Some(&[rows, w]) if w == width && tokens.names().len() == 1 => {
            Ok(TokenTable { checkpoint: tokens, name, rows, width })
        }
        other => Err(Error::mismatch("the token table does not fit the model")
            .in_file(tokens.path())
            .expected(format!("one tensor of {width} columns"))
            .found(format!("{other:?}"))),
    }
}

fn shape_of(loader: &Loader<'_>, name: &str, n_axes: usize) -> Result<Vec<usize>> {
    match loader.shape(name) {
        Some(shape) if shape.len() == n_axes && shape.iter().all(|n| *n > 0) => Ok(shape.to_vec()),
        Some(shape) => Err(Error::mismatch("the tensor has another shape than the model needs")
            .at_key(name.to_string())
            .expected(format!("{n_axes} dimensions, none of them 0"))
            .found(format!("{shape:?}"))),
        // Gives the message with the nearest name.
        None => loader.f32(name, &[]).map(|_| vec![]),
    }
}

/// A linear map of whatever size the file has.
fn any_linear(loader: &Loader<'_>, name: &str) -> Result<Linear> {
    let shape = shape_of(loader, &format!("{name}.weight"), 2)?;
    linear(loader, name, shape[0], shape[1])
}

fn block(loader: &Loader<'_>, name: &str, d: usize, n_heads: usize) -> Result<PostLnBlock> {
    let a = format!("{name}.self_attn");
    let weight = loader.f32(&format!("{a}.in_proj_weight"), &[3 * d, d])?;
    let bias = loader.f32(&format!("{a}.in_proj_bias"), &[3 * d])?;
    let d_mlp = shape_of(loader, &format!("{name}.linear1.weight"), 2)?[0];
    Ok(PostLnBlock {
        shape: AttentionShape::new(n_heads, d / n_heads),
        qkv: Linear::pack(&weight, 3 * d, d, Some(&bias)),
        out: linear(loader, &format!("{a}.out_proj"), d, d)?,
        norm1: layer_norm(loader, &format!("{name}.norm1"), d, EPS)?,
        up: linear(loader, &format!("{name}.linear1"), d_mlp, d)?,
        activation: Activation::Relu,
        down: linear(loader, &format!("{name}.linear2"), d, d_mlp)?,
        norm2: layer_norm(loader, &format!("{name}.norm2"), d, EPS)?,
    })
}
