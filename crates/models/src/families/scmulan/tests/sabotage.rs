//! Wrong variants must fail: the tolerances bite.

use microtome_kernels::Activation;

use super::{KIT, ScMulan, altered, open};
use crate::nn::{Mlp, Norm};
use crate::test_kit::{Tensors, caught, swap, zero};

fn with_tensors(what: &str, first: &str, alter: impl FnOnce(&mut Tensors)) {
    let copy = altered(alter);
    caught(what, &KIT.run(&ScMulan::open(copy.path()).unwrap()), first);
}

fn with_model(what: &str, first: &str, alter: impl FnOnce(&mut ScMulan)) {
    let mut model = open();
    alter(&mut model);
    caught(what, &KIT.run(&model), first);
}

#[test]
fn an_unaltered_copy_passes() {
    assert!(KIT.run(&ScMulan::open(altered(|_| {}).path()).unwrap()).passed);
}

#[test]
fn other_arithmetic_is_caught() {
    with_model("exact GELU", "blocks.0.mlp_out", |m| {
        if let Mlp::Plain { activation, .. } = &mut m.network.stack.blocks[0].mlp {
            *activation = Activation::GeluErf;
        }
    });
    with_model("not causal", "blocks.0.attn.scores", |m| m.network.stack.causal = false);
    with_model("eps of a block", "blocks.0.attn.q", |m| {
        if let Norm::Layer(norm) = &mut m.network.stack.blocks[0].norm1 {
            norm.eps = 1e-6;
        }
    });
    with_model("eps of the last norm", "final_norm", |m| m.network.stack.norm.eps = 1e-6);
}

#[test]
fn other_weights_are_caught() {
    with_tensors("queries and keys swapped", "blocks.0.attn.q", |t| {
        for part in ["weight", "bias"] {
            let (_, v) = t.get_mut(&format!("transformer.h.0.attn.c_attn.{part}")).unwrap();
            let third = v.len() / 3;
            let (q, rest) = v.split_at_mut(third);
            q.swap_with_slice(&mut rest[..third]);
        }
    });
    with_tensors("a map read the other way round", "blocks.0.attn_out", |t| {
        let (shape, values) = t.get_mut("transformer.h.0.attn.c_proj.weight").unwrap();
        let (d, old) = (shape[0], values.clone());
        (0..d * d).for_each(|k| values[k] = old[k % d * d + k / d]);
    });
    with_tensors("no levels of expression", "embed", |t| zero(t, "transformer.wee.weight"));
    with_tensors("readouts swapped", "readout.lm_logits", |t| swap(t, "lm_head.weight", "epx_head.weight"));
}

#[test]
fn other_tokens_and_another_generation_are_caught() {
    with_model("another task", "tokens.ids", |m| m.meta.task = 2);
    with_model("fewer levels", "tokens.values", |m| m.config.n_levels = 9);
    with_model("genes forwards", "tokens.ids", |m| {
        let n = m.meta.genes.len();
        m.meta.place.values_mut().for_each(|p| *p = n - *p);
    });
    with_model("tokens of the input generated again", "readout.generated", |m| m.repeats = true);
    with_model("the last position of the last pass", "cell_embedding", |m| m.vector_from_end = 1);
    with_model("one position earlier", "cell_embedding", |m| m.vector_from_end = 3);
}
