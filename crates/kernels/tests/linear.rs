//! Linear maps against f64, on every instruction set.

mod reference;

use microtome_kernels::{Activation, Linear, Precision};
use reference::{Random, activation, bits, difference, linear, on_every_isa};

#[test]
fn matches_f64_over_shapes() {
    let shapes = [
        (0, 3, 5),
        (1, 1, 1),
        (1, 512, 512),
        (3, 7, 31),
        (12, 33, 32),
        (13, 64, 33),
        (95, 101, 97),
        (96, 512, 64),
        (97, 513, 129),
        (193, 768, 100),
        (5, 1100, 1030),
        (200, 0, 40),
        (50, 40, 0),
        (7, 1664, 65),
    ];
    on_every_isa(|| {
        let mut random = Random(7);
        for (rows, n_in, n_out) in shapes {
            let x = random.normals(rows * n_in, 1.0);
            let w = random.normals(n_out * n_in, 1.0 / (n_in.max(1) as f32).sqrt());
            let bias = random.normals(n_out, 1.0);
            for bias in [None, Some(&bias[..])] {
                let packed = Linear::pack(&w, n_out, n_in, bias);
                let plain = linear(&x, &w, bias, rows, n_in, n_out);
                for f in [
                    Activation::None,
                    Activation::Relu,
                    Activation::GeluErf,
                    Activation::GeluTanh,
                    Activation::Silu,
                ] {
                    let mut out = vec![f32::NAN; rows * n_out];
                    packed.apply(&x, rows, f, &mut out);
                    let want: Vec<f64> = plain.iter().map(|&v| activation(f, v)).collect();
                    let worst = difference(&out, &want);
                    assert!(worst < 6e-6, "{rows} x {n_in} -> {n_out} {f:?}: {worst:e}");
                }
            }
        }
    });
}

#[test]
fn rows_do_not_depend_on_their_neighbours_or_on_threads() {
    on_every_isa(|| {
        let mut random = Random(8);
        let (rows, n_in, n_out) = (211, 600, 150);
        let x = random.normals(rows * n_in, 1.0);
        let w = random.normals(n_out * n_in, 0.05);
        let packed = Linear::pack(&w, n_out, n_in, None);
        let mut all = vec![0.0; rows * n_out];
        packed.apply(&x, rows, Activation::GeluErf, &mut all);
        for row in [0, 1, 50, 210] {
            let mut one = vec![0.0; n_out];
            packed.apply(&x[row * n_in..][..n_in], 1, Activation::GeluErf, &mut one);
            assert_eq!(bits(&one), bits(&all[row * n_out..][..n_out]), "row {row}");
        }
        let isa = microtome_kernels::Isa::current();
        for threads in [1, 3, 16] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut out = vec![0.0; rows * n_out];
            pool.install(|| {
                microtome_kernels::with_isa(isa, || packed.apply(&x, rows, Activation::GeluErf, &mut out))
            });
            assert_eq!(bits(&out), bits(&all), "{threads} threads");
        }
    });
}

#[test]
fn non_finite_numbers_stay_in_their_row_and_are_not_lost() {
    on_every_isa(|| {
        let mut random = Random(9);
        let (rows, n_in, n_out) = (30, 40, 50);
        let mut x = random.normals(rows * n_in, 1.0);
        x[3 * n_in + 5] = f32::NAN;
        x[8 * n_in] = f32::INFINITY;
        let w = random.normals(n_out * n_in, 1.0);
        for f in
            [Activation::None, Activation::Relu, Activation::GeluErf, Activation::GeluTanh, Activation::Silu]
        {
            let mut out = vec![0.0; rows * n_out];
            Linear::pack(&w, n_out, n_in, None).apply(&x, rows, f, &mut out);
            for (row, out) in out.chunks(n_out).enumerate() {
                match row {
                    3 => assert!(out.iter().all(|v| v.is_nan()), "{f:?}: a NaN was lost"),
                    8 => assert!(out.contains(&f32::INFINITY), "{f:?}: an infinity was lost"),
                    _ => assert!(out.iter().all(|v| v.is_finite()), "{f:?}: row {row} was touched"),
                }
            }
        }
    });
}

#[test]
#[should_panic(expected = "Linear: x has 5 numbers, expected 2 x 3")]
fn wrong_input_size_panics() {
    Linear::pack(&[0.0; 12], 4, 3, None).apply(&[0.0; 5], 2, Activation::None, &mut [0.0; 8]);
}

#[test]
#[should_panic(expected = "Linear: weight has 11 numbers, expected 4 x 3")]
fn wrong_weight_size_panics() {
    Linear::pack(&[0.0; 11], 4, 3, None);
}

/// The nearest number with 8 bits of precision.
fn bf16(x: f32) -> f32 {
    let step = 2.0f64.powi(x.abs().log2().floor() as i32 - 7);
    ((f64::from(x) / step).round_ties_even() * step) as f32
}

#[test]
fn bf16_rounds_its_factors_and_nothing_else() {
    on_every_isa(|| {
        let mut random = Random(10);
        for (rows, n_in, n_out) in [(1, 1, 1), (13, 7, 33), (97, 513, 40), (20, 1111, 65), (3, 0, 4)] {
            let x = random.normals(rows * n_in, 1.0);
            let w = random.normals(n_out * n_in, 1.0 / (n_in.max(1) as f32).sqrt());
            let bias = random.normals(n_out, 1.0);
            let mut out = vec![f32::NAN; rows * n_out];
            let packed = Linear::pack_as(&w, n_out, n_in, Some(&bias), Precision::Bf16);
            packed.apply(&x, rows, Activation::None, &mut out);
            let round = |x: &[f32]| x.iter().map(|&x| bf16(x)).collect::<Vec<f32>>();
            let want = linear(&round(&x), &round(&w), Some(&bias), rows, n_in, n_out);
            let worst = difference(&out, &want);
            assert!(worst < 6e-6, "{rows} x {n_in} -> {n_out}: {worst:e}");
            if n_in > 1 {
                assert!(
                    difference(&out, &linear(&x, &w, Some(&bias), rows, n_in, n_out)) > 1e-4,
                    "nothing was rounded"
                );
            }
        }
        let packed = Linear::pack_as(&[1.0, 1.0], 1, 2, None, Precision::Bf16);
        for odd in [f32::NAN, f32::from_bits(0x7f80_0001), f32::INFINITY] {
            let mut out = [0.0];
            packed.apply(&[odd, 1.0], 1, Activation::None, &mut out);
            assert!(if odd.is_nan() { out[0].is_nan() } else { out[0] == odd });
        }
    });
}

#[test]
fn weight_and_bias_come_back_as_they_were_packed() {
    on_every_isa(|| {
        let mut random = Random(11);
        for (n_in, n_out) in [(1, 1), (33, 70), (600, 150), (40, 0), (0, 40)] {
            let w = random.normals(n_out * n_in, 1.0);
            let bias = random.normals(n_out, 1.0);
            let map = Linear::pack(&w, n_out, n_in, Some(&bias));
            assert_eq!(map.weight(), w);
            assert_eq!(map.bias(), Some(&bias[..]));
            assert_eq!(Linear::pack(&w, n_out, n_in, None).bias(), None);
        }
    });
}
