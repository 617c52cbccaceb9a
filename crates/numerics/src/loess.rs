//! Local quadratic regression in one dimension, as Cleveland and Grosse's `dloess` computes it by default.
//!
//! Tricube weights over the nearest `span * n` points, fitted exactly at the vertices of a k-d tree and joined by cubic
//! Hermite interpolation (Cleveland, Grosse and Shyu 1992, "Local regression models"). Constants as in netlib `a/dloess`,
//! whose Python packaging (scikit-misc) is what scanpy calls.

use crate::dense::check_finite;
use microtome_core::{Error, Result};

/// A cell of the tree is not cut when it holds at most this share of `span * n` points.
const CELL: f64 = 0.2;
/// Singular values of the scaled columns below this share of the largest are taken for zero.
const SINGULAR: f64 = 100.0 * f64::EPSILON;
/// Sweeps of the Jacobi rotations; a handful is enough for three columns.
const SWEEPS: usize = 60;

/// Fitted values at the data points; family Gaussian, degree 2.
///
/// Errors when lengths differ, a value is not finite, there are fewer than 4 points, or `span` is not in 0..1 (both
/// excluded at 0, included at 1).
pub(crate) fn loess(x: &[f64], y: &[f64], span: f64) -> Result<Vec<f64>> {
    let n = x.len();
    if y.len() != n || n < 4 || !(span > 0.0 && span <= 1.0) {
        return Err(Error::mismatch("a local regression cannot be fitted")
            .expected("at least 4 points of two coordinates and a span above 0, at most 1")
            .found(format!("{n} and {} coordinates, span {span}", y.len())));
    }
    check_finite(x.iter().chain(y).copied(), "points of a local regression")?;
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let points = Points {
        x: order.iter().map(|&i| x[i]).collect(),
        y: order.iter().map(|&i| y[i]).collect(),
        nearest: ((n as f64 * span + 1e-5) as usize).clamp(3.min(n), n),
    };
    let vertices = points.vertices((n as f64 * span * CELL) as usize);
    let fits: Vec<(f64, f64)> = vertices.iter().map(|&v| points.local(v)).collect();
    Ok(x.iter().map(|&x| interpolate(&vertices, &fits, x)).collect())
}

struct Points {
    /// Ascending.
    x: Vec<f64>,
    y: Vec<f64>,
    /// Points in one local fit.
    nearest: usize,
}

impl Points {
    /// Cut points of the tree and the ends of the slightly widened range, ascending.
    fn vertices(&self, most: usize) -> Vec<f64> {
        let (low, high) = (self.x[0], self.x[self.x.len() - 1]);
        let margin = 0.005 * (high - low).max(1e-10 * low.abs().max(high.abs()) + 1e-30);
        let mut out = vec![low - margin, high + margin];
        let mut cells = vec![(0, self.x.len() - 1, low - margin, high + margin)];
        while let Some((first, last, left, right)) = cells.pop() {
            if last - first < most.max(1) {
                continue;
            }
            // 1-based positions in the published code: the middle is rounded down there.
            let middle = (first + last + 2) / 2 - 1;
            let Some(cut) = self.cut(first, last, middle) else { continue };
            let at = self.x[cut];
            if at == left || at == right {
                continue;
            }
            out.push(at);
            cells.push((first, cut, left, at));
            cells.push((cut + 1, last, at, right));
        }
        out.sort_by(f64::total_cmp);
        out.dedup();
        out
    }

    /// The position nearest to `middle` whose successor differs, looked for in turn to the right and to the left;
    /// `middle` itself where none does.
    fn cut(&self, first: usize, last: usize, middle: usize) -> Option<usize> {
        let mut offset: isize = 0;
        loop {
            let at = middle.checked_add_signed(offset);
            match at {
                Some(m) if m < last && m >= first => {
                    if self.x[m] != self.x[m + 1] {
                        return Some(m);
                    }
                }
                _ => return Some(middle),
            }
            offset = -offset;
            if offset >= 0 {
                offset += 1;
            }
        }
    }

    /// Value and slope at `v` of the weighted quadratic through the nearest points.
    fn local(&self, v: f64) -> (f64, f64) {
        let n = self.x.len();
        // The window of nearest points around v slides over the sorted points.
        let mut first = self.x.partition_point(|&x| x < v).saturating_sub(self.nearest).min(n - self.nearest);
        while first + self.nearest < n && self.x[first + self.nearest] - v < v - self.x[first] {
            first += 1;
        }
        let window = first..first + self.nearest;
        let reach = (v - self.x[first]).abs().max((self.x[window.end - 1] - v).abs());
        // Points as far as the farthest one have weight zero; with no reach all points are in one place.
        let weight = |x: f64| {
            let r = if reach > 0.0 { (x - v).abs() / reach } else { 0.0 };
            (1.0 - r * r * r).max(0.0).powi(3).sqrt()
        };
        let mut columns: [Vec<f64>; 3] = Default::default();
        let mut right = vec![];
        for i in window {
            let (w, t) = (weight(self.x[i]), self.x[i] - v);
            [w, w * t, w * t * t].iter().zip(&mut columns).for_each(|(c, column)| column.push(*c));
            right.push(w * self.y[i]);
        }
        let solution = least_squares(columns, &right);
        (solution[0], solution[1])
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Least-norm solution for columns scaled to unit length: singular values by one-sided Jacobi rotations (Hestenes 1958).
fn least_squares(mut columns: [Vec<f64>; 3], right: &[f64]) -> [f64; 3] {
    let lengths =
        [0, 1, 2].map(|j| dot(&columns[j], &columns[j]).sqrt()).map(|l| if l > 0.0 { l } else { 1.0 });
    columns.iter_mut().zip(lengths).for_each(|(c, l)| c.iter_mut().for_each(|v| *v /= l));
    let mut rotation = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    for _ in 0..SWEEPS {
        let mut largest = 0.0f64;
        for (p, q) in [(0, 1), (0, 2), (1, 2)] {
            let (a, b, c) =
                (dot(&columns[p], &columns[p]), dot(&columns[q], &columns[q]), dot(&columns[p], &columns[q]));
            if c == 0.0 || c.abs() <= f64::EPSILON * (a * b).sqrt() {
                continue;
            }
            largest = largest.max(c.abs() / (a * b).sqrt());
            let zeta = (b - a) / (2.0 * c);
            let t = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
            let cosine = 1.0 / (1.0 + t * t).sqrt();
            let sine = cosine * t;
            let (before, from_q) = columns.split_at_mut(q);
            for (x, y) in before[p].iter_mut().zip(&mut from_q[0]) {
                (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
            }
            for row in &mut rotation {
                let (x, y) = (row[p], row[q]);
                row[p] = cosine * x - sine * y;
                row[q] = sine * x + cosine * y;
            }
        }
        if largest <= f64::EPSILON {
            break;
        }
    }
    let squared = [0, 1, 2].map(|j| dot(&columns[j], &columns[j]));
    let top = squared.iter().fold(0.0f64, |a, &b| a.max(b)).sqrt();
    let mut out = [0.0; 3];
    for j in (0..3).filter(|&j| squared[j].sqrt() > SINGULAR * top) {
        let along = dot(&columns[j], right) / squared[j];
        (0..3).for_each(|i| out[i] += rotation[i][j] * along / lengths[i]);
    }
    out
}

/// Cubic Hermite interpolation between the two vertices around `x`.
fn interpolate(vertices: &[f64], fits: &[(f64, f64)], x: f64) -> f64 {
    let right = vertices.partition_point(|&v| v < x).clamp(1, vertices.len() - 1);
    let (x0, x1) = (vertices[right - 1], vertices[right]);
    let ((y0, s0), (y1, s1)) = (fits[right - 1], fits[right]);
    let h = x1 - x0;
    let t = (x - x0) / h;
    let (t2, t3) = (t * t, t * t * t);
    (2.0 * t3 - 3.0 * t2 + 1.0) * y0
        + (t3 - 2.0 * t2 + t) * h * s0
        + (3.0 * t2 - 2.0 * t3) * y1
        + (t3 - t2) * h * s1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quadratic_is_reproduced() {
        let x: Vec<f64> = (0..50).map(f64::from).collect();
        let y: Vec<f64> = x.iter().map(|x| 0.5 * x * x - x + 3.0).collect();
        for (found, want) in loess(&x, &y, 0.3).unwrap().iter().zip(&y) {
            // Cubic pieces through exact values and slopes of a quadratic are that quadratic.
            assert!((found - want).abs() < 1e-6, "{found} {want}");
        }
    }

    /// Against scikit-misc (`golden/numerics/make_baselines.py`).
    #[test]
    fn fits_are_those_of_dloess() {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/numerics/baselines.json");
        let golden: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for case in golden["loess"].as_array().unwrap() {
            let v = |k: &str| -> Vec<f64> {
                case[k].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
            };
            for (found, want) in loess(&v("x"), &v("y"), 0.3).unwrap().iter().zip(v("fitted")) {
                assert!((found - want).abs() < 1e-9, "{found} {want}");
            }
        }
    }

    #[test]
    fn ties_and_few_points_do_not_fail() {
        assert!(loess(&[1.0; 3], &[1.0; 3], 0.3).is_err());
        let same = loess(&[2.0; 20], &[5.0; 20], 0.3).unwrap();
        assert!(same.iter().all(|v| (v - 5.0).abs() < 1e-9), "{same:?}");
        assert!(loess(&[1.0, 2.0, 3.0, f64::NAN], &[1.0; 4], 0.5).is_err());
        assert!(loess(&[1.0, 2.0, 3.0, 4.0], &[1.0; 4], 0.0).is_err());
    }
}
