//! The parameter-free study on simulated cells.

#![allow(clippy::unwrap_used)]

use microtome_core::{Counts, Silent};
use microtome_eval::Groups;
use microtome_eval::study::{
    CellTypeOptions, ClusteredOptions, Labelled, Orthologs, Rule, TransferOptions, cell_type, clustered,
    transfer,
};
use microtome_numerics::resample::Rng;

const GENES: usize = 120;
const TYPES: usize = 4;
const CELLS: usize = 320;

/// Cells of four types; every type has genes of its own that are ten times as high, at the places `gene_of` says. `batch` scales
/// every gene by a factor of its own, as a species does.
fn cells(gene_of: &[usize], batch: f64, seed: u64) -> (Counts, Groups) {
    let mut rng = Rng::new(seed);
    let factor: Vec<f64> = (0..GENES).map(|_| (batch * rng.normal()).exp()).collect();
    let (mut indptr, mut indices, mut values) = (vec![0], vec![], vec![]);
    for cell in 0..CELLS {
        let depth = (0.3 * rng.normal()).exp();
        let mut row: Vec<(usize, f64)> = (0..GENES)
            .map(|g| {
                let high = if g % (2 * TYPES) == cell % TYPES { 10.0 } else { 1.0 };
                let mean = depth * factor[g] * high;
                (gene_of[g], (mean + mean.sqrt() * rng.normal()).round())
            })
            .collect();
        row.sort_by_key(|r| r.0);
        for (g, v) in row.into_iter().filter(|r| r.1 > 0.0) {
            indices.push(g as u32);
            values.push(v as f32);
        }
        indptr.push(values.len());
    }
    let names = (0..TYPES).map(|t| format!("type {t}")).collect();
    let labels = Groups::new("cell_type", names, (0..CELLS).map(|c| (c % TYPES) as u32).collect()).unwrap();
    (Counts::new(GENES, indptr, indices, values).unwrap(), labels)
}

#[test]
fn the_pipeline_finds_types_and_not_noise() {
    let same: Vec<usize> = (0..GENES).collect();
    let (counts, labels) = cells(&same, 0.0, 1);
    let o = CellTypeOptions {
        min_cells: 50,
        n_splits: 2,
        n_components: 20,
        n_genes: 60,
        ..CellTypeOptions::default()
    };
    let data = Labelled { name: "tissue".into(), counts: &counts, labels: labels.clone() };
    let scores = cell_type(&data, &o, &Silent).unwrap();
    assert_eq!(scores.len(), 2 * 2 * 4, "two representations, two splits, four classifiers");
    for s in &scores {
        assert!(s.f1 > 0.9, "{s:?}");
        assert_eq!((s.n_test, s.n_labels), (64, 4));
    }
    let mut codes = labels.codes.clone();
    Rng::new(5).shuffle(&mut codes);
    let shuffled = Labelled { labels: Groups { codes, ..labels }, ..data.clone() };
    for s in cell_type(&shuffled, &o, &Silent).unwrap() {
        assert!((s.f1 - 0.25).abs() < 0.2, "{s:?}");
    }
    let strict = CellTypeOptions { min_cells: 1000, ..o };
    assert!(cell_type(&data, &strict, &Silent).unwrap_err().to_string().contains("--min-cells"));
}

#[test]
fn labels_are_carried_over_and_wrong_orthologs_lose_them() {
    let mut order: Vec<usize> = (0..GENES).collect();
    Rng::new(9).shuffle(&mut order);
    let same: Vec<usize> = (0..GENES).collect();
    let ((human, of_human), (mouse, of_mouse)) = (cells(&same, 0.5, 2), cells(&order, 0.5, 3));
    let human = Labelled { name: "human".into(), counts: &human, labels: of_human };
    let mouse = Labelled { name: "mouse".into(), counts: &mouse, labels: of_mouse };
    let o = TransferOptions::default();
    // Gene g of the human is gene order[g] of the mouse; two thirds of them are known, of every type.
    let pairs: Vec<(usize, usize)> = (0..GENES).filter(|g| g % 3 != 0).map(|g| (g, order[g])).collect();
    let right = Orthologs::new(&pairs, Rule::OneToOne);
    let scores = transfer(&human, Some((&mouse, &right)), &o, &Silent).unwrap();
    assert_eq!(scores.len(), 3 * 4 + 1, "every classifier on every representation, and the published one");
    let of = |r: &str, c: &str| scores.iter().find(|s| s.representation == r && s.classifier == c).unwrap();
    assert!(of("rank_normal", "published").f1 > 0.9, "{scores:?}");
    assert!(
        of("rank_normal", "projection").f1 > 0.9 && of("log_normalised", "logistic").f1 > 0.8,
        "{scores:?}"
    );
    assert!(scores.iter().all(|s| s.n_genes == 2 * GENES / 3 && s.n_cells == CELLS && s.n_labels == TYPES));
    let wrong: Vec<(usize, usize)> = pairs.iter().map(|&(g, _)| (g, order[(g + 3) % GENES])).collect();
    let wrong = transfer(&human, Some((&mouse, &Orthologs::new(&wrong, Rule::First))), &o, &Silent).unwrap();
    assert!(wrong.iter().all(|s| s.f1 < 0.5), "{wrong:?}");
    let diagonal = transfer(&human, None, &o, &Silent).unwrap();
    assert!(diagonal.iter().all(|s| s.f1 > 0.9 && s.n_cells == 64), "{diagonal:?}");
}

#[test]
fn what_shares_nothing_is_refused() {
    let same: Vec<usize> = (0..GENES).collect();
    let ((a, labels), (b, _)) = (cells(&same, 0.0, 4), cells(&same, 0.0, 5));
    let a = Labelled { name: "a".into(), counts: &a, labels: labels.clone() };
    let names = (0..TYPES).map(|t| format!("other {t}")).collect();
    let b = Labelled { name: "b".into(), counts: &b, labels: Groups { names, ..labels } };
    let all = Orthologs::same_genes(GENES);
    let e = transfer(&a, Some((&b, &all)), &TransferOptions::default(), &Silent).unwrap_err().to_string();
    assert!(e.contains("a to b") && e.contains("0 labels"), "{e}");
}

#[test]
fn clusters_first_finds_types_and_not_noise() {
    let same: Vec<usize> = (0..GENES).collect();
    let (counts, labels) = cells(&same, 0.0, 6);
    let o = ClusteredOptions { n_folds: 4, n_components: 10, n_genes: 60, ..ClusteredOptions::default() };
    let data = Labelled { name: "tissue".into(), counts: &counts, labels: labels.clone() };
    let scores = clustered(&data, &o, &Silent).unwrap();
    assert_eq!(
        scores.len(),
        3 * 4 * 6,
        "three representations, four folds, four classifiers and two with clusters"
    );
    for s in scores.iter().filter(|s| s.classifier != "clustered_skipping") {
        assert!(s.f1 > 0.8 && s.n_test == 80, "{s:?}");
    }
    for s in scores.iter().filter(|s| s.classifier == "clustered_skipping") {
        assert_eq!(s.n_test + s.n_skipped, 80);
    }
    let mut codes = labels.codes.clone();
    Rng::new(5).shuffle(&mut codes);
    let shuffled = Labelled { labels: Groups { codes, ..labels.clone() }, ..data.clone() };
    let noise: Vec<f64> = clustered(&shuffled, &o, &Silent)
        .unwrap()
        .iter()
        .filter(|s| s.classifier == "clustered")
        .map(|s| s.f1)
        .collect();
    let mean = noise.iter().sum::<f64>() / noise.len() as f64;
    assert!((mean - 0.25).abs() < 0.1, "{noise:?}");
    // Whole donors are held out where they are named.
    let names = (0..5).map(|d| d.to_string()).collect();
    let donors = Groups::new("donor", names, (0..CELLS).map(|c| (c / 64) as u32).collect()).unwrap();
    let o = ClusteredOptions { units: Some(donors), ..o };
    let scores = clustered(&data, &o, &Silent).unwrap();
    let sizes: Vec<usize> = scores
        .iter()
        .filter(|s| s.classifier == "knn" && s.representation == "counts")
        .map(|s| s.n_test)
        .collect();
    assert_eq!(sizes.len(), 4);
    assert!(sizes.iter().all(|n| n % 64 == 0) && sizes.iter().sum::<usize>() == CELLS, "{sizes:?}");
    let strict = ClusteredOptions { min_cells: 1000, ..o };
    assert!(clustered(&data, &strict, &Silent).unwrap_err().to_string().contains("--min-cells"));
}
