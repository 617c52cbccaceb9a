//! The toy of `golden/anatomy/napistu/make.py`, made from the same formula, and naive references.

use microtome_anatomy::AttentionWeights;
use microtome_core::Matrix;

pub(crate) const N: usize = 300;
pub(crate) const L: usize = 12;
pub(crate) const D: usize = 32;
pub(crate) const H: usize = 4;

fn uniform(stream: u64, count: usize) -> Vec<f64> {
    (0..count as u64)
        .map(|i| {
            let mut z = (i + (stream << 32)).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            (z >> 40) as f64 / f64::from(1u32 << 24) - 0.5
        })
        .collect()
}

fn matrix(rows: usize, cols: usize, values: impl Iterator<Item = f64>) -> Matrix {
    Matrix::new(rows, cols, values.map(|v| v as f32).collect()).unwrap()
}

pub(crate) fn stream(block: usize) -> Matrix {
    let (base, own) = (uniform(0, N * D), uniform(1 + block as u64, N * D));
    let b = block as f64;
    matrix(N, D, base.iter().zip(own).map(|(x, y)| 2.0 * x + 0.25 * (b + 1.0) * y + 0.125 * b))
}

pub(crate) fn streams() -> Vec<Matrix> {
    (0..L).map(stream).collect()
}

pub(crate) fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("blocks.{i}.resid_pre")).collect()
}

pub(crate) fn weights(block: usize) -> AttentionWeights {
    let b = block as u64;
    let q = uniform(100 + b, D * D);
    let k = q.iter().zip(uniform(200 + b, D * D)).map(|(q, own)| 0.5 * q + own);
    AttentionWeights {
        n_heads: H,
        n_kv_heads: H,
        w_k: matrix(D, D, k),
        w_q: matrix(D, D, q.iter().copied()),
        w_v: Some(matrix(D, D, uniform(300 + b, D * D).into_iter())),
        w_o: Some(matrix(D, D, uniform(400 + b, D * D).into_iter())),
        b_q: None,
        b_k: None,
        b_v: None,
        scale: None,
        norm: None,
    }
}
