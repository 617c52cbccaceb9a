//! Untrained models.

use microtome_core::{Silent, Site};

use super::kit::{Cells, golden, kits, open};
use crate::families::tahoe_x1::FAMILY;
use crate::families::tahoe_x1::model::TahoeX1;
use crate::taps::Pooling;
use crate::{Model, TokenizeOptions, pool_cells};

#[test]
fn a_twin_has_the_shape_and_the_vocabulary_but_other_weights() {
    for kit in kits() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("twin");
        (FAMILY.init_twin)(&kit.join("checkpoint"), 3, &out).unwrap();
        let (twin, model) = (TahoeX1::open(&out).unwrap(), open(&kit));
        let (cells, options) = (Cells::read(&kit), TokenizeOptions::default());
        let tokens = cells.tokens(&twin, &options);
        assert_eq!(tokens, cells.tokens(&model, &options));
        assert_ne!(twin.network.words, model.network.words);
        assert_eq!(twin.network.drugs.is_some(), model.network.drugs.is_some());
        let sites = |m: &TahoeX1| m.sites().into_iter().map(|s| s.site).collect::<Vec<_>>();
        assert_eq!(sites(&twin), sites(&model));
        let pooled = pool_cells(&twin, &tokens, &[Site::CellEmbedding], Pooling::Published, 99, &Silent).unwrap();
        assert!(pooled.matrices[0].data().iter().all(|v| v.is_finite()));
        assert!((FAMILY.init_twin)(&kit.join("checkpoint"), 3, &out).is_err(), "nothing is overwritten");
    }
}

#[test]
fn presets_over_a_vocabulary() {
    let dir = tempfile::tempdir().unwrap();
    let e = (FAMILY.init)("70", &golden(), 1, &dir.path().join("x")).unwrap_err().to_string();
    assert!(e.contains("did you mean 70m"), "{e}");
    assert!(!dir.path().join("x").exists());
    // The published size over a small vocabulary: what it is not is its number of tokens.
    let out = dir.path().join("70m");
    (FAMILY.init)("70m", &golden().join("checkpoint"), 1, &out).unwrap();
    let model = TahoeX1::open(&out).unwrap();
    let i = model.info();
    assert_eq!((i.n_blocks, i.d_model, i.n_heads, i.d_mlp, i.max_tokens, i.d_vocab), (12, 512, 8, 2048, 1024, 129));
    let published = FAMILY.variants[0].n_parameters;
    assert_eq!(i.n_parameters, published - (62_720 - 129) * 512);
}
