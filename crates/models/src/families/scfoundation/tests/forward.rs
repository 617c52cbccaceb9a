//! What the forward pass promises: independence of company, order and threads, and nothing computed in vain.

use microtome_core::{BlockSite, Error, Result, Silent, Site};

use super::kit::{Cells, golden, open, record};
use crate::families::scfoundation::model::{EXPRESSION, ScFoundation};
use crate::taps::{Averaged, GeneMeanTap, Pooling, Recorder, Tee};
use crate::{MASKED, Model, SiteData, Tap, Tokens, pool_cells};

fn cells(model: &dyn Model) -> Tokens {
    Cells::read(&golden()).tokens(model)
}

fn extra(name: &str) -> Site {
    Site::Extra(name.into())
}

#[test]
fn a_cell_does_not_depend_on_its_neighbours_order_or_threads() {
    let model = open("gene");
    let tokens = cells(&model);
    let sites = [
        Site::resid_post(2),
        Site::CellEmbedding,
        extra("decoder.blocks.1.attn.phi_k"),
        Site::GeneEmbedding,
        extra(EXPRESSION),
    ];
    for site in sites {
        let together = record(&model, &tokens, &site);
        let alone: Vec<f32> =
            (0..tokens.n_cells()).flat_map(|c| record(&model, &tokens.select(&[c]), &site)).collect();
        assert_eq!(together, alone, "{site}");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(together, pool.install(|| record(&model, &tokens, &site)), "{site}");
    }
}

#[test]
fn the_batch_run_depends_on_its_cells_and_the_plain_one_does_not() {
    let model = open("gene");
    let pair = cells(&model).select(&[0, 3]);
    let alone = record(&model, &pair, &Site::GeneEmbedding);
    let batch = record(&model, &ScFoundation::share_maximum(&pair), &Site::GeneEmbedding);
    assert_ne!(alone, batch);
    // One maximum serves one cell either way.
    let one = pair.select(&[0]);
    let single = record(&model, &ScFoundation::share_maximum(&one), &Site::GeneEmbedding);
    assert_eq!(single, alone[..single.len()]);
}

#[test]
fn pooled_rows_come_in_input_order_whatever_the_budget() {
    let model = open("cell");
    let tokens = cells(&model);
    let sites = [Site::Embed, Site::resid_post(1), Site::CellEmbedding, Site::GeneEmbedding, extra(EXPRESSION)];
    let run = |budget| pool_cells(&model, &tokens, &sites, Pooling::Published, budget, &Silent).unwrap();
    let all = run(1 << 20);
    assert_eq!(all, run(1));
    assert_eq!(all, run(300));
    assert_eq!((all.matrices[1].cols(), all.matrices[2].cols(), all.matrices[4].cols()), (80, 80, 120));
    // The published rule at the published site is the published vector.
    let own = pool_cells(&model, &tokens, &[Site::FinalNorm], Pooling::Published, 99, &Silent).unwrap();
    assert_eq!(own.matrices[0], all.matrices[2]);
    assert_eq!(model.rows(29, &[Site::FinalNorm]), 29);
    assert_eq!(model.rows(29, &[Site::GeneEmbedding]), 29 + 122);
}

#[test]
fn the_cell_vector_is_s_then_t_then_maximum_then_mean() {
    let model = open("cell");
    let tokens = cells(&model).select(&[0]);
    let rows = record(&model, &tokens, &Site::FinalNorm);
    let vector = record(&model, &tokens, &Site::CellEmbedding);
    let (d, n) = (20, tokens.ids.len());
    let row = |i: usize| &rows[i * d..(i + 1) * d];
    assert_eq!(&vector[..d], row(n - 1));
    assert_eq!(&vector[d..2 * d], row(n - 2));
    for c in 0..d {
        let genes: Vec<f32> = (0..n - 2).map(|i| row(i)[c]).collect();
        assert_eq!(vector[2 * d + c], genes.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let mean = genes.iter().map(|v| f64::from(*v)).sum::<f64>() / (n - 2) as f64;
        assert!((f64::from(vector[3 * d + c]) - mean).abs() < 1e-6);
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
    let model = open("gene");
    let tokens = cells(&model).select(&[2]);
    let sites: Vec<Site> = model.sites().into_iter().map(|s| s.site).collect();
    let mut all = Strict { wanted: sites.clone(), seen: vec![] };
    model.forward(&tokens, &mut all).unwrap();
    assert_eq!(all.seen, sites, "in the order of the forward pass");
    let mut full = Recorder::new(sites.clone());
    model.forward(&tokens, &mut full).unwrap();
    for site in &sites {
        let mut one = Strict { wanted: vec![site.clone()], seen: vec![] };
        let mut alone = Recorder::new([site.clone()]);
        model.forward(&tokens, &mut Tee(vec![&mut one, &mut alone])).unwrap();
        assert_eq!(one.seen, std::slice::from_ref(site));
        assert_eq!(alone.get(site), full.get(site), "{site}");
    }
}

#[test]
fn a_cell_without_tokens_has_a_defined_result() {
    let model = open("gene");
    let mut tokens = cells(&model).select(&[1]);
    tokens.push(&[], &[], 0, 1);
    let sites = [Site::CellEmbedding, Site::resid_post(0), Site::GeneEmbedding, extra(EXPRESSION)];
    let pooled = pool_cells(&model, &tokens, &sites, Pooling::Published, 999, &Silent).unwrap();
    assert_eq!(pooled.missing, [1]);
    for m in &pooled.matrices {
        assert!(m.row(0).iter().all(|v| v.is_finite()) && m.row(1).iter().all(|v| v.is_nan()));
    }
    let only_empty = pool_cells(&model, &tokens.select(&[1]), &sites, Pooling::Mean, 999, &Silent).unwrap();
    assert_eq!(only_empty.missing, [0]);
}

#[test]
fn masked_genes_are_hidden_from_the_encoder_and_read_by_the_decoder() {
    let model = open("gene");
    let tokens = cells(&model).select(&[0]);
    let mut masked = tokens.clone();
    masked.values[3] = MASKED;
    let without: Vec<usize> = (0..tokens.ids.len()).filter(|i| *i != 3).collect();
    let mut rest = Tokens::new();
    let pick = |i: &usize| (tokens.ids[*i], tokens.values[*i]);
    let (ids, values): (Vec<u32>, Vec<f32>) = without.iter().map(pick).unzip();
    rest.push(&ids, &values, 0, 0);
    assert_eq!(record(&model, &masked, &Site::FinalNorm), record(&model, &rest, &Site::FinalNorm));
    let read = |t: &Tokens| record(&model, t, &extra(EXPRESSION))[tokens.ids[3] as usize];
    assert_ne!(read(&masked), read(&rest), "masked is not the same as zero");
}

#[test]
fn tokens_of_another_making_are_refused() {
    let model = open("cell");
    let mut recorder = Recorder::new([Site::Embed]);
    let mut refused = |ids: &[u32], values: &[f32]| {
        let mut tokens = Tokens::new();
        tokens.push(ids, values, 0, 0);
        model.forward(&tokens, &mut recorder).unwrap_err().to_string()
    };
    assert!(refused(&[5, 3, 120, 121], &[1.0; 4]).contains("ascending"));
    assert!(refused(&[3, 3, 120, 121], &[1.0; 4]).contains("ascending"));
    assert!(refused(&[3, 5], &[1.0; 2]).contains("then T and S"));
    assert!(refused(&[3, 120, 121, 122], &[1.0; 4]).contains("then T and S"));
    assert!(refused(&[3, 120, 121], &[0.0, 4.0, 1.0]).contains("no value"));
    assert!(refused(&[3, 120, 121], &[f32::NAN, 4.0, 1.0]).contains("no value"));
    assert!(refused(&[3, 120, 121], &[1.0, 4.0, MASKED]).contains("no value"));
}

#[test]
fn gene_vectors_average_over_cells_and_maps_cannot_be_pooled() {
    let model = open("gene");
    let tokens = cells(&model);
    let mut genes = GeneMeanTap::new(&model, &[Site::GeneEmbedding], Averaged::All);
    model.forward(&tokens, &mut genes).unwrap();
    let means = genes.finish_one().unwrap();
    assert_eq!(means.tokens, (0..122).collect::<Vec<u32>>());
    assert!(means.counts.iter().all(|n| *n == 6));
    assert_eq!(model.gene_table().unwrap().rows(), 120);
    assert_eq!(model.labels(&extra(EXPRESSION)).unwrap().len(), 120);
    for site in [Site::Block(0, BlockSite::Pattern), extra("decoder.blocks.0.attn.pattern")] {
        assert!(pool_cells(&model, &tokens, &[site], Pooling::Mean, 99, &Silent).is_err());
    }
}
