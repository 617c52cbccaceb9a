//! Wrong variants must fail: the tolerances bite. Each is made by altering weights or an opened model, never by a switch.

use microtome_kernels::Activation;

use super::kit::{Cells, KITS, Tensors, altered, checkpoint, dir, open, run};
use crate::families::geneformer::config::Config;
use crate::families::geneformer::model::Geneformer;
use crate::parity::{KitReport, run_kit_with};
use crate::{CellRule, Model};

/// How often the worst element uses up its tolerance, over all tensors.
fn excess(report: &KitReport) -> f64 {
    let ratio = |t: &crate::parity::TensorReport| {
        let w = t.worst.as_ref()?;
        Some((w.expected - w.found).abs() / w.allowed)
    };
    report.tensors.iter().filter_map(ratio).fold(0.0, f64::max)
}

/// Fails by far, and first at the tensor given.
fn caught(what: &str, report: &KitReport, first: &str) {
    assert!(!report.passed, "{what} was not noticed");
    assert_eq!(report.first_divergence.as_deref(), Some(first), "{what}");
    assert!(excess(report) > 5.0, "{what}: only {} times the tolerance", excess(report));
}

fn with_tensors(kit: &str, alter: impl FnOnce(&mut Tensors)) -> KitReport {
    let copy = altered(&checkpoint(kit), alter);
    run(kit, &Geneformer::open(copy.path()).unwrap())
}

fn with_model(kit: &str, alter: impl FnOnce(&mut Geneformer)) -> KitReport {
    let mut model = open(kit);
    alter(&mut model);
    run(kit, &model)
}

fn zero(tensors: &mut Tensors, name: &str) {
    tensors.get_mut(name).unwrap().1.fill(0.0);
}

#[test]
fn an_unaltered_copy_passes() {
    for kit in KITS {
        let report = with_tensors(kit, |_| {});
        assert!(report.passed, "{:?}", report.first_divergence);
    }
}

#[test]
fn other_activations_are_caught() {
    for kit in KITS {
        for activation in [Activation::GeluErf, Activation::GeluTanh, Activation::Silu] {
            let path = checkpoint(kit);
            let mut config = Config::read(&path.join("config.json")).unwrap();
            config.bert.activation = activation;
            let model = Geneformer::with_config(&path, config).unwrap();
            caught("activation", &run(kit, &model), "blocks.0.mlp_out");
        }
        let head =
            with_model(kit, |m| m.network.head.as_mut().unwrap().activation = Activation::GeluErf);
        caught("activation of the readout", &head, "readout.mlm_transform");
    }
}

#[test]
fn other_epsilons_are_caught() {
    for kit in KITS {
        caught("eps of the embedding", &with_model(kit, |m| m.network.embedding.norm.eps = 1e-5), "embed");
        let block = with_model(kit, |m| m.network.blocks[1].norm1.eps = 1e-5);
        caught("eps of one norm in block 1", &block, "blocks.1.resid_mid");
        let head = with_model(kit, |m| m.network.head.as_mut().unwrap().norm.eps = 1e-5);
        caught("eps of the readout", &head, "readout.mlm_transform");
    }
}

#[test]
fn altered_attention_is_caught() {
    for kit in KITS {
        let name = |part: &str, what: &str| format!("bert.encoder.layer.0.attention.self.{part}.{what}");
        let swapped = with_tensors(kit, |t| {
            for what in ["weight", "bias"] {
                let q = t.remove(&name("query", what)).unwrap();
                let k = t.insert(name("key", what), q).unwrap();
                t.insert(name("query", what), k);
            }
        });
        caught("queries and keys swapped", &swapped, "blocks.0.attn.q");
        for (part, site) in [("query", "q"), ("key", "k"), ("value", "v")] {
            let report = with_tensors(kit, |t| zero(t, &name(part, "bias")));
            caught(part, &report, &format!("blocks.0.attn.{site}"));
        }
        let scale = with_model(kit, |m| {
            let shape = &mut m.network.blocks[0].shape;
            shape.scale = 1.0 / ((shape.n_heads * shape.d_head) as f32).sqrt();
        });
        caught("scale by the whole width", &scale, "blocks.0.attn.pattern");
    }
}

#[test]
fn altered_embeddings_are_caught() {
    for kit in KITS {
        let shifted = with_tensors(kit, |t| {
            let (shape, v) = t.get_mut("bert.embeddings.position_embeddings.weight").unwrap();
            v.rotate_left(shape[1]);
        });
        caught("positions from 1", &shifted, "embed");
        let types = "bert.embeddings.token_type_embeddings.weight";
        caught("no token type", &with_tensors(kit, |t| zero(t, types)), "embed");
        let row1 = with_tensors(kit, |t| {
            let (shape, v) = t.get_mut(types).unwrap();
            v.rotate_left(shape[1]);
        });
        caught("token type row 1", &row1, "embed");
        let bias = with_tensors(kit, |t| {
            zero(t, "cls.predictions.bias");
            t.remove("cls.predictions.decoder.bias");
        });
        caught("no bias of the decoder", &bias, "readout.mlm_logits");
    }
}

#[test]
fn wrong_pooling_is_caught() {
    let v1 = with_model(KITS[0], |m| m.rule = CellRule::Token(0));
    caught("first token instead of the mean", &v1, "cell_embedding");
    let v2 = with_model(KITS[1], |m| m.rule = CellRule::Mean);
    caught("mean instead of <cls>", &v2, "cell_embedding");
}

#[test]
fn wrong_tokens_are_caught() {
    for kit in KITS {
        let report = with_model(kit, |m| m.vocabulary.medians.fill(1.0));
        assert_eq!(report.first_divergence.as_deref(), Some("tokens.ids"), "no division by medians");
        let report = with_model(kit, |m| m.vocabulary.forget_mapping());
        assert_eq!(report.first_divergence.as_deref(), Some("tokens.ids"), "no mapping dictionary");

        // Totals over known genes only.
        let (model, mut cells) = (open(kit), Cells::read(kit));
        let genes = model.match_genes(&cells.genes()).unwrap();
        for cell in 0..cells.counts.n_cells() {
            let (columns, values) = cells.counts.row(cell);
            let known = columns.iter().zip(values).filter(|(g, _)| genes.token_of_gene[**g as usize].is_some());
            cells.totals[cell] = known.map(|(_, v)| f64::from(*v)).sum();
        }
        let report = run_kit_with(&dir(kit), &model, &cells.as_kit()).unwrap();
        caught("totals over known genes", &report, "tokens.values");
    }
}

#[test]
fn duplicates_must_be_added_up() {
    let (model, cells) = (open(KITS[1]), Cells::read(KITS[1]));
    let mut genes = model.match_genes(&cells.genes()).unwrap();
    assert!(genes.sum_duplicates && genes.overlap.n_duplicates > 0);
    let right = cells.tokens(&model);
    genes.sum_duplicates = false;
    let wrong = model.tokenize(&cells.counts, Some(cells.totals()), &genes, &Default::default()).unwrap();
    assert_ne!(right.ids, wrong.ids);
}
