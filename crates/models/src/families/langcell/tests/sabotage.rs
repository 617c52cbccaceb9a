//! Wrong variants must fail: the tolerances bite.

use microtome_kernels::Activation;

use super::{KIT, LangCell, open};
use crate::CellRule;
use crate::test_kit::{Tensors, caught, swap, zero};

fn with_tensors(what: &str, first: &str, alter: impl FnOnce(&mut Tensors)) {
    let copy = KIT.altered(alter);
    caught(what, &KIT.run(&LangCell::open(copy.path()).unwrap()), first);
}

fn with_model(what: &str, first: &str, alter: impl FnOnce(&mut LangCell)) {
    let mut model = open();
    alter(&mut model);
    caught(what, &KIT.run(&model), first);
}

#[test]
fn an_unaltered_copy_passes() {
    assert!(KIT.run(&LangCell::open(KIT.altered(|_| {}).path()).unwrap()).passed);
}

#[test]
fn other_arithmetic_is_caught() {
    with_model("GELU", "blocks.0.mlp_out", |m| m.network.blocks[0].activation = Activation::GeluErf);
    with_model("eps of the embedding", "embed", |m| m.network.embedding.norm.eps = 1e-5);
    with_model("eps of a block", "blocks.1.resid_mid", |m| m.network.blocks[1].norm1.eps = 1e-5);
    with_model("scale by the whole width", "blocks.0.attn.scores", |m| {
        let shape = &mut m.network.blocks[0].shape;
        shape.scale = 1.0 / ((shape.n_heads * shape.d_head) as f32).sqrt();
    });
    with_model("no positions", "embed", |m| m.network.embedding.positions.fill(0.0));
    with_model("token type 1", "embed", |m| m.network.embedding.others[0].rotate_left(24));
}

#[test]
fn other_weights_are_caught() {
    let name = |part: &str| format!("bert.encoder.layer.0.attention.self.{part}");
    with_tensors("queries and keys swapped", "blocks.0.attn.q", |t| {
        swap(t, &name("query.weight"), &name("key.weight"));
        swap(t, &name("query.bias"), &name("key.bias"));
    });
    with_tensors("no bias of the values", "blocks.0.attn.v", |t| zero(t, &name("value.bias")));
    with_tensors("positions from 1", "embed", |t| {
        let (shape, v) = t.get_mut("bert.embeddings.position_embeddings.weight").unwrap();
        v.rotate_left(shape[1]);
    });
}

#[test]
fn other_cell_vectors_and_tokens_are_caught() {
    with_model("mean instead of <cls>", "cell_embedding.cls", |m| m.network.rule = CellRule::Mean);
    with_model("last token instead of <cls>", "cell_embedding.cls", |m| m.network.rule = CellRule::FromEnd(0));
    with_model("no <cls>", "tokens.ids", |m| m.vocabulary.cls = None);
    with_model("another <cls>", "tokens.ids", |m| m.vocabulary.cls = Some(1));
    with_model("no medians", "tokens.ids", |m| m.vocabulary.medians.fill(1.0));
    let mut cells = KIT.cells();
    cells.forget_totals();
    let report = crate::parity::run_kit_with(&KIT.dir(), &open(), &cells.as_kit()).unwrap();
    assert!(report.passed, "without n_counts the counts of all genes are added up, which is the same here");
}
