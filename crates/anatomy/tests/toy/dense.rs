//! Equality with naive dense references in `f64`, with ties, and independence of threads.

use super::common::{D, H, N, names, stream, streams, weights};
use microtome_anatomy::geometry::{RsaOptions, SampledRsaOptions, rsa, rsa_sampled};
use microtome_anatomy::routing::{
    Edge, RankRule, ScoreOptions, Scores, Ties, TopOptions, edge_ranks, edge_scores, heads, top_edges,
    value_norms,
};
use microtome_anatomy::{Blocks, Norm, NormKind};
use microtome_core::{Matrix, Silent};
use microtome_numerics::ranks::spearman;
use microtome_numerics::resample::Rng;

/// Cosines of all pairs `i < j` in `f64`.
fn cosines(x: &Matrix) -> Vec<f64> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>();
    let mut out = Vec::new();
    for i in 0..x.rows() {
        for j in i + 1..x.rows() {
            let scale = (dot(x.row(i), x.row(i)) * dot(x.row(j), x.row(j))).sqrt();
            out.push(if scale > 0.0 { dot(x.row(i), x.row(j)) / scale } else { 0.0 });
        }
    }
    out
}

#[test]
fn similarity_equals_the_dense_reference() {
    let xs = streams();
    let blocks = Blocks::new(names(xs.len()), xs.iter().collect()).unwrap();
    let ours = rsa(&blocks, &RsaOptions::default(), &Silent).unwrap();
    let dense: Vec<Vec<f64>> = xs.iter().map(cosines).collect();
    // Products in `f32` move cosines by up to 2^-23, and neighbours in rank change places. What that does to the reference itself is the
    // measure: nothing in single precision agrees better. Ours is off by 1.05e-7 at most, the measure is 1.33e-7. Exact cosines agree exactly (`ties_share_average_ranks`).
    let mut rng = Rng::new(7);
    let moved: Vec<Vec<f64>> = dense
        .iter()
        .map(|c| c.iter().map(|v| v + (2.0 * rng.uniform() - 1.0) * 2f64.powi(-23)).collect())
        .collect();
    let mut slack = 0f64;
    for a in 0..xs.len() {
        for b in 0..a {
            let of = |c: &[Vec<f64>]| spearman(&c[a], &c[b]).unwrap().unwrap();
            slack = slack.max((of(&dense) - of(&moved)).abs());
        }
    }
    assert!(slack < 2e-7, "{slack:e}");
    for a in 0..xs.len() {
        assert_eq!(ours.at(a, a).value, Some(1.0));
        for b in 0..xs.len() {
            let want = spearman(&dense[a], &dense[b]).unwrap().unwrap();
            let got = ours.at(a, b);
            assert!((got.value.unwrap() - want).abs() < slack, "{a} {b}: {got:?} {want}");
            assert_eq!(got.n, (N * (N - 1) / 2) as u64);
        }
    }
    // A budget for fewer tables than blocks gives the same bits.
    let small = rsa(&blocks, &RsaOptions { memory: 1, ..RsaOptions::default() }, &Silent).unwrap();
    for (x, y) in small.values.iter().zip(&ours.values) {
        assert!((x.value.unwrap() - y.value.unwrap()).abs() < 1e-14);
    }
}

/// Rows of +-1 of width 64: cosines are multiples of 1/32, exact in any order of summation, with ties everywhere.
fn signs(n: usize, seed: u64) -> Matrix {
    let mut rng = Rng::new(seed);
    let data = (0..n * 64).map(|_| if rng.below(2) == 0 { -1.0 } else { 1.0 }).collect();
    Matrix::new(n, 64, data).unwrap()
}

#[test]
fn ties_share_average_ranks() {
    // More rows than one tile in both directions, and not a multiple of it.
    let a = signs(701, 1);
    let mut b = signs(701, 2);
    // Half of the rows shared, so that the two are related.
    for i in 0..350 {
        b.row_mut(i).copy_from_slice(a.row(i));
    }
    let blocks = Blocks::new(names(2), vec![&a, &b]).unwrap();
    let ours = rsa(&blocks, &RsaOptions::default(), &Silent).unwrap().at(0, 1).value.unwrap();
    let want = spearman(&cosines(&a), &cosines(&b)).unwrap().unwrap();
    assert!((ours - want).abs() < 1e-12, "{ours} {want}");
    assert!(want > 0.1 && want < 0.9);
}

#[test]
fn degenerate_blocks_have_reasons() {
    let flat = Matrix::new(5, 2, vec![1.0; 10]).unwrap();
    let mixed = Matrix::new(5, 2, vec![1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, -1.0, 2.0]).unwrap();
    let blocks = Blocks::new(names(2), vec![&flat, &mixed]).unwrap();
    let out = rsa(&blocks, &RsaOptions::default(), &Silent).unwrap();
    assert!(out.at(0, 1).value.is_none() && out.at(0, 1).reason.is_some());
    assert_eq!(out.at(1, 1).value, Some(1.0));
    let one = Matrix::zeros(1, 3);
    let blocks = Blocks::new(names(1), vec![&one]).unwrap();
    assert!(rsa(&blocks, &RsaOptions::default(), &Silent).unwrap().at(0, 0).value.is_none());
    let bad = Matrix::new(1, 1, vec![f32::NAN]).unwrap();
    assert!(Blocks::new(names(1), vec![&bad]).is_err());
    assert!(Blocks::new(names(2), vec![&flat, &one]).is_err() && Blocks::new(vec![], vec![]).is_err());
}

#[test]
fn sampled_similarity_covers_the_exact_one() {
    let xs = [stream(0), stream(6)];
    let blocks = Blocks::new(names(2), xs.iter().collect()).unwrap();
    let exact = rsa(&blocks, &RsaOptions::default(), &Silent).unwrap().at(0, 1).value.unwrap();
    let covered = (0..200)
        .filter(|&seed| {
            let options = SampledRsaOptions { pairs: 1000, seed, ..SampledRsaOptions::default() };
            let got = rsa_sampled(&blocks, &options, &Silent).unwrap().at(0, 1).clone();
            (got.low.unwrap()..=got.high.unwrap()).contains(&exact)
        })
        .count();
    assert!((180..=199).contains(&covered), "{covered} of 200 intervals at 95 % hold the value");
}

/// Attention in `f64`, head by head: mean of raw scores or of softmaxes.
fn dense(block: usize, softmax: bool, with_norm: bool) -> Vec<Vec<f64>> {
    let (mut x, w) = (stream(block), attention(block));
    if with_norm {
        x = w.norm.as_ref().unwrap().apply(&x).unwrap();
    }
    let project = |m: &Matrix, b: &Option<Vec<f32>>, i: usize, o: usize| {
        let bias = b.as_ref().filter(|_| with_norm).map_or(0.0, |b| f64::from(b[o]));
        bias + x.row(i).iter().zip(m.row(o)).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
    };
    let d = D / H;
    let mut out = vec![vec![0.0; N]; N];
    for h in 0..H {
        let q: Vec<Vec<f64>> =
            (0..N).map(|i| (0..d).map(|c| project(&w.w_q, &w.b_q, i, h * d + c)).collect()).collect();
        let k: Vec<Vec<f64>> =
            (0..N).map(|i| (0..d).map(|c| project(&w.w_k, &w.b_k, i, h * d + c)).collect()).collect();
        for (i, out) in out.iter_mut().enumerate() {
            let mut row: Vec<f64> = k
                .iter()
                .map(|k| q[i].iter().zip(k).map(|(a, b)| a * b).sum::<f64>() / (d as f64).sqrt())
                .collect();
            if softmax {
                let total: f64 = row.iter().map(|v| v.exp()).sum();
                row.iter_mut().for_each(|v| *v = v.exp() / total);
            }
            out.iter_mut().zip(row).for_each(|(o, v)| *o += v / H as f64);
        }
    }
    out
}

/// Weights with biases and a norm.
fn attention(block: usize) -> microtome_anatomy::AttentionWeights {
    let ramp = |n: usize, s: f32| Some((0..n).map(|i| s * (i as f32 - 7.0) / 16.0).collect());
    microtome_anatomy::AttentionWeights {
        b_q: ramp(D, 0.5),
        b_k: ramp(D, -0.3),
        b_v: ramp(D, 0.2),
        norm: Some(Norm { kind: NormKind::Layer, weight: ramp(D, 0.4), bias: ramp(D, 0.1), eps: 1e-5 }),
        ..weights(block)
    }
}

fn all_edges() -> Vec<Edge> {
    (0..N as u32).flat_map(|i| (0..N as u32).map(move |j| Edge::new(i, j))).collect()
}

#[test]
fn scores_equal_dense_attention() {
    for (softmax, full) in [(false, false), (false, true), (true, false), (true, true)] {
        let options = if full {
            ScoreOptions { scoring: ScoreOptions::napistu(softmax).scoring, ..ScoreOptions::mean_stream() }
        } else {
            ScoreOptions::napistu(softmax)
        };
        let scores = Scores::new(&stream(3), &attention(3), &options).unwrap();
        let got = edge_scores(&scores, &all_edges(), &Silent).unwrap();
        let want = dense(3, softmax, full);
        for (row, got) in want.iter().zip(got.chunks_exact(N)) {
            for (w, g) in row.iter().zip(got) {
                assert!(
                    (w - f64::from(*g)).abs() < 3e-6 * w.abs().max(if softmax { 1e-3 } else { 1.0 }),
                    "{w} {g}"
                );
            }
            let total: f64 = got.iter().map(|&v| f64::from(v)).sum();
            assert!(!softmax || (total - 1.0).abs() < 1e-6, "{total}");
        }
    }
}

#[test]
fn top_and_ranks_equal_full_sorts_with_ties() {
    // Small whole numbers: exact scores, ties everywhere.
    let (q, k) = (signs(611, 3), signs(611, 4));
    let scores = Scores::of_rows(q.clone(), k.clone()).unwrap();
    let n = 611;
    let edges: Vec<Edge> = (0..n as u32).flat_map(|i| (0..n as u32).map(move |j| Edge::new(i, j))).collect();
    let value = |e: &Edge| -> f32 {
        q.row(e.from as usize).iter().zip(k.row(e.to as usize)).map(|(a, b)| a * b).sum()
    };
    for absolute in [false, true] {
        let by = |e: &Edge| if absolute { value(e).abs() } else { value(e) };
        let mut sorted: Vec<Edge> = edges.iter().copied().filter(|e| !e.is_self()).collect();
        sorted.sort_by(|a, b| by(b).total_cmp(&by(a)).then(a.cmp(b)));
        for size in [1, 50, 3000] {
            let options = TopOptions { k: size, absolute, self_pairs: false, ties: Ties::First };
            let first = top_edges(&scores, &options, &Silent).unwrap();
            assert_eq!(first.iter().map(|e| e.edge).collect::<Vec<_>>(), sorted[..size]);
            let all = top_edges(&scores, &TopOptions { ties: Ties::All, ..options }, &Silent).unwrap();
            let reach = sorted.iter().filter(|e| by(e) >= by(&sorted[size - 1])).count();
            assert_eq!(all.iter().map(|e| e.edge).collect::<Vec<_>>(), sorted[..reach]);
            assert!(all.iter().all(|e| e.score == value(&e.edge)));
        }
        for count_self in [false, true] {
            let asked: Vec<Edge> = edges.iter().copied().step_by(97).collect();
            let values = edge_scores(&scores, &asked, &Silent).unwrap();
            let ranks = edge_ranks(&scores, &values, &RankRule { absolute, count_self }, &Silent).unwrap();
            let mut others: Vec<f32> = edges.iter().filter(|e| count_self || !e.is_self()).map(by).collect();
            others.sort_unstable_by(f32::total_cmp);
            for (edge, rank) in asked.iter().zip(ranks) {
                let greater = others.len() - others.partition_point(|&v| v <= by(edge));
                assert_eq!(rank as usize, greater + 1);
            }
        }
    }
    assert!(edge_scores(&scores, &[Edge::new(1, 0), Edge::new(0, 0)], &Silent).is_err());
    assert!(edge_scores(&scores, &[Edge::new(0, 611)], &Silent).is_err());
}

#[test]
fn results_do_not_depend_on_threads() {
    let xs = streams();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let blocks = Blocks::new(names(xs.len()), xs.iter().collect()).unwrap();
            let similarity = rsa(&blocks, &RsaOptions::default(), &Silent).unwrap();
            let scores = Scores::new(&xs[2], &attention(2), &ScoreOptions::mean_stream()).unwrap();
            let options = TopOptions { k: 500, absolute: false, self_pairs: false, ties: Ties::First };
            (similarity, top_edges(&scores, &options, &Silent).unwrap(), heads(&scores, 10, &Silent).unwrap())
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn heads_equal_dense_softmax() {
    let w = weights(5);
    let scores = Scores::new(&stream(5), &w, &ScoreOptions::napistu(true)).unwrap();
    let got = heads(&scores, 10, &Silent).unwrap();
    assert_eq!(got.len(), H);
    // One head at a time through the mean over one head.
    let d = D / H;
    for (h, head) in got.iter().enumerate() {
        let rows: Vec<usize> = (h * d..(h + 1) * d).collect();
        let single = microtome_anatomy::AttentionWeights {
            n_heads: 1,
            n_kv_heads: 1,
            w_q: w.w_q.select_rows(&rows),
            w_k: w.w_k.select_rows(&rows),
            w_v: None,
            w_o: None,
            ..w.clone()
        };
        let one = Scores::new(&stream(5), &single, &ScoreOptions::napistu(true)).unwrap();
        let p = edge_scores(&one, &all_edges(), &Silent).unwrap();
        let mut entropies: Vec<f64> =
            p.chunks_exact(N).map(|r| r.iter().map(|&v| -f64::from(v) * f64::from(v).ln()).sum()).collect();
        entropies.sort_unstable_by(f64::total_cmp);
        let median = (entropies[N / 2 - 1] + entropies[N / 2]) / 2.0;
        assert!((head.entropy.value.unwrap() - median).abs() < 1e-5);
        let column = |j: usize| p.iter().skip(j).step_by(N).map(|&v| f64::from(v)).sum::<f64>() / N as f64;
        let sink = (0..N).max_by(|&a, &b| column(a).total_cmp(&column(b))).unwrap();
        assert_eq!(head.sink as usize, sink);
        assert!((head.sink_mass - column(sink)).abs() < 1e-6);
    }
    let raw = Scores::new(&stream(5), &w, &ScoreOptions::napistu(false)).unwrap();
    assert!(heads(&raw, 10, &Silent).is_err());
}

#[test]
fn value_norms_equal_dense_contributions() {
    let (x, w) = (stream(4), attention(4));
    let edges: Vec<Edge> = all_edges().into_iter().step_by(1001).collect();
    let got = value_norms(&x, &w, &edges, &Silent).unwrap();
    let normed = w.norm.as_ref().unwrap().apply(&x).unwrap();
    let (w_v, w_o, b_v) = (w.w_v.as_ref().unwrap(), w.w_o.as_ref().unwrap(), w.b_v.as_ref().unwrap());
    let d = D / H;
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>();
    for (edge, got) in edges.iter().zip(got) {
        let (i, j) = (edge.from as usize, edge.to as usize);
        let mut added = vec![0.0; D];
        for h in 0..H {
            let project = |m: &Matrix, b: &Option<Vec<f32>>, row: usize| -> Vec<f64> {
                (h * d..(h + 1) * d)
                    .map(|o| dot(normed.row(row), m.row(o)) + f64::from(b.as_ref().unwrap()[o]))
                    .collect()
            };
            let q = project(&w.w_q, &w.b_q, i);
            let logit = |key: usize| {
                let k = project(&w.w_k, &w.b_k, key);
                q.iter().zip(k).map(|(a, b)| a * b).sum::<f64>() / (d as f64).sqrt()
            };
            let total: f64 = (0..N).map(|key| logit(key).exp()).sum();
            let a = logit(j).exp() / total;
            for (row, added) in added.iter_mut().enumerate() {
                for c in 0..d {
                    let o = h * d + c;
                    let v = dot(normed.row(j), w_v.row(o)) + f64::from(b_v[o]);
                    *added += a * v * f64::from(w_o.row(row)[o]);
                }
            }
        }
        let want = added.iter().map(|v| v * v).sum::<f64>().sqrt();
        assert!((f64::from(got) - want).abs() < 1e-5 * want, "{got} {want}");
    }
    assert!(
        value_norms(&x, &microtome_anatomy::AttentionWeights { w_o: None, ..w }, &edges, &Silent).is_err()
    );
}
