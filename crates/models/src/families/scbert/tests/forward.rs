//! What the forward pass promises: independence of company, order and threads, and nothing computed in vain.

use microtome_core::{Silent, Site};

use super::kit::{Cells, golden, kits, open, record};
use crate::taps::{Pooling, Recorder};
use crate::{Model, Tokens, pool_cells};

#[test]
fn a_cell_does_not_depend_on_its_neighbours_order_or_threads() {
    for kit in kits() {
        let model = open(&kit);
        let tokens = Cells::read(&kit).tokens(&model);
        for site in [Site::resid_post(0), Site::CellEmbedding] {
            let together = record(&model, &tokens, &site);
            let alone: Vec<f32> =
                (0..tokens.n_cells()).flat_map(|c| record(&model, &tokens.select(&[c]), &site)).collect();
            assert_eq!(together, alone, "{site}");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            assert_eq!(together, pool.install(|| record(&model, &tokens, &site)), "{site}");
        }
    }
}

#[test]
fn each_site_alone_gives_what_all_together_give() {
    for kit in kits() {
        let model = open(&kit);
        let tokens = Cells::read(&kit).tokens(&model).select(&[0]);
        let sites: Vec<Site> = model.sites().into_iter().map(|s| s.site).collect();
        let mut full = Recorder::new(sites.clone());
        model.forward(&tokens, &mut full).unwrap();
        assert_eq!(full.sites().count(), sites.len(), "every site that is listed is offered");
        for site in &sites {
            let mut alone = Recorder::new([site.clone()]);
            model.forward(&tokens, &mut alone).unwrap();
            assert_eq!(alone.get(site), full.get(site), "{site}");
        }
    }
}

#[test]
fn a_cell_that_is_left_out_has_a_defined_result() {
    for kit in kits() {
        let model = open(&kit);
        let mut tokens = Cells::read(&kit).tokens(&model).select(&[0]);
        tokens.push(&[], &[], 0, 0);
        let mut sites = vec![Site::CellEmbedding, Site::resid_post(0)];
        sites.extend(model.readouts());
        let pooled = pool_cells(&model, &tokens, &sites, Pooling::Published, 999, &Silent).unwrap();
        assert_eq!(pooled.missing, [1]);
        for m in &pooled.matrices {
            assert!(m.row(0).iter().all(|v| v.is_finite()) && m.row(1).iter().all(|v| v.is_nan()));
        }
    }
}

#[test]
fn foreign_tokens_are_refused() {
    let model = open(&golden());
    let mut recorder = Recorder::new([Site::Embed]);
    let mut refused = |ids: &[u32]| {
        let mut tokens = Tokens::new();
        tokens.push(ids, &vec![0.0; ids.len()], 0, 0);
        model.forward(&tokens, &mut recorder).unwrap_err().to_string()
    };
    assert!(refused(&[7; 48]).contains("vocabulary"));
    assert!(refused(&[1; 47]).contains("every gene"));
}
