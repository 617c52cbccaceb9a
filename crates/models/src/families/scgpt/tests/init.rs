//! Untrained models.

use microtome_core::{Silent, Site};

use super::kit::{Cells, golden, kits, open, shared};
use crate::families::scgpt::FAMILY;
use crate::families::scgpt::model::ScGpt;
use crate::taps::Pooling;
use crate::{TokenizeOptions, pool_cells};

#[test]
fn a_twin_has_the_shape_and_the_vocabulary_but_other_weights() {
    for kit in kits() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("twin");
        (FAMILY.init_twin)(&kit.join("checkpoint"), 3, &out).unwrap();
        let (twin, model) = (ScGpt::open(&out).unwrap(), open(&kit));
        let (cells, options) = (Cells::read(&kit), TokenizeOptions::default());
        let tokens = cells.tokens(&twin, &options);
        assert_eq!(tokens, cells.tokens(&model, &options));
        assert_ne!(twin.network.words, model.network.words);
        let pooled = pool_cells(&twin, &tokens, &[Site::CellEmbedding], Pooling::Published, 99, &Silent).unwrap();
        assert!(pooled.matrices[0].data().iter().all(|v| v.is_finite()));
        assert!((FAMILY.init_twin)(&kit.join("checkpoint"), 3, &out).is_err(), "nothing is overwritten");
        let again = dir.path().join("again");
        (FAMILY.init_twin)(&kit.join("checkpoint"), 3, &again).unwrap();
        let bytes = |p: &std::path::Path| std::fs::read(p.join("model.safetensors")).unwrap();
        assert_eq!(bytes(&out), bytes(&again), "the seed decides");
    }
}

#[test]
fn presets_over_a_vocabulary() {
    let dir = tempfile::tempdir().unwrap();
    let e = (FAMILY.init)("humn", &golden(), 1, &dir.path().join("x")).unwrap_err().to_string();
    assert!(e.contains("did you mean human"), "{e}");
    assert!(!dir.path().join("x").exists());
    let Some(vocabulary) = shared("reference/vocab/scgpt/default_census_vocab.json") else { return };
    let out = dir.path().join("human");
    (FAMILY.init)("human", &vocabulary, 1, &out).unwrap();
    let model = crate::open(&out).unwrap();
    assert_eq!((model.info().variant.as_str(), model.info().n_parameters), ("human", FAMILY.variants[0].n_parameters));
}
