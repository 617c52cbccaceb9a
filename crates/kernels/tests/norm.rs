//! Norms, embedding sums and gates against f64, on every instruction set.

mod reference;

use microtome_kernels::{Activation, LayerNorm, Lookup, RmsNorm, add_assign, gather_sum};
use reference::{Random, activation, difference, layer_norm, on_every_isa, rms_norm};

const WIDTHS: [usize; 9] = [1, 2, 7, 16, 31, 64, 200, 513, 768];

fn sum(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

#[test]
fn norms_match_f64_alone_and_with_residual() {
    on_every_isa(|| {
        let mut random = Random(1);
        for width in WIDTHS {
            for (rows, offset, eps) in [(0, 0.0, 1e-5), (1, 0.0, 1e-12), (67, 0.0, 1e-5), (5, 300.0, 1e-12)] {
                let x: Vec<f32> = random.normals(rows * width, 1.0).iter().map(|v| v + offset).collect();
                let y = random.normals(rows * width, 1.0);
                let weight = random.normals(width, 1.0);
                let bias = random.normals(width, 1.0);
                let layer = LayerNorm::new(weight.clone(), bias.clone(), eps);
                let rms = RmsNorm::new(weight.clone(), eps);
                let f64s = |x: &[f32]| x.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
                let wide = f64s(&x);
                let (wide_sum, eps) = (f64s(&sum(&x, &y)), f64::from(eps));
                // One column has no spread: every difference from the mean is rounding, and none may be amplified.
                let (mut a, mut b, mut c) = (x.clone(), x.clone(), x.clone());
                layer.apply(&x, rows, &mut a);
                layer.apply_residual(&x, &y, rows, &mut b);
                let mut stream = x.clone();
                layer.add_then_apply(&mut stream, &y, rows, &mut c);
                assert_eq!(stream, sum(&x, &y));
                assert_eq!(b, c);
                let want = |x: &[f64]| {
                    x.chunks(width).flat_map(|r| layer_norm(r, &weight, &bias, eps)).collect::<Vec<_>>()
                };
                let tolerance = if offset == 0.0 { 3e-6 } else { 2e-5 };
                assert!(difference(&a, &want(&wide)) < tolerance, "width {width} offset {offset}");
                assert!(
                    difference(&b, &want(&wide_sum)) < tolerance,
                    "width {width} offset {offset}, residual"
                );
                rms.apply(&x, rows, &mut a);
                rms.apply_residual(&x, &y, rows, &mut b);
                rms.add_then_apply(&mut x.clone(), &y, rows, &mut c);
                assert_eq!(b, c);
                let want =
                    |x: &[f64]| x.chunks(width).flat_map(|r| rms_norm(r, &weight, eps)).collect::<Vec<_>>();
                assert!(difference(&a, &want(&wide)) < 3e-6);
                assert!(difference(&b, &want(&wide_sum)) < 3e-6);
            }
        }
    });
}

#[test]
fn a_nan_spoils_its_row_only() {
    on_every_isa(|| {
        let mut x = vec![0.5; 3 * 40];
        x[50] = f32::NAN;
        let mut out = vec![0.0; 120];
        LayerNorm::new(vec![1.0; 40], vec![0.0; 40], 1e-5).apply(&x, 3, &mut out);
        assert!(out[40..80].iter().all(|v| v.is_nan()));
        assert!(out[..40].iter().chain(&out[80..]).all(|v| *v == 0.0));
        RmsNorm::new(vec![1.0; 40], 1e-5).apply(&x, 3, &mut out);
        assert!(out[40..80].iter().all(|v| v.is_nan()));
    });
}

#[test]
fn activations_match_f64_from_tail_to_tail() {
    on_every_isa(|| {
        let x: Vec<f32> = (-40_000..=40_000)
            .map(|i| i as f32 / 2000.0)
            .chain([0.0, -0.0, 1e-30, -1e-30, 88.0, -88.0])
            .collect();
        for f in
            [Activation::None, Activation::Relu, Activation::GeluErf, Activation::GeluTanh, Activation::Silu]
        {
            let mut y = x.clone();
            f.apply(&mut y);
            for (x, y) in x.iter().zip(&y) {
                let want = activation(f, f64::from(*x));
                let error = (f64::from(*y) - want).abs();
                assert!(error <= 2.5e-7 * want.abs().max(1.0), "{f:?}({x}) = {y}, expected {want}");
            }
            let mut odd = [f32::NAN, f32::INFINITY];
            f.apply(&mut odd);
            assert!(odd[0].is_nan() && odd[1] == f32::INFINITY);
        }
        // Exact and tanh GELU differ by more than any tolerance used for them.
        let (mut exact, mut approximate) = ([1.0f32; 20], [1.0f32; 20]);
        Activation::GeluErf.apply(&mut exact);
        Activation::GeluTanh.apply(&mut approximate);
        assert!((exact[0] - approximate[0]).abs() > 1e-4);
    });
}

#[test]
fn gates_and_sums() {
    on_every_isa(|| {
        let mut random = Random(3);
        for n in [0, 1, 17, 40_000] {
            let (gate, up) = (random.normals(n, 2.0), random.normals(n, 1.0));
            let mut out = vec![f32::NAN; n];
            Activation::Silu.gate(&gate, &up, &mut out);
            let product = |(g, u): (&f32, &f32)| activation(Activation::Silu, f64::from(*g)) * f64::from(*u);
            let want: Vec<f64> = gate.iter().zip(&up).map(product).collect();
            assert!(difference(&out, &want) < 3e-6);
            let mut total = gate.clone();
            add_assign(&mut total, &up);
            assert_eq!(total, sum(&gate, &up));
        }
    });
}

#[test]
fn embedding_rows_are_added() {
    let mut random = Random(4);
    let (a, b) = (random.normals(10 * 5, 1.0), random.normals(300 * 5, 1.0));
    let ids_a: Vec<u32> = (0..200).map(|_| random.below(10) as u32).collect();
    let ids_b: Vec<u32> = (0..200).collect();
    let mut out = vec![f32::NAN; 200 * 5];
    gather_sum(&[Lookup { table: &a, ids: &ids_a }, Lookup { table: &b, ids: &ids_b }], 5, &mut out);
    for t in 0..200 {
        for c in 0..5 {
            assert_eq!(out[t * 5 + c], a[ids_a[t] as usize * 5 + c] + b[ids_b[t] as usize * 5 + c]);
        }
    }
    gather_sum(&[], 5, &mut []);
}

#[test]
#[should_panic(expected = "gather_sum: id 10 is beyond a table of 10 rows")]
fn an_id_beyond_the_table_panics() {
    gather_sum(&[Lookup { table: &[0.0; 50], ids: &[10] }], 5, &mut [0.0; 5]);
}

#[test]
#[should_panic(expected = "norm: out has 9 numbers, expected 2 x 5")]
fn a_wrong_output_panics() {
    LayerNorm::new(vec![1.0; 5], vec![0.0; 5], 1e-5).apply(&[0.0; 10], 2, &mut [0.0; 9]);
}
