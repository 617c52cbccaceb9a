//! Wrong variants must fail: the tolerances bite. Each is made by altering weights or an opened model, never by a switch.

use microtome_kernels::Activation;

use super::kit::{LIGHTNING, Tensors, altered, checkpoint, dir, kits, open, run};
use crate::families::nicheformer::model::Nicheformer;
use crate::families::nicheformer::recipe::{Padding, Ranking, Recipe};

fn with_tensors(what: &str, first: &str, alter: impl FnOnce(&mut Tensors)) {
    let copy = altered(alter);
    let report = run(&dir(super::kit::HF).unwrap(), &open(copy.path()));
    assert_eq!(report.first_divergence.as_deref(), Some(first), "{what}");
}

fn with_model(what: &str, first: &str, alter: impl Fn(&mut Nicheformer)) {
    for kit in kits() {
        let mut model = open(&kit.join("checkpoint"));
        alter(&mut model);
        assert_eq!(run(&kit, &model).first_divergence.as_deref(), Some(first), "{what}");
    }
}

#[test]
fn an_unaltered_copy_passes() {
    let copy = altered(|_| {});
    assert!(run(&dir(super::kit::HF).unwrap(), &open(copy.path())).passed);
    assert!(run(&dir(super::kit::HF).unwrap(), &open(&checkpoint())).passed);
}

#[test]
fn other_arithmetic_is_caught() {
    with_model("GELU", "blocks.0.mlp_out", |m| {
        m.network.blocks[0].activation = Activation::GeluErf;
    });
    for eps in [1e-5, 1e-6] {
        with_model("epsilon", "blocks.0.resid_mid", |m| {
            m.network.blocks[0].norm1.eps = eps;
        });
    }
    with_model("scale", "blocks.0.attn.pattern", |m| {
        let shape = &mut m.network.blocks[0].shape;
        shape.scale = 1.0 / ((shape.n_heads * shape.d_head) as f32).sqrt();
    });
    with_model("no positions", "embed", |m| m.network.positions.fill(0.0));
    with_model("positions from the genes on", "embed", |m| {
        let d = m.network.d;
        m.network.positions.rotate_right(3 * d);
    });
}

#[test]
fn other_weights_are_caught() {
    let layer = |i: usize, name: &str| format!("nicheformer.encoder.layers.{i}.{name}");
    with_tensors("queries and keys swapped", "blocks.0.attn.q", |t| {
        let (_, v) = t.get_mut(&layer(0, "self_attn.in_proj_weight")).unwrap();
        let third = v.len() / 3;
        let (q, rest) = v.split_at_mut(third);
        q.swap_with_slice(&mut rest[..third]);
    });
    with_tensors("no bias of the inputs", "blocks.0.attn.q", |t| {
        t.get_mut(&layer(0, "self_attn.in_proj_bias")).unwrap().1.fill(0.0);
    });
    with_tensors("no bias of the output", "blocks.1.attn_out", |t| {
        t.get_mut(&layer(1, "self_attn.out_proj.bias")).unwrap().1.fill(0.0);
    });
    with_tensors("heads interleaved", "blocks.0.attn.q", |t| {
        let (shape, v) = t.get_mut(&layer(0, "self_attn.in_proj_weight")).unwrap();
        let d = shape[1];
        let old = v.clone();
        for row in 0..shape[0] {
            let (part, i) = (row / d, row % d);
            let from = part * d + (i % 4) * (d / 4) + i / 4;
            v[row * d..(row + 1) * d].copy_from_slice(&old[from * d..(from + 1) * d]);
        }
    });
    with_tensors("the template as first layer", "blocks.0.attn.q", |t| {
        let names: Vec<String> =
            t.keys().filter(|n| n.starts_with("nicheformer.encoder_layer.")).cloned().collect();
        for name in names {
            let values = t[&name].clone();
            t.insert(name.replace("encoder_layer.", "encoder.layers.0."), values);
        }
    });
}

#[test]
fn other_tokens_are_caught() {
    with_model("another padding token", "tokens.ids", |m| m.vocabulary.pad = 1 - m.vocabulary.pad);
    with_model("contexts in another order", "tokens.ids", |m| {
        for (name, id) in &mut m.vocabulary.specials {
            if name.starts_with("[SPECIES") {
                *id -= 2;
            }
        }
    });
    with_model("genes shifted by one", "tokens.ids", |m| m.vocabulary.genes.rotate_left(1));
    for kit in LIGHTNING.into_iter().filter_map(dir) {
        let means = |alter: fn(&mut f64)| {
            let mut model = open(&kit.join("checkpoint"));
            model.means.by_technology.values_mut().flatten().for_each(alter);
            run(&kit, &model).first_divergence
        };
        assert_eq!(means(|m| *m = 1.0).as_deref(), Some("tokens.ids"), "no technology mean");
        assert_eq!(means(|_| {}), None);
        if kit.ends_with(LIGHTNING[0]) {
            assert_eq!(means(|m| *m = m.max(1e-6)).as_deref(), Some("tokens.ids"), "negative means clamped");
            // The only half among the means belongs to a gene behind the cut of its one cell: `recipe.rs` tests rounding.
            assert_eq!(means(|m| *m += 1.0).as_deref(), Some("tokens.ids"), "other whole numbers");
        } else {
            assert_eq!(
                means(|m| *m = if m.is_nan() { 1.0 } else { *m }).as_deref(),
                Some("tokens.ids"),
                "NaN as 1"
            );
        }
    }
}

#[test]
fn every_padded_recipe_differs_from_every_other() {
    for kit in kits() {
        let (model, cells) = (open(&kit.join("checkpoint")), super::kit::Cells::read(&kit));
        let mut seen = vec![];
        for (name, recipe) in Recipe::ALL {
            let possible = recipe.ranking == Ranking::Plain || !model.means.by_technology.is_empty();
            // Both codes agree on padding where the vocabulary's own token is that of training.
            let same = recipe.padding == Padding::Training && model.vocabulary.pad == 1;
            if possible && !same && recipe.padding != Padding::None {
                let tokens = cells.tokens(&model, Some(name));
                assert!(seen.iter().all(|other| *other != tokens), "{name}");
                seen.push(tokens);
            }
        }
        assert!(seen.len() >= 3);
    }
}
