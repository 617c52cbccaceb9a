//! Wrong variants must fail parity: the tolerances bite. Each is made by altering weights or an opened model, never by a switch.

use microtome_kernels::Activation;

use super::kit::{Tensors, altered, kits, open, run};
use crate::families::tahoe_x1::model::TahoeX1;
use crate::nn::{Mlp, Norm, QueryActivation, ReadoutActivation, Residual};
use crate::parity::KitReport;

fn fails(what: &str, report: &KitReport, at: &str) {
    assert!(!report.passed, "{what} was not noticed");
    assert_eq!(report.first_divergence.as_deref(), Some(at), "{what} in {}", report.case);
}

/// Opens every kit, spoils the model and runs it.
fn spoilt(what: &str, at: &str, spoil: impl Fn(&mut TahoeX1)) {
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
        fails(what, &run(&kit, &TahoeX1::open(folder.path()).unwrap()), at);
    }
}

fn of_block<'t>(t: &'t mut Tensors, name: &str) -> &'t mut Vec<f32> {
    &mut t.get_mut(&format!("model.transformer_encoder.layers.0.{name}")).unwrap().1
}

fn is_gelu(model: &TahoeX1) -> bool {
    model.network.values.activation == Activation::GeluErf
}

#[test]
fn an_unaltered_copy_passes() {
    for kit in kits() {
        let folder = altered(&kit, |_| {});
        let report = run(&kit, &TahoeX1::open(folder.path()).unwrap());
        assert!(report.passed, "{:?}", report.first_divergence);
    }
}

#[test]
fn other_activations_are_noticed() {
    let block = |m: &mut TahoeX1, to: Activation| {
        for b in &mut m.network.blocks {
            if let Mlp::Plain { activation, .. } = &mut b.mlp {
                *activation = to;
            }
        }
    };
    let other = |m: &TahoeX1| if is_gelu(m) { Activation::Relu } else { Activation::GeluErf };
    spoilt("ReLU for GELU or the reverse in the blocks", "blocks.0.mlp_out", |m| block(m, other(m)));
    spoilt("the same in the value encoder", "embed.value", |m| m.network.values.activation = other(m));
    spoilt("the same in the expression readout", "readout.expr_preds", |m| {
        m.network.expression.activation = ReadoutActivation::Kernel(Activation::Relu);
    });
    for kit in kits() {
        if is_gelu(&open(&kit)) {
            let mut model = open(&kit);
            block(&mut model, Activation::GeluTanh);
            assert!(!run(&kit, &model).passed, "tanh GELU in the blocks");
            let mut model = open(&kit);
            model.network.values.activation = Activation::GeluTanh;
            assert!(!run(&kit, &model).passed, "tanh GELU in the value encoder");
        }
    }
}

#[test]
fn other_norms_are_noticed() {
    spoilt("eps of the gene norm", "embed.gene", |m| m.network.word_norm.as_mut().unwrap().eps = 1e-12);
    spoilt("no gene norm", "embed.gene", |m| m.network.word_norm = None);
    spoilt("eps of the value norm", "embed.value", |m| m.network.values.norm.as_mut().unwrap().eps = 1e-12);
    spoilt("no value norm", "embed.value", |m| m.network.values.norm = None);
    spoilt("eps of the final norm", "final_norm", |m| m.network.norm.eps = 1e-12);
    spoilt("eps of the blocks", "blocks.0.attn.q", |m| {
        for b in &mut m.network.blocks {
            for norm in [&mut b.norm1, &mut b.norm2] {
                if let Norm::Layer(n) = norm {
                    n.eps = 1e-12;
                }
            }
        }
    });
    spoilt("residual of the normed stream", "blocks.0.resid_mid", |m| {
        m.network.blocks.iter_mut().for_each(|b| b.residual = Residual::Normed);
    });
}

#[test]
fn altered_attention_is_noticed() {
    with_tensors("queries and keys swapped", "blocks.0.attn.q", |t| {
        for name in ["self_attn.Wqkv.weight", "self_attn.Wqkv.bias"] {
            let v = of_block(t, name);
            let part = v.len() / 3;
            let (q, rest) = v.split_at_mut(part);
            q.swap_with_slice(&mut rest[..part]);
        }
    });
    for (part, at) in ["blocks.0.attn.q", "blocks.0.attn.k", "blocks.0.attn.v"].into_iter().enumerate() {
        with_tensors("no bias", at, |t| {
            let v = of_block(t, "self_attn.Wqkv.bias");
            let d = v.len() / 3;
            v[part * d..(part + 1) * d].fill(0.0);
        });
    }
    with_tensors("no bias of the output", "blocks.0.attn_out", |t| of_block(t, "self_attn.out_proj.bias").fill(0.0));
    with_tensors("no bias of down", "blocks.0.mlp_out", |t| of_block(t, "down_proj.bias").fill(0.0));
    spoilt("scale of the whole width", "blocks.0.attn.pattern", |m| {
        let scale = 1.0 / (m.network.d as f32).sqrt();
        m.network.blocks.iter_mut().for_each(|b| b.shape.scale = scale);
    });
}

#[test]
fn altered_tokens_are_noticed() {
    spoilt("value 0 of <cls>", "tokens.values", |m| m.collator.pad_value = 0.0);
    spoilt("bins closed on the right", "tokens.values", |m| m.collator.right_binning = true);
    spoilt("50 bins", "tokens.values", |m| m.collator.n_bins = 50);
    for kit in kits() {
        let mut model = open(&kit);
        model.collator.keep_first = if model.collator.keep_first == 2 { 1 } else { 2 };
        fails("the number of raw values in front", &run(&kit, &model), "tokens.values");
        let mut model = open(&kit);
        model.network.values.max = 1.0;
        fails("clamp at 1", &run(&kit, &model), "embed.value");
        // Counts above 512 reach the value encoder only where the first gene stays raw.
        let mut model = open(&kit);
        model.network.values.max = f32::INFINITY;
        let report = run(&kit, &model);
        assert_eq!(report.passed, model.collator.keep_first == 1, "no clamp in {}", report.case);
    }
}

#[test]
fn wrong_readouts_and_drugs_are_noticed() {
    spoilt("tanh of the queries", "readout.mvc_output", |m| {
        m.network.cell_query.as_mut().unwrap().activation = QueryActivation::Tanh;
    });
    spoilt("products not scaled", "readout.mvc_output", |m| m.network.cell_query.as_mut().unwrap().scaled = false);
    let mut n_kits = 0;
    for kit in kits() {
        for what in ["norm", "activation"] {
            let mut model = open(&kit);
            let Some(drugs) = &mut model.network.drugs else { continue };
            n_kits += 1;
            match what {
                "norm" => drugs.norm.eps = 1e-12,
                _ => drugs.layers.activation = ReadoutActivation::LeakyRelu(0.01),
            }
            let report = run(&kit, &model);
            let failed: Vec<&str> = report.tensors.iter().filter(|t| !t.passed).map(|t| t.name.as_str()).collect();
            assert!(failed.contains(&"chem.embed.chem") && failed.contains(&"chem.cell_embedding"), "{what}: {failed:?}");
            assert!(failed.iter().all(|n| n.starts_with("chem.")), "{what}: {failed:?}");
        }
    }
    assert!(n_kits >= 2);
}
