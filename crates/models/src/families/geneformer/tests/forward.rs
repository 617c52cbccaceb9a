//! What the forward pass promises: independence of company, order and threads, and nothing computed in vain.

use microtome_core::{BlockSite, Error, Result, Silent, Site};

use super::kit::{Cells, KITS, open};
use crate::taps::{Pooling, Recorded, Recorder, Tee};
use crate::{Model, SiteData, Tap, Tokens, pool_cells};

fn token_rows(model: &dyn Model, tokens: &Tokens, site: &Site) -> Vec<f32> {
    let mut recorder = Recorder::new([site.clone()]);
    model.forward(tokens, &mut recorder).unwrap();
    match recorder.take(site) {
        Some(Recorded::Tokens { data, .. } | Recorded::Cells { data, .. }) => data,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cell_does_not_depend_on_its_neighbours_order_or_threads() {
    for kit in KITS {
        let (model, cells) = (open(kit), Cells::read(kit));
        let tokens = cells.tokens(&model);
        let last = model.info().n_blocks - 1;
        for site in [Site::resid_post(last), Site::CellEmbedding] {
            let together = token_rows(&model, &tokens, &site);
            let alone: Vec<f32> = (0..tokens.n_cells())
                .flat_map(|c| token_rows(&model, &tokens.select(&[c]), &site))
                .collect();
            assert_eq!(together, alone, "{kit} {site}");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            assert_eq!(together, pool.install(|| token_rows(&model, &tokens, &site)), "{kit} {site}");
        }
    }
}

#[test]
fn pooled_rows_come_in_input_order_whatever_the_budget() {
    for kit in KITS {
        let (model, cells) = (open(kit), Cells::read(kit));
        let tokens = cells.tokens(&model);
        let sites = [Site::Embed, Site::resid_post(1), Site::Block(0, BlockSite::Z), Site::CellEmbedding];
        let run = |budget| pool_cells(&model, &tokens, &sites, Pooling::Published, budget, &Silent).unwrap();
        let all = run(1 << 20);
        assert_eq!(all, run(1));
        assert_eq!(all, run(60));
        assert_eq!(all.matrices[0].rows(), tokens.n_cells());
        // The published rule at the published site is the published vector.
        let own = pool_cells(&model, &tokens, &[model.cell_rule().1], Pooling::Published, 99, &Silent).unwrap();
        assert_eq!(own.matrices[0], all.matrices[3]);
        let reversed: Vec<usize> = (0..tokens.n_cells()).rev().collect();
        let back =
            pool_cells(&model, &tokens.select(&reversed), &sites, Pooling::Published, 99, &Silent).unwrap();
        for (a, b) in all.matrices.iter().zip(&back.matrices) {
            assert_eq!(*a, b.select_rows(&reversed));
        }
    }
}

#[test]
fn fused_and_tapped_paths_agree_to_the_bit() {
    for kit in KITS {
        let (model, cells) = (open(kit), Cells::read(kit));
        let tokens = cells.tokens(&model);
        let last = Site::resid_post(model.info().n_blocks - 1);
        let fused = token_rows(&model, &tokens, &last);
        let mut everything = Recorder::new(model.sites().into_iter().map(|s| s.site));
        model.forward(&tokens, &mut everything).unwrap();
        let Some(Recorded::Tokens { data, .. }) = everything.get(&last) else { panic!() };
        assert_eq!(&fused, data);
        assert_eq!(everything.sites().count(), model.sites().len(), "every site that is listed is offered");
    }
}

/// Notes the order of offers and fails on a site it did not ask for.
struct Strict {
    wanted: Vec<Site>,
    seen: Vec<Site>,
}

impl Tap for Strict {
    fn wants(&self, site: &Site) -> bool {
        self.wanted.contains(site)
    }

    fn offer(&mut self, site: &Site, _tokens: &Tokens, _data: SiteData<'_>) -> Result<()> {
        if !self.wanted.contains(site) {
            return Err(Error::usage("not asked for").at_key(site.to_string()));
        }
        if self.seen.last() != Some(site) {
            self.seen.push(site.clone());
        }
        Ok(())
    }
}

#[test]
fn each_site_alone_and_all_in_order() {
    let (model, cells) = (open(KITS[1]), Cells::read(KITS[1]));
    let tokens = cells.tokens(&model).select(&[2]);
    let sites: Vec<Site> = model.sites().into_iter().map(|s| s.site).collect();
    let mut all = Strict { wanted: sites.clone(), seen: vec![] };
    model.forward(&tokens, &mut all).unwrap();
    assert_eq!(all.seen, sites, "in the order of the forward pass");
    let mut full = Recorder::new(sites.clone());
    model.forward(&tokens, &mut full).unwrap();
    for site in &sites {
        let mut one = Strict { wanted: vec![site.clone()], seen: vec![] };
        let mut record = Recorder::new([site.clone()]);
        model.forward(&tokens, &mut Tee(vec![&mut one, &mut record])).unwrap();
        assert_eq!(one.seen, std::slice::from_ref(site));
        assert_eq!(record.get(site), full.get(site), "{site}");
    }
}

#[test]
fn a_cell_without_known_genes_has_a_defined_result() {
    for kit in KITS {
        let (model, cells) = (open(kit), Cells::read(kit));
        let mut tokens = cells.tokens(&model).select(&[0]);
        let special: Vec<u32> =
            [model.vocabulary.cls, model.vocabulary.eos].into_iter().flatten().collect();
        tokens.push(&special, &vec![0.0; special.len()], 0, 0);
        let sites = [Site::CellEmbedding, Site::resid_post(0)];
        for (pooling, v2_missing) in [(Pooling::Published, false), (Pooling::Mean, true)] {
            let pooled = pool_cells(&model, &tokens, &sites[1..], pooling, 999, &Silent).unwrap();
            let missing = special.is_empty() || v2_missing;
            assert_eq!(pooled.missing, if missing { vec![1] } else { vec![] }, "{kit} {pooling}");
            assert_eq!(pooled.matrices[0].row(1)[0].is_nan(), missing);
            assert!(pooled.matrices[0].row(0).iter().all(|v| v.is_finite()));
        }
        let cell = pool_cells(&model, &tokens, &sites[..1], Pooling::Published, 999, &Silent).unwrap();
        assert_eq!(!cell.missing.is_empty(), special.is_empty());
    }
}

#[test]
fn foreign_tokens_are_refused() {
    let model = open(KITS[0]);
    let mut recorder = Recorder::new([Site::Embed]);
    let mut tokens = Tokens::new();
    tokens.push(&[203], &[0.0], 0, 0);
    assert!(model.forward(&tokens, &mut recorder).unwrap_err().to_string().contains("vocabulary"));
    let mut tokens = Tokens::new();
    tokens.push(&[5; 37], &[0.0; 37], 0, 0);
    assert!(model.forward(&tokens, &mut recorder).unwrap_err().to_string().contains("at most 36"));
}

#[test]
fn maps_cannot_be_pooled() {
    let (model, cells) = (open(KITS[0]), Cells::read(KITS[0]));
    let site = Site::Block(0, BlockSite::Pattern);
    let e = pool_cells(&model, &cells.tokens(&model), &[site], Pooling::Mean, 99, &Silent).unwrap_err();
    assert!(e.to_string().contains("no vector per cell"), "{e}");
}
