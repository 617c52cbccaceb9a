//! What the training cells that look most like a cell say of what it does not show.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use super::baselines::{BinCounts, Guessed, Means, gene_counts};
use super::objective::Objective;
use super::question::Question;
use super::questions::Questions;
use super::stream::Cell;

/// Training cells that are asked.
pub const NEIGHBOURS: usize = 10;

/// The mean of the [`NEIGHBOURS`] training cells most like what a cell shows (cosine without the genes that are asked for), to which the mean of all
/// training cells is added as one cell more: of the gene's values, of the frequencies of its bins, or of the presence of genes that the
/// cell does not show. None for the next gene, where what is shown grows from place to place.
pub fn by_neighbours(
    objective: &Objective,
    train: &[Cell],
    questions: &Questions,
    cells: &[usize],
) -> Option<Guessed> {
    let reference: Vec<Vec<(u32, f32)>> = train.iter().map(profile).collect();
    let found: Vec<HashMap<u32, f32>> = match objective {
        Objective::NextGene(_) => return None,
        Objective::MaskedGenes(_) => reference.iter().map(|r| r.iter().copied().collect()).collect(),
        _ => train.iter().map(values).collect(),
    };
    let nearest = |q: &Question| -> Vec<&HashMap<u32, f32>> {
        let own: HashMap<u32, f32> = shown(q).into_iter().collect();
        let asked: HashSet<u32> = q.rows.iter().map(|row| q.ids[*row as usize]).collect();
        let likeness = |r: &Vec<(u32, f32)>| {
            let (mut product, mut square) = (0.0f32, 0.0f32);
            for (token, v) in r {
                match own.get(token) {
                    Some(w) => (product, square) = (product + w * v, square + v * v),
                    None if asked.contains(token) => {}
                    None => square += v * v,
                }
            }
            product / square.sqrt().max(f32::MIN_POSITIVE)
        };
        let mut all: Vec<(f32, usize)> = reference.iter().map(likeness).zip(0..).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        all.iter().take(NEIGHBOURS).map(|(_, i)| &found[*i]).collect()
    };
    let loss = guess(objective, train);
    let of = |c: &usize| {
        let q = &questions.all[*c];
        loss(q, &nearest(q))
    };
    let by = format!("the {NEIGHBOURS} most similar training cells");
    Some(Guessed { by, losses: cells.par_iter().map(of).collect() })
}

type Loss<'a> = Box<dyn Fn(&Question, &[&HashMap<u32, f32>]) -> f64 + Sync + 'a>;

/// Sum of the losses of a cell, given its neighbours.
fn guess<'a>(objective: &'a Objective, train: &'a [Cell]) -> Loss<'a> {
    match objective {
        Objective::MaskedGenes(v) => {
            let counts = gene_counts(v, train);
            let total: f64 = counts.iter().sum();
            Box::new(move |q, nearest| {
                let mut weights: Vec<f64> = counts.iter().map(|c| c / total).collect();
                nearest.iter().flat_map(|n| n.keys()).for_each(|t| weights[*t as usize] += 1.0);
                q.shown().for_each(|p| weights[q.ids[p] as usize] = 0.0);
                let all: f64 = weights.iter().sum();
                q.classes.iter().map(|c| -(weights[*c as usize] / all).ln()).sum()
            })
        }
        Objective::MaskedBins { n, .. } => {
            let counts = BinCounts::count(train, *n);
            Box::new(move |q, nearest| {
                let of = |(row, bin): (&u32, &u32)| {
                    let gene = q.ids[*row as usize];
                    let found: Vec<f32> = nearest.iter().filter_map(|m| m.get(&gene).copied()).collect();
                    let same = found.iter().filter(|v| v.max(0.0) as u32 == *bin).count() as f64;
                    -((same + counts.within(gene, *bin)) / (found.len() as f64 + 1.0)).ln()
                };
                q.rows.iter().zip(&q.classes).map(of).sum()
            })
        }
        _ => {
            let means = Means::count(train);
            Box::new(move |q, nearest| {
                let of = |(row, value): (&u32, &f32)| {
                    let gene = q.ids[*row as usize];
                    let found = nearest.iter().filter_map(|m| m.get(&gene).copied());
                    let (sum, n) = found.fold((0.0, 0.0), |(s, n), v| (s + f64::from(v), n + 1.0));
                    (f64::from(*value) - (sum + means.of(gene)) / (n + 1.0)).powi(2)
                };
                q.rows.iter().zip(&q.numbers).map(of).sum()
            })
        }
    }
}

/// Genes of a whole cell with their values; without values, weights that fall in a line with the rank.
fn profile(cell: &Cell) -> Vec<(u32, f32)> {
    let (ids, n) = (&cell.ids, cell.ids.len() as f32);
    let weight = |p: usize| cell.values.get(p).copied().unwrap_or(1.0 - p as f32 / n);
    (0..ids.len()).filter(|p| cell.is_gene[*p]).map(|p| (ids[p], weight(p))).collect()
}

fn values(cell: &Cell) -> HashMap<u32, f32> {
    profile(cell).into_iter().collect()
}

/// What a cell shows, as [`profile`]. Tokens that are no genes are in no profile of a training cell.
fn shown(q: &Question) -> Vec<(u32, f32)> {
    let n = q.ids.len() as f32;
    let weight = |p: usize| q.values.get(p).copied().unwrap_or(1.0 - p as f32 / n);
    q.shown().map(|p| (q.ids[p], weight(p))).collect()
}
