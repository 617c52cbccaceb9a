//! Stochastic gradient descent with negative sampling.

use crate::graph::Graph;
use crate::resample::Rng;

const NEGATIVES: f64 = 5.0;

struct Edge {
    from: u32,
    to: u32,
    /// Epochs between two uses.
    every: f64,
    next: f64,
    next_negative: f64,
}

/// Moves the points along the gradient of the cross entropy between edge weights and the curve
/// `1 / (1 + a d^(2b))`. An edge is used in proportion to its weight; edges too weak to be used once are left out.
pub(super) fn optimise(
    graph: &Graph,
    points: &mut [[f64; 2]],
    a: f64,
    b: f64,
    n_epochs: usize,
    rng: &mut Rng,
) {
    let heaviest = graph.weights.iter().copied().fold(0.0, f64::max);
    let mut edges = Vec::new();
    for from in 0..graph.n() {
        let (columns, weights) = graph.row(from);
        for (&to, &w) in columns.iter().zip(weights) {
            if w > 0.0 && w * n_epochs as f64 >= heaviest {
                let every = heaviest / w;
                edges.push(Edge {
                    from: from as u32,
                    to,
                    every,
                    next: every,
                    next_negative: every / NEGATIVES,
                });
            }
        }
    }
    for epoch in 0..n_epochs {
        let now = epoch as f64;
        let rate = 1.0 - now / n_epochs as f64;
        for edge in edges.iter_mut().filter(|e| e.next <= now) {
            let (i, j) = (edge.from as usize, edge.to as usize);
            let (delta, squared) = difference(points[i], points[j]);
            if squared > 0.0 {
                let power = squared.powf(b);
                let pull = -2.0 * a * b * power / (squared * (a * power + 1.0));
                for axis in 0..2 {
                    let step = rate * (pull * delta[axis]).clamp(-4.0, 4.0);
                    points[i][axis] += step;
                    points[j][axis] -= step;
                }
            }
            edge.next += edge.every;
            let gap = edge.every / NEGATIVES;
            let n_negative = ((now - edge.next_negative) / gap).max(0.0) as usize;
            for _ in 0..n_negative {
                let other = rng.below(points.len());
                let (delta, squared) = difference(points[i], points[other]);
                if other == i || squared == 0.0 {
                    continue;
                }
                let push = 2.0 * b / ((0.001 + squared) * (a * squared.powf(b) + 1.0));
                for axis in 0..2 {
                    points[i][axis] += rate * (push * delta[axis]).clamp(-4.0, 4.0);
                }
            }
            edge.next_negative += n_negative as f64 * gap;
        }
    }
}

fn difference(p: [f64; 2], q: [f64; 2]) -> ([f64; 2], f64) {
    let delta = [p[0] - q[0], p[1] - q[1]];
    (delta, delta[0] * delta[0] + delta[1] * delta[1])
}
