//! Matching genes.

use microtome_core::{Column, ErrorKind, GeneTable, Table};

use super::kit::{Cells, golden, kits, open};
use crate::Model;

fn table(names: &[String]) -> GeneTable {
    GeneTable::detect(&Table { index: names.to_vec(), columns: vec![] }, None, None).unwrap()
}

/// Ids of the golden model's mouse genes, which follow the human ones.
fn mouse(n: usize) -> Vec<String> {
    let model = open(&golden());
    model.hyper.genes.iter().filter(|g| g.starts_with("ENSMUSG")).take(n).cloned().collect()
}

#[test]
fn ids_count_as_spelled_and_versions_only_where_the_plain_id_is_absent() {
    let model = open(&golden());
    let g = mouse(3);
    let names = [g[0].clone(), format!("{}.4", g[0]), format!("{}.2", g[1]), "ENSMUSG00000999999".into(), g[2].clone(), g[2].clone()];
    let m = model.match_genes(&table(&names)).unwrap();
    let first = model.hyper.genes.iter().position(|x| *x == g[0]).unwrap() as u32;
    assert_eq!(m.token_of_gene[0], Some(first));
    assert_eq!(m.token_of_gene[1], None, "the plain id is there");
    assert!(m.token_of_gene[2].is_some(), "the version stands for the plain id");
    assert_eq!(m.token_of_gene[3], None);
    assert!(m.token_of_gene[4].is_some() && m.token_of_gene[5].is_none());
    assert_eq!((m.overlap.n_duplicates, m.overlap.n_renamed), (1, 1));
    let counted = m.counted.unwrap();
    assert!(!counted[3], "the ontology does not know it");
}

#[test]
fn genes_of_the_other_organism_do_not_count() {
    for kit in kits() {
        let (model, cells) = (open(&kit), Cells::read(&kit));
        let m = model.match_genes(&GeneTable::detect(&cells.var, None, None).unwrap()).unwrap();
        let mouse = kit.ends_with("v15_classlist_mouse");
        for (name, token) in cells.var.index.iter().zip(&m.token_of_gene) {
            assert!(token.is_none() || name.starts_with("ENSMUSG") == mouse, "{name}");
        }
        let counted = m.counted.unwrap();
        let more = counted.iter().filter(|c| **c).count();
        assert!(more > m.overlap.n_matched, "the depth is over more genes than the model has");
        assert!(more < counted.len());
    }
}

#[test]
fn unknown_species_and_bare_symbols_are_refused_or_translated() {
    let model = open(&golden());
    let chicken: Vec<String> = (0..30).map(|i| format!("ENSGALG{i:011}")).collect();
    let e = model.match_genes(&table(&chicken)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Mismatch);
    assert!(e.to_string().contains("chicken") && e.to_string().contains("NCBITaxon"), "{e}");
    let symbols: Vec<String> = ["Actb", "Gapdh", "Malat1"].map(str::to_string).to_vec();
    assert!(model.match_genes(&table(&symbols)).is_err());
    // Symbols of the table beside the checkpoint stand in for ids once the organism is known.
    let ontology = std::fs::read_to_string(golden().join("aux/ontology_genes.csv")).unwrap();
    let known: Vec<String> = ontology
        .lines()
        .filter(|l| l.contains("NCBITaxon:10090,True"))
        .map(|l| l.split(',').nth(1).unwrap().to_string())
        .take(20)
        .collect();
    let column = Column::Text(known.iter().cloned().map(Some).collect());
    let index = (0..known.len()).map(|i| i.to_string()).collect();
    let var = Table { index, columns: vec![("gene_symbol".into(), column)] };
    let mut genes = GeneTable::detect(&var, None, Some("gene_symbol")).unwrap();
    genes.organism = microtome_core::Organism::MusMusculus;
    let m = model.match_genes(&genes).unwrap();
    assert!(m.overlap.n_matched > 0 && m.overlap.source.contains("translated"), "{:?}", m.overlap);
}

#[test]
fn without_the_ontology_the_depth_is_over_all_genes_of_the_organism_and_says_so() {
    let mut model = open(&golden());
    model.forget_ontology();
    let names = [mouse(1).remove(0), "ENSMUSG00000999999".into(), "ENSG00000141510".into()];
    let m = model.match_genes(&table(&names)).unwrap();
    assert_eq!(m.counted.unwrap(), [true, true, false]);
    assert!(m.overlap.source.contains("no ontology_genes.csv"), "{}", m.overlap.source);
}

#[test]
fn tokens_have_names() {
    let model = open(&golden());
    let n = model.hyper.genes.len() as u32;
    assert_eq!(model.token_name(n), Some("<depth>"));
    assert_eq!(model.token_name(n + 2), Some("<base>"));
    assert_eq!(model.token_name(n + 3), Some("<cell_type_ontology_term_id>"));
    assert_eq!(model.token_name(model.info().d_vocab as u32), None);
    assert_eq!(model.kit_token(n + 3), -11);
}
