//! Matching genes.

use microtome_core::{Column, GeneTable, Table};

use super::kit::{Cells, altered, golden, kits, open};
use crate::Model;
use crate::families::scgpt::model::ScGpt;

fn table(index: &[String]) -> GeneTable {
    GeneTable::detect(&Table { index: index.to_vec(), columns: vec![] }, None, None).unwrap()
}

#[test]
fn names_match_letter_by_letter() {
    for kit in kits() {
        let (model, cells) = (open(&kit), Cells::read(&kit));
        let genes = cells.genes();
        let matched = model.match_genes(&genes).unwrap();
        for (name, token) in genes.symbols.unwrap().iter().zip(&matched.token_of_gene) {
            assert_eq!(*token, model.vocabulary.gene(name), "{name}");
        }
        assert!(matched.overlap.source.contains("feature_name"), "{}", matched.overlap.source);
    }
}

#[test]
fn duplicates_are_reported_and_stay_apart() {
    let model = open(&golden());
    let matched = model.match_genes(&table(&["ACTB".into(), "LYZ".into(), "ACTB".into()])).unwrap();
    assert_eq!((matched.overlap.n_duplicates, matched.sum_duplicates), (2, false));
    assert_eq!(matched.token_of_gene[0], matched.token_of_gene[2]);
}

#[test]
fn ids_are_translated_by_the_table_beside_the_checkpoint() {
    let ids: Vec<String> = (0..20).map(|i| format!("ENSG{i:011}")).collect();
    let genes = table(&ids);
    let e = open(&golden()).match_genes(&genes).unwrap_err().to_string();
    assert!(e.contains("gene_info.csv") && e.contains("feature_name"), "{e}");
    let folder = altered(&golden(), |_| {});
    let symbols = ["ACTB", "LYZ", "NKG7", "MS4A1", "CD8A", "nothing"];
    let rows: String =
        ids.iter().enumerate().map(|(i, id)| format!("{i},{id}.3,\"{}\"\n", symbols[i % 6])).collect();
    std::fs::write(folder.path().join("gene_info.csv"), format!(",feature_id,feature_name\n{rows}")).unwrap();
    let model = ScGpt::open(folder.path()).unwrap();
    let matched = model.match_genes(&genes).unwrap();
    assert_eq!((matched.overlap.n_matched, matched.overlap.n_renamed), (17, 17));
    assert!(matched.overlap.source.contains("gene_info.csv"));
    assert!(model.info().files.iter().any(|(role, _)| role == "gene names"));
    std::fs::write(folder.path().join("gene_info.csv"), "a,b\n").unwrap();
    assert!(ScGpt::open(folder.path()).err().unwrap().to_string().contains("feature_id"));
}

#[test]
fn other_species_and_no_overlap_are_refused() {
    let model = open(&golden());
    let mouse: Vec<String> = (0..30).map(|i| format!("ENSMUSG{i:011}")).collect();
    assert!(model.match_genes(&table(&mouse)).unwrap_err().to_string().contains("mouse"));
    let other: Vec<String> = (0..30).map(|i| format!("QQ{i}A")).collect();
    assert!(model.match_genes(&table(&other)).unwrap_err().to_string().contains("too few genes"));
    let ids = Column::Text((0..2).map(|i| Some(format!("{i}"))).collect());
    let none = Table { index: vec!["1".into(), "2".into()], columns: vec![("x".into(), ids)] };
    let none = GeneTable::detect(&none, None, None).unwrap();
    assert!(model.match_genes(&none).unwrap_err().to_string().contains("no gene names"));
}
