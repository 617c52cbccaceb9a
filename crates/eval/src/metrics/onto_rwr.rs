//! scGraph-OntoRWR: whether distances between cell types agree with their closeness in an ontology, measured by random
//! walks with restart.

use super::centroids::{Compare, LabelDistances, correlate};
use super::definition::{Definition, Need};
use super::groups::{Grouping, Usable};
use super::ontology::Ontology;
use super::score::Score;
use super::silhouette::constant;
use microtome_core::{Direction, Error, Matrix, Result};
use microtome_numerics::svd::left_singular;
use rayon::prelude::*;

/// Agreement with the ontology, unit weights.
pub static ONTO_RWR: Definition = Definition {
    id: "scgraph_onto_rwr_unit",
    version: 1,
    direction: Direction::Higher,
    range: (-1.0, 1.0),
    needs: &[Need::Embedding, Need::Labels, Need::Ontology],
    words: "Pearson correlation of a cell type's distances to all others with distances from random walks on the ontology, \
            mean over types",
    citation: "Wu et al. 2025, Genome Biol., 10.1186/s13059-025-03781-6; wujialu/scFM-Bench@46acb1d",
    deviations: "edges of the ontology weigh 1 (reference: similarity of definitions by a language model); the pair of a \
                 type with itself is dropped; no number below five types",
};

pub(super) static DEFINITIONS: &[&Definition] = &[&ONTO_RWR];

const RESTART: f64 = 0.7;
const MAX_STEPS: usize = 50;
const TOLERANCE: f64 = 1e-4;
const DIMENSIONS: usize = 256;
const TRIM: f64 = 0.2;
const LEAST_TYPES: usize = 5;
/// Most terms of an ontology: a few matrices of this size squared are held (0.3 GB each).
const MAX_TERMS: usize = 6000;

/// Distances between the given terms (codes of the result are the terms).
///
/// Walks restart with probability 0.7; the logarithm of where they end, shifted by `1 / n^2`, is reduced to 256 singular
/// dimensions, in which distances are Euclidean. Errors above 6000 terms (keep the cell branch of the ontology), or when
/// a term does not exist.
pub fn ontology_distances(ontology: &Ontology, terms: &[u32], seed: u64) -> Result<LabelDistances> {
    let n = ontology.len();
    if n > MAX_TERMS {
        return Err(Error::unsupported("the ontology is too large for random walks between all terms")
            .expected(format!("at most {MAX_TERMS} terms"))
            .found(n.to_string())
            .remedy("keep the cell types and their ancestors only"));
    }
    if let Some(bad) = terms.iter().find(|&&t| t as usize >= n) {
        return Err(Error::usage("not a term of the ontology")
            .expected(format!("below {n}"))
            .found(bad.to_string()));
    }
    let labels = Grouping::new(terms).original;
    let m = labels.len();
    let mut out = LabelDistances { labels, values: vec![Some(0.0); m * m] };
    if m == 0 {
        return Ok(out);
    }
    let mut state = walk(&neighbours(ontology));
    let shift = 1.0 / (n as f64 * n as f64);
    state.par_iter_mut().for_each(|q| *q = (*q + shift).ln() - shift.ln());
    let k = DIMENSIONS.min(n);
    let (values, vectors) = left_singular(&state, n, k, seed)?;
    let place = |t: u32| -> Vec<f64> {
        (0..k).map(|c| vectors[t as usize * k + c] * values[c].sqrt()).collect()
    };
    let places: Vec<Vec<f64>> = out.labels.iter().map(|&t| place(t)).collect();
    for i in 0..m {
        for j in 0..m {
            let squared: f64 = places[i].iter().zip(&places[j]).map(|(a, b)| (a - b) * (a - b)).sum();
            out.values[i * m + j] = Some(squared.sqrt());
        }
    }
    out.scale_columns();
    Ok(out)
}

/// Undirected neighbours of every term, rising.
fn neighbours(ontology: &Ontology) -> Vec<Vec<u32>> {
    let mut near = vec![Vec::new(); ontology.len()];
    for (t, parents) in ontology.parents().iter().enumerate() {
        for &p in parents.iter().filter(|&&p| p as usize != t) {
            near[t].push(p);
            near[p as usize].push(t as u32);
        }
    }
    for list in &mut near {
        list.sort_unstable();
        list.dedup();
    }
    near
}

/// Where walks end, column per starting term: `Q = (1 - r) W Q + r I` with the columns of `W` summing to 1.
fn walk(near: &[Vec<u32>]) -> Vec<f64> {
    let n = near.len();
    let mut q = vec![0.0; n * n];
    q.iter_mut().step_by(n + 1).for_each(|v| *v = 1.0);
    let mut next = vec![0.0; n * n];
    for _ in 0..MAX_STEPS {
        let changes: Vec<f64> = next
            .par_chunks_mut(n)
            .enumerate()
            .map(|(i, row)| {
                row.fill(0.0);
                for &j in &near[i] {
                    let w = (1.0 - RESTART) / near[j as usize].len() as f64;
                    row.iter_mut().zip(&q[j as usize * n..][..n]).for_each(|(o, v)| *o += w * v);
                }
                row[i] += RESTART;
                row.iter().zip(&q[i * n..][..n]).map(|(a, b)| (a - b) * (a - b)).sum::<f64>()
            })
            .collect();
        std::mem::swap(&mut q, &mut next);
        if changes.iter().sum::<f64>().sqrt() < TOLERANCE {
            break;
        }
    }
    q
}

/// Agreement of an embedding with ontology distances; `terms[cell]` is the term of the cell's label, or
/// [`Groups::MISSING`](crate::Groups::MISSING). `n_used` counts types. Errors when lengths differ.
pub fn onto_rwr(x: &Matrix, terms: &[u32], distances: &LabelDistances) -> Result<Score> {
    let usable = Usable::of(terms.len(), &[x], &[terms])?;
    let (rows, codes) = (usable.rows(x), usable.codes(terms));
    let n_types = Grouping::new(&codes).n();
    if n_types < LEAST_TYPES {
        let reason = format!("{n_types} cell types; fewer than {LEAST_TYPES} say nothing");
        return Ok(usable.note(Score::undefined(reason)));
    }
    if constant(&rows) {
        return Ok(usable.note(Score::undefined("every cell is at the same place")));
    }
    let got = LabelDistances::of(&rows, &codes, TRIM);
    Ok(usable.note(correlate(&got, distances, Compare::Pearson, false)?))
}

#[cfg(test)]
mod tests {
    use super::super::ontology::tests::small;
    use super::*;
    use crate::Groups;

    #[test]
    fn walks_solve_their_equation() {
        let near = neighbours(&small());
        let q = walk(&near);
        let n = near.len();
        for s in 0..6 {
            let column: f64 = (0..n).map(|i| q[i * n + s]).sum();
            assert!((column - 1.0).abs() < 1e-4, "walks end somewhere: {column}");
            for i in 0..n {
                let from: f64 = near[i].iter().map(|&j| q[j as usize * n + s] / near[j as usize].len() as f64).sum();
                let want = 0.3 * from + if i == s { 0.7 } else { 0.0 };
                assert!((q[i * n + s] - want).abs() < 1e-4);
            }
        }
        assert_eq!(q[6 * n + 6], 0.7, "a term without neighbours keeps only its restarts");
    }

    #[test]
    fn near_terms_are_near_and_the_ontology_agrees_with_itself() {
        // A chain of ten terms.
        let parents = (0..10u32).map(|i| if i == 0 { vec![] } else { vec![i - 1] }).collect();
        let chain = Ontology::new((0..10).map(|i| format!("{i}")).collect(), parents).unwrap();
        let terms: Vec<u32> = (0..10).collect();
        let d = ontology_distances(&chain, &terms, 0).unwrap();
        for far in 2..9 {
            assert!(d.between(far, 0).unwrap() > d.between(far - 1, 0).unwrap());
        }
        let x = Matrix::new(20, 1, (0..20).map(|i| (i / 2) as f32).collect()).unwrap();
        let cells: Vec<u32> = (0..20).map(|i| i / 2).collect();
        let good = onto_rwr(&x, &cells, &d).unwrap();
        assert!(good.value.unwrap() > 0.8 && good.n_used == 10, "{good:?}");
        let mixed: Vec<u32> = cells.iter().map(|c| (c * 7) % 10).collect();
        assert!(onto_rwr(&x, &mixed, &d).unwrap().value.unwrap() < 0.3);
        assert!(onto_rwr(&Matrix::zeros(20, 1), &cells, &d).unwrap().value.is_none());
        let mut gaps = cells;
        gaps[3] = Groups::MISSING;
        assert_eq!(onto_rwr(&x, &gaps, &d).unwrap().n_excluded, 1);
        assert!(onto_rwr(&x, &[0; 20], &d).unwrap().value.is_none());
        assert!(ontology_distances(&chain, &[10], 0).is_err());
    }
}
