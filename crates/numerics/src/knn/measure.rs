//! Rows made ready for the bracket, and the exact measure of one pair.

use super::Metric;
use microtome_core::Matrix;

/// Centred and scaled copy for the bracketing product.
pub(super) struct Prepared {
    pub(super) width: usize,
    /// `[n, width]`, entries within [-1, 1].
    pub(super) rows: Vec<f32>,
    /// Squared norms of `rows`.
    pub(super) squared: Vec<f32>,
}

impl Prepared {
    pub(super) fn new(parts: &[&Matrix], metric: Metric) -> Self {
        let d = parts[0].cols();
        let n: usize = parts.iter().map(|p| p.rows()).sum();
        let source = || parts.iter().flat_map(|p| (0..p.rows()).map(|i| p.row(i)));
        let mut rows = vec![0.0f32; n * d];
        if metric == Metric::Euclidean {
            let mut mean = vec![0.0f64; d];
            for row in source() {
                mean.iter_mut().zip(row).for_each(|(m, &v)| *m += f64::from(v));
            }
            mean.iter_mut().for_each(|m| *m /= n.max(1) as f64);
            let largest = source()
                .flat_map(|row| row.iter().zip(&mean).map(|(&v, m)| (f64::from(v) - m).abs()))
                .fold(0.0, f64::max);
            let scale = if largest > 0.0 { 1.0 / largest } else { 0.0 };
            for (out, row) in rows.chunks_exact_mut(d.max(1)).zip(source()) {
                for ((o, &v), m) in out.iter_mut().zip(row).zip(&mean) {
                    *o = ((f64::from(v) - m) * scale) as f32;
                }
            }
        } else {
            for (out, row) in rows.chunks_exact_mut(d.max(1)).zip(source()) {
                let unit = unit(row, metric);
                out.iter_mut().zip(unit).for_each(|(o, v)| *o = v as f32);
            }
        }
        let squared = rows
            .chunks_exact(d.max(1))
            .map(|row| match metric {
                Metric::Euclidean => row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>() as f32,
                // Unit length even for rows without direction, which puts them at distance 1 from everything.
                Metric::Cosine | Metric::Correlation => 1.0,
            })
            .collect();
        let squared = if d == 0 { vec![0.0; n] } else { squared };
        Self { width: d, rows, squared }
    }

    pub(super) fn split(mut self, at: usize) -> (Self, Self) {
        let rows = self.rows.split_off(at * self.width);
        let squared = self.squared.split_off(at);
        let width = self.width;
        (self, Self { width, rows, squared })
    }
}

/// The row scaled to unit length (after centring for correlation); zeros when it has no direction.
fn unit(row: &[f32], metric: Metric) -> Vec<f64> {
    let mut v: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
    if metric == Metric::Correlation {
        if row.iter().all(|&x| x == row[0]) {
            return vec![0.0; v.len()];
        }
        let mean = v.iter().sum::<f64>() / v.len() as f64;
        v.iter_mut().for_each(|x| *x -= mean);
    }
    let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
    if length > 0.0 {
        v.iter_mut().for_each(|x| *x /= length);
    }
    v
}

/// Exact measure of one pair, monotone in the distance: the squared distance, or the distance itself for angles.
pub(super) struct Exact<'a> {
    query: Vec<f64>,
    directed: bool,
    reference: &'a Matrix,
    metric: Metric,
}

impl<'a> Exact<'a> {
    pub(super) fn new(row: &[f32], reference: &'a Matrix, metric: Metric) -> Self {
        let query = match metric {
            Metric::Euclidean => row.iter().map(|&v| f64::from(v)).collect(),
            Metric::Cosine | Metric::Correlation => unit(row, metric),
        };
        let directed = query.iter().any(|&v| v != 0.0);
        Self { query, directed, reference, metric }
    }

    pub(super) fn to(&self, j: u32) -> f64 {
        let row = self.reference.row(j as usize);
        match self.metric {
            Metric::Euclidean => squared_difference(&self.query, row.iter().map(|&v| f64::from(v))),
            Metric::Cosine | Metric::Correlation => {
                let other = unit(row, self.metric);
                if !self.directed || other.iter().all(|&v| v == 0.0) {
                    return 1.0;
                }
                // Half the squared chord: equal to 1 - cos without its cancellation.
                0.5 * squared_difference(&self.query, other.iter().copied())
            }
        }
    }

    pub(super) fn distance(&self, measure: f64) -> f32 {
        match self.metric {
            Metric::Euclidean => measure.sqrt() as f32,
            Metric::Cosine | Metric::Correlation => measure as f32,
        }
    }
}

fn squared_difference(a: &[f64], b: impl Iterator<Item = f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
