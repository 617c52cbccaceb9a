//! Tensors of an untrained BERT with Hugging Face's initialisation (`BertPreTrainedModel`): normal with standard deviation 0.02 for
//! linear and embedding weights, zero biases, unit norms, a zero row for the padding token.

use super::BertConfig;
use crate::untrained::{Kind, Plan};

const NORMAL: Kind = Kind::Normal { mean: 0.0, sd: 0.02 };

/// `NAME.weight` `[n_out, n_in]` and `NAME.bias`.
pub(crate) fn add_linear(plan: &mut Plan, name: &str, n_out: usize, n_in: usize) {
    plan.add(format!("{name}.weight"), &[n_out, n_in], NORMAL);
    plan.add(format!("{name}.bias"), &[n_out], Kind::Constant(0.0));
}

/// `NAME.weight` and `NAME.bias` of a norm.
pub(crate) fn add_norm(plan: &mut Plan, name: &str, d: usize) {
    plan.add(format!("{name}.weight"), &[d], Kind::Constant(1.0));
    plan.add(format!("{name}.bias"), &[d], Kind::Constant(0.0));
}

/// `PREFIXembeddings.*`; `others` are names and numbers of rows. Under `padded`, the first row of those is the padding's: zero.
pub(crate) fn add_embedding(
    plan: &mut Plan,
    prefix: &str,
    c: &BertConfig,
    others: &[(&str, usize)],
    padded: &[&str],
) {
    let d = c.d_model;
    let name = |part: &str| format!("{prefix}embeddings.{part}.weight");
    plan.add(name("word_embeddings"), &[c.vocab_size, d], Kind::Table { sd: 0.02, width: d });
    plan.add(name("position_embeddings"), &[c.max_positions, d], NORMAL);
    for (other, rows) in others {
        let kind = if padded.contains(other) { Kind::Table { sd: 0.02, width: d } } else { NORMAL };
        plan.add(name(other), &[*rows, d], kind);
    }
    add_norm(plan, &format!("{prefix}embeddings.LayerNorm"), d);
}

/// `PREFIXencoder.layer.*`.
pub(crate) fn add_blocks(plan: &mut Plan, prefix: &str, c: &BertConfig) {
    let (d, f) = (c.d_model, c.d_mlp);
    for i in 0..c.n_blocks {
        let b = format!("{prefix}encoder.layer.{i}");
        for part in ["query", "key", "value"] {
            add_linear(plan, &format!("{b}.attention.self.{part}"), d, d);
        }
        add_linear(plan, &format!("{b}.attention.output.dense"), d, d);
        add_norm(plan, &format!("{b}.attention.output.LayerNorm"), d);
        add_linear(plan, &format!("{b}.intermediate.dense"), f, d);
        add_linear(plan, &format!("{b}.output.dense"), d, f);
        add_norm(plan, &format!("{b}.output.LayerNorm"), d);
    }
}

/// A readout of masked tokens `NAME.*` whose decoder is tied to the word table.
pub(crate) fn add_masked_head(plan: &mut Plan, name: &str, c: &BertConfig) {
    plan.add(format!("{name}.bias"), &[c.vocab_size], Kind::Constant(0.0));
    add_linear(plan, &format!("{name}.transform.dense"), c.d_model, c.d_model);
    add_norm(plan, &format!("{name}.transform.LayerNorm"), c.d_model);
}
