//! Wrong variants must fail: the tolerances bite.

use microtome_kernels::Activation;

use super::{GeneCompass, KIT, open};
use crate::CellRule;
use crate::test_kit::{Tensors, caught, swap, zero};
use crate::tokenize::rank::Scaling;

const MIX: &str = "bert.embeddings.concat_embeddings";

fn with_tensors(what: &str, first: &str, alter: impl FnOnce(&mut Tensors)) {
    let copy = KIT.altered(alter);
    caught(what, &KIT.run(&GeneCompass::open(copy.path()).unwrap()), first);
}

fn with_model(what: &str, first: &str, alter: impl FnOnce(&mut GeneCompass)) {
    let mut model = open();
    alter(&mut model);
    caught(what, &KIT.run(&model), first);
}

#[test]
fn an_unaltered_copy_passes() {
    assert!(KIT.run(&GeneCompass::open(KIT.altered(|_| {}).path()).unwrap()).passed);
}

#[test]
fn another_mixture_is_caught() {
    with_model("SiLU in place of the quick GELU", "embed", |m| m.network.embedding.gate = 1.0);
    with_model("eps of the mixture", "embed", |m| m.network.embedding.mix_norm.eps = 1e-12);
    with_model("eps of the embedding", "embed", |m| m.network.embedding.norm.eps = 1e-5);
    with_model("no values", "embed", |m| m.network.embedding.value.fill(0.0));
    with_model("positions counted from the species token", "embed", |m| m.network.embedding.positions.rotate_left(24));
    with_model("no positions", "embed", |m| m.network.embedding.positions.fill(0.0));
    for kind in super::super::config::PRIORS {
        with_tensors(kind, "embed", |t| zero(t, &format!("bert.embeddings.{kind}_knowledge")));
    }
    with_tensors("no bias of a prior", "embed", |t| zero(t, "bert.embeddings.co_exp_embeddings.linear1.bias"));
    with_tensors("the value behind the priors", "embed", |t| {
        let (shape, v) = t.get_mut(&format!("{MIX}.cat_fc.weight")).unwrap();
        v.chunks_exact_mut(shape[1]).for_each(|row| row[24..].rotate_left(1));
    });
    with_tensors("mouse", "embed", |t| {
        let (_, v) = t.get_mut("bert.cls_embedding.weight").unwrap();
        v.rotate_left(24);
    });
}

#[test]
fn other_blocks_and_heads_are_caught() {
    with_model("ReLU", "blocks.0.mlp_out", |m| m.network.blocks[0].activation = Activation::Relu);
    with_model("GELU by tanh", "blocks.0.mlp_out", |m| m.network.blocks[0].activation = Activation::GeluTanh);
    with_model("eps of a block", "blocks.1.resid_mid", |m| m.network.blocks[1].norm1.eps = 1e-5);
    with_model("ReLU in the value head", "readout.value", |m| {
        m.network.values.as_mut().unwrap().activation = Activation::Relu;
    });
    with_model("ReLU in the gene head", "readout.mlm_transform", |m| {
        m.network.genes.as_mut().unwrap().activation = Activation::Relu;
    });
    let name = |part: &str| format!("bert.encoder.layer.0.attention.self.{part}");
    with_tensors("queries and keys swapped", "blocks.0.attn.q", |t| {
        swap(t, &name("query.weight"), &name("key.weight"));
        swap(t, &name("query.bias"), &name("key.bias"));
    });
}

#[test]
fn other_cell_vectors_and_tokens_are_caught() {
    with_model("mean instead of the species token", "cell_embedding", |m| m.network.rule = CellRule::Mean);
    with_model("no medians", "tokens.ids", |m| m.vocabulary.medians.fill(1.0));
    with_model("scaled to a total", "tokens.values", |m| m.scaling = Scaling::AllGenes);
}
