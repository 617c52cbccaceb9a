//! Untrained models.

use microtome_core::{Silent, Site};

use super::kit::{Cells, golden, open, shared, small_kits};
use crate::families::aido_cell::FAMILY;
use crate::families::aido_cell::model::AidoCell;
use crate::taps::Pooling;
use crate::{Model, pool_cells};

#[test]
fn a_twin_has_the_shape_and_the_list_but_other_weights() {
    for kit in small_kits() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("twin");
        (FAMILY.init_twin)(&kit.join("checkpoint"), 3, &out).unwrap();
        let (twin, model) = (AidoCell::open(&out).unwrap(), open(&kit));
        let cells = Cells::read(&kit);
        let tokens = cells.tokens(&twin);
        assert_eq!(tokens, cells.tokens(&model));
        assert_eq!(twin.info().choices["norm"], model.info().choices["norm"]);
        assert_ne!(twin.network.positions, model.network.positions);
        let pooled = pool_cells(&twin, &tokens, &[Site::CellEmbedding], Pooling::Published, 99, &Silent).unwrap();
        assert!(pooled.matrices[0].data().iter().all(|v| v.is_finite()));
        assert!((FAMILY.init_twin)(&kit.join("checkpoint"), 3, &out).is_err(), "nothing is overwritten");
    }
}

#[test]
fn presets_over_a_list() {
    let dir = tempfile::tempdir().unwrap();
    let e = (FAMILY.init)("3", &golden(), 1, &dir.path().join("x")).unwrap_err().to_string();
    assert!(e.contains("did you mean 3m"), "{e}");
    assert!(!dir.path().join("x").exists());
    let Some(list) = shared("reference/vocab/scfoundation") else { return };
    let out = dir.path().join("3m");
    (FAMILY.init)("3m", &list, 1, &out).unwrap();
    let model = crate::open(&out).unwrap();
    assert_eq!(model.info().variant, "3m");
    assert_eq!(model.info().n_parameters, 3_640_125);
}
