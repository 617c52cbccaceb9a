//! Attention and attention maps against f64, on every instruction set.

mod reference;

use microtome_kernels::{
    AttentionShape, Isa, Mask, Precision, Rows, attention, attention_map, attention_rows,
    attention_statistics, with_isa,
};
use reference::{Random, View, bits, difference, on_every_isa, softmax};

struct Case {
    qkv: Vec<f32>,
    offsets: Vec<usize>,
    shape: AttentionShape,
    bias: Vec<f32>,
    visible: Vec<bool>,
}

impl Case {
    fn new(random: &mut Random, lens: &[usize], n_heads: usize, n_kv_heads: usize, d_head: usize) -> Self {
        let mut offsets = vec![0];
        offsets.extend(lens.iter().scan(0, |sum, n| {
            *sum += n;
            Some(*sum)
        }));
        let n: usize = lens.iter().sum();
        let shape = AttentionShape { n_kv_heads, ..AttentionShape::new(n_heads, d_head) };
        let qkv = random.normals(n * (n_heads + 2 * n_kv_heads) * d_head, 1.0);
        let bias = random.normals(n, 2.0);
        let visible = (0..n).map(|_| random.below(3) > 0).collect();
        Self { qkv, offsets, shape, bias, visible }
    }

    fn width(&self) -> usize {
        (self.shape.n_heads + 2 * self.shape.n_kv_heads) * self.shape.d_head
    }

    fn starts(&self) -> [usize; 3] {
        let d = self.shape.d_head;
        [0, self.shape.n_heads * d, (self.shape.n_heads + self.shape.n_kv_heads) * d]
    }

    fn rows(&self) -> [Rows<'_>; 3] {
        self.starts().map(|s| Rows::columns(&self.qkv, self.width(), s))
    }

    fn views(&self) -> [View<'_>; 3] {
        self.starts().map(|s| View(&self.qkv, self.width(), s))
    }

    fn run(&self, mask: Mask<'_>) -> Vec<f32> {
        let n = self.offsets[self.offsets.len() - 1];
        let mut out = vec![f32::NAN; n * self.shape.n_heads * self.shape.d_head];
        let [q, k, v] = self.rows();
        attention(q, k, v, &self.offsets, &self.shape, mask, &mut out);
        out
    }

    fn masks(&self) -> Vec<Mask<'_>> {
        vec![
            Mask::FULL,
            Mask::CAUSAL,
            Mask::FULL.with_key_bias(&self.bias),
            Mask { visible: Some(&self.visible), ..Mask::FULL },
            Mask { causal: true, visible: Some(&self.visible), ..Mask::FULL.with_key_bias(&self.bias) },
            Mask { bias_earlier_only: true, ..Mask::FULL.with_key_bias(&self.bias) },
            Mask { bias_earlier_only: true, ..Mask::CAUSAL.with_key_bias(&self.bias) },
        ]
    }
}

#[test]
fn matches_f64_over_shapes_masks_and_caps() {
    let cases: &[(&[usize], usize, usize, usize)] = &[
        (&[], 2, 2, 8),
        (&[0, 1, 0], 1, 1, 1),
        (&[1, 2, 3, 31], 3, 3, 8),
        (&[33, 96, 97], 2, 1, 9),
        (&[513, 5], 4, 2, 64),
        (&[1050], 1, 1, 128),
        (&[40], 2, 2, 600),
    ];
    let mut random = Random(1);
    for &(lens, n_heads, n_kv_heads, d_head) in cases {
        let mut case = Case::new(&mut random, lens, n_heads, n_kv_heads, d_head);
        for cap in [None, Some(5.0)] {
            case.shape.soft_cap = cap;
            for mask in case.masks() {
                let [q, k, v] = case.views();
                let want = reference::attention(q, k, v, &case.offsets, &case.shape, &mask);
                on_every_isa(|| {
                    let worst = difference(&case.run(mask), &want);
                    assert!(
                        worst < 5e-6,
                        "{lens:?} heads {n_heads}/{n_kv_heads} x {d_head} cap {cap:?} {mask:?}: {worst:e}"
                    );
                });
            }
        }
    }
}

#[test]
fn maps_match_f64_and_rows_sum_to_one() {
    on_every_isa(|| {
        let mut random = Random(2);
        for (lens, n_heads, n_kv, d) in
            [(vec![7, 130, 20], 2, 2, 16), (vec![1], 1, 1, 8), (vec![3, 0], 4, 2, 9)]
        {
            let mut case = Case::new(&mut random, &lens, n_heads, n_kv, d);
            for cap in [None, Some(3.0)] {
                case.shape.soft_cap = cap;
                for mask in case.masks() {
                    for cell in case.offsets.windows(2) {
                        let (cell, len) = (cell[0]..cell[1], cell[1] - cell[0]);
                        let mut scores = vec![f32::NAN; n_heads * len * len];
                        let mut pattern = scores.clone();
                        let ([q, k, _], [rq, rk, _]) = (case.rows(), case.views());
                        attention_map(q, k, &case.shape, mask, cell.clone(), Some(&mut scores), &mut pattern);
                        let want = reference::scores(rq, rk, &case.shape, &mask, cell);
                        let hidden =
                            want.iter().zip(&scores).all(|(w, s)| w.is_finite() || *s == f32::NEG_INFINITY);
                        assert!(hidden, "a hidden key has a finite score");
                        let finite = |x: f64| if x.is_finite() { x } else { 0.0 };
                        let got: Vec<f32> = scores.iter().map(|&s| finite(f64::from(s)) as f32).collect();
                        let plain: Vec<f64> = want.iter().map(|&s| finite(s)).collect();
                        assert!(difference(&got, &plain) < 1e-5);
                        let want: Vec<f64> = want.chunks(len.max(1)).flat_map(softmax).collect();
                        assert!(difference(&pattern, &want) < 1e-6);
                        for row in pattern.chunks(len.max(1)) {
                            let sum: f64 = row.iter().map(|&p| f64::from(p)).sum();
                            assert!((sum - 1.0).abs() < 1e-6, "a row sums to {sum}");
                        }
                    }
                }
            }
        }
    });
}

#[test]
fn a_cell_does_not_depend_on_its_neighbours_or_on_threads() {
    on_every_isa(|| {
        let mut random = Random(3);
        let case = Case::new(&mut random, &[50, 800, 7], 2, 2, 16);
        for mask in [Mask::FULL, Mask::CAUSAL] {
            let all = case.run(mask);
            let (w, d) = (case.width(), 32);
            for cell in case.offsets.windows(2) {
                let qkv = case.qkv[cell[0] * w..cell[1] * w].to_vec();
                let offsets = vec![0, cell[1] - cell[0]];
                let alone = Case { qkv, offsets, shape: case.shape, bias: vec![], visible: vec![] }.run(mask);
                assert_eq!(bits(&alone), bits(&all[cell[0] * d..cell[1] * d]));
            }
            let isa = Isa::current();
            for threads in [1, 5] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let out = pool.install(|| with_isa(isa, || case.run(mask)));
                assert_eq!(bits(&out), bits(&all), "{threads} threads");
            }
        }
    });
}

#[test]
fn large_scores_do_not_overflow_and_non_finite_input_is_not_hidden() {
    on_every_isa(|| {
        let mut random = Random(4);
        let mut case = Case::new(&mut random, &[700, 20], 1, 1, 8);
        case.qkv.iter_mut().for_each(|x| *x *= 30.0);
        let [q, k, v] = case.views();
        let want = reference::attention(q, k, v, &case.offsets, &case.shape, &Mask::FULL);
        let worst = difference(&case.run(Mask::FULL), &want);
        assert!(worst < 2e-2, "scores in the thousands: {worst:e}");
        // A NaN key spoils every query of its own cell, and no other cell.
        let w = case.width();
        case.qkv[600 * w + 8] = f32::NAN;
        let out = case.run(Mask::FULL);
        assert!(out[..700 * 8].iter().all(|x| x.is_nan()));
        assert!(out[700 * 8..].iter().all(|x| x.is_finite()));
        // Causally, only the queries from there on.
        let out = case.run(Mask::CAUSAL);
        assert!(out[..600 * 8].iter().all(|x| x.is_finite()));
        assert!(out[600 * 8..700 * 8].iter().all(|x| x.is_nan()));
    });
}

#[test]
fn a_query_without_keys_gets_zeros() {
    on_every_isa(|| {
        let mut random = Random(5);
        let case = Case::new(&mut random, &[40], 1, 1, 8);
        let bias = vec![f32::NEG_INFINITY; 40];
        assert!(case.run(Mask::FULL.with_key_bias(&bias)).iter().all(|x| *x == 0.0));
    });
}

#[test]
#[should_panic(expected = "attention: offsets must not decrease")]
fn decreasing_offsets_panic() {
    let x = [0.0; 80];
    let rows = Rows::dense(&x, 8);
    attention(rows, rows, rows, &[0, 5, 3], &AttentionShape::new(1, 8), Mask::FULL, &mut [0.0; 24]);
}

#[test]
#[should_panic(expected = "attention: k has 40 numbers, needs 80")]
fn short_keys_panic() {
    let x = [0.0; 80];
    let (q, k) = (Rows::dense(&x, 8), Rows::dense(&x[..40], 8));
    attention(q, k, q, &[0, 10], &AttentionShape::new(1, 8), Mask::FULL, &mut [0.0; 80]);
}

#[test]
fn statistics_match_the_map() {
    on_every_isa(|| {
        let mut random = Random(6);
        for (lens, n_heads, n_kv, d, n_top) in [(vec![700, 3, 0, 1], 2, 1, 16, 5), (vec![40], 1, 1, 8, 100)] {
            let mut case = Case::new(&mut random, &lens, n_heads, n_kv, d);
            case.shape.soft_cap = Some(20.0);
            for mask in case.masks() {
                let [q, k, _] = case.rows();
                let got = attention_statistics(q, k, &case.offsets, &case.shape, mask, n_top);
                for cell in case.offsets.windows(2) {
                    let len = cell[1] - cell[0];
                    let mut pattern = vec![0.0; n_heads * len * len];
                    attention_map(q, k, &case.shape, mask, cell[0]..cell[1], None, &mut pattern);
                    for (head, pattern) in pattern.chunks((len * len).max(1)).enumerate() {
                        let mut received = vec![0.0f64; len];
                        for (i, row) in pattern.chunks(len).enumerate() {
                            let row: Vec<f64> = row.iter().map(|&p| f64::from(p)).collect();
                            let entropy: f64 = row.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
                            let mut sorted = row.clone();
                            sorted.sort_by(|a, b| b.total_cmp(a));
                            let top: f64 = sorted.iter().take(n_top).sum();
                            let at = (cell[0] + i) * n_heads + head;
                            assert!(
                                (f64::from(got.entropy[at]) - entropy).abs() < 1e-5,
                                "entropy of query {i}"
                            );
                            assert!((f64::from(got.top[at]) - top).abs() < 1e-6, "top share of query {i}");
                            received.iter_mut().zip(&row).for_each(|(r, p)| *r += p);
                        }
                        for (j, want) in received.iter().enumerate() {
                            let r = got.received[(cell[0] + j) * n_heads + head];
                            assert!(
                                (f64::from(r) - want).abs() < 1e-5 * want.max(1.0),
                                "key {j}: {r} for {want}"
                            );
                        }
                    }
                }
            }
        }
    });
}

#[test]
fn chosen_rows_are_the_mean_of_the_heads_of_the_map() {
    on_every_isa(|| {
        let mut random = Random(21);
        for (heads, kv) in [(4, 4), (4, 2), (3, 1)] {
            let case = Case::new(&mut random, &[7, 300], heads, kv, 16);
            let [q, k, _] = case.rows();
            let masks = [
                Mask::FULL,
                Mask::CAUSAL,
                Mask { visible: Some(&case.visible), key_bias: Some(&case.bias), ..Mask::FULL },
            ];
            for mask in masks {
                let cell = 7..307;
                let n = cell.len();
                let mut pattern = vec![0.0; heads * n * n];
                attention_map(q, k, &case.shape, mask, cell.clone(), None, &mut pattern);
                // Out of order, repeated, and more than one block of queries.
                let queries: Vec<usize> = [299, 0, 5, 5].into_iter().chain(100..240).collect();
                let mut got = vec![f32::NAN; queries.len() * n];
                attention_rows(q, k, &case.shape, mask, cell, &queries, &mut got);
                for (row, &query) in got.chunks_exact(n).zip(&queries) {
                    for (key, &value) in row.iter().enumerate() {
                        let of_head = |h: usize| f64::from(pattern[(h * n + query) * n + key]);
                        let want = (0..heads).map(of_head).sum::<f64>() / heads as f64;
                        assert!((f64::from(value) - want).abs() < 1e-6, "{value} {want}");
                    }
                }
            }
        }
    });
}

/// In bf16 only the factors of the two products are rounded: with inputs and probabilities that bf16 holds exactly, nothing changes;
/// with others the result is near f32, and not equal.
#[test]
fn bf16_rounds_the_factors_of_both_products_and_nothing_else() {
    let exact = |x: &mut f32| *x = (*x * 4.0).round() / 4.0;
    let mut random = Random(21);
    for (lens, n_heads, n_kv_heads, d_head) in
        [(&[1usize, 2, 33][..], 2, 2, 16), (&[513, 97], 4, 2, 64), (&[1051], 1, 1, 9)]
    {
        let mut case = Case::new(&mut random, lens, n_heads, n_kv_heads, d_head);
        case.shape.precision = Precision::Bf16;
        on_every_isa(|| {
            for mask in case.masks() {
                let [q, k, v] = case.views();
                let want = reference::attention(q, k, v, &case.offsets, &case.shape, &mask);
                let worst = difference(&case.run(mask), &want);
                assert!(worst < 0.05, "{lens:?} {mask:?}: {worst:e}");
                assert!(worst > 1e-5, "{lens:?} {mask:?}: nothing was rounded ({worst:e})");
            }
        });
        // One key per query: its probability is 1, so the result is the value itself.
        case.qkv.iter_mut().for_each(exact);
        let hidden = vec![false; case.visible.len()];
        on_every_isa(|| {
            let out = case.run(Mask { visible: Some(&hidden), ..Mask::FULL });
            let [.., v] = case.starts();
            for (token, out) in out.chunks(n_heads * d_head).enumerate() {
                for (head, out) in out.chunks(d_head).enumerate() {
                    let at = token * case.width() + v + head / (n_heads / n_kv_heads) * d_head;
                    assert_eq!(out, &case.qkv[at..at + d_head]);
                }
            }
        });
    }
}

#[test]
fn bf16_gives_a_cell_the_same_bits_alone_and_in_company() {
    let mut random = Random(22);
    let mut case = Case::new(&mut random, &[40, 700, 3], 2, 2, 32);
    case.shape.precision = Precision::Bf16;
    on_every_isa(|| {
        let all = case.run(Mask::FULL);
        let (start, end) = (case.offsets[1], case.offsets[2]);
        let mut alone = Case::new(&mut Random(1), &[700], 2, 2, 32);
        alone.shape.precision = Precision::Bf16;
        alone.qkv = case.qkv[start * case.width()..end * case.width()].to_vec();
        assert_eq!(bits(&alone.run(Mask::FULL)), bits(&all[start * 64..end * 64]));
    });
}
