//! Feed-forward part of a block, plain or gated.

use microtome_kernels::{Activation, Activations, Linear};

/// The feed-forward part.
#[derive(Clone, Debug)]
pub(crate) enum Mlp {
    /// `down(act(up(x)))`.
    Plain { up: Linear, activation: Activation, down: Linear },
    /// `down(act(gate(x)) * up(x))` (Shazeer 2020).
    Gated { gate: Linear, activation: Activation, up: Linear, down: Linear },
}

/// Rows whose hidden vectors exist at one time, so that memory does not grow with `tokens * d_mlp`.
const ROWS: usize = 2048;

impl Mlp {
    /// Columns of the input and of the output.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Plain { down, .. } | Self::Gated { down, .. } => down.n_out(),
        }
    }

    /// `out = mlp(x)` for `[rows, width]`; `hidden` is scratch space.
    pub(crate) fn apply(&self, x: &[f32], rows: usize, hidden: &mut Activations, out: &mut [f32]) {
        let d = self.width();
        assert!(
            x.len() == rows * d && out.len() == rows * d,
            "the feed-forward part takes and gives {rows} x {d}"
        );
        for (x, out) in x.chunks(ROWS * d.max(1)).zip(out.chunks_mut(ROWS * d.max(1))) {
            self.some_rows(x, x.len() / d, hidden, out);
        }
    }

    fn some_rows(&self, x: &[f32], rows: usize, hidden: &mut Activations, out: &mut [f32]) {
        match self {
            Self::Plain { up, activation, down } => {
                hidden.resize(rows * up.n_out());
                up.apply(x, rows, *activation, hidden);
                down.apply(hidden, rows, Activation::None, out);
            }
            Self::Gated { gate, activation, up, down } => {
                let size = rows * up.n_out();
                hidden.resize(3 * size);
                let (gates, rest) = hidden.split_at_mut(size);
                let (ups, product) = rest.split_at_mut(size);
                gate.apply(x, rows, Activation::None, gates);
                up.apply(x, rows, Activation::None, ups);
                activation.gate(gates, ups, product);
                down.apply(product, rows, Activation::None, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `y = act(x . gate) * (x . up) . down`, naively in `f64`.
    fn naive(x: &[f32], gate: Option<&[f32]>, up: &[f32], down: &[f32], d: usize, f: usize) -> Vec<f64> {
        let dot = |row: &[f32], w: &[f32]| -> f64 {
            row.iter().zip(w).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let silu = |v: f64| v / (1.0 + (-v).exp());
        let mut out = vec![];
        for row in x.chunks_exact(d) {
            let hidden: Vec<f64> = (0..f)
                .map(|j| {
                    let u = dot(row, &up[j * d..(j + 1) * d]);
                    gate.map_or_else(|| u.max(0.0), |g| silu(dot(row, &g[j * d..(j + 1) * d])) * u)
                })
                .collect();
            out.extend((0..d).map(|o| (0..f).map(|j| hidden[j] * f64::from(down[o * f + j])).sum::<f64>()));
        }
        out
    }

    #[test]
    fn both_kinds_follow_their_formula_over_more_rows_than_a_chunk() {
        let (d, f, rows) = (3, 5, ROWS + 7);
        let wave = |n: usize, a: f32| -> Vec<f32> { (0..n).map(|i| (i as f32 * a).sin()).collect() };
        let (x, gate, up, down) =
            (wave(rows * d, 0.37), wave(f * d, 0.7), wave(f * d, 1.3), wave(d * f, 2.1));
        let (pack_in, pack_out) = (|w: &[f32]| Linear::pack(w, f, d, None), Linear::pack(&down, d, f, None));
        let plain = Mlp::Plain { up: pack_in(&up), activation: Activation::Relu, down: pack_out.clone() };
        let gated = Mlp::Gated {
            gate: pack_in(&gate),
            activation: Activation::Silu,
            up: pack_in(&up),
            down: pack_out,
        };
        for (mlp, gate) in [(plain, None), (gated, Some(&gate[..]))] {
            let (mut hidden, mut got) = (Activations::default(), vec![0.0; rows * d]);
            mlp.apply(&x, rows, &mut hidden, &mut got);
            let expected = naive(&x, gate, &up, &down, d, f);
            for (g, e) in got.iter().zip(&expected) {
                assert!((f64::from(*g) - e).abs() < 2e-6, "{g} {e}");
            }
            assert!(hidden.len() <= 3 * ROWS * f);
        }
    }
}
