//! Linear attention against plain f64, on every instruction set.

mod reference;

use microtome_kernels::{
    FeatureMap, KeyMaximum, RandomFeatures, Rows, Side, linear_attention, linear_attention_rows,
};
use reference::{Random, bits, difference, on_every_isa};

const EPS: f64 = 1e-4;

struct Case {
    heads: usize,
    d: usize,
    m: usize,
    offsets: Vec<usize>,
    /// `q | k | v`, `[token, 3 * heads * d]`.
    qkv: Vec<f32>,
    projection: Vec<f32>,
}

impl Case {
    fn new(seed: u64, heads: usize, d: usize, m: usize, lens: &[usize]) -> Self {
        let mut random = Random(seed);
        let mut offsets = vec![0];
        offsets.extend(lens.iter().scan(0, |sum, n| {
            *sum += n;
            Some(*sum)
        }));
        let n = offsets[lens.len()];
        let qkv = random.normals(n * 3 * heads * d, 0.9);
        let projection = random.normals(m * d, 1.0);
        Self { heads, d, m, offsets, qkv, projection }
    }

    fn part(&self, part: usize) -> Rows<'_> {
        let width = self.heads * self.d;
        Rows::columns(&self.qkv, 3 * width, part * width)
    }

    fn features(&self, map: FeatureMap) -> RandomFeatures {
        RandomFeatures::new(&self.projection, self.m, self.d, map)
    }

    fn at(&self, part: usize, token: usize, head: usize, c: usize) -> f64 {
        let width = self.heads * self.d;
        f64::from(self.qkv[token * 3 * width + part * width + head * self.d + c])
    }

    fn projected(&self, part: usize, token: usize, head: usize) -> (Vec<f64>, f64) {
        let scale = (self.d as f64).powf(-0.25);
        let x: Vec<f64> = (0..self.d).map(|c| scale * self.at(part, token, head, c)).collect();
        let row =
            |j: usize| x.iter().zip(&self.projection[j * self.d..]).map(|(x, p)| x * f64::from(*p)).sum();
        ((0..self.m).map(row).collect(), x.iter().map(|x| x * x).sum::<f64>() / 2.0)
    }

    fn phi(&self, part: usize, token: usize, head: usize, map: FeatureMap, maximum: Option<f64>) -> Vec<f64> {
        let (p, half) = self.projected(part, token, head);
        let top = maximum.unwrap_or_else(|| p.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        let ratio = 1.0 / (self.m as f64).sqrt();
        let of = |x: &f64| match map {
            FeatureMap::Softmax { .. } => ratio * ((x - half - top).exp() + EPS),
            FeatureMap::Relu { .. } => x.max(0.0) + EPS,
        };
        p.iter().map(of).collect()
    }

    fn maximum(&self, tokens: std::ops::Range<usize>) -> f64 {
        let heads = |t: usize| (0..self.heads).flat_map(move |h| self.projected(1, t, h).0);
        tokens.flat_map(heads).fold(f64::NEG_INFINITY, f64::max)
    }

    /// Pattern `[head, query, key]` of one cell, and its output rows.
    fn naive(&self, cell: usize, map: FeatureMap, over: KeyMaximum) -> (Vec<f64>, Vec<f64>) {
        let tokens = self.offsets[cell]..self.offsets[cell + 1];
        let n = tokens.len();
        let maximum = match over {
            KeyMaximum::Cell => self.maximum(tokens.clone()),
            KeyMaximum::Minibatch => self.maximum(0..self.offsets[self.offsets.len() - 1]),
        };
        let mut pattern = vec![];
        let mut out = vec![0.0; n * self.heads * self.d];
        for h in 0..self.heads {
            let keys: Vec<Vec<f64>> = tokens.clone().map(|t| self.phi(1, t, h, map, Some(maximum))).collect();
            for (i, t) in tokens.clone().enumerate() {
                let q = self.phi(0, t, h, map, None);
                let dots: Vec<f64> =
                    keys.iter().map(|k| k.iter().zip(&q).map(|(a, b)| a * b).sum()).collect();
                let sum: f64 = dots.iter().sum();
                for c in 0..self.d {
                    let weighted =
                        dots.iter().zip(tokens.clone()).map(|(w, s)| w / sum * self.at(2, s, h, c));
                    out[i * self.heads * self.d + h * self.d + c] = weighted.sum();
                }
                pattern.extend(dots.iter().map(|w| w / sum));
            }
        }
        (pattern, out)
    }

    fn run(&self, map: FeatureMap, over: KeyMaximum) -> Vec<f32> {
        let features = self.features(map);
        let maxima = features.key_maxima(self.part(1), &self.offsets, self.heads, over);
        let mut out = vec![f32::NAN; self.offsets[self.offsets.len() - 1] * self.heads * self.d];
        let [q, k, v] = [0, 1, 2].map(|p| self.part(p));
        linear_attention(q, k, v, &self.offsets, self.heads, &features, &maxima, &mut out);
        out
    }
}

const MAPS: [FeatureMap; 2] = [FeatureMap::Softmax { eps: EPS as f32 }, FeatureMap::Relu { eps: EPS as f32 }];

#[test]
fn output_and_pattern_match_f64() {
    let cases = [
        Case::new(1, 2, 5, 8, &[3, 0, 1, 7]),
        Case::new(2, 3, 64, 266, &[40, 130]),
        Case::new(3, 1, 7, 33, &[97, 530]),
        // More than one span, and one chunk more.
        Case::new(4, 1, 4, 5, &[2600]),
    ];
    on_every_isa(|| {
        for case in &cases {
            for map in MAPS {
                for over in [KeyMaximum::Cell, KeyMaximum::Minibatch] {
                    let got = case.run(map, over);
                    let features = case.features(map);
                    let maxima = features.key_maxima(case.part(1), &case.offsets, case.heads, over);
                    for (cell, &maximum) in maxima.iter().enumerate() {
                        let span = case.offsets[cell]..case.offsets[cell + 1];
                        if span.len() > 1000 && over == KeyMaximum::Minibatch {
                            continue;
                        }
                        let (pattern, out) = case.naive(cell, map, over);
                        let width = case.heads * case.d;
                        let worst = difference(&got[span.start * width..span.end * width], &out);
                        assert!(worst < 5e-6, "{map:?} {over:?} {}: {worst:e}", span.len());
                        if span.len() > 1000 {
                            continue;
                        }
                        let mut map_ = vec![f32::NAN; pattern.len()];
                        let queries: Vec<usize> = (0..span.len()).collect();
                        let (q, k) = (case.part(0), case.part(1));
                        linear_attention_rows(
                            q, k, span, &queries, case.heads, &features, maximum, &mut map_,
                        );
                        let worst = difference(&map_, &pattern);
                        assert!(worst < 5e-6, "pattern {map:?} {over:?}: {worst:e}");
                    }
                }
            }
        }
    });
}

#[test]
fn features_match_f64() {
    let case = Case::new(5, 2, 6, 10, &[5, 120]);
    on_every_isa(|| {
        let features = case.features(MAPS[0]);
        let maxima = features.key_maxima(case.part(1), &case.offsets, 2, KeyMaximum::Cell);
        for (cell, &maximum) in maxima.iter().enumerate() {
            let span = case.offsets[cell]..case.offsets[cell + 1];
            assert!((f64::from(maximum) - case.maximum(span.clone())).abs() < 1e-5);
            for (part, side) in [(0, Side::Query), (1, Side::Key { maximum })] {
                let top = (part == 1).then(|| f64::from(maximum));
                let want: Vec<f64> = span
                    .clone()
                    .flat_map(|t| (0..2).flat_map(move |h| [(t, h)]))
                    .flat_map(|(t, h)| case.phi(part, t, h, MAPS[0], top))
                    .collect();
                let got = features.of(case.part(part), span.clone(), 2, side);
                assert!(difference(&got, &want) < 1e-6);
            }
        }
    });
}

#[test]
fn a_cell_does_not_depend_on_neighbours_or_threads_unless_told_to() {
    let case = Case::new(6, 2, 8, 16, &[300, 40, 2100]);
    on_every_isa(|| {
        let all = case.run(MAPS[0], KeyMaximum::Cell);
        let width = case.heads * case.d;
        for cell in 0..3 {
            let span = case.offsets[cell]..case.offsets[cell + 1];
            let alone = Case {
                offsets: vec![0, span.len()],
                qkv: case.qkv[span.start * 3 * width..span.end * 3 * width].to_vec(),
                projection: case.projection.clone(),
                ..case
            };
            assert_eq!(
                bits(&alone.run(MAPS[0], KeyMaximum::Cell)),
                bits(&all[span.start * width..span.end * width])
            );
        }
        assert_ne!(bits(&all), bits(&case.run(MAPS[0], KeyMaximum::Minibatch)));
        let isa = microtome_kernels::Isa::current();
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let run = || microtome_kernels::with_isa(isa, || case.run(MAPS[0], KeyMaximum::Cell));
            assert_eq!(bits(&pool.install(run)), bits(&all), "{threads} threads");
        }
    });
}

#[test]
fn non_finite_numbers_stay_in_their_cell() {
    let mut case = Case::new(7, 1, 4, 6, &[5, 5]);
    case.qkv[7 * 12 + 5] = f32::NAN;
    on_every_isa(|| {
        let out = case.run(MAPS[0], KeyMaximum::Cell);
        assert!(out[..20].iter().all(|v| v.is_finite()));
        assert!(out[20..].iter().all(|v| v.is_nan()), "a NaN among the keys was lost");
    });
}

#[test]
#[should_panic(expected = "RandomFeatures: projection has 5 numbers, expected 2 x 3")]
fn wrong_projection_size_panics() {
    RandomFeatures::new(&[0.0; 5], 2, 3, MAPS[0]);
}
