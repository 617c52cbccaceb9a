//! Matching genes.

use microtome_core::{Column, ErrorKind, GeneTable, Organism, Table};

use super::kit::{Cells, golden, open, small_kits};
use crate::Model;

fn table(names: &[&str]) -> GeneTable {
    let var = Table { index: names.iter().map(|n| (*n).to_string()).collect(), columns: vec![] };
    GeneTable::detect(&var, None, None).unwrap()
}

#[test]
fn names_are_matched_exactly_and_the_first_of_equals_counts() {
    let model = open(&golden());
    let known: Vec<String> = (0..3).map(|t| model.token_name(t).unwrap().to_string()).collect();
    let lower = known[2].to_lowercase();
    let m = model.match_genes(&table(&[&known[1], "NOBODY", &known[0], &known[1], &lower])).unwrap();
    assert_eq!(m.token_of_gene, [Some(1), None, Some(0), None, None]);
    assert_eq!((m.overlap.n_matched, m.overlap.n_duplicates), (2, 1));
    assert!(m.overlap.duplicate_rule.contains("first"));
    assert_eq!(m.overlap.examples_missing, ["NOBODY", lower.as_str()]);
}

#[test]
fn kits_report_their_overlap() {
    for kit in small_kits() {
        let (model, cells) = (open(&kit), Cells::read(&kit));
        let genes = GeneTable::detect(&cells.var, None, None).unwrap();
        let overlap = model.match_genes(&genes).unwrap().overlap;
        assert_eq!(overlap.n_vocabulary + 2, model.info().max_tokens);
        assert!(overlap.n_matched > 0 && overlap.n_matched < overlap.n_genes);
    }
}

#[test]
fn other_species_and_bare_ids_are_refused() {
    let model = open(&golden());
    let mut mouse = table(&["Actb", "Gapdh"]);
    mouse.organism = Organism::MusMusculus;
    let e = model.match_genes(&mouse).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Mismatch);
    assert!(e.to_string().contains("mouse"), "{e}");
    let ids = Column::Text(vec![Some("ENSG00000141510".into()), Some("ENSG00000075624".into())]);
    let var = Table { index: vec!["0".into(), "1".into()], columns: vec![("ensembl_id".into(), ids)] };
    let e = model.match_genes(&GeneTable::detect(&var, None, None).unwrap()).unwrap_err().to_string();
    assert!(e.contains("gene_symbol"), "{e}");
    assert!(model.match_genes(&table(&["X1", "X2"])).unwrap_err().to_string().contains("0 of 2"));
}

#[test]
fn tokens_have_names() {
    let model = open(&golden());
    let n = model.info().d_vocab as u32;
    assert_eq!(model.token_name(n - 1), Some("<depth 2>"));
    assert_eq!(model.token_name(n), None);
    assert!(model.token_name(0).is_some());
}
