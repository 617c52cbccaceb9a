//! From odd cells to tokens.

use microtome_core::{Column, Counts, GeneTable, Table};

use super::kit::{Cells, HF, checkpoint, dir, open};
use crate::families::nicheformer::recipe::{Ranking, divisor};
use crate::families::nicheformer::vocabulary::Means;
use crate::{GENE_MASK, GeneMatch, Model, TokenizeOptions};

fn table(ids: &[&str]) -> GeneTable {
    let column = Column::Text(ids.iter().map(|s| Some((*s).to_string())).collect());
    let var = Table {
        index: (0..ids.len()).map(|i| i.to_string()).collect(),
        columns: vec![("ensembl_id".into(), column)],
    };
    GeneTable::detect(&var, Some("ensembl_id"), None).unwrap()
}

fn one_cell(values: &[f32]) -> Counts {
    let indices = (0..values.len() as u32).collect();
    Counts::new(values.len(), vec![0, values.len()], indices, values.to_vec()).unwrap()
}

#[test]
fn empty_one_gene_and_many_genes() {
    let model = open(&checkpoint());
    let ids: Vec<&str> = model.vocabulary.genes.iter().map(String::as_str).collect();
    let genes = model.match_genes(&table(&ids)).unwrap();
    let tokens = |values: &[f32], recipe: &str| {
        let options = TokenizeOptions { recipe: Some(recipe.into()), ..TokenizeOptions::default() };
        model.tokenize(&one_cell(values), None, &genes, &options).unwrap()
    };
    let mut values = vec![0.0; ids.len()];
    assert_eq!(tokens(&values, "hf-default").len_of(0), 0, "nothing to attend to");
    values[7] = 3.0;
    let one = tokens(&values, "hf-default-unpadded");
    assert_eq!(one.ids, [0, 0, 0, 37]);
    let padded = tokens(&values, "hf-default");
    assert_eq!(padded.len_of(0), model.info().max_tokens);
    assert_eq!(padded.per_token[GENE_MASK].iter().sum::<f32>(), 1.0);
    let all: Vec<f32> = (0..ids.len()).map(|i| 1.0 + i as f32).collect();
    let cut = tokens(&all, "hf-default");
    assert_eq!(cut.n_cut, [(ids.len() + 3 - model.info().max_tokens) as u32]);
    assert_eq!(cut.ids[3] as usize, 30 + ids.len() - 1, "the largest count comes first");
    assert_eq!(cut.n_ties, [0]);
}

#[test]
fn duplicates_are_added_up_before_ranking() {
    let model = open(&checkpoint());
    let g = &model.vocabulary.genes;
    let genes = model.match_genes(&table(&[&g[0], &g[1], &g[0]])).unwrap();
    assert_eq!(genes.overlap.n_duplicates, 1);
    let options =
        TokenizeOptions { recipe: Some("hf-default-unpadded".into()), ..TokenizeOptions::default() };
    let t = model.tokenize(&one_cell(&[2.0, 3.0, 2.0]), None, &genes, &options).unwrap();
    assert_eq!(t.ids[3..], [30, 31]);
}

#[test]
fn contexts_are_tokens_or_errors() {
    let (model, cells) = (open(&checkpoint()), Cells::read(&dir(HF).unwrap()));
    let genes = model.match_genes(&GeneTable::detect(&cells.var, None, None).unwrap()).unwrap();
    let with = |column: &str, value: &str, n: usize| {
        let mut options = TokenizeOptions::default();
        options.contexts.insert(column.into(), vec![value.into(); n]);
        model.tokenize(&cells.counts, None, &genes, &options)
    };
    let n = cells.counts.n_cells();
    assert_eq!(with("assay", "10x 3' v3", n).unwrap().cell(0).0[..3], [0, 11, 0]);
    assert_eq!(with("assay", "unknown", n).unwrap().cell(0).0[..3], [0, 0, 0]);
    let e = with("specie", "humen", n).unwrap_err().to_string();
    assert!(e.contains("did you mean human"), "{e}");
    assert!(with("specie", "human", n - 1).unwrap_err().to_string().contains("every cell"));
    assert!(with("tissue", "brain", n).unwrap_err().to_string().contains("tissue"));
}

#[test]
fn order_of_rows_and_unpadded_cells_change_nothing() {
    let (model, cells) = (open(&checkpoint()), Cells::read(&dir(HF).unwrap()));
    let (padded, bare) = (cells.tokens(&model, None), cells.tokens(&model, Some("hf-default-unpadded")));
    for cell in 0..padded.n_cells() {
        let (ids, _) = bare.cell(cell);
        assert_eq!(&padded.cell(cell).0[..ids.len()], ids);
    }
}

#[test]
fn foreign_genes_recipes_and_values_are_refused() {
    let model = open(&checkpoint());
    let error = |ids: &[&str]| model.match_genes(&table(ids)).unwrap_err().to_string();
    assert!(error(&["ENSGALG00000000001", "ENSGALG00000000002"]).contains("chicken"));
    assert!(error(&["ENSG00000999999", "ENSG00000999998"]).contains("too few"));
    assert!(error(&["ENSMUSG00000999999", "ENSMUSG00000999998"]).contains("orthologs"));
    let genes = GeneMatch {
        token_of_gene: vec![Some(30)],
        sum_duplicates: true,
        counted: None,
        overlap: Default::default(),
    };
    let options = |recipe: &str| TokenizeOptions { recipe: Some(recipe.into()), ..Default::default() };
    let e = |o: &TokenizeOptions| model.tokenize(&one_cell(&[1.0]), None, &genes, o).unwrap_err().to_string();
    assert!(e(&options("other")).contains("recipe"));
    assert!(e(&options("paper-notebook")).contains("_mean_script.npy"));
    assert!(e(&TokenizeOptions { max_tokens: Some(3), ..Default::default() }).contains("more than 3"));
    let e = model.tokenize(&one_cell(&[0.5]), None, &genes, &Default::default()).unwrap_err();
    assert!(e.to_string().contains("raw counts"));
}

#[test]
fn the_technology_mean_follows_the_assay() {
    let copy = super::kit::altered(|_| {});
    let n = open(&checkpoint()).vocabulary.genes.len();
    let mut merfish = vec![1.0f64; n];
    merfish[0] = 100.0;
    let write = |name: &str, v: &[f64]| {
        microtome_weights::npy::write(&copy.path().join(format!("{name}_mean_script.npy")), &[n], v).unwrap();
    };
    write("merfish", &merfish);
    write("dissociated", &vec![1.0; n]);
    let model = open(copy.path());
    let g = &model.vocabulary.genes;
    let genes = model.match_genes(&table(&[&g[0], &g[1]])).unwrap();
    let ids = |assay: &str, modality: &str| {
        let mut options = TokenizeOptions::default();
        options.contexts.insert("assay".into(), vec![assay.into()]);
        options.contexts.insert("modality".into(), vec![modality.into()]);
        model.tokenize(&one_cell(&[5.0, 2.0]), None, &genes, &options).map(|t| t.ids[3])
    };
    assert_eq!(ids("MERFISH", "spatial").unwrap(), 31);
    assert_eq!(ids("10x 3' v2", "dissociated").unwrap(), 30);
    assert!(ids("cosmx", "spatial").unwrap_err().to_string().contains("technology mean"));
    assert!(ids("unknown", "unknown").is_err());
    let path = copy.path().join("merfish_mean_script.npy");
    microtome_weights::npy::write(&path, &[n - 1], &merfish[1..]).unwrap();
    let short = crate::families::nicheformer::model::Nicheformer::open(copy.path());
    assert!(short.err().unwrap().to_string().contains("another gene list"));
}

#[test]
fn the_published_mean_of_dissociated_cells_has_the_known_divisors() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared =
        std::env::var_os("MICROTOME_SHARED").map_or_else(|| here.join("../../../shared"), Into::into);
    let folder: std::path::PathBuf = shared.join("reference/vocab/nicheformer");
    if !folder.exists() {
        println!("skipped: {} is not there (set MICROTOME_SHARED to the shared data)", folder.display());
        return;
    }
    let means = Means::read(&folder, 20_310).unwrap();
    let mean = &means.by_technology["dissociated"];
    assert_eq!(mean.iter().filter(|m| m.is_nan()).count(), 60);
    let divisors = |ranking| mean.iter().map(move |&m| divisor(ranking, m));
    assert_eq!(divisors(Ranking::Notebook).filter(|&d| d == 1.0).count(), 2914);
    assert!(divisors(Ranking::Notebook).all(|d| d >= 1.0 && d.fract() == 0.0));
    assert_eq!(divisors(Ranking::Dataset).filter(|d| d.is_nan()).count(), 60);
    assert!(Means::read(&folder, 20_309).is_err());
}
