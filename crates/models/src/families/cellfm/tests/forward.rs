//! What the forward pass promises: independence of company, order and threads, and nothing computed in vain.

use microtome_core::{BlockSite, Silent, Site};

use super::kit::{Cells, open};
use crate::taps::{Pooling, Recorded, Recorder};
use crate::{MapKind, Model, SiteData, Tap, Tokens, pool_cells};

fn rows(model: &dyn Model, tokens: &Tokens, site: &Site) -> Vec<f32> {
    let mut recorder = Recorder::new([site.clone()]);
    model.forward(tokens, &mut recorder).unwrap();
    match recorder.take(site) {
        Some(Recorded::Tokens { data, .. } | Recorded::Cells { data, .. }) => data,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cell_does_not_depend_on_its_neighbours_order_or_threads() {
    let model = open();
    let tokens = Cells::read().tokens(&model);
    for site in [Site::resid_post(1), Site::CellEmbedding] {
        let together = rows(&model, &tokens, &site);
        let parts: Vec<Vec<f32>> =
            (0..tokens.n_cells()).map(|c| rows(&model, &tokens.select(&[c]), &site)).collect();
        assert_eq!(together, parts.concat());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(together, pool.install(|| rows(&model, &tokens, &site)));
        let back: Vec<usize> = (0..tokens.n_cells()).rev().collect();
        let reversed: Vec<f32> = parts.iter().rev().flatten().copied().collect();
        assert_eq!(rows(&model, &tokens.select(&back), &site), reversed);
    }
}

#[test]
fn each_site_alone_equals_all_together() {
    let model = open();
    let tokens = Cells::read().tokens(&model).select(&[0, 3]);
    let sites: Vec<Site> = model.sites().into_iter().map(|s| s.site).collect();
    let mut all = Recorder::new(sites.clone());
    model.forward(&tokens, &mut all).unwrap();
    assert_eq!(all.sites().count(), sites.len());
    for site in &sites {
        let mut one = Recorder::new([site.clone()]);
        model.forward(&tokens, &mut one).unwrap();
        assert_eq!(one.get(site), all.get(site), "{site}");
    }
}

/// Checks the meaning of every map.
struct Maps(usize);

impl Tap for Maps {
    fn wants(&self, site: &Site) -> bool {
        matches!(site, Site::Block(_, BlockSite::Pattern))
    }

    fn offer(&mut self, _: &Site, _: &Tokens, data: SiteData<'_>) -> microtome_core::Result<()> {
        let SiteData::Map { data, kind, .. } = data else { panic!("not a map") };
        assert_eq!(kind, MapKind::NonNegative);
        assert!(data.iter().all(|v| *v >= 0.0) && data.iter().any(|v| *v > 0.0));
        self.0 += 1;
        Ok(())
    }
}

#[test]
fn maps_are_non_negative_and_there_are_no_scores() {
    let model = open();
    let tokens = Cells::read().tokens(&model);
    let mut maps = Maps(0);
    model.forward(&tokens, &mut maps).unwrap();
    assert_eq!(maps.0, 2 * tokens.n_cells());
    assert!(model.sites().iter().all(|s| !s.site.to_string().ends_with("scores")));
}

#[test]
fn the_published_rule_gives_the_cell_vector_and_odd_cells_are_defined() {
    let model = open();
    let mut tokens = Cells::read().tokens(&model);
    let n = tokens.n_cells();
    tokens.push(&[], &[], 0, 0);
    let sites = [Site::CellEmbedding, model.cell_rule().1];
    let pooled = pool_cells(&model, &tokens, &sites, Pooling::Published, 40, &Silent).unwrap();
    assert_eq!(pooled.missing, [n]);
    for cell in 0..n {
        assert_eq!(pooled.matrices[0].row(cell), pooled.matrices[1].row(cell));
    }
    let mut recorder = Recorder::new([Site::Embed]);
    for (ids, word) in [(vec![144, 145], "vocabulary"), (vec![144], "no genes")] {
        let mut odd = Tokens::new();
        odd.push(&ids, &vec![0.0; ids.len()], 0, 0);
        assert!(model.forward(&odd, &mut recorder).unwrap_err().to_string().contains(word));
    }
}
