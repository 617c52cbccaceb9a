//! Parts of graphs, and strongly connected parts of directed neighbour lists.

use crate::graph::Graph;
use microtome_core::{Error, Result};

impl Graph {
    /// The graph among some vertices, renumbered in their order. Errors when one is out of range or given twice.
    pub fn subgraph(&self, vertices: &[usize]) -> Result<Self> {
        let mut place = vec![u32::MAX; self.n()];
        for (at, &v) in vertices.iter().enumerate() {
            if place.get(v) != Some(&u32::MAX) {
                return Err(Error::usage("not a set of vertices of this graph")
                    .expected(format!("different vertices below {}", self.n()))
                    .found(v.to_string()));
            }
            place[v] = at as u32;
        }
        let (mut indptr, mut indices, mut weights) = (vec![0], Vec::new(), Vec::new());
        for &v in vertices {
            let (columns, values) = self.row(v);
            let mut row: Vec<(u32, f64)> = columns
                .iter()
                .zip(values)
                .map(|(&j, &w)| (place[j as usize], w))
                .filter(|e| e.0 != u32::MAX)
                .collect();
            row.sort_unstable_by_key(|e| e.0);
            indices.extend(row.iter().map(|e| e.0));
            weights.extend(row.iter().map(|e| e.1));
            indptr.push(indices.len());
        }
        Ok(Self { indptr, indices, weights })
    }
}

/// Size of the largest strongly connected part of a directed graph, `targets[i]` listing where edges from `i` go
/// (Tarjan 1972, without recursion); 0 for a graph without vertices. Targets must be vertices.
///
/// Errors when a target is not below the number of vertices.
pub fn largest_strong_component(targets: &[Vec<u32>]) -> Result<usize> {
    let n = targets.len();
    if let Some(bad) = targets.iter().flatten().find(|&&j| j as usize >= n) {
        return Err(Error::usage("an edge leaves the graph")
            .expected(format!("targets below {n}"))
            .found(bad.to_string()));
    }
    const NEW: u32 = u32::MAX;
    let mut found = vec![NEW; n];
    let mut low = vec![0u32; n];
    let mut open = vec![false; n];
    let (mut stack, mut path): (Vec<u32>, Vec<(u32, usize)>) = (vec![], vec![]);
    let (mut clock, mut largest) = (0, 0);
    for root in 0..n {
        if found[root] != NEW {
            continue;
        }
        path.push((root as u32, 0));
        while let Some((i, next)) = path.pop() {
            let v = i as usize;
            if next == 0 {
                found[v] = clock;
                low[v] = clock;
                clock += 1;
                stack.push(i);
                open[v] = true;
            } else {
                // Back from the target visited last.
                low[v] = low[v].min(low[targets[v][next - 1] as usize]);
            }
            let mut step = next;
            let mut deeper = false;
            while let Some(&j) = targets[v].get(step) {
                step += 1;
                if found[j as usize] == NEW {
                    path.push((i, step));
                    path.push((j, 0));
                    deeper = true;
                    break;
                }
                if open[j as usize] {
                    low[v] = low[v].min(found[j as usize]);
                }
            }
            if deeper || low[v] != found[v] {
                continue;
            }
            let mut size = 0;
            while let Some(w) = stack.pop() {
                open[w as usize] = false;
                size += 1;
                if w == i {
                    break;
                }
            }
            largest = largest.max(size);
        }
    }
    Ok(largest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resample::Rng;

    #[test]
    fn strong_components_equal_mutual_reachability() {
        let mut rng = Rng::new(4);
        for n in [1usize, 2, 5, 12, 30] {
            for _ in 0..20 {
                let targets: Vec<Vec<u32>> =
                    (0..n).map(|_| (0..2).map(|_| rng.below(n) as u32).collect()).collect();
                let reach: Vec<Vec<bool>> = (0..n)
                    .map(|i| {
                        let mut seen = vec![false; n];
                        let mut todo = vec![i];
                        while let Some(v) = todo.pop() {
                            if !std::mem::replace(&mut seen[v], true) {
                                todo.extend(targets[v].iter().map(|&j| j as usize));
                            }
                        }
                        seen
                    })
                    .collect();
                let want = (0..n).map(|i| (0..n).filter(|&j| reach[i][j] && reach[j][i]).count()).max();
                assert_eq!(Some(largest_strong_component(&targets).unwrap()), want);
            }
        }
    }

    #[test]
    fn a_long_ring_needs_no_recursion() {
        let n = 300_000;
        let ring: Vec<Vec<u32>> = (0..n).map(|i| vec![(i + 1) % n]).collect();
        assert_eq!(largest_strong_component(&ring).unwrap(), n as usize);
        let chain: Vec<Vec<u32>> = (0..n).map(|i| if i + 1 < n { vec![i + 1] } else { vec![] }).collect();
        assert_eq!(largest_strong_component(&chain).unwrap(), 1);
        assert_eq!(largest_strong_component(&[]).unwrap(), 0);
        assert!(largest_strong_component(&[vec![1]]).is_err());
    }

    #[test]
    fn subgraph_keeps_edges_among_its_vertices() {
        let g = Graph::new(vec![0, 1, 3, 4], vec![1, 0, 2, 1], vec![1.0, 1.0, 2.0, 2.0]).unwrap();
        let s = g.subgraph(&[2, 1]).unwrap();
        assert_eq!((s.row(0), s.row(1)), ((&[1][..], &[2.0][..]), (&[0][..], &[2.0][..])));
        assert!(g.subgraph(&[0, 0]).is_err() && g.subgraph(&[3]).is_err());
    }
}
