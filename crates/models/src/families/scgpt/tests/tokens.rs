//! Tokens of kits, odd cells and real cells.

use microtome_core::{Counts, GeneTable};

use super::kit::{Cells, kits, open, shared};
use crate::families::scgpt::genes::match_genes;
use crate::families::scgpt::tokens::Tokenizer;
use crate::families::scgpt::vocabulary::Vocabulary;
use crate::tokenize::quantile_bins::{Admissible, numpy_edges};
use crate::{GeneMatch, Model, Overlap, TokenizeOptions};

fn genes(tokens: &[Option<u32>]) -> GeneMatch {
    GeneMatch { token_of_gene: tokens.to_vec(), sum_duplicates: false, counted: None, overlap: Overlap::default() }
}

fn dense(rows: &[&[f32]]) -> Counts {
    let n = rows[0].len();
    let indptr = (0..=rows.len()).map(|c| c * n).collect();
    let indices = rows.iter().flat_map(|_| 0..n as u32).collect();
    Counts::new(n, indptr, indices, rows.concat()).unwrap()
}

fn recipe(name: &str) -> TokenizeOptions {
    TokenizeOptions { recipe: Some(name.into()), ..TokenizeOptions::default() }
}

fn tokenize(counts: &Counts, tokens: &[Option<u32>], options: &TokenizeOptions) -> crate::Tokens {
    let t = Tokenizer::new(99, -2.0, 20, options).unwrap();
    t.tokens(&t.cells(counts, &genes(tokens)).unwrap()).unwrap()
}

#[test]
fn recipes_differ_in_zeros_and_the_value_of_cls() {
    let counts = dense(&[&[4.0, 0.0, 1.0, 7.0]]);
    let ids = [Some(5), Some(6), Some(7), None];
    let zero_shot = tokenize(&counts, &ids, &TokenizeOptions::default());
    assert_eq!((&zero_shot.ids[..], zero_shot.values[0]), (&[99, 5, 7][..], -2.0));
    assert_eq!(tokenize(&counts, &ids, &recipe("zero-shot-cls-0")).values[0], 0.0);
    for name in ["fine-tuning", "fine-tuning-no-log"] {
        let t = tokenize(&counts, &ids, &recipe(name));
        assert_eq!((&t.ids[..], t.values[0], t.values[2]), (&[99, 5, 6, 7][..], 0.0, 0.0));
        assert_eq!((t.values[1], t.values[3]), (50.0, 1.0));
    }
    let options = recipe("zeroshot");
    let e = Tokenizer::new(99, -2.0, 20, &options).err().unwrap().to_string();
    assert!(e.contains("did you mean zero-shot"), "{e}");
}

#[test]
fn empty_cells_one_gene_duplicates_and_long_cells() {
    let counts = dense(&[&[0.0, 0.0, 0.0], &[0.0, 3.0, 0.0], &[2.0, 2.0, 9.0]]);
    let ids = [Some(5), Some(6), Some(5)];
    let t = tokenize(&counts, &ids, &TokenizeOptions::default());
    assert_eq!(t.cell(0), (&[99][..], &[-2.0][..]), "an empty cell is <cls> alone");
    assert_eq!(t.cell(1), (&[99, 6][..], &[-2.0, 25.0][..]), "one gene may have any bin; the middle is taken");
    assert_eq!((t.cell(2).0, t.n_ties[2]), (&[99, 5, 6, 5][..], 2), "columns of one name stay apart");
    let short = TokenizeOptions { max_tokens: Some(3), ..TokenizeOptions::default() };
    let cut = tokenize(&counts, &ids, &short);
    assert_eq!((cut.len_of(2), cut.n_cut[2]), (3, 1));
    assert_eq!(cut.cell(1), t.cell(1));
    assert!(cut.cell(2).1[1..].iter().all(|b| t.cell(2).1.contains(b)), "binned before cutting");
    let none = TokenizeOptions { max_tokens: Some(1), ..TokenizeOptions::default() };
    assert!(Tokenizer::new(99, -2.0, 20, &none).is_err());
    let all = tokenize(&dense(&[&[0.0, 0.0, 0.0]]), &ids, &recipe("fine-tuning"));
    assert_eq!(all.values, [0.0; 4]);
}

#[test]
fn published_draws_stay_in_the_interval_and_belong_to_the_cell() {
    for kit in kits() {
        let (model, cells) = (open(&kit), Cells::read(&kit));
        let drawn = |seed| cells.tokens(&model, &TokenizeOptions { as_published: true, seed, ..TokenizeOptions::default() });
        let (one, other, fixed) = (drawn(1), drawn(2), cells.tokens(&model, &TokenizeOptions::default()));
        assert_eq!(one, drawn(1));
        assert_ne!(one.values, other.values);
        assert_eq!((&one.ids, &one.offsets), (&fixed.ids, &fixed.offsets), "no cell is too long");
        let matched = model.match_genes(&cells.genes()).unwrap();
        for cell in 0..cells.counts.n_cells() {
            let (columns, values) = cells.counts.row(cell);
            let known = columns.iter().zip(values).filter(|(g, _)| matched.token_of_gene[**g as usize].is_some());
            let raw: Vec<f32> = known.map(|(_, v)| *v).filter(|v| *v != 0.0).collect();
            let mut sorted = raw.clone();
            sorted.sort_unstable_by(f32::total_cmp);
            let edges = numpy_edges(&sorted, 50);
            for tokens in [&one, &other, &fixed] {
                for (&v, &bin) in raw.iter().zip(&tokens.cell(cell).1[1..]) {
                    let a = Admissible::of(&edges, f64::from(v));
                    assert!((a.lower()..=a.upper()).contains(&(bin as usize)), "{v} {bin} {a:?}");
                }
            }
        }
        // A cell's draws do not depend on which row it is.
        let order: Vec<usize> = (0..cells.counts.n_cells()).rev().collect();
        let options = TokenizeOptions { as_published: true, seed: 1, ..TokenizeOptions::default() };
        let back = model.tokenize(&cells.counts.select_cells(&order), None, &matched, &options).unwrap();
        assert_eq!(back, one.select(&order));
    }
}

#[test]
fn wrong_inputs_are_refused() {
    let (kit, options) = (kits().remove(0), TokenizeOptions::default());
    let (model, cells) = (open(&kit), Cells::read(&kit));
    let matched = model.match_genes(&cells.genes()).unwrap();
    let logged = cells.counts.values().iter().map(|v| v.ln_1p()).collect();
    let c = &cells.counts;
    let logged = Counts::new(c.n_genes(), c.indptr().to_vec(), c.indices().to_vec(), logged).unwrap();
    let e = model.tokenize(&logged, None, &matched, &options).unwrap_err().to_string();
    assert!(e.contains("log-normalised"), "{e}");
    let e = model.tokenize(c, None, &genes(&[Some(1)]), &options).unwrap_err().to_string();
    assert!(e.contains("another matrix"), "{e}");
    let short = TokenizeOptions { batches: Some(vec![0]), ..options };
    assert!(model.tokenize(c, None, &matched, &short).unwrap_err().to_string().contains("one batch per cell"));
}

#[test]
fn real_cells_over_the_census_vocabulary() {
    let (Some(data), Some(vocab)) =
        (shared("data/pbmc3k.h5ad"), shared("reference/vocab/scgpt/default_census_vocab.json"))
    else {
        return;
    };
    let data = microtome_h5ad::open(&data).unwrap();
    let slot = microtome_h5ad::Slot::X;
    let table = GeneTable::detect(&data.var(&slot).unwrap(), None, None).unwrap();
    let counts = data.matrix(&slot).unwrap().rows(0..50).unwrap();
    let vocabulary = Vocabulary::read(&vocab).unwrap();
    assert_eq!((vocabulary.len(), vocabulary.cls), (60_697, 60_695));
    assert_eq!(vocabulary.name(60_694), Some("<pad>"));
    let matched = match_genes(&vocabulary, None, &table).unwrap();
    println!("{:?}", matched.overlap);
    assert!(matched.overlap.n_matched > 15_000);
    let options = TokenizeOptions::default();
    let t = Tokenizer::new(vocabulary.cls, -2.0, 1200, &options).unwrap();
    let tokens = t.tokens(&t.cells(&counts, &matched).unwrap()).unwrap();
    assert!(tokens.n_ties.iter().all(|&n| n > 100), "most counts are ones and tie");
    assert!((0..50).all(|c| tokens.len_of(c) <= 1200 && tokens.cell(c).1[1..].iter().all(|b| (1.0..=50.0).contains(b))));
}
