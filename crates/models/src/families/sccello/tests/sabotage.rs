//! Wrong variants must fail: the tolerances bite.

use microtome_kernels::Activation;

use super::{KIT, ScCello, open};
use crate::CellRule;
use crate::test_kit::{Tensors, caught, swap, zero};

fn with_tensors(what: &str, first: &str, alter: impl FnOnce(&mut Tensors)) {
    let copy = KIT.altered(alter);
    caught(what, &KIT.run(&ScCello::open(copy.path()).unwrap()), first);
}

fn with_model(what: &str, first: &str, alter: impl FnOnce(&mut ScCello)) {
    let mut model = open();
    alter(&mut model);
    caught(what, &KIT.run(&model), first);
}

#[test]
fn an_unaltered_copy_passes() {
    assert!(KIT.run(&ScCello::open(KIT.altered(|_| {}).path()).unwrap()).passed);
}

#[test]
fn other_arithmetic_is_caught() {
    with_model("GELU", "blocks.0.mlp_out", |m| m.network.blocks[0].activation = Activation::GeluErf);
    with_model("eps of the embedding", "embed", |m| m.network.embedding.norm.eps = 1e-5);
    with_model("eps of a block", "blocks.0.resid_post", |m| m.network.blocks[0].norm2.eps = 1e-5);
    with_model("eps of the head", "readout.mlm_transform", |m| {
        m.network.gene_head.as_mut().unwrap().norm.eps = 1e-5;
    });
    with_model("GELU in the head", "readout.mlm_transform", |m| {
        m.network.gene_head.as_mut().unwrap().activation = Activation::GeluErf;
    });
    with_model("no temperature", "readout.mlm_logits", |m| m.network.tau = 1.0);
    with_model("scale by the whole width", "blocks.0.attn.scores", |m| {
        let shape = &mut m.network.blocks[0].shape;
        shape.scale = 1.0 / ((shape.n_heads * shape.d_head) as f32).sqrt();
    });
}

#[test]
fn other_weights_are_caught() {
    let name = |part: &str| format!("bert.encoder.layer.0.attention.self.{part}");
    with_tensors("queries and keys swapped", "blocks.0.attn.q", |t| {
        swap(t, &name("query.weight"), &name("key.weight"));
        swap(t, &name("query.bias"), &name("key.bias"));
    });
    for table in super::super::network::TABLES {
        with_tensors(table, "embed", |t| zero(t, &format!("bert.embeddings.{table}.weight")));
    }
    with_tensors("heads swapped", "cell_embedding.cell_cls", |t| {
        for part in ["dense_1.weight", "dense_1.bias", "dense_2.weight", "bias"] {
            swap(t, &format!("cls.predictions.{part}"), &format!("cell_cls.predictions.{part}"));
        }
    });
    with_tensors("no bias of the head", "readout.mlm_transform", |t| zero(t, "cls.predictions.bias"));
}

#[test]
fn other_cell_vectors_and_tokens_are_caught() {
    with_model("mean instead of <cls>", "cell_embedding", |m| m.network.rule = CellRule::Mean);
    with_model("no <cls>", "tokens.ids", |m| m.vocabulary.cls = None);
    with_model("no medians", "tokens.ids", |m| m.vocabulary.medians.fill(1.0));
    // The total over all genes changes no order, but the ranked values.
    with_model("values of the first Geneformer", "tokens.values", |m| m.scaling = crate::tokenize::rank::Scaling::AllGenes);
}
