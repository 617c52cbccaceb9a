//! The block against its formula in `f64`, and both paths against each other.

use microtome_core::{BlockSite, Site};
use microtome_kernels::{LayerNorm, Mask, RmsNorm};

use super::*;
use crate::taps::{Recorded, Recorder};

const D: usize = 6;
const HIDDEN: usize = 10;
const SHAPE: (usize, usize, usize) = (4, 2, 3);

fn wave(n: usize, seed: f32) -> Vec<f32> {
    (0..n).map(|i| ((i as f32 + 1.0) * seed).sin() * 0.8).collect()
}

struct Weights {
    qkv: Vec<f32>,
    out: Vec<f32>,
    up: Vec<f32>,
    down: Vec<f32>,
    scales: [Vec<f32>; 2],
    shift: Vec<f32>,
}

fn weights() -> Weights {
    let (h, kv, dh) = SHAPE;
    Weights {
        qkv: wave((h + 2 * kv) * dh * D, 0.31),
        out: wave(D * h * dh, 0.77),
        up: wave(HIDDEN * D, 1.1),
        down: wave(D * HIDDEN, 0.53),
        scales: [wave(D, 0.9), wave(D, 1.7)],
        shift: wave(D, 2.3),
    }
}

fn block(w: &Weights, rms: bool, residual: Residual) -> PreLnBlock {
    let (n_heads, n_kv_heads, d_head) = SHAPE;
    let norm = |scale: &[f32]| {
        if rms {
            Norm::Rms(RmsNorm { weight: scale.to_vec(), eps: 1e-3 })
        } else {
            Norm::Layer(LayerNorm { weight: scale.to_vec(), bias: w.shift.clone(), eps: 1e-3 })
        }
    };
    let width = n_heads * d_head;
    PreLnBlock {
        norm1: norm(&w.scales[0]),
        shape: AttentionShape { n_kv_heads, ..AttentionShape::new(n_heads, d_head) },
        qkv: Linear::pack(&w.qkv, (n_heads + 2 * n_kv_heads) * d_head, D, None),
        out: Linear::pack(&w.out, D, width, Some(&w.shift)),
        norm2: norm(&w.scales[1]),
        mlp: Mlp::Plain {
            up: Linear::pack(&w.up, HIDDEN, D, None),
            activation: Activation::Relu,
            down: Linear::pack(&w.down, D, HIDDEN, Some(&w.shift)),
        },
        residual,
    }
}

fn product(x: &[Vec<f64>], w: &[f32], bias: Option<&[f32]>) -> Vec<Vec<f64>> {
    let row = |r: &Vec<f64>| {
        let outputs = w.chunks_exact(r.len()).enumerate();
        let dot = |w: &[f32]| r.iter().zip(w).map(|(a, b)| a * f64::from(*b)).sum::<f64>();
        outputs.map(|(o, w)| dot(w) + bias.map_or(0.0, |b| f64::from(b[o]))).collect()
    };
    x.iter().map(row).collect()
}

fn normed(x: &[Vec<f64>], scale: &[f32], shift: &[f32], rms: bool) -> Vec<Vec<f64>> {
    let row = |r: &Vec<f64>| {
        let mean = if rms { 0.0 } else { r.iter().sum::<f64>() / D as f64 };
        let square = r.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / D as f64;
        let unit = r.iter().map(|v| (v - mean) / (square + 1e-3).sqrt());
        let shift = |j: usize| if rms { 0.0 } else { f64::from(shift[j]) };
        unit.enumerate().map(|(j, v)| v * f64::from(scale[j]) + shift(j)).collect()
    };
    x.iter().map(row).collect()
}

fn sum(a: &[Vec<f64>], b: &[Vec<f64>]) -> Vec<Vec<f64>> {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
}

/// One cell through the formula.
fn naive(x: &[Vec<f64>], w: &Weights, rms: bool, residual: Residual) -> Vec<Vec<f64>> {
    let (h, kv, dh) = SHAPE;
    let first = normed(x, &w.scales[0], &w.shift, rms);
    let qkv = product(&first, &w.qkv, None);
    let mut z = vec![vec![0.0; h * dh]; x.len()];
    for (t, z) in z.iter_mut().enumerate() {
        for head in 0..h {
            let kv_head = head / (h / kv);
            let at = |s: usize, first: usize, j: usize| qkv[s][first + j];
            let score = |s: usize| -> f64 {
                (0..dh).map(|j| at(t, head * dh, j) * at(s, (h + kv_head) * dh, j)).sum::<f64>()
                    / (dh as f64).sqrt()
            };
            let e: Vec<f64> = (0..x.len()).map(|s| score(s).exp()).collect();
            let total: f64 = e.iter().sum();
            for j in 0..dh {
                z[head * dh + j] =
                    (0..x.len()).map(|s| e[s] / total * at(s, (h + kv + kv_head) * dh, j)).sum();
            }
        }
    }
    let base =
        |x: &[Vec<f64>], n: &[Vec<f64>]| if residual == Residual::Stream { x.to_vec() } else { n.to_vec() };
    let mid = sum(&base(x, &first), &product(&z, &w.out, Some(&w.shift)));
    let second = normed(&mid, &w.scales[1], &w.shift, rms);
    let mut hidden = product(&second, &w.up, None);
    hidden.iter_mut().flatten().for_each(|v| *v = v.max(0.0));
    sum(&base(&mid, &second), &product(&hidden, &w.down, Some(&w.shift)))
}

#[test]
fn both_paths_follow_the_formula() {
    let w = weights();
    let mut tokens = Tokens::new();
    for n in [5usize, 0, 1, 3] {
        tokens.push(&vec![0; n], &vec![0.0; n], 0, 0);
    }
    let x = wave(9 * D, 0.61);
    for (rms, residual) in [
        (false, Residual::Stream),
        (true, Residual::Stream),
        (false, Residual::Normed),
        (true, Residual::Normed),
    ] {
        let block = block(&w, rms, residual);
        let attend = Attend::Softmax(Mask::FULL);
        let mut fast = x.clone();
        block.forward(&mut fast, &tokens.offsets, attend, &mut PreLnScratch::default());
        let mut tapped = x.clone();
        let mut recorder = Recorder::new(BlockSite::ALL.map(|p| Site::Block(3, p)));
        let wanted = Wanted::ask(&recorder, BlockSite::ALL.map(|p| Site::Block(3, p)));
        block.run(3, &mut tapped, &tokens, attend, &wanted, false, &mut recorder).unwrap();
        assert_eq!(fast, tapped, "one arithmetic");
        for span in tokens.offsets.windows(2) {
            let rows = |v: &[f32]| -> Vec<Vec<f64>> {
                let cell = &v[span[0] * D..span[1] * D];
                cell.chunks_exact(D).map(|r| r.iter().map(|&v| f64::from(v)).collect()).collect()
            };
            let expected = naive(&rows(&x), &w, rms, residual);
            for (e, g) in expected.iter().flatten().zip(rows(&fast).iter().flatten()) {
                assert!((e - g).abs() < 5e-6, "{rms} {residual:?}: {e} {g}");
            }
        }
        let site = |p: BlockSite| recorder.get(&Site::Block(3, p)).cloned();
        assert!(matches!(site(BlockSite::K), Some(Recorded::Heads { n_heads: 2, d_head: 3, .. })));
        let (Some(Recorded::Tokens { data: mid, .. }), Some(Recorded::Tokens { data: mlp, .. })) =
            (site(BlockSite::ResidMid), site(BlockSite::MlpOut))
        else {
            panic!("both are offered")
        };
        if residual == Residual::Stream {
            let total: Vec<f32> = mid.iter().zip(&mlp).map(|(a, b)| a + b).collect();
            assert_eq!(total, fast);
        }
    }
}

#[test]
fn nothing_after_the_last_wanted_place_is_computed() {
    let w = weights();
    let block = block(&w, false, Residual::Stream);
    let mut tokens = Tokens::new();
    tokens.push(&[0; 4], &[0.0; 4], 0, 0);
    for (n, place) in BlockSite::ALL[..10].iter().enumerate() {
        let mut recorder = Recorder::new([Site::Block(0, *place)]);
        let wanted = Wanted::ask(&recorder, BlockSite::ALL.map(|p| Site::Block(0, p)));
        let start = wave(4 * D, 0.4);
        let mut x = start.clone();
        block.run(0, &mut x, &tokens, Attend::Softmax(Mask::FULL), &wanted, true, &mut recorder).unwrap();
        assert!(recorder.get(&Site::Block(0, *place)).is_some(), "{place:?}");
        assert_eq!(x == start, n < 8, "{place:?}");
    }
}
