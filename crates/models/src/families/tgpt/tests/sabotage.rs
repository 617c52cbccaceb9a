//! Wrong variants must fail: the tolerances bite.

use microtome_kernels::Activation;

use super::{KIT, Tgpt, open};
use crate::CellRule;
use crate::nn::{Mlp, Norm};
use crate::test_kit::{Tensors, caught, zero};

fn with_tensors(what: &str, first: &str, alter: impl FnOnce(&mut Tensors)) {
    let copy = KIT.altered(alter);
    caught(what, &KIT.run(&Tgpt::open(copy.path()).unwrap()), first);
}

fn with_model(what: &str, first: &str, alter: impl FnOnce(&mut Tgpt)) {
    let mut model = open();
    alter(&mut model);
    caught(what, &KIT.run(&model), first);
}

#[test]
fn an_unaltered_copy_passes() {
    assert!(KIT.run(&Tgpt::open(KIT.altered(|_| {}).path()).unwrap()).passed);
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
    with_model("scale by the whole width", "blocks.0.attn.scores", |m| {
        let shape = &mut m.network.stack.blocks[0].shape;
        shape.scale = 1.0 / ((shape.n_heads * shape.d_head) as f32).sqrt();
    });
    with_model("positions from 1", "embed", |m| {
        let d = m.network.stack.width();
        m.network.positions.rotate_left(d);
    });
}

#[test]
fn other_weights_are_caught() {
    let name = |part: &str| format!("transformer.h.0.attn.c_attn.{part}");
    with_tensors("queries and keys swapped", "blocks.0.attn.q", |t| {
        for part in ["weight", "bias"] {
            let (shape, values) = t.get_mut(&name(part)).unwrap();
            let width = *shape.last().unwrap();
            for row in values.chunks_exact_mut(width) {
                let (q, rest) = row.split_at_mut(width / 3);
                q.swap_with_slice(&mut rest[..width / 3]);
            }
        }
    });
    with_tensors("no bias of queries, keys and values", "blocks.0.attn.q", |t| zero(t, &name("bias")));
    with_tensors("a map read the other way round", "blocks.1.attn_out", |t| {
        let (shape, values) = t.get_mut("transformer.h.1.attn.c_proj.weight").unwrap();
        let (d, old) = (shape[0], values.clone());
        (0..d * d).for_each(|k| values[k] = old[k % d * d + k / d]);
    });
}

#[test]
fn other_cell_vectors_and_tokens_are_caught() {
    with_model("greatest instead of mean", "cell_embedding", |m| m.rule = CellRule::Max);
    with_model("the end marker", "cell_embedding", |m| m.rule = CellRule::FromEnd(0));
    with_model("the first marker", "cell_embedding", |m| m.rule = CellRule::Token(0));
    with_model("another end", "tokens.ids", |m| m.vocabulary.end = 3);
    with_model("a shorter window", "tokens.ids", |m| m.config.n_positions = 30);
}
