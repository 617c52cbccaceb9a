//! Products of exact sums of three bf16 are as accurate as the plain f32 kernels: both are compared with f64.
//!
//! Errors are in units of `2^-24 sum |x w|` of the output they belong to. `cargo test --test split -- --nocapture` prints the table.

#![allow(clippy::print_stdout, reason = "the table is the result")]

mod reference;

use microtome_kernels::{Activation, Isa, Linear, Precision, with_isa};
use reference::{Random, bits};

/// How much larger than the f32 kernel's the greatest and the root mean square error may be.
const FACTOR: f64 = 1.25;

#[derive(Clone, Copy, Debug)]
enum Numbers {
    /// Mean 0, variance 1.
    Normal,
    /// All of one sign: nothing cancels.
    Positive,
    /// Twelve orders of magnitude within a row.
    Wide,
    /// A mean of 1000 times the spread on one side.
    Shifted,
    /// Sums that are a millionth of their terms.
    Cancelling,
    /// Full mantissas at both ends of what is split.
    Extreme,
}

impl Numbers {
    const ALL: [Self; 6] =
        [Self::Normal, Self::Positive, Self::Wide, Self::Shifted, Self::Cancelling, Self::Extreme];

    fn draw(self, random: &mut Random, n: usize, k: usize, weight: bool) -> Vec<f32> {
        let mut x = random.normals(n * k, 1.0);
        match self {
            Self::Normal => {}
            Self::Positive => x.iter_mut().for_each(|x| *x = x.abs()),
            Self::Wide => x.iter_mut().for_each(|x| *x *= 10.0f32.powi(random.below(13) as i32 - 6)),
            Self::Shifted if weight => {}
            Self::Shifted => x.iter_mut().for_each(|x| *x += 1000.0),
            Self::Cancelling => {
                for row in x.chunks_exact_mut(k.max(1)) {
                    for i in 0..k / 2 {
                        let sign = if weight { 1.0 } else { -1.0 };
                        row[k / 2 + i] = sign * row[i] * (1.0 + 1e-6 * random.normal());
                    }
                }
            }
            Self::Extreme => {
                x.iter_mut().for_each(|x| *x *= if weight { 1.0e-12 } else { 1.0e13 });
            }
        }
        x
    }
}

/// Greatest and root mean square error of an output.
fn errors(out: &[f32], x: &[f32], w: &[f32], k: usize, n_out: usize) -> (f64, f64) {
    let (mut worst, mut squares) = (0.0f64, 0.0);
    for (x, out) in x.chunks_exact(k).zip(out.chunks_exact(n_out)) {
        for (w, &got) in w.chunks_exact(k).zip(out) {
            let terms = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w));
            let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), t| (sum + t, size + t.abs()));
            let error = (f64::from(got) - sum).abs() / size * 2.0f64.powi(24);
            worst = worst.max(error);
            squares += error * error;
        }
    }
    (worst, (squares / out.len() as f64).sqrt())
}

fn amx_and_plain() -> Option<(Isa, Isa)> {
    let all = Isa::available();
    let found = all.iter().copied().find(|i| i.name() == "amx");
    if found.is_none() {
        println!("skipped: this machine has no AMX, or does not permit it");
    }
    Some((found?, all.into_iter().find(|i| i.name() == "avx512")?))
}

/// Split where the instruction set on this thread can, f32 elsewhere.
fn pack(w: &[f32], n_out: usize, k: usize, bias: Option<&[f32]>) -> Linear {
    Linear::pack_as(w, n_out, k, bias, Precision::Bf16x3)
}

#[test]
fn as_accurate_as_the_f32_kernel() {
    let Some((amx, plain)) = amx_and_plain() else { return };
    println!(
        "{:>6} {:<11} {:>10} {:>10} {:>10} {:>10}",
        "k", "numbers", "amx max", "f32 max", "amx rms", "f32 rms"
    );
    let mut failed = Vec::new();
    for k in [1, 2, 3, 8, 16, 31, 33, 64, 128, 513, 2048, 5000] {
        for numbers in Numbers::ALL {
            let mut random = Random(k as u64);
            let (rows, n_out) = (if k < 100 { 400 } else { 48 }, 96);
            let x = numbers.draw(&mut random, rows, k, false);
            let w = numbers.draw(&mut random, n_out, k, true);
            let run = |isa| {
                with_isa(isa, || {
                    let mut out = vec![f32::NAN; rows * n_out];
                    pack(&w, n_out, k, None).apply(&x, rows, Activation::None, &mut out);
                    errors(&out, &x, &w, k, n_out)
                })
            };
            let ((max, rms), (plain_max, plain_rms)) = (run(amx), run(plain));
            println!("{k:>6} {numbers:<11?} {max:>10.3} {plain_max:>10.3} {rms:>10.4} {plain_rms:>10.4}");
            if max > FACTOR * plain_max || rms > FACTOR * plain_rms {
                failed.push((k, numbers));
            }
        }
    }
    assert!(failed.is_empty(), "less accurate than f32: {failed:?}");
}

#[test]
fn rows_that_cannot_be_split_are_computed_in_f32() {
    let Some((amx, plain)) = amx_and_plain() else { return };
    let mut random = Random(21);
    let (rows, k, n_out) = (70, 600, 40);
    let mut x = random.normals(rows * k, 1.0);
    let w = random.normals(n_out * k, 1.0);
    let odd = [
        (3, f32::INFINITY),
        (4, f32::NEG_INFINITY),
        (33, f32::NAN),
        (40, f32::MAX),
        (41, -f32::MAX),
        (69, 3.0e14),
        (12, f32::from_bits(0x7f80_0001)),
    ];
    let run = |isa: Isa, x: &[f32], w: &[f32]| {
        with_isa(isa, || {
            let mut out = vec![0.0; x.len() / k * n_out];
            pack(w, n_out, k, None).apply(x, x.len() / k, Activation::None, &mut out);
            out
        })
    };
    let clean = run(amx, &x, &w);
    for (row, value) in odd {
        x[row * k + row] = value;
    }
    let (got, want) = (run(amx, &x, &w), run(plain, &x, &w));
    for (row, (got, want)) in got.chunks(n_out).zip(want.chunks(n_out)).enumerate() {
        if !odd.iter().any(|(r, _)| *r == row) {
            assert_eq!(bits(got), bits(&clean[row * n_out..][..n_out]), "row {row} noticed its neighbours");
        }
        for (g, w) in got.iter().zip(want) {
            let same = if w.is_finite() {
                (g - w).abs() <= 1e-5 * w.abs().max(100.0)
            } else {
                g.to_bits() == w.to_bits() || (g.is_nan() && w.is_nan())
            };
            assert!(same, "row {row}: {g} for {w}");
        }
    }
    // Infinity times exact powers of two, whose lower parts are zero.
    let mut ones = vec![1.0f32; n_out * k];
    ones[0] = -2.0;
    let mut row = vec![1.0f32; k];
    row[0] = f32::INFINITY;
    let out = run(amx, &row, &ones);
    assert!(out[0] == f32::NEG_INFINITY && out[1..].iter().all(|x| *x == f32::INFINITY), "{out:?}");
    // A weight that cannot be split turns the whole map to f32.
    let mut w = w;
    w[7] = f32::INFINITY;
    let (got, want) = (run(amx, &clean[..k], &w), run(plain, &clean[..k], &w));
    assert_eq!(bits(&got), bits(&want));
}

#[test]
fn what_is_flushed_to_zero_is_bounded() {
    let Some((amx, _)) = amx_and_plain() else { return };
    // Below 2^-126 a part vanishes: at most 2^-126 |w| (1 + 2^-8) per term and part.
    let mut random = Random(22);
    for exponent in [-149, -140, -127, -126, -120, -110, -100] {
        let (k, n_out) = (64, 32);
        let x: Vec<f32> =
            random.normals(k, 1.0).iter().map(|x| (f64::from(*x) * 2.0f64.powi(exponent)) as f32).collect();
        let w = random.normals(n_out * k, 1.0);
        let mut out = vec![0.0; n_out];
        with_isa(amx, || pack(&w, n_out, k, None).apply(&x, 1, Activation::None, &mut out));
        for (w, got) in w.chunks_exact(k).zip(&out) {
            let sum: f64 = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
            let size: f64 = w.iter().map(|w| f64::from(w.abs()).max(1.0)).sum();
            let terms: f64 = x.iter().zip(w).map(|(x, w)| (f64::from(*x) * f64::from(*w)).abs()).sum();
            let bound = 12.0 * size * 2.0f64.powi(-126) + terms * 2.0f64.powi(-22);
            assert!((f64::from(*got) - sum).abs() <= bound, "2^{exponent}: {got:e} for {sum:e}");
        }
    }
}

#[test]
fn packed_with_amx_a_map_runs_on_every_other_set() {
    let Some((amx, _)) = amx_and_plain() else { return };
    let mut random = Random(23);
    let (rows, k, n_out) = (37, 515, 70);
    let (x, w) = (random.normals(rows * k, 1.0), random.normals(n_out * k, 0.05));
    let bias = random.normals(n_out, 1.0);
    let map = with_isa(amx, || pack(&w, n_out, k, Some(&bias)));
    let want = reference::linear(&x, &w, Some(&bias), rows, k, n_out);
    for isa in Isa::available() {
        let mut out = vec![f32::NAN; rows * n_out];
        with_isa(isa, || map.apply(&x, rows, Activation::None, &mut out));
        let worst = reference::difference(&out, &want);
        assert!(worst < 6e-6, "{}: {worst:e}", isa.name());
    }
}
