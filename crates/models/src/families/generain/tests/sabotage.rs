//! Wrong variants must fail: the tolerances bite.

use microtome_kernels::Activation;

use super::{GeneRain, KIT, open};
use crate::CellRule;
use crate::nn::{Mlp, Norm};
use crate::test_kit::caught;

fn with_model(what: &str, first: &str, alter: impl FnOnce(&mut GeneRain)) {
    let mut model = open();
    alter(&mut model);
    caught(what, &KIT.run(&model), first);
}

#[test]
fn an_unaltered_copy_passes() {
    assert!(KIT.run(&GeneRain::open(KIT.altered(|_| {}).path()).unwrap()).passed);
}

#[test]
fn other_arithmetic_is_caught() {
    with_model("tanh GELU", "blocks.0.mlp_out", |m| {
        if let Mlp::Plain { activation, .. } = &mut m.network.stack.blocks[0].mlp {
            *activation = Activation::GeluTanh;
        }
    });
    with_model("not causal", "blocks.0.attn.scores", |m| m.network.stack.causal = false);
    for eps in [1e-12, 1e-5] {
        with_model("eps of a block", "blocks.0.attn.q", |m| {
            if let Norm::Layer(norm) = &mut m.network.stack.blocks[0].norm1 {
                norm.eps = eps;
            }
        });
    }
    with_model("eps of the last norm", "final_norm", |m| m.network.stack.norm.eps = 1e-12);
    with_model("positions from 1", "embed", |m| {
        let d = m.network.stack.width();
        m.network.positions.rotate_left(d);
    });
}

#[test]
fn other_weights_cell_vectors_and_tokens_are_caught() {
    let copy = KIT.altered(|t| {
        for part in ["weight", "bias"] {
            let name = format!("model_state_dict.gene_expr_transformer.gpt.transformer.h.0.attn.c_attn.{part}");
            let (shape, values) = t.get_mut(&name).unwrap();
            let width = *shape.last().unwrap();
            for row in values.chunks_exact_mut(width) {
                let (q, rest) = row.split_at_mut(width / 3);
                q.swap_with_slice(&mut rest[..width / 3]);
            }
        }
    });
    let report = KIT.run(&GeneRain::open(copy.path()).unwrap());
    caught("queries and keys swapped", &report, "blocks.0.attn.q");
    with_model("last gene instead of mean", "cell_embedding", |m| m.rule = CellRule::FromEnd(0));
    with_model("a shorter window", "tokens.ids", |m| m.config.n_positions = 28);
    with_model("genes shifted by one", "tokens.ids", |m| m.names[3..].rotate_left(1));
}
