//! Untrained models.

use microtome_core::{Silent, Site};

use super::kit::{Cells, golden, kits, open};
use crate::families::scprint::FAMILY;
use crate::families::scprint::model::ScPrint;
use crate::taps::Pooling;
use crate::{Model, detect, pool_cells};

#[test]
fn a_twin_has_the_shape_and_the_vocabulary_but_other_weights() {
    for kit in kits() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("twin");
        (FAMILY.init_twin)(&kit.join("checkpoint"), 3, &out).unwrap();
        assert_eq!(detect(&out).unwrap().id, "scprint");
        let (twin, model) = (ScPrint::open(&out).unwrap(), open(&kit));
        let cells = Cells::read(&kit);
        let tokens = cells.tokens(&twin);
        assert_eq!(tokens, cells.tokens(&model));
        assert_eq!(twin.info().n_parameters, model.info().n_parameters);
        assert_eq!(twin.info().choices, model.info().choices);
        assert_eq!(twin.network.positions, model.network.positions, "not trained");
        assert_eq!(twin.network.gene_table, model.network.gene_table, "frozen");
        assert_ne!(twin.network.class_table, model.network.class_table);
        let pooled = pool_cells(&twin, &tokens, &[Site::CellEmbedding], Pooling::Published, 99, &Silent).unwrap();
        assert!(pooled.matrices[0].data().iter().all(|v| v.is_finite()));
        assert!((FAMILY.init_twin)(&kit.join("checkpoint"), 3, &out).is_err(), "nothing is overwritten");
    }
}

#[test]
fn presets_take_genes_and_classes_from_a_checkpoint() {
    for kit in kits() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("small");
        (FAMILY.init)("small", &kit.join("checkpoint"), 1, &out).unwrap();
        let (model, like) = (ScPrint::open(&out).unwrap(), open(&kit));
        let i = model.info();
        assert_eq!((i.variant.as_str(), i.n_blocks, i.d_model, i.n_heads, i.d_mlp), ("small", 4, 128, 2, 512));
        assert_eq!(model.hyper.genes, like.hyper.genes);
        assert_eq!(model.hyper.classes, like.hyper.classes);
        let tokens = Cells::read(&kit).tokens(&model).select(&[0]);
        let pooled = pool_cells(&model, &tokens, &[Site::CellEmbedding], Pooling::Published, 99, &Silent).unwrap();
        assert!(pooled.matrices[0].data().iter().all(|v| v.is_finite()));
    }
}

/// The formula of the position buffer is the one the first release's kit was written with.
#[test]
fn positions_of_another_width_follow_the_published_formula() {
    for kit in kits().into_iter().filter(|k| k.ends_with("v1_small")) {
        let model = open(&kit);
        let made = crate::families::scprint::init::sinusoids(&model.hyper).unwrap();
        let worst = made.iter().zip(&model.network.positions).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 2e-5, "{worst}");
    }
}

#[test]
fn impossible_requests_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("x");
    let e = (FAMILY.init)("smal", &golden().join("checkpoint"), 1, &out).unwrap_err().to_string();
    assert!(e.contains("did you mean small"), "{e}");
    assert!((FAMILY.init)("small", dir.path(), 1, &out).unwrap_err().to_string().contains("no scPRINT checkpoint"));
    assert!(!out.exists());
}
