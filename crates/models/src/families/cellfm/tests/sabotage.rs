//! Wrong variants must fail: the tolerances bite. Each is made by altering weights or an opened model, never by a switch.

use microtome_kernels::Activation;

use super::kit::{HEADS, Tensors, altered, open, run, with_heads};
use crate::families::cellfm::model::CellFm;
use crate::nn::Mlp;

fn with_tensors(what: &str, first: &str, alter: impl FnOnce(&mut Tensors)) {
    let copy = altered(alter);
    let report = run(&with_heads(copy.path(), HEADS));
    assert_eq!(report.first_divergence.as_deref(), Some(first), "{what}");
}

fn with_model(what: &str, first: &str, alter: impl FnOnce(&mut CellFm)) {
    let mut model = open();
    alter(&mut model);
    assert_eq!(run(&model).first_divergence.as_deref(), Some(first), "{what}");
}

fn swap(tensors: &mut Tensors, a: &str, b: &str) {
    let first = tensors.remove(a).unwrap();
    let second = tensors.insert(b.into(), first).unwrap();
    tensors.insert(a.into(), second);
}

#[test]
fn an_unaltered_copy_passes() {
    let copy = altered(|_| {});
    assert!(run(&with_heads(copy.path(), HEADS)).passed);
}

#[test]
fn other_constants_are_caught() {
    with_model("slope of the value encoder", "embed", |m| m.network.values.slope = 0.01);
    with_model("slope of the readout", "readout.gene_wise", |m| m.network.slope = 0.01);
    for eps in [1e-5, 1e-6] {
        with_model("epsilon", "blocks.0.resid_mid", |m| m.network.blocks[0].norm1.eps = eps);
    }
    for alpha in [1.0, 80f32.powf(0.25)] {
        with_model("alpha", "blocks.0.resid_mid", |m| m.network.blocks[0].alpha = alpha);
    }
    with_model("no skip around the bins", "embed", |m| m.network.values.alpha = 0.0);
    with_model("an activation in the feed-forward part", "blocks.0.mlp_out", |m| {
        if let Mlp::Gated { activation, .. } = &mut m.network.blocks[0].mlp {
            *activation = Activation::Silu;
        }
    });
}

#[test]
fn other_heads_are_caught() {
    // A model that is opened by the published rule takes the number of heads from the manifest; heads of a block do not.
    for heads in [1, 2, 8] {
        with_model("heads", "blocks.0.attn.q", |m| {
            m.network.blocks[0].n_heads = heads;
            m.network.blocks[0].d_head = 32 / heads;
        });
    }
}

#[test]
fn other_weights_are_caught() {
    let w = |name: &str| format!("encoder.0.{name}_proj.weight");
    with_tensors("queries and keys swapped", "blocks.0.attn.q", |t| swap(t, &w("attn.q"), &w("attn.k")));
    with_tensors("values and gate swapped", "blocks.0.attn.v", |t| swap(t, &w("attn.v"), &w("attn.u")));
    with_tensors("output transposed", "blocks.0.attn_out", |t| {
        let v = &mut t.get_mut(&w("attn.o")).unwrap().1;
        let old = v.clone();
        (0..32 * 32).for_each(|i| v[i] = old[(i % 32) * 32 + i / 32]);
    });
    with_tensors("no cell token", "embed", |t| t.get_mut("cls_token").unwrap().1.fill(0.0));
    with_tensors("genes off by one", "embed", |t| {
        let (shape, v) = t.get_mut("gene_emb").unwrap();
        v.rotate_left(shape[1]);
    });
    with_tensors("no map of the readout", "readout.cell_wise", |t| {
        t.get_mut("cellwise_dec.map.weight").unwrap().1.fill(0.0);
    });
}

#[test]
fn other_tokens_are_caught() {
    with_model("another order of the gene list", "tokens.ids", |m| m.genes.rotate_left(1));
}
