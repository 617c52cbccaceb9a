//! Blocks and masked-token readout under Hugging Face's names.

use microtome_core::Result;
use microtome_kernels::{AttentionShape, Linear, PostLnBlock};
use microtome_weights::Loader;

use super::BertConfig;
use crate::nn::{MaskedHead, stored};

/// `PREFIXencoder.layer.{i}` for every block.
pub(crate) fn blocks(loader: &Loader<'_>, prefix: &str, config: &BertConfig) -> Result<Vec<PostLnBlock>> {
    (0..config.n_blocks).map(|i| block(loader, &format!("{prefix}encoder.layer.{i}"), config)).collect()
}

fn block(loader: &Loader<'_>, name: &str, config: &BertConfig) -> Result<PostLnBlock> {
    let (d, f, eps) = (config.d_model, config.d_mlp, config.layer_norm_eps);
    let (mut weight, mut bias) = (vec![], vec![]);
    for part in ["query", "key", "value"] {
        let name = format!("{name}.attention.self.{part}");
        weight.extend(loader.f32(&format!("{name}.weight"), &[d, d])?);
        bias.extend(loader.f32(&format!("{name}.bias"), &[d])?);
    }
    Ok(PostLnBlock {
        shape: AttentionShape::new(config.n_heads, d / config.n_heads),
        qkv: Linear::pack(&weight, 3 * d, d, Some(&bias)),
        out: stored::linear(loader, &format!("{name}.attention.output.dense"), d, d)?,
        norm1: stored::layer_norm(loader, &format!("{name}.attention.output.LayerNorm"), d, eps)?,
        up: stored::linear(loader, &format!("{name}.intermediate.dense"), f, d)?,
        activation: config.activation,
        down: stored::linear(loader, &format!("{name}.output.dense"), d, f)?,
        norm2: stored::layer_norm(loader, &format!("{name}.output.LayerNorm"), d, eps)?,
    })
}

/// `NAME.transform.*` and `NAME.bias`, with the decoder tied to the table `words`.
pub(crate) fn masked_head(
    loader: &Loader<'_>,
    name: &str,
    words: &str,
    config: &BertConfig,
) -> Result<MaskedHead> {
    let d = config.d_model;
    loader.tied(&format!("{name}.decoder.weight"), words)?;
    loader.tied(&format!("{name}.decoder.bias"), &format!("{name}.bias"))?;
    Ok(MaskedHead {
        dense: stored::linear(loader, &format!("{name}.transform.dense"), d, d)?,
        activation: config.activation,
        norm: stored::layer_norm(loader, &format!("{name}.transform.LayerNorm"), d, config.layer_norm_eps)?,
        bias: loader.f32(&format!("{name}.bias"), &[config.vocab_size])?,
        decoder: std::sync::OnceLock::new(),
    })
}
