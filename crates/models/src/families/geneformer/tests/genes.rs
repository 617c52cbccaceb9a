//! Matching genes.

use microtome_core::{Column, ErrorKind, GeneTable, Table};

use super::kit::{Cells, KITS, open, shared};
use crate::families::geneformer::{Generation, GeneformerGene, GeneformerShape, write_untrained};
use crate::{GeneMatch, Model};

fn table(ensembl: &[&str]) -> GeneTable {
    let column = Column::Text(ensembl.iter().map(|s| Some((*s).to_string())).collect());
    let var = Table {
        index: (0..ensembl.len()).map(|i| i.to_string()).collect(),
        columns: vec![("ensembl_id".into(), column)],
    };
    GeneTable::detect(&var, Some("ensembl_id"), None).unwrap()
}

const IDS: [&str; 3] = ["ENSG00000000001", "ENSG00000000002", "ENSG00000000003"];

/// A V1 model over three genes, with a mapping that retires `ENSG00000000009` to the first.
fn small(mapping: &[(&str, &str)]) -> (tempfile::TempDir, Box<dyn Model>) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("m");
    let genes: Vec<GeneformerGene> =
        IDS.iter().map(|id| GeneformerGene { ensembl_id: (*id).into(), symbol: None, median: 1.0 }).collect();
    let shape = GeneformerShape { layers: 1, d: 4, heads: 1, ffn: 4, max_tokens: 8 };
    write_untrained(Generation::V1, shape, &genes, 1, &out).unwrap();
    let mapping: Vec<(String, String)> = mapping.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
    microtome_weights::write_str_str_dict(&out.join("ensembl_mapping_dict.pkl"), &mapping).unwrap();
    let model = crate::open(&out).unwrap();
    (dir, model)
}

fn identity() -> Vec<(&'static str, &'static str)> {
    IDS.iter().map(|i| (*i, *i)).collect()
}

fn matched(mapping: &[(&str, &str)], ids: &[&str]) -> GeneMatch {
    small(mapping).1.match_genes(&table(ids)).unwrap()
}

#[test]
fn duplicates_are_added_up_only_when_the_mapping_merges_ids() {
    let mut mapping = identity();
    mapping.push(("ENSG00000000009", IDS[0]));
    // The same id in two columns: the published test compares sets and does not see it.
    let same = matched(&mapping, &[IDS[0], IDS[0], IDS[1]]);
    assert!(!same.sum_duplicates);
    assert_eq!(same.token_of_gene, [Some(2), Some(2), Some(3)]);
    assert_eq!(same.overlap.n_duplicates, 2);
    // A retired id beside the current one: all duplicates are added up, identical ones as well.
    let merged = matched(&mapping, &[IDS[0], "ENSG00000000009", IDS[1], IDS[1]]);
    assert!(merged.sum_duplicates);
    assert_eq!(merged.overlap.n_duplicates, 4);
    assert_eq!(merged.overlap.n_renamed, 1);
    // Small letters: the test looks ids up as they are spelled, the mapping in capitals.
    let lower = matched(&mapping, &[IDS[0], "ensg00000000009", IDS[1]]);
    assert!(!lower.sum_duplicates);
    assert_eq!(lower.token_of_gene, [Some(2), Some(2), Some(3)]);
}

#[test]
fn mapping_entries_without_a_token_do_not_count() {
    let mut mapping = identity();
    mapping.extend([("ENSG00000000008", "ENSG00000099999"), ("ENSG00000000007", "<pad>")]);
    let m = matched(&mapping, &["ENSG00000000008", "ENSG00000000007", IDS[2]]);
    assert_eq!(m.token_of_gene, [None, None, Some(4)]);
    assert_eq!(m.overlap.examples_missing, ["0", "1"]);
}

#[test]
fn versions_are_removed() {
    let m = matched(&identity(), &["ENSG00000000001.5", IDS[1]]);
    assert_eq!(m.overlap.n_matched, 2);
}

#[test]
fn another_species_or_namespace_is_refused_with_a_reason() {
    let (_dir, model) = small(&identity());
    let mouse = model.match_genes(&table(&["ENSMUSG00000000001", "ENSMUSG00000000002"])).unwrap_err();
    assert_eq!(mouse.kind(), ErrorKind::Mismatch);
    assert!(mouse.to_string().contains("mouse"), "{mouse}");
    let chicken = model.match_genes(&table(&["ENSGALG00000000001"])).unwrap_err();
    assert!(chicken.to_string().contains("chicken"), "{chicken}");
    let none = model.match_genes(&table(&["ENSG00000099991", "ENSG00000099992"])).unwrap_err();
    assert!(none.to_string().contains("0 of 2"), "{none}");
    let var = Table { index: vec!["TP53".into(), "ACTB".into()], columns: vec![] };
    let symbols = model.match_genes(&GeneTable::detect(&var, None, None).unwrap()).unwrap_err();
    assert_eq!(symbols.kind(), ErrorKind::Mismatch);
}

#[test]
fn kits_report_their_overlap() {
    for (kit, n_vocabulary) in KITS.into_iter().zip([201, 211]) {
        let (model, cells) = (open(kit), Cells::read(kit));
        let overlap = model.match_genes(&cells.genes()).unwrap().overlap;
        assert_eq!(overlap.n_genes, cells.counts.n_genes());
        assert_eq!(overlap.n_vocabulary, n_vocabulary);
        assert!(overlap.n_matched < overlap.n_genes && overlap.n_renamed > 0, "{overlap:?}");
        assert!(overlap.source.contains("ensembl_id") && overlap.source.contains("mapping"));
        assert!(!overlap.examples_missing.is_empty());
    }
}

#[test]
fn mouse_symbols_are_not_taken_for_human_ones() {
    let Some(vocabulary) = shared("reference/vocab/geneformer_gc95M") else { return };
    let files = crate::tokenize::rank_files::find(&vocabulary, None, &crate::families::geneformer::presets::PUBLISHED).unwrap();
    let vocabulary = crate::tokenize::rank_vocabulary::RankVocabulary::read(&files).unwrap();
    let human = ["ACTB", "GAPDH", "TP53", "CD3E", "CD8A", "CD4", "MS4A1", "NKG7", "LYZ", "FCGR3A", "PPBP", "IL7R"];
    let more = ["CCR7", "S100A4", "CD14", "GNLY", "FCER1A", "CST3", "CD79A", "CD79B", "HLA-DRA", "SELL", "CD27"];
    let all: Vec<&str> = human.into_iter().chain(more).collect();
    let table = |names: Vec<String>| {
        GeneTable::detect(&Table { index: names, columns: vec![] }, None, None).unwrap()
    };
    let right = table(all.iter().map(|s| (*s).to_string()).collect());
    let m = crate::tokenize::rank_genes::match_genes(&vocabulary, &right).unwrap();
    assert_eq!(m.overlap.n_matched, all.len());
    let title = |s: &str| s[..1].to_string() + &s[1..].to_lowercase();
    let mut wrong = table(all.iter().map(|s| title(s)).collect());
    wrong.organism = microtome_core::Organism::Unknown;
    let e = crate::tokenize::rank_genes::match_genes(&vocabulary, &wrong).unwrap_err();
    assert!(e.to_string().contains("another species"), "{e}");
}
