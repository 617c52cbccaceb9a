//! Which products are formed, and that each of them is needed.

use super::*;
use crate::gemm::{Epilogue, copy_rows};

const ROWS_HERE: usize = 40;
const K: usize = 320;
const N: usize = 50;

/// Numbers with full mantissas in -1..1.
fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn amx() -> Option<Amx> {
    Isa::available().into_iter().find_map(|isa| match isa.0 {
        Level::Amx(amx) => Some(amx),
        _ => None,
    })
}

/// The product with only some parts of each side, zeros for the others.
fn product(amx: Amx, x: &[f32], w: &[f32], keep: [&[usize]; 2]) -> Vec<f64> {
    let isa = Isa(Level::Amx(amx));
    let mut b = Packed::default();
    b.pack_transposed(isa, w, K, N, K, Format::Split);
    let mut a = vec![0.0; left_block_len(ROWS_HERE, Format::Split)];
    copy_rows(isa, x, K, ROWS_HERE, &b, 1.0, &mut a);
    let keep_parts = |words: &mut [f32], keep: &[usize]| {
        for (i, part) in words.chunks_exact_mut(PART).enumerate() {
            if !keep.contains(&(i % 3)) {
                part.fill(0.0);
            }
        }
    };
    keep_parts(&mut a[..tiles_len(ROWS_HERE, Format::Split)], keep[0]);
    for panel in 0..b.n_panels() {
        keep_parts(b.panel_mut(0, panel), keep[1]);
    }
    let mut out = vec![f32::NAN; ROWS_HERE * N];
    gemm(amx, &Product::whole(ROWS_HERE, &b, Epilogue::STORE), &a, &mut Out::new(&mut out, N));
    out.into_iter().map(f64::from).collect()
}

#[test]
fn six_products_are_formed_and_none_can_be_spared() {
    let Some(amx) = amx() else {
        #[allow(clippy::print_stdout, reason = "says that nothing was tested")]
        {
            println!("skipped: this machine has no AMX, or does not permit it");
        }
        return;
    };
    let (x, w) = (noise(ROWS_HERE * K, 1), noise(N * K, 2));
    let exact: Vec<f64> = (0..ROWS_HERE * N)
        .map(|i| (0..K).map(|s| f64::from(x[i / N * K + s]) * f64::from(w[i % N * K + s])).sum())
        .collect();
    let rms = |y: &[f64]| {
        let squares: f64 = y.iter().zip(&exact).map(|(y, e)| (y - e) * (y - e)).sum();
        (squares / exact.len() as f64).sqrt()
    };
    let mut plain = vec![0.0; ROWS_HERE * N];
    let mut b = Packed::default();
    let vectors = Isa(Level::Avx512(amx.vectors));
    b.pack_transposed(vectors, &w, K, N, K, Format::Single);
    let mut a = vec![0.0; crate::gemm::strided_len(ROWS_HERE)];
    copy_rows(vectors, &x, K, ROWS_HERE, &b, 1.0, &mut a);
    crate::gemm::gemm(
        vectors,
        &Product::whole(ROWS_HERE, &b, Epilogue::STORE),
        &a,
        &mut Out::new(&mut plain, N),
    );
    let plain = rms(&plain.into_iter().map(f64::from).collect::<Vec<f64>>());
    let all = product(amx, &x, &w, [&[0, 1, 2], &[0, 1, 2]]);
    assert!(rms(&all) <= plain, "split {:e}, f32 {plain:e}", rms(&all));
    for i in 0..3 {
        for j in 0..3 {
            let one = product(amx, &x, &w, [&[i], &[j]]);
            if i + j > 2 {
                assert!(one.iter().all(|y| *y == 0.0), "part {i} x part {j} is formed");
                continue;
            }
            let without: Vec<f64> = all.iter().zip(&one).map(|(all, one)| all - one).collect();
            assert!(rms(&without) > 1.5 * plain, "without part {i} x part {j}: {:e}", rms(&without));
        }
    }
}
