//! Tensors of an untrained stack with GPT-2's initialisation: normal with standard deviation 0.02, maps into the stream divided by the
//! root of twice the number of blocks (Radford et al. 2019, section 2.3), zero biases, unit norms.

use super::{Gpt, GptLayout, GptShape};
use crate::untrained::{Kind, Plan};

/// Of linear maps and tables.
pub(crate) const NORMAL: Kind = Kind::Normal { mean: 0.0, sd: 0.02 };

impl Gpt {
    /// `PREFIXh.{i}.*` and `PREFIXln_f`, in file order.
    pub(crate) fn plan(plan: &mut Plan, prefix: &str, shape: &GptShape, layout: GptLayout) {
        let (d, f) = (shape.d_model, shape.d_mlp);
        let into_stream = Kind::Normal { mean: 0.0, sd: 0.02 / (2.0 * shape.n_blocks as f32).sqrt() };
        let dims = |n_out: usize, n_in: usize| match layout {
            GptLayout::Linear => [n_out, n_in],
            GptLayout::Conv1d => [n_in, n_out],
        };
        let mut add = |name: String, dims: &[usize], n_out: usize, kind: Kind| {
            plan.add(format!("{name}.weight"), dims, kind);
            if shape.bias {
                plan.add(format!("{name}.bias"), &[n_out], Kind::Constant(0.0));
            }
        };
        let unit = Kind::Constant(1.0);
        for i in 0..shape.n_blocks {
            let b = format!("{prefix}h.{i}");
            add(format!("{b}.ln_1"), &[d], d, unit);
            add(format!("{b}.attn.c_attn"), &dims(3 * d, d), 3 * d, NORMAL);
            add(format!("{b}.attn.c_proj"), &dims(d, d), d, into_stream);
            add(format!("{b}.ln_2"), &[d], d, unit);
            add(format!("{b}.mlp.c_fc"), &dims(f, d), f, NORMAL);
            add(format!("{b}.mlp.c_proj"), &dims(d, f), d, into_stream);
        }
        add(format!("{prefix}ln_f"), &[d], d, unit);
    }
}
