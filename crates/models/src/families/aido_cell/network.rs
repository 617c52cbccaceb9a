//! The network, in the layout of the published files.

use microtome_core::{Error, Result, Site};
use microtome_kernels::{
    Activation, AttentionShape, LayerNorm, Linear, Lookup, Mask, RmsNorm, add_assign, gather_sum,
};
use microtome_weights::{Audit, Checkpoint, Loader};

use super::config::{Config, MASK, NormKind, PAD};
use super::model::{AidoCell, MLM, VALUE_EMBEDDING};
use crate::block_layout::BlockNames;
use crate::nn::{Attend, Mlp, Norm, PreLnBlock, Residual, SoftBins, Wanted, offer_cells, run_stack};
use crate::{BlockLayout, CellRule, Model, SiteData, Tap, Tokens};

pub(super) struct Network {
    d: usize,
    pub(super) values: SoftBins,
    mask: Vec<f32>,
    pad: Vec<f32>,
    pub(super) positions: Vec<f32>,
    pub(super) blocks: Vec<PreLnBlock>,
    pub(super) norm: Norm,
    pub(super) head: Option<Head>,
    pub(super) n_parameters: u64,
}

/// Readout of masked genes: `decoder(norm(gelu(dense(x)))) + bias`, one number per token.
pub(super) struct Head {
    pub(super) dense: Linear,
    pub(super) activation: Activation,
    pub(super) norm: Norm,
    pub(super) decoder: Linear,
}

impl Network {
    pub(super) fn load(checkpoint: &Checkpoint, c: &Config) -> Result<(Self, Audit)> {
        let d = c.d_model;
        let loader = Loader::new(checkpoint);
        // ForMaskedLM files put the base model under `bert.`; bare base models do not.
        loader.strip_prefix("bert.")?;
        let values = soft_bins(&loader, c)?;
        let e = "gene_embedding";
        let mask = loader.f32(&format!("{e}.mask_embedding.weight"), &[1, d])?;
        let pad = loader.f32(&format!("{e}.pad_embedding.weight"), &[1, d])?;
        let positions = loader.f32("position_embedding.weight", &[c.n_tokens(), d])?;
        let blocks = (0..c.n_blocks).map(|i| block(&loader, i, c)).collect::<Result<_>>()?;
        let norm = norm(&loader, "encoder.ln", c)?;
        let head = head(&loader, c)?;
        let audit = loader.finish(true)?;
        let n_parameters =
            audit.used.iter().map(|t| t.shape.iter().map(|&n| n as u64).product::<u64>()).sum();
        Ok((Self { d, values, mask, pad, positions, blocks, norm, head, n_parameters }, audit))
    }

    /// Names of the tensors of a block.
    pub(super) fn block_layout(&self, i: usize) -> Option<BlockLayout> {
        let block = self.blocks.get(i)?;
        let name = |part: &str| format!("encoder.layer.{i}.{part}");
        let names = BlockNames {
            qkv: ["query", "key", "value"].map(|part| name(&format!("attention.self.{part}"))).to_vec(),
            out: name("attention.output.dense"),
            gate: Some(name("mlp.gate_proj")),
            up: name("mlp.up_proj"),
            down: name("mlp.down_proj"),
            norms: [name("attention.ln"), name("ln")],
            norm_bias: matches!(block.norm1, Norm::Layer(_)),
            transposed: false,
        };
        BlockLayout::pre_ln(block, &names, false)
    }

    /// Vectors of the values: soft bins, or the mask and padding rows.
    fn value_embedding(&self, tokens: &Tokens) -> Vec<f32> {
        let mut out = vec![0.0; tokens.ids.len() * self.d];
        self.values.apply(&tokens.values, &mut out);
        for (row, &value) in out.chunks_exact_mut(self.d).zip(&tokens.values) {
            if value == MASK as f32 {
                row.copy_from_slice(&self.mask);
            } else if value == PAD as f32 {
                row.copy_from_slice(&self.pad);
            }
        }
        out
    }
}

impl AidoCell {
    /// The forward pass up to the last wanted site.
    pub(super) fn run(&self, tokens: &Tokens, wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let (network, d) = (&self.network, self.network.d);
        let offer = |tap: &mut dyn Tap, site: Site, data: &[f32], width: usize| {
            if wanted.has(&site) {
                tap.offer(&site, tokens, SiteData::Tokens { data, width })?;
            }
            Ok::<(), Error>(())
        };
        let mut x = network.value_embedding(tokens);
        offer(tap, Site::Extra(VALUE_EMBEDDING.into()), &x, d)?;
        let mut positions = vec![0.0; x.len()];
        gather_sum(&[Lookup { table: &network.positions, ids: &tokens.ids }], d, &mut positions);
        add_assign(&mut x, &positions);
        drop(positions);
        offer(tap, Site::Embed, &x, d)?;
        let readout = Site::Extra(MLM.into());
        let beyond = [Site::FinalNorm, Site::CellEmbedding, readout.clone()].iter().any(|s| wanted.has(s));
        let attend = Attend::Softmax(Mask::FULL);
        if !run_stack(&network.blocks, &mut x, tokens, attend, wanted, beyond, tap)? {
            return Ok(());
        }
        let rows = tokens.ids.len();
        let mut normed = vec![0.0; x.len()];
        network.norm.apply(&x, rows, &mut normed);
        offer(tap, Site::FinalNorm, &normed, d)?;
        if wanted.has(&Site::CellEmbedding) {
            let genes = |n| self.gene_tokens(n);
            offer_cells(tap, &Site::CellEmbedding, tokens, &normed, d, CellRule::Marked, genes)?;
        }
        if let Some(head) = &network.head
            && wanted.has(&readout)
        {
            head.dense.apply(&normed, rows, head.activation, &mut x);
            head.norm.apply(&x, rows, &mut normed);
            let mut out = vec![0.0; rows];
            head.decoder.apply(&normed, rows, Activation::None, &mut out);
            offer(tap, readout, &out, 1)?;
        }
        Ok(())
    }
}

fn soft_bins(loader: &Loader<'_>, c: &Config) -> Result<SoftBins> {
    let (n, d) = (c.n_bins, c.d_model);
    let e = "gene_embedding";
    let mix = loader.f32(&format!("{e}.linear2.weight"), &[n, n])?;
    let bias2 = loader.f32(&format!("{e}.linear2.bias"), &[n])?;
    let table = loader.f32(&format!("{e}.lookup_table.weight"), &[n, d])?;
    let columns: Vec<f32> = (0..d * n).map(|i| table[(i % n) * d + i / n]).collect();
    Ok(SoftBins {
        weight1: loader.f32(&format!("{e}.linear1.weight"), &[n, 1])?,
        bias1: loader.f32(&format!("{e}.linear1.bias"), &[n])?,
        slope: 0.1,
        mix: Linear::pack(&mix, n, n, Some(&bias2)),
        alpha: c.bin_alpha,
        table: Linear::pack(&columns, d, n, None),
    })
}

fn norm(loader: &Loader<'_>, name: &str, c: &Config) -> Result<Norm> {
    let weight = loader.f32(&format!("{name}.weight"), &[c.d_model])?;
    Ok(match c.norm {
        NormKind::Layer => {
            let bias = loader.f32(&format!("{name}.bias"), &[c.d_model])?;
            Norm::Layer(LayerNorm { weight, bias, eps: c.norm_eps })
        }
        NormKind::Rms => Norm::Rms(RmsNorm { weight, eps: c.norm_eps }),
    })
}

/// A map of the blocks: with a bias exactly when the configuration says so.
fn linear(loader: &Loader<'_>, names: &[String], n_out: usize, n_in: usize, c: &Config) -> Result<Linear> {
    let (mut weight, mut bias) = (vec![], vec![]);
    for name in names {
        weight.extend(loader.f32(&format!("{name}.weight"), &[n_out, n_in])?);
        if c.linear_bias {
            bias.extend(loader.f32(&format!("{name}.bias"), &[n_out])?);
        }
    }
    let bias = c.linear_bias.then_some(&bias[..]);
    Ok(Linear::pack(&weight, names.len() * n_out, n_in, bias))
}

fn block(loader: &Loader<'_>, i: usize, c: &Config) -> Result<PreLnBlock> {
    let (d, f) = (c.d_model, c.d_mlp);
    let b = format!("encoder.layer.{i}");
    let one = |name: &str, n_out, n_in| linear(loader, &[format!("{b}.{name}")], n_out, n_in, c);
    let qkv = ["query", "key", "value"].map(|part| format!("{b}.attention.self.{part}"));
    Ok(PreLnBlock {
        norm1: norm(loader, &format!("{b}.attention.ln"), c)?,
        shape: AttentionShape::new(c.n_heads, d / c.n_heads),
        qkv: linear(loader, &qkv, d, d, c)?,
        out: one("attention.output.dense", d, d)?,
        norm2: norm(loader, &format!("{b}.ln"), c)?,
        mlp: Mlp::Gated {
            gate: one("mlp.gate_proj", f, d)?,
            activation: Activation::Silu,
            up: one("mlp.up_proj", f, d)?,
            down: one("mlp.down_proj", d, f)?,
        },
        residual: Residual::Stream,
    })
}

/// The head of `CellFoundationForMaskedLM`, or none for a bare model.
fn head(loader: &Loader<'_>, c: &Config) -> Result<Option<Head>> {
    let d = c.d_model;
    if !loader.names().iter().any(|n| n.starts_with("cls.predictions.")) {
        return Ok(None);
    }
    let p = "cls.predictions";
    // Files of transformers 4.38 hold the same bias twice, safetensors files once, under either name.
    let bias = match (loader.has(&format!("{p}.bias")), loader.has(&format!("{p}.decoder.bias"))) {
        (false, true) => format!("{p}.decoder.bias"),
        _ => {
            loader.tied(&format!("{p}.decoder.bias"), &format!("{p}.bias"))?;
            format!("{p}.bias")
        }
    };
    let weight = loader.f32(&format!("{p}.decoder.weight"), &[1, d])?;
    let dense = loader.f32(&format!("{p}.transform.dense.weight"), &[d, d])?;
    let dense_bias = loader.f32(&format!("{p}.transform.dense.bias"), &[d])?;
    Ok(Some(Head {
        dense: Linear::pack(&dense, d, d, Some(&dense_bias)),
        activation: Activation::GeluErf,
        norm: head_norm(loader, &format!("{p}.transform.LayerNorm"), c)?,
        decoder: Linear::pack(&weight, 1, d, Some(&loader.f32(&bias, &[1])?)),
    }))
}

/// The norm of the head keeps BERT's name, and is a LayerNorm wherever the file has its bias.
fn head_norm(loader: &Loader<'_>, name: &str, c: &Config) -> Result<Norm> {
    let kind = if loader.has(&format!("{name}.bias")) { NormKind::Layer } else { c.norm };
    norm(loader, name, &Config { norm: kind, ..c.clone() })
}
