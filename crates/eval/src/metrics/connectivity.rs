//! Graph connectivity: whether the cells of a label hang together among their nearest neighbours.

use super::definition::{Definition, Need};
use super::groups::Grouping;
use super::place::all_at_one_place;
use super::score::{Score, mean_of, same_number};
use crate::Groups;
use microtome_core::{Direction, Result};
use microtome_numerics::graph::Graph;
use microtome_numerics::knn::Knn;
use microtome_numerics::subgraph::largest_strong_component;
use rayon::prelude::*;

/// Neighbours that the reference's default of 15, self included, comes to.
pub const NEIGHBOURS: usize = 14;

/// Share of each label in its largest strongly connected part.
pub static GRAPH_CONNECTIVITY: Definition = Definition {
    id: "graph_connectivity",
    version: 1,
    direction: Direction::Higher,
    range: (0.0, 1.0),
    needs: &[Need::Embedding, Need::Labels],
    words: "Share of the cells of each label in its largest strongly connected part of the directed 15-neighbour \
            graph, mean over labels",
    citation: "Luecken et al. 2022, Nat. Methods 19:41; YosefLab/scib-metrics@5e78759",
    deviations: "cells at one place are neighbours of each other both ways, which of them made the list is chance; \
                 exact neighbours",
};

/// The same on the undirected graph.
pub static GRAPH_CONNECTIVITY_WEAK: Definition = Definition {
    id: "graph_connectivity_weak",
    words: "Share of the cells of each label in its largest connected part of the undirected 15-neighbour graph, mean \
            over labels",
    citation: "Luecken et al. 2022, Nat. Methods 19:41; theislab/scib@cd67913",
    deviations: "exact neighbours",
    ..GRAPH_CONNECTIVITY
};

pub(super) static DEFINITIONS: &[&Definition] = &[&GRAPH_CONNECTIVITY, &GRAPH_CONNECTIVITY_WEAK];

/// Whether an edge can be walked one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edges {
    /// From a cell to its neighbours: [`GRAPH_CONNECTIVITY`].
    Directed,
    /// Both ways: [`GRAPH_CONNECTIVITY_WEAK`].
    Undirected,
}

/// Share of each label in its largest connected part, mean over labels. Cells without a label, and edges to them, do
/// not take part. `n_used` counts labels. Errors when lengths differ.
pub fn graph_connectivity(knn: &Knn, labels: &[u32], edges: Edges) -> Result<Score> {
    same_number("labels and neighbour lists", knn.n, labels.len())?;
    let cells: Vec<usize> = (0..labels.len()).filter(|&i| labels[i] != Groups::MISSING).collect();
    let missing = labels.len() - cells.len();
    let note = |score: Score| score.excluding(missing, "cells without a label or batch");
    if cells.is_empty() {
        return Ok(note(Score::undefined("no cells")));
    }
    if all_at_one_place(knn) {
        return Ok(note(Score::undefined("every cell is at the same place")));
    }
    let groups = Grouping::new(&cells.iter().map(|&i| labels[i]).collect::<Vec<_>>());
    let mut place = vec![u32::MAX; labels.len()];
    for members in &groups.members {
        members.iter().enumerate().for_each(|(at, &m)| place[cells[m]] = at as u32);
    }
    let share = |members: &Vec<usize>| {
        let mut targets = vec![Vec::with_capacity(knn.k); members.len()];
        for (at, &m) in members.iter().enumerate() {
            let i = cells[m];
            let (near, distances) = knn.row(i);
            for (&j, &d) in near.iter().zip(distances) {
                if labels[j as usize] != labels[i] {
                    continue;
                }
                let to = place[j as usize];
                targets[at].push(to);
                if edges == Edges::Undirected || d == 0.0 {
                    targets[to as usize].push(at as u32);
                }
            }
        }
        largest_share(&targets)
    };
    let shares: Result<Vec<_>> = groups.members.par_iter().map(share).collect();
    Ok(note(mean_of(shares?, "")))
}

fn largest_share(targets: &[Vec<u32>]) -> Result<Option<f64>> {
    largest_strong_component(targets).map(|largest| Some(largest as f64 / targets.len() as f64))
}

/// [`GRAPH_CONNECTIVITY`] of a graph that was made otherwise than from nearest neighbours. `n_used` counts labels. Errors when
/// lengths differ.
pub fn connectivity_of_graph(graph: &Graph, labels: &[u32]) -> Result<Score> {
    same_number("labels and nodes", graph.n(), labels.len())?;
    let groups = Grouping::new(labels);
    if labels.is_empty() {
        return Ok(Score::undefined("no cells"));
    }
    let mut place = vec![0; labels.len()];
    for members in &groups.members {
        members.iter().enumerate().for_each(|(at, &m)| place[m] = at as u32);
    }
    let targets = |i: usize| -> Vec<u32> {
        let own = graph.row(i).0.iter().map(|&j| j as usize).filter(|&j| labels[j] == labels[i]);
        own.map(|j| place[j]).collect()
    };
    let share = |members: &Vec<usize>| largest_share(&members.iter().map(|&m| targets(m)).collect::<Vec<_>>());
    let shares: Result<Vec<_>> = groups.members.par_iter().map(share).collect();
    Ok(mean_of(shares?, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use microtome_core::Matrix;
    use microtome_numerics::knn::{Metric, exact_knn};

    fn knn(x: &[f32], k: usize) -> Knn {
        exact_knn(&Matrix::new(x.len(), 1, x.to_vec()).unwrap(), k, Metric::Euclidean).unwrap()
    }

    #[test]
    fn a_graph_of_other_making_is_read_within_labels() {
        // A path 0-1-2-3; the second label cuts it, so that 3 hangs on nobody of its own.
        let graph = Graph::new(vec![0, 1, 3, 5, 6], vec![1, 0, 2, 1, 3, 2], vec![1.0; 6]).unwrap();
        assert_eq!(connectivity_of_graph(&graph, &[0; 4]).unwrap().value, Some(1.0));
        let cut = connectivity_of_graph(&graph, &[0, 0, 1, 0]).unwrap();
        assert!((cut.value.unwrap() - (2.0 / 3.0 + 1.0) / 2.0).abs() < 1e-12 && cut.n_used == 2);
        assert!(connectivity_of_graph(&graph, &[0; 3]).is_err());
    }

    #[test]
    fn direction_matters_where_a_cell_is_nobodys_neighbour() {
        // 10 points at 1, which prefers its own pair; nothing points to 10.
        let list = knn(&[0.0, 0.5, 1.2, 10.0], 1);
        let directed = graph_connectivity(&list, &[0; 4], Edges::Directed).unwrap();
        assert_eq!(directed.value, Some(0.5));
        assert_eq!(graph_connectivity(&list, &[0; 4], Edges::Undirected).unwrap().value, Some(1.0));
        // A label of one cell is connected; the other falls into {0, 0.5} and {10}.
        let two = graph_connectivity(&list, &[0, 0, 1, 0], Edges::Undirected).unwrap();
        assert!((two.value.unwrap() - (2.0 / 3.0 + 1.0) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn one_hot_labels_are_connected_whatever_the_ties() {
        let labels: Vec<u32> = (0..90).map(|i| i % 3).collect();
        let mut x = Matrix::zeros(90, 3);
        (0..90).for_each(|i| x.row_mut(i)[i % 3] = 1.0);
        let list = exact_knn(&x, NEIGHBOURS, Metric::Euclidean).unwrap();
        assert!(list.distances.iter().all(|&d| d == 0.0));
        assert_eq!(graph_connectivity(&list, &labels, Edges::Directed).unwrap().value, Some(1.0));
        let flat = exact_knn(&Matrix::zeros(90, 3), NEIGHBOURS, Metric::Euclidean).unwrap();
        assert!(graph_connectivity(&flat, &labels, Edges::Directed).unwrap().value.is_none());
    }

    #[test]
    fn edges_have_reasons() {
        let list = knn(&[0.0, 0.5, 1.2, 10.0], 1);
        let m = Groups::MISSING;
        let some = graph_connectivity(&list, &[0, 0, m, 1], Edges::Directed).unwrap();
        assert_eq!((some.value, some.n_used, some.n_excluded), (Some(1.0), 2, 1));
        assert!(graph_connectivity(&list, &[m; 4], Edges::Directed).unwrap().value.is_none());
        assert!(graph_connectivity(&list, &[0; 3], Edges::Directed).is_err());
    }
}
