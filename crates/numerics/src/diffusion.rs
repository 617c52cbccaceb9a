//! Diffusion maps and diffusion pseudotime (Haghverdi et al. 2016, Nat. Methods 13:845) as in scanpy 1.11.5.

use crate::graph::{Components, Graph, components};
use crate::krylov::{Operator, Which, leading};
use microtome_core::{Error, Matrix, Result};

/// Leading eigenpairs of the symmetric, density-normalised transition matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct DiffusionMap {
    /// Eigenvalues, falling; the first is 1 once per component.
    pub values: Vec<f32>,
    /// Unit eigenvectors as columns, `[n, values.len()]`; the entry of largest magnitude is positive.
    pub vectors: Matrix,
    /// Connected components of the graph. With more than half as many components as eigenvalues the map says
    /// little; with more components than eigenvalues the smallest ones have no eigenvector of their own.
    pub components: Components,
}

/// Eigenvalues at or above this count as stationary in the distance (scanpy's rule).
const STATIONARY: f32 = 0.9994;

impl Operator for Graph {
    fn dim(&self) -> usize {
        self.n()
    }
    fn apply(&self, x: &[f64], width: usize, out: &mut [f64]) {
        Graph::apply(self, x, width, out);
    }
}

/// The `n_comps` eigenpairs of largest magnitude (scanpy's default is 15), at most one fewer than there are cells.
///
/// The eigenvectors of eigenvalue 1, one per component, are known in closed form and are not left to the
/// iteration, so disconnected graphs come out right. Errors when `n_comps` is 0 or the graph has fewer than 2 cells.
pub fn diffusion_map(graph: &Graph, n_comps: usize, seed: u64) -> Result<DiffusionMap> {
    let n = graph.n();
    if n < 2 || n_comps == 0 {
        return Err(Error::usage("a diffusion map needs cells and components")
            .expected("at least 2 cells and 1 component")
            .found(format!("{n} cells, {n_comps} components")));
    }
    let n_comps = n_comps.min(n - 1);
    let degrees = graph.degrees();
    let inverse = |v: f64| if v > 0.0 { 1.0 / v } else { 0.0 };
    let kernel = graph.map(|i, j, w| w * (inverse(degrees[i]) * inverse(degrees[j])));
    let z: Vec<f64> = kernel.degrees().iter().map(|d| d.sqrt()).collect();
    let transitions = kernel.map(|i, j, w| w * (inverse(z[i]) * inverse(z[j])));

    let parts = components(graph);
    let known = stationary(&parts, &z, n_comps);
    let n_known = known.len() / n;
    let rest = leading(&transitions, n_comps - n_known, Which::LargestMagnitude, 1e-11, seed, &known)?;
    let n_rest = rest.values.len();

    let mut columns: Vec<(f64, Vec<f64>)> = Vec::with_capacity(n_comps);
    for c in 0..n_known {
        columns.push((1.0, known.iter().skip(c).step_by(n_known).copied().collect()));
    }
    for c in 0..n_rest {
        columns.push((rest.values[c], rest.vectors.iter().skip(c).step_by(n_rest).copied().collect()));
    }
    columns.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut vectors = Matrix::zeros(n, n_comps);
    for (c, (_, column)) in columns.iter().enumerate() {
        let sign = sign_of_largest(column);
        for (i, v) in column.iter().enumerate() {
            vectors.row_mut(i)[c] = (sign * v) as f32;
        }
    }
    Ok(DiffusionMap { values: columns.iter().map(|c| c.0 as f32).collect(), vectors, components: parts })
}

/// Sign that makes the entry of largest magnitude (the first of equals) positive.
pub(crate) fn sign_of_largest(column: &[f64]) -> f64 {
    let largest = column.iter().fold(0.0f64, |a, &v| if v.abs() > a.abs() { v } else { a });
    if largest < 0.0 { -1.0 } else { 1.0 }
}

/// Unit eigenvectors of eigenvalue 1, `z` on one component each, largest components first; row-major.
fn stationary(parts: &Components, z: &[f64], most: usize) -> Vec<f64> {
    let mut order: Vec<usize> = (0..parts.n()).filter(|&c| parts.sizes[c] > 1).collect();
    order.sort_by_key(|&c| std::cmp::Reverse(parts.sizes[c]));
    order.truncate(most);
    let mut column_of = vec![usize::MAX; parts.n()];
    order.iter().enumerate().for_each(|(column, &c)| column_of[c] = column);
    let width = order.len();
    let mut norms = vec![0.0; width];
    let column = |i: usize| column_of[parts.labels[i] as usize];
    for (i, &v) in z.iter().enumerate().filter(|(i, _)| column(*i) != usize::MAX) {
        norms[column(i)] += v * v;
    }
    let mut out = vec![0.0; z.len() * width];
    for (i, &v) in z.iter().enumerate().filter(|(i, _)| column(*i) != usize::MAX) {
        out[i * width + column(i)] = v / norms[column(i)].sqrt();
    }
    out
}

/// Diffusion distance of every cell from `root` over the first `n_dcs` eigenpairs (scanpy's default is 10, and it
/// counts the stationary one): the square root of
/// `sum_{lambda < 0.9994} (lambda/(1-lambda))^2 (psi(root)-psi(i))^2 + sum_{lambda >= 0.9994} (psi(root)-psi(i))^2`.
///
/// Cells outside the root's component are at infinity. Errors when `root` is out of range or more eigenpairs are
/// asked for than the map holds.
pub fn dpt(map: &DiffusionMap, root: usize, n_dcs: usize) -> Result<Vec<f64>> {
    let n = map.vectors.rows();
    if root >= n {
        return Err(Error::usage("root cell out of range")
            .expected(format!("below {n}"))
            .found(root.to_string()));
    }
    if n_dcs == 0 || n_dcs > map.values.len() {
        return Err(Error::usage("number of diffusion components out of range")
            .expected(format!("1 to {}", map.values.len()))
            .found(n_dcs.to_string())
            .remedy("compute the diffusion map with more components"));
    }
    // In f32, as scanpy: next to the limit, 1 - lambda keeps only a few digits of it.
    let scales: Vec<f64> = map.values[..n_dcs]
        .iter()
        .map(|&l| if l < STATIONARY { f64::from(l / (1.0 - l)) } else { 1.0 })
        .collect();
    let home = map.components.labels[root];
    let from = map.vectors.row(root);
    Ok((0..n)
        .map(|i| {
            if map.components.labels[i] != home {
                return f64::INFINITY;
            }
            let to = map.vectors.row(i);
            let squared: f64 = scales
                .iter()
                .zip(from.iter().zip(to))
                .map(|(s, (&a, &b))| (s * (f64::from(a) - f64::from(b))).powi(2))
                .sum();
            squared.sqrt()
        })
        .collect())
}

/// [`dpt`] divided by its largest finite value: 0 at the root, 1 at the farthest cell, infinite elsewhere. All
/// zero when no other cell is reached.
pub fn pseudotime(map: &DiffusionMap, root: usize, n_dcs: usize) -> Result<Vec<f64>> {
    let mut out = dpt(map, root, n_dcs)?;
    let largest = out.iter().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
    if largest > 0.0 {
        out.iter_mut().for_each(|v| *v /= largest);
    }
    Ok(out)
}
