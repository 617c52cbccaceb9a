//! What edges must be compared with: edges that keep every gene's degree, edges between genes of the same expression,
//! co-expression, static embeddings and gene-level products. An untrained model needs nothing of its own: it is another
//! source of scores.

use crate::input::check_finite;
use crate::routing::{Edge, Scores};
use microtome_core::{Error, Matrix, Result};
use microtome_numerics::ranks::average_ranks;
use microtome_numerics::resample::Rng;
use serde::Serialize;
use std::collections::HashMap;

/// Exchanges tried for every edge that is to self or repeated.
const ROUNDS: usize = 200;

/// Edges drawn as a null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NullEdges {
    /// As many as were given.
    pub edges: Vec<Edge>,
    /// Edges that are still to self or repeated, because no exchange could mend them.
    pub unmended: u64,
    /// Edges that also belong to the original list (chance, or the only choice).
    pub kept: u64,
}

/// Groups of rows with similar values (expression, length): `bins` groups of equal size by rising value, ties by row.
///
/// Errors when a value is NaN or `bins` is 0.
pub fn strata(values: &[f64], bins: usize) -> Result<Vec<u32>> {
    if bins == 0 || values.iter().any(|v| v.is_nan()) {
        return Err(Error::usage("genes cannot be grouped by these values")
            .expected("numbers, and one group or more")
            .found(format!("{bins} groups, {} NaN", values.iter().filter(|v| v.is_nan()).count())));
    }
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]).then(a.cmp(&b)));
    let mut out = vec![0; values.len()];
    for (place, row) in order.into_iter().enumerate() {
        out[row] = (place * bins / values.len()) as u32;
    }
    Ok(out)
}

/// The same edges with keys exchanged among them, so that every gene keeps exactly its number of edges as query and as key.
/// With `strata` keys are exchanged only within a group, so that the pairing of groups is kept too: a null matched for
/// degree and, with groups by expression, for expression.
///
/// Edges to self and repeats are mended by further exchanges; what cannot be mended is counted.
///
/// Errors when an edge or group does not exist.
pub fn degree_matched(edges: &[Edge], strata: Option<&[u32]>, rng: &mut Rng) -> Result<NullEdges> {
    let group = |row: u32| match strata {
        None => Ok(0),
        Some(groups) => groups.get(row as usize).copied().ok_or_else(|| {
            Error::usage("an edge leads to a gene without group")
                .expected(format!("rows below {}", groups.len()))
                .found(row.to_string())
        }),
    };
    let mut places: Vec<(u32, usize)> =
        edges.iter().enumerate().map(|(i, e)| Ok((group(e.to)?, i))).collect::<Result<_>>()?;
    places.sort_unstable();
    let mut out = edges.to_vec();
    // Where the group of every edge lies in `places`.
    let mut range = vec![(0, 0); edges.len()];
    let mut first = 0;
    for members in places.chunk_by(|a, b| a.0 == b.0) {
        let mut keys: Vec<u32> = members.iter().map(|&(_, i)| edges[i].to).collect();
        rng.shuffle(&mut keys);
        for (&(_, i), key) in members.iter().zip(keys) {
            out[i].to = key;
            range[i] = (first, members.len());
        }
        first += members.len();
    }
    let broken = mend(&mut out, &places, &range, rng);
    let mut original = edges.to_vec();
    original.sort_unstable();
    let kept = out.iter().filter(|e| original.binary_search(e).is_ok()).count() as u64;
    Ok(NullEdges { edges: out, unmended: broken, kept })
}

/// Exchanges the keys of edges that are to self or repeated with edges of the same group (`places`, `range`), and returns how many are
/// left. An exchange is made only when both edges are then different from all others: where hubs make the list dense, exchanges at
/// random break as many edges as they mend.
fn mend(out: &mut [Edge], places: &[(u32, usize)], range: &[(usize, usize)], rng: &mut Rng) -> u64 {
    let mut times: HashMap<Edge, u32> = HashMap::with_capacity(out.len());
    out.iter().for_each(|e| *times.entry(*e).or_default() += 1);
    let mut broken = broken_edges(out);
    for _ in 0..ROUNDS {
        if broken.is_empty() {
            break;
        }
        for &i in &broken {
            let (first, count) = range[i];
            let j = places[first + rng.below(count)].1;
            let new = [Edge::new(out[i].from, out[j].to), Edge::new(out[j].from, out[i].to)];
            if new[0] == new[1] || new.iter().any(|e| e.is_self() || times.get(e).is_some_and(|&t| t > 0)) {
                continue;
            }
            for (at, new) in [i, j].into_iter().zip(new) {
                times.entry(out[at]).and_modify(|t| *t -= 1);
                *times.entry(new).or_default() += 1;
                out[at] = new;
            }
        }
        broken = broken_edges(out);
    }
    broken.len() as u64
}

/// Positions of edges to self and of repeats after the first.
fn broken_edges(edges: &[Edge]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..edges.len()).collect();
    order.sort_unstable_by_key(|&i| (edges[i], i));
    let mut out: Vec<usize> = order
        .iter()
        .enumerate()
        .filter(|&(place, &i)| edges[i].is_self() || (place > 0 && edges[order[place - 1]] == edges[i]))
        .map(|(_, &i)| i)
        .collect();
    out.sort_unstable();
    out
}

/// Edges between random genes of the same groups as the given ones, both ends drawn anew: matched for the groups
/// (expression), not for degree. Self pairs are drawn again; a group of one gene keeps it.
///
/// Errors when an edge leads to a gene without group.
pub fn group_matched(edges: &[Edge], strata: &[u32], rng: &mut Rng) -> Result<NullEdges> {
    let n_groups = strata.iter().max().map_or(0, |&g| g as usize + 1);
    let mut members = vec![Vec::new(); n_groups];
    strata.iter().enumerate().for_each(|(row, &g)| members[g as usize].push(row as u32));
    let mut out = NullEdges { edges: Vec::with_capacity(edges.len()), unmended: 0, kept: 0 };
    let mut original = edges.to_vec();
    original.sort_unstable();
    for e in edges {
        let (Some(&a), Some(&b)) = (strata.get(e.from as usize), strata.get(e.to as usize)) else {
            return Err(Error::usage("an edge leads to a gene without group")
                .expected(format!("rows below {}", strata.len()))
                .found(format!("{} to {}", e.from, e.to)));
        };
        let (a, b) = (&members[a as usize], &members[b as usize]);
        let mut drawn = Edge::new(a[rng.below(a.len())], b[rng.below(b.len())]);
        for _ in 0..100 {
            if !drawn.is_self() {
                break;
            }
            drawn = Edge::new(a[rng.below(a.len())], b[rng.below(b.len())]);
        }
        out.unmended += u64::from(drawn.is_self());
        out.kept += u64::from(original.binary_search(&drawn).is_ok());
        out.edges.push(drawn);
    }
    Ok(out)
}

/// Random ordered pairs of different genes. Errors with fewer than two genes.
pub fn random_pairs(n_genes: usize, count: usize, rng: &mut Rng) -> Result<Vec<Edge>> {
    if n_genes < 2 {
        return Err(Error::usage("pairs need two genes").found(n_genes.to_string()));
    }
    Ok((0..count)
        .map(|_| {
            let i = rng.below(n_genes);
            let j = rng.below(n_genes - 1);
            Edge::new(i as u32, (if j >= i { j + 1 } else { j }) as u32)
        })
        .collect())
}

/// Pearson's correlation of expression between all genes as scores, from `expression [gene, cell]`. With `ranked` each
/// gene's values are replaced by average ranks first: Spearman. A constant gene correlates 0 with all.
///
/// Errors when a value is not finite.
pub fn coexpression(expression: &Matrix, ranked: bool) -> Result<Scores> {
    check_finite(expression, "expression")?;
    let mut out = Matrix::zeros(expression.rows(), expression.cols());
    for i in 0..expression.rows() {
        let mut row: Vec<f64> = expression.row(i).iter().map(|&v| f64::from(v)).collect();
        if ranked {
            row = average_ranks(&row)?;
        }
        let mean = row.iter().sum::<f64>() / row.len().max(1) as f64;
        row.iter_mut().for_each(|v| *v -= mean);
        unit(&row, out.row_mut(i), 1e-12 * mean.abs());
    }
    Scores::of_rows(out.clone(), out)
}

/// Cosine between all rows as scores: a static gene embedding, or any gene vectors. A row of zeros has cosine 0 with all.
///
/// Errors when a value is not finite.
pub fn embedding_cosine(embedding: &Matrix) -> Result<Scores> {
    check_finite(embedding, "embedding")?;
    let mut out = Matrix::zeros(embedding.rows(), embedding.cols());
    for i in 0..embedding.rows() {
        let row: Vec<f64> = embedding.row(i).iter().map(|&v| f64::from(v)).collect();
        unit(&row, out.row_mut(i), 0.0);
    }
    Scores::of_rows(out.clone(), out)
}

/// Product of one number per gene (mean expression, variance, degree) as scores: what gene-level facts alone rank.
///
/// Errors when a value is not finite.
pub fn gene_level(values: &[f32]) -> Result<Scores> {
    let rows = Matrix::new(values.len(), 1, values.to_vec())?;
    Scores::of_rows(rows.clone(), rows)
}

fn unit(row: &[f64], out: &mut [f32], least: f64) {
    let length = row.iter().map(|v| v * v).sum::<f64>().sqrt();
    if length > least {
        out.iter_mut().zip(row).for_each(|(o, v)| *o = (v / length) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::edge_scores;
    use microtome_core::Silent;
    use microtome_numerics::ranks::{pearson, spearman};

    fn degrees(edges: &[Edge], n: usize) -> (Vec<u32>, Vec<u32>) {
        let (mut from, mut to) = (vec![0; n], vec![0; n]);
        for e in edges {
            from[e.from as usize] += 1;
            to[e.to as usize] += 1;
        }
        (from, to)
    }

    /// Edges with a few hubs among the keys.
    fn hubs(n: usize, count: usize) -> Vec<Edge> {
        let mut rng = Rng::new(3);
        let mut out = Vec::new();
        while out.len() < count {
            let e = Edge::new(
                rng.below(n) as u32,
                if rng.below(2) == 0 { rng.below(5) } else { rng.below(n) } as u32,
            );
            if !e.is_self() && !out.contains(&e) {
                out.push(e);
            }
        }
        out
    }

    #[test]
    fn degree_matched_edges_keep_degrees_and_groups() {
        let edges = hubs(80, 500);
        let groups = strata(&(0..80).map(f64::from).collect::<Vec<_>>(), 4).unwrap();
        assert_eq!((groups[0], groups[19], groups[20], groups[79]), (0, 0, 1, 3));
        let pairs = |edges: &[Edge]| {
            let mut out: Vec<(u32, u32)> =
                edges.iter().map(|e| (groups[e.from as usize], groups[e.to as usize])).collect();
            out.sort_unstable();
            out
        };
        for groups in [None, Some(&groups[..])] {
            let null = degree_matched(&edges, groups, &mut Rng::new(1)).unwrap();
            assert_eq!(degrees(&null.edges, 80), degrees(&edges, 80));
            assert!(null.unmended < 5 && null.kept < 300, "{} {}", null.unmended, null.kept);
            assert_eq!(pairs(&null.edges) == pairs(&edges), groups.is_some());
        }
        let null = group_matched(&edges, &groups, &mut Rng::new(1)).unwrap();
        assert_eq!(pairs(&null.edges), pairs(&edges));
        assert_ne!(degrees(&null.edges, 80), degrees(&edges, 80));
        assert!(degree_matched(&edges, Some(&groups[..10]), &mut Rng::new(1)).is_err());
        assert!(random_pairs(2, 100, &mut Rng::new(0)).unwrap().iter().all(|e| !e.is_self()));
    }

    #[test]
    fn baselines_are_the_correlations_they_claim() {
        let mut rng = Rng::new(5);
        let mut x = Matrix::new(4, 9, (0..36).map(|_| rng.normal() as f32).collect()).unwrap();
        x.row_mut(3).fill(7.0);
        let edges: Vec<Edge> = (0..4).flat_map(|i| (0..4).map(move |j| Edge::new(i, j))).collect();
        for ranked in [false, true] {
            let got = edge_scores(&coexpression(&x, ranked).unwrap(), &edges, &Silent).unwrap();
            for (e, got) in edges.iter().zip(got) {
                let row = |i: u32| x.row(i as usize).iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
                let (a, b) = (row(e.from), row(e.to));
                let want = if ranked { spearman(&a, &b) } else { pearson(&a, &b) }.unwrap().unwrap_or(0.0);
                assert!((f64::from(got) - want).abs() < 1e-6, "{e:?} {got} {want}");
            }
        }
        let product =
            edge_scores(&gene_level(&[1.0, 2.0, 3.0]).unwrap(), &[Edge::new(1, 2)], &Silent).unwrap();
        assert_eq!(product, [6.0]);
        let cosine = edge_scores(&embedding_cosine(&x).unwrap(), &[Edge::new(3, 3)], &Silent).unwrap();
        assert!((cosine[0] - 1.0).abs() < 1e-6);
    }
}
