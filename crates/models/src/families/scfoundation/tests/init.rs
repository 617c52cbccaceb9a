//! Untrained models.

use std::path::Path;

use super::kit::{Cells, golden, open};
use crate::Model;
use crate::families::scfoundation::FAMILY;
use crate::families::scfoundation::model::ScFoundation;

#[test]
fn a_twin_has_the_shape_and_the_list_but_other_weights() {
    let dir = tempfile::tempdir().unwrap();
    let twin = |part: &str, seed: u64, name: &str| {
        let of = format!("{}#{part}", golden().join("checkpoint").display());
        let out = dir.path().join(name);
        (FAMILY.init_twin)(Path::new(&of), seed, &out).unwrap();
        assert!((FAMILY.init_twin)(Path::new(&of), seed, &out).is_err(), "nothing is overwritten");
        assert_eq!(crate::detect(&out).unwrap().id, "scfoundation");
        ScFoundation::open(&out).unwrap()
    };
    let (a, b, c) = (twin("cell", 1, "a"), twin("cell", 1, "b"), twin("cell", 2, "c"));
    let model = open("cell");
    assert_eq!(a.network.positions, b.network.positions);
    assert_ne!(a.network.positions, c.network.positions);
    assert_ne!(a.network.positions, model.network.positions);
    assert_eq!(a.info().n_parameters, model.info().n_parameters);
    assert!(a.audit().unexpected.is_empty());
    let cells = Cells::read(&golden());
    assert_eq!(cells.tokens(&a), cells.tokens(&model));
    let vectors = super::kit::record(&a, &cells.tokens(&a), &microtome_core::Site::GeneEmbedding);
    assert!(vectors.iter().all(|v| v.is_finite()));
    // One sub-model is written, under its own name.
    let rde = twin("rde", 1, "r");
    assert_eq!(rde.info().choices["sub_model"], "rde");
    assert_eq!(rde.info().choices["sub_models"], serde_json::json!(["rde"]));
}

#[test]
fn weights_follow_torchs_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("m");
    (FAMILY.init_twin)(&golden().join("checkpoint"), 5, &out).unwrap();
    let file = microtome_weights::Checkpoint::open(&out.join("models.safetensors")).unwrap();
    let read = |name: &str| file.read_f32(&format!("cell.state_dict.model.{name}")).unwrap();
    let within = |name: &str, bound: f32| {
        let top = read(name).iter().fold(0.0f32, |t, v| t.max(v.abs()));
        assert!(top <= bound && top > 0.8 * bound, "{name}: {top} of {bound}");
    };
    within("encoder.transformer_encoder.0.linear1.weight", 1.0 / 20f32.sqrt());
    within("encoder.transformer_encoder.0.linear2.weight", 1.0 / 80f32.sqrt());
    within("encoder.transformer_encoder.0.self_attn.in_proj_weight", (6.0f32 / 80.0).sqrt());
    within("decoder.performer.net.layers.0.0.fn.to_q.weight", 1.0 / 16f32.sqrt());
    assert!(read("encoder.norm.weight").iter().all(|v| *v == 1.0));
    assert!(read("encoder.transformer_encoder.1.self_attn.in_proj_bias").iter().all(|v| *v == 0.0));
    let positions = read("pos_emb.weight");
    let sd = (positions.iter().map(|v| v * v).sum::<f32>() / positions.len() as f32).sqrt();
    assert!((sd - 1.0).abs() < 0.1, "{sd}");
}

#[test]
fn impossible_requests_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("m");
    let like = golden().join("checkpoint");
    let e = (FAMILY.init)("01", &like, 1, &out).unwrap_err().to_string();
    assert!(e.contains("did you mean 01b"), "{e}");
    let e = (FAMILY.init)("01b", Path::new(&format!("{}#genes", like.display())), 1, &out).unwrap_err().to_string();
    assert!(e.contains("sub-model"), "{e}");
    assert!((FAMILY.init)("01b", dir.path(), 1, &out).unwrap_err().to_string().contains("gene list"));
    assert!(!out.exists());
}
