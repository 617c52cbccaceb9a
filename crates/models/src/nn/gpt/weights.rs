//! Reading a stack under the names that GPT-2 gave its parts and nanoGPT kept.

use microtome_core::Result;
use microtome_kernels::{AttentionShape, LayerNorm, Linear};
use microtome_weights::Loader;

use super::{Gpt, GptLayout, GptShape};
use crate::BlockLayout;
use crate::block_layout::BlockNames;
use crate::nn::{Mlp, Norm, PreLnBlock, Residual};

impl Gpt {
    /// `PREFIXh.{i}.*` and `PREFIXln_f`. Causal masks that older files store as buffers are listed as ignored.
    pub(crate) fn load(
        loader: &Loader<'_>,
        prefix: &str,
        shape: &GptShape,
        layout: GptLayout,
    ) -> Result<Self> {
        let reader = Reader { loader, shape, layout };
        let blocks =
            (0..shape.n_blocks).map(|i| reader.block(&format!("{prefix}h.{i}"))).collect::<Result<_>>()?;
        for buffer in ["attn.bias", "attn.masked_bias"] {
            loader.ignore(
                &format!("{prefix}h.*.{buffer}"),
                "a buffer that says which keys are hidden: the causal mask",
            );
        }
        let norm = reader.norm(&format!("{prefix}ln_f"))?;
        Ok(Self { blocks, norm, layout, bias: shape.bias, causal: true })
    }

    /// Names of the tensors of a block, without what stands before `h.{i}`.
    pub(crate) fn block_layout(&self, i: usize) -> Option<BlockLayout> {
        let name = |part: &str| format!("h.{i}.{part}");
        let names = BlockNames {
            qkv: vec![name("attn.c_attn")],
            out: name("attn.c_proj"),
            gate: None,
            up: name("mlp.c_fc"),
            down: name("mlp.c_proj"),
            norms: [name("ln_1"), name("ln_2")],
            norm_bias: self.bias,
            transposed: self.layout == GptLayout::Conv1d,
        };
        BlockLayout::pre_ln(self.blocks.get(i)?, &names, self.causal)
    }
}

struct Reader<'a, 'c> {
    loader: &'a Loader<'c>,
    shape: &'a GptShape,
    layout: GptLayout,
}

impl Reader<'_, '_> {
    fn block(&self, name: &str) -> Result<PreLnBlock> {
        let (d, f) = (self.shape.d_model, self.shape.d_mlp);
        Ok(PreLnBlock {
            norm1: Norm::Layer(self.norm(&format!("{name}.ln_1"))?),
            shape: AttentionShape::new(self.shape.n_heads, d / self.shape.n_heads),
            qkv: self.linear(&format!("{name}.attn.c_attn"), 3 * d, d)?,
            out: self.linear(&format!("{name}.attn.c_proj"), d, d)?,
            norm2: Norm::Layer(self.norm(&format!("{name}.ln_2"))?),
            mlp: Mlp::Plain {
                up: self.linear(&format!("{name}.mlp.c_fc"), f, d)?,
                activation: self.shape.activation,
                down: self.linear(&format!("{name}.mlp.c_proj"), d, f)?,
            },
            residual: Residual::Stream,
        })
    }

    fn linear(&self, name: &str, n_out: usize, n_in: usize) -> Result<Linear> {
        let key = format!("{name}.weight");
        let weight = match self.layout {
            GptLayout::Linear => self.loader.f32(&key, &[n_out, n_in])?,
            GptLayout::Conv1d => transposed(&self.loader.f32(&key, &[n_in, n_out])?, n_out),
        };
        let bias = self.bias(name, n_out)?;
        Ok(Linear::pack(&weight, n_out, n_in, bias.as_deref()))
    }

    fn norm(&self, name: &str) -> Result<LayerNorm> {
        let d = self.shape.d_model;
        let weight = self.loader.f32(&format!("{name}.weight"), &[d])?;
        let bias = self.bias(name, d)?.unwrap_or_else(|| vec![0.0; d]);
        Ok(LayerNorm { weight, bias, eps: self.shape.eps })
    }

    fn bias(&self, name: &str, n: usize) -> Result<Option<Vec<f32>>> {
        self.shape.bias.then(|| self.loader.f32(&format!("{name}.bias"), &[n])).transpose()
    }
}

/// Rows to columns of a matrix with `columns` columns.
fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    let rows = matrix.len() / columns.max(1);
    let mut out = vec![0.0; matrix.len()];
    for (r, row) in matrix.chunks_exact(columns.max(1)).enumerate() {
        for (c, v) in row.iter().enumerate() {
            out[c * rows + r] = *v;
        }
    }
    out
}
