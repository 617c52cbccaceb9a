//! Tokens of kits and of real cells over real dictionaries.

use microtome_core::{Counts, GeneTable};

use super::kit::{Cells, KITS, open, shared};
use crate::families::geneformer::presets::PUBLISHED;
use crate::tokenize::rank::{RankRule, Scaling};
use crate::tokenize::rank_vocabulary::RankVocabulary;
use crate::tokenize::{rank_files, rank_genes};
use crate::{Model, TokenizeOptions};

#[test]
fn a_smaller_cap_keeps_the_first_genes() {
    for kit in KITS {
        let (model, cells) = (open(kit), Cells::read(kit));
        let genes = model.match_genes(&cells.genes()).unwrap();
        let all = cells.tokens(&model);
        let options = TokenizeOptions { max_tokens: Some(7), ..Default::default() };
        let few = model.tokenize(&cells.counts, Some(cells.totals()), &genes, &options).unwrap();
        for c in 0..all.n_cells() {
            let (a, f) = (all.cell(c).0, few.cell(c).0);
            let (ga, gf) = (&a[model.gene_tokens(a.len())], &f[model.gene_tokens(f.len())]);
            assert!(f.len() <= 7);
            assert_eq!(gf, &ga[..gf.len()]);
            assert_eq!(all.n_cut[c] as usize + ga.len(), few.n_cut[c] as usize + gf.len());
        }
        let none = TokenizeOptions { max_tokens: Some(0), ..Default::default() };
        assert!(model.tokenize(&cells.counts, Some(cells.totals()), &genes, &none).is_err());
        let huge = TokenizeOptions { max_tokens: Some(9999), ..Default::default() };
        assert_eq!(model.tokenize(&cells.counts, Some(cells.totals()), &genes, &huge).unwrap(), all);
    }
}

#[test]
fn kit_cells_have_no_ties_and_rows_may_come_in_any_order() {
    for kit in KITS {
        let (model, cells) = (open(kit), Cells::read(kit));
        let tokens = cells.tokens(&model);
        assert!(tokens.n_ties.iter().all(|&n| n == 0));
        assert!(tokens.n_cut.iter().any(|&n| n > 0));
        let genes = model.match_genes(&cells.genes()).unwrap();
        let order: Vec<usize> = (0..cells.counts.n_cells()).rev().collect();
        let totals: Vec<f64> = order.iter().map(|&c| cells.totals[c]).collect();
        let totals = crate::CellTotals { values: &totals, single_precision: cells.single_precision };
        let back = model
            .tokenize(&cells.counts.select_cells(&order), Some(totals), &genes, &TokenizeOptions::default())
            .unwrap();
        assert_eq!(back, tokens.select(&order));
    }
}

#[test]
fn log_normalised_values_are_refused() {
    let (model, cells) = (open(KITS[0]), Cells::read(KITS[0]));
    let genes = model.match_genes(&cells.genes()).unwrap();
    let logged = Counts::new(
        cells.counts.n_genes(),
        cells.counts.indptr().to_vec(),
        cells.counts.indices().to_vec(),
        cells.counts.values().iter().map(|v| v.ln_1p()).collect(),
    )
    .unwrap();
    let e = model.tokenize(&logged, None, &genes, &TokenizeOptions::default()).unwrap_err();
    assert!(e.to_string().contains("log-normalised") && e.to_string().contains('%'), "{e}");
}

#[test]
fn real_cells_over_real_dictionaries() {
    let (Some(data), Some(vocab)) = (shared("data/pbmc3k.h5ad"), shared("reference/vocab")) else { return };
    let data = microtome_h5ad::open(&data).unwrap();
    let slot = microtome_h5ad::Slot::X;
    let table = GeneTable::detect(&data.var(&slot).unwrap(), None, None).unwrap();
    let counts = data.matrix(&slot).unwrap().rows(0..50).unwrap();
    for (folder, max_tokens, n_special) in [("geneformer_30M", 2048, 0), ("geneformer_gc95M", 4096, 2)] {
        let files = rank_files::find(&vocab.join(folder), None, &PUBLISHED).unwrap();
        let vocabulary = RankVocabulary::read(&files).unwrap();
        let genes = rank_genes::match_genes(&vocabulary, &table).unwrap();
        println!("{folder}: {:?}", genes.overlap);
        assert!(genes.overlap.n_matched > 12_000, "{:?}", genes.overlap);
        let (first, last) = (vocabulary.cls, vocabulary.eos);
        let rule = RankRule { divisor: &vocabulary.medians, scaling: Scaling::AllGenes, first, last, max_tokens };
        let tokens = rule.tokenize(&counts, None, &genes).unwrap();
        for cell in 0..50 {
            let known = |g: &u32| genes.token_of_gene[*g as usize].is_some();
            let n = counts.row(cell).0.iter().filter(|g| known(g)).count();
            // Genes that are added up give one token, so there can be fewer tokens than expressed genes.
            assert!(tokens.len_of(cell) <= n + n_special && tokens.len_of(cell) + 20 > n, "{cell}");
            let (_, values) = tokens.cell(cell);
            let ranked = &values[n_special / 2..values.len() - n_special / 2];
            assert!(ranked.windows(2).all(|w| w[0] >= w[1]));
        }
    }
}
