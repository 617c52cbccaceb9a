//! Wrong variants must fail parity: the tolerances bite. Each is made by altering weights or an opened model, never by a switch.

use microtome_kernels::{Activation, LayerNorm};

use super::kit::{Tensors, altered, golden, kits, open, run};
use crate::families::scgpt::batch_norm::{BatchNorm, Channels};
use crate::families::scgpt::model::ScGpt;
use crate::nn::ReadoutActivation;
use crate::parity::KitReport;

fn fails(what: &str, report: &KitReport, at: &str) {
    assert!(!report.passed, "{what} was not noticed");
    assert_eq!(report.first_divergence.as_deref(), Some(at), "{what} in {}", report.case);
}

/// Opens every kit, spoils the model and runs it.
fn spoilt(what: &str, at: &str, spoil: impl Fn(&mut ScGpt)) {
    for kit in kits() {
        let mut model = open(&kit);
        spoil(&mut model);
        fails(what, &run(&kit, &model), at);
    }
}

/// Alters tensors of every kit.
fn with_tensors(what: &str, at: &str, alter: impl Fn(&mut Tensors)) {
    for kit in kits() {
        let folder = altered(&kit, |t| alter(t));
        fails(what, &run(&kit, &ScGpt::open(folder.path()).unwrap()), at);
    }
}

/// The tensor whose name ends like this, in block 0.
fn of_block<'t>(t: &'t mut Tensors, ends: &[&str]) -> &'t mut Vec<f32> {
    let fits = |n: &str| n.contains(".layers.0.") && ends.iter().any(|e| n.ends_with(e));
    let name = t.keys().find(|n| fits(n)).unwrap().clone();
    &mut t.get_mut(&name).unwrap().1
}

const QKV_WEIGHT: [&str; 2] = ["Wqkv.weight", "in_proj_weight"];
const QKV_BIAS: [&str; 2] = ["Wqkv.bias", "in_proj_bias"];

#[test]
fn an_unaltered_copy_passes() {
    for kit in kits() {
        let folder = altered(&kit, |_| {});
        let report = run(&kit, &ScGpt::open(folder.path()).unwrap());
        assert!(report.passed, "{:?}", report.first_divergence);
    }
}

#[test]
fn wrong_arithmetic_is_noticed_where_it_first_shows() {
    spoilt("GELU in the blocks", "blocks.0.mlp_out", |m| {
        m.network.blocks.iter_mut().for_each(|b| b.activation = Activation::GeluErf);
    });
    spoilt("GELU in the value encoder", "embed.value", |m| m.network.values.activation = Activation::GeluErf);
    spoilt("scale of the whole width", "blocks.0.attn.pattern", |m| {
        m.network.blocks.iter_mut().for_each(|b| b.shape.scale = 1.0);
    });
    spoilt("eps of the gene norm", "embed.gene", |m| m.network.word_norm.eps = 1e-12);
    spoilt("eps of the value norm", "embed.value", |m| {
        m.network.values.norm.as_mut().unwrap().eps = 1e-12;
    });
    spoilt("no gene norm", "embed.gene", |m| {
        let d = m.network.d;
        m.network.word_norm = LayerNorm { weight: vec![1.0; d], bias: vec![0.0; d], eps: 1e6 };
    });
    spoilt("no value norm", "embed.value", |m| m.network.values.norm = None);
    // The stream is small between blocks, so their eps shows.
    for kit in kits() {
        let mut model = open(&kit);
        for b in &mut model.network.blocks {
            b.norm1.eps = 1e-12;
            b.norm2.eps = 1e-12;
        }
        assert!(!run(&kit, &model).passed, "eps of the blocks");
    }
}

#[test]
fn altered_attention_is_noticed() {
    with_tensors("queries and keys swapped", "blocks.0.attn.q", |t| {
        for ends in [QKV_WEIGHT, QKV_BIAS] {
            let v = of_block(t, &ends);
            let part = v.len() / 3;
            let (q, rest) = v.split_at_mut(part);
            q.swap_with_slice(&mut rest[..part]);
        }
    });
    with_tensors("no bias of queries, keys and values", "blocks.0.attn.q", |t| of_block(t, &QKV_BIAS).fill(0.0));
    with_tensors("no bias of the output", "blocks.0.attn_out", |t| of_block(t, &["out_proj.bias"]).fill(0.0));
    with_tensors("no bias of linear1", "blocks.0.mlp_out", |t| of_block(t, &["linear1.bias"]).fill(0.0));
    with_tensors("no bias of linear2", "blocks.0.mlp_out", |t| of_block(t, &["linear2.bias"]).fill(0.0));
    // Rows of queries, keys and values interleaved by head: (heads, 3, d_head) in place of (3, heads, d_head).
    for kit in kits() {
        let model = open(&kit);
        let (h, d_head) = (model.network.blocks[0].shape.n_heads, model.network.blocks[0].shape.d_head);
        let d = h * d_head;
        let folder = altered(&kit, |t| {
            let v = of_block(t, &QKV_WEIGHT);
            let old = v.clone();
            for row in 0..3 * d {
                let (part, head, j) = (row / d, row % d / d_head, row % d_head);
                let from = (head * 3 + part) * d_head + j;
                v[row * d..(row + 1) * d].copy_from_slice(&old[from * d..(from + 1) * d]);
            }
        });
        fails("rows by head", &run(&kit, &ScGpt::open(folder.path()).unwrap()), "blocks.0.attn.q");
    }
}

#[test]
fn altered_tokens_are_noticed() {
    spoilt("<cls> is another token", "tokens.ids", |m| m.vocabulary.cls -= 1);
    // The two values of <cls>: only the zero-shot recipe reads the padding value.
    for kit in kits() {
        let mut model = open(&kit);
        model.config.pad_value = 0.0;
        let report = run(&kit, &model);
        let zero_shot = report.tensors.iter().any(|t| t.name.starts_with("cls0."));
        assert_eq!(report.passed, !zero_shot, "{}", report.case);
        if zero_shot {
            fails("value of <cls>", &report, "tokens.values");
        }
    }
    with_tensors("rows of the vocabulary off by one", "embed.gene", |t| {
        let (shape, v) = t.get_mut("encoder.embedding.weight").unwrap();
        v.rotate_left(shape[1]);
    });
}

#[test]
fn wrong_readouts_are_noticed() {
    spoilt("ReLU in the expression decoder", "readout.mlm", |m| {
        m.network.heads.expression.as_mut().unwrap().activation = ReadoutActivation::Kernel(Activation::Relu);
    });
    spoilt("GELU in the classifier", "readout.cls", |m| {
        m.network.heads.classes.as_mut().unwrap().activation = ReadoutActivation::Kernel(Activation::GeluErf);
    });
    for kit in kits() {
        let mut model = open(&kit);
        if let Some(head) = &mut model.network.heads.cell_query {
            head.activation = crate::nn::QueryActivation::Tanh;
            fails("tanh of the queries", &run(&kit, &model), "readout.mvc");
        }
        let mut model = open(&kit);
        if let Some(encoder) = &mut model.network.heads.batch_encoder {
            encoder.norm.eps = 1e6;
            fails("no norm of the batch vector", &run(&kit, &model), "readout.mlm");
        }
    }
}

#[test]
fn wrong_batch_norms_are_noticed() {
    let alter = |n: &mut BatchNorm, f: &dyn Fn(&mut Channels)| match n {
        BatchNorm::None => false,
        BatchNorm::One(c) => {
            f(c);
            true
        }
        BatchNorm::PerBatch(all) => {
            all.iter_mut().for_each(f);
            true
        }
    };
    let mut n_kits = 0;
    for kit in kits() {
        let mut model = open(&kit);
        if alter(&mut model.network.batch_norm, &|c| c.eps = 1e-5) {
            n_kits += 1;
            fails("eps 1e-5", &run(&kit, &model), "embed");
            let mut model = open(&kit);
            model.network.batch_norm = BatchNorm::None;
            fails("left out", &run(&kit, &model), "embed");
        }
        let mut model = open(&kit);
        if let BatchNorm::PerBatch(all) = &mut model.network.batch_norm {
            all.rotate_left(1);
            fails("of another batch", &run(&kit, &model), "embed");
        }
    }
    assert!(n_kits > 0);
    assert!(matches!(open(&golden()).network.batch_norm, BatchNorm::PerBatch(_)));
}
