//! Adapters that begin at the model, learn, go on where they stopped, and can be put into the weights.

use std::ops::Range;

use microtome_core::{Error, ErrorKind, Result};

use super::*;
use crate::net::ops::{Activation, AttentionShape};
use crate::net::{NamedTensor, NormPlacement, Params};
use crate::pretrain::draws::{Draws, Purpose};

const D: usize = 8;

fn random(n: usize, sd: f64, key: u64) -> Vec<f32> {
    let mut draws = Draws::new(5, Purpose::Choice, key, 0);
    (0..n).map(|_| (sd * draws.normal()) as f32).collect()
}

fn block(key: u64, placement: NormPlacement) -> BlockWeights {
    let map = |n_out: usize, n_in: usize, k: u64| Map {
        weight: random(n_out * n_in, 0.3, 100 * key + k),
        bias: Some(random(n_out, 0.1, 100 * key + 50 + k)),
        n_out,
        n_in,
    };
    let norm = |weight, bias| NormWeights { weight, bias: Some(bias) };
    BlockWeights {
        attention: AttentionShape::new(2, 4),
        maps: vec![map(D, D, 0), map(D, D, 1), map(D, D, 2), map(D, D, 3), map(12, D, 4), map(D, 12, 5)],
        norms: [norm(vec![1.0; D], vec![0.0; D]), norm(random(D, 1.0, 7), random(D, 0.1, 8))],
        eps: 1e-5,
        centres: true,
        activation: Activation::Relu,
        placement,
    }
}

/// Cells whose class is which of two tokens stands next to a third, which a mean over inputs does not tell.
struct Toy;

const N: usize = 96;

fn class(cell: usize) -> u32 {
    (cell % 2) as u32
}

impl Examples for Toy {
    fn n_tokens(&self, cell: usize) -> usize {
        3 + cell % 4
    }

    fn batch(&self, cells: &[usize]) -> Result<Batch> {
        let mut out = Batch::default();
        for &c in cells {
            let n = self.n_tokens(c);
            let mut rows = random(n * D, 1.0, 1000 + c as u64);
            // The sign of a product of two columns, within one token.
            let sign = if class(c) == 0 { 1.5 } else { -1.5 };
            for row in rows.chunks_exact_mut(D) {
                let flip = if row[7] > 0.0 { 1.0 } else { -1.0 };
                (row[0], row[1]) = (1.5 * flip, sign * flip);
            }
            out.stream.extend(rows);
            out.lengths.push(n);
            out.pooled.push((0..n as u32).collect());
        }
        Ok(out)
    }
}

fn targets() -> Targets {
    Targets::Classes { codes: (0..N).map(class).collect(), n: 2 }
}

struct Silent;

impl Watcher for Silent {
    fn step(&mut self) -> Result<()> {
        Ok(())
    }

    fn epoch(&mut self, _: &FitState) -> Result<()> {
        Ok(())
    }
}

/// Keeps every state and stops after some steps.
struct Stopping {
    left: usize,
    kept: Option<FitState>,
}

impl Watcher for Stopping {
    fn step(&mut self) -> Result<()> {
        if self.left == 0 {
            return Err(Error::new(ErrorKind::Interrupted, "stopped"));
        }
        self.left -= 1;
        Ok(())
    }

    fn epoch(&mut self, state: &FitState) -> Result<()> {
        self.kept = Some(state.clone());
        Ok(())
    }
}

fn options(method: Method) -> FitOptions {
    FitOptions {
        method,
        epochs: 12,
        patience: 12,
        batch: 8,
        part_tokens: 20,
        learning_rate: 2e-2,
        ..FitOptions::default()
    }
}

fn cells(range: Range<usize>) -> Vec<usize> {
    range.collect()
}

const LORA: Method = Method::Lora { rank: 2, alpha: 4.0 };

fn with<T>(blocks: Vec<BlockWeights>, method: Method, f: impl FnOnce(&mut Fit<'_>) -> T) -> T {
    let targets = targets();
    let (train, validation) = (cells(0..64), cells(64..80));
    let network = Network::new(blocks, D, 2, method).unwrap();
    f(&mut Fit {
        network,
        examples: &Toy,
        targets: &targets,
        train: &train,
        validation: &validation,
        fold: 0,
    })
}

fn two() -> Vec<BlockWeights> {
    vec![block(1, NormPlacement::Post), block(2, NormPlacement::Post)]
}

fn values(t: &candle_core::Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// Everything that a block may have: a gate, shared keys, capped scores, RMS norms, maps and norms without a bias.
fn rich(key: u64, placement: NormPlacement) -> BlockWeights {
    let plain = block(key, placement);
    let [q, mut k, mut v, out, mut up, down] = <[Map; 6]>::try_from(plain.maps).unwrap();
    for shared in [&mut k, &mut v] {
        shared.weight.truncate(4 * D);
        shared.bias.as_mut().unwrap().truncate(4);
        shared.n_out = 4;
    }
    up.bias = None;
    let gate = Map { weight: random(12 * D, 0.3, 900 + key), ..up.clone() };
    let [first, second] = plain.norms;
    BlockWeights {
        attention: AttentionShape { n_kv_heads: 1, soft_cap: Some(2.0), causal: true, ..plain.attention },
        maps: vec![q, k, v, out, up, down, gate],
        norms: [NormWeights { bias: None, ..second }, NormWeights { bias: None, ..first }],
        centres: false,
        activation: Activation::Silu,
        ..plain
    }
}

#[test]
fn training_begins_at_the_model_itself() {
    let batch = Toy.batch(&[0, 5, 9]).unwrap();
    let all = [NormPlacement::Post, NormPlacement::Pre, NormPlacement::PreNormed];
    for (placement, make) in all.into_iter().flat_map(|p| [(p, block as fn(_, _) -> _), (p, rich)]) {
        let blocks: Vec<BlockWeights> = vec![make(1, placement), make(2, placement)];
        let plain = Network::new(blocks.clone(), D, 2, Method::Mlp { hidden: 3 }).unwrap();
        let none = Params::new(plain.first_values(0, 0)).unwrap();
        let expected = values(&plain.stream(&none, &batch).unwrap());
        for method in [LORA, Method::Full] {
            let network = Network::new(blocks.clone(), D, 2, method).unwrap();
            let params = Params::new(network.first_values(0, 0)).unwrap();
            assert_eq!(values(&network.stream(&params, &batch).unwrap()), expected, "{method:?}");
        }
    }
}

#[test]
fn adapters_learn_what_a_head_on_frozen_blocks_cannot_and_merge_into_the_weights() {
    let rich = || vec![rich(1, NormPlacement::PreNormed), rich(2, NormPlacement::Pre)];
    let cases = [LORA, Method::Full].into_iter().flat_map(|m| [(m, two()), (m, rich())]);
    for (method, blocks) in cases {
        with(blocks.clone(), method, |f| {
            let state = fit(f, None, &options(method), &mut Silent).unwrap();
            let test = cells(80..96);
            let logits = predict(f, &state.best_weights, &test, 20).unwrap();
            let right = test
                .iter()
                .zip(logits.chunks_exact(2))
                .filter(|(c, l)| u32::from(l[1] > l[0]) == class(**c))
                .count();
            assert!(right >= 14, "{method:?}: {right} of 16");
            let params = Params::new(state.best_weights.clone()).unwrap();
            let merged = f.network.merged(&params).unwrap();
            assert_ne!(merged, blocks);
            let plain = Network::new(merged, D, 2, Method::Mlp { hidden: 3 }).unwrap();
            let none = Params::new(plain.first_values(0, 0)).unwrap();
            let batch = Toy.batch(&test).unwrap();
            let (a, b) = (f.network.stream(&params, &batch).unwrap(), plain.stream(&none, &batch).unwrap());
            let off = values(&a).iter().zip(values(&b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < 1e-5, "{off}");
        });
    }
}

#[test]
fn a_fit_that_goes_on_gives_the_numbers_of_one_that_was_not_stopped() {
    let method = LORA;
    let whole = with(two(), method, |f| fit(f, None, &options(method), &mut Silent).unwrap());
    let mut stopping = Stopping { left: 21, kept: None };
    let stopped = with(two(), method, |f| fit(f, None, &options(method), &mut stopping));
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Interrupted);
    let kept = stopping.kept.unwrap();
    assert_eq!(kept.epochs.len(), 2, "eight steps an epoch");
    let resumed = with(two(), method, |f| fit(f, Some(kept.clone()), &options(method), &mut Silent).unwrap());
    assert_eq!(resumed, whole);
    // Without the moments it would be another run.
    let damaged = FitState { mean: vec![], square: vec![], ..kept };
    let other = with(two(), method, |f| fit(f, Some(damaged), &options(method), &mut Silent).unwrap());
    assert_ne!(other.weights, whole.weights);
}

#[test]
fn threads_and_parts_change_nothing_that_matters() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| with(two(), LORA, |f| fit(f, None, &options(LORA), &mut Silent).unwrap()))
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn numbers_are_learnt_in_their_own_units() {
    let truth: Vec<f64> = (0..N).map(|c| 100.0 + 7.0 * f64::from(class(c))).collect();
    let targets = Targets::Numbers(truth.clone());
    let (train, validation) = (cells(0..64), cells(64..80));
    let network = Network::new(two(), D, 1, LORA).unwrap();
    let mut f =
        Fit { network, examples: &Toy, targets: &targets, train: &train, validation: &validation, fold: 0 };
    let state = fit(&mut f, None, &options(LORA), &mut Silent).unwrap();
    let out = predict(&f, &state.best_weights, &cells(80..96), 50).unwrap();
    let error = out.iter().zip(&truth[80..]).map(|(p, t)| (f64::from(*p) - t).abs()).sum::<f64>() / 16.0;
    assert!(error < 2.5, "mean error {error} where the spread is 3.5");
}

#[test]
fn what_cannot_be_trained_is_said_and_leaves_what_was_kept() {
    let one = Targets::Classes { codes: vec![0; N], n: 2 };
    let (train, validation) = (cells(0..64), cells(64..80));
    let make = |targets, train| Fit {
        network: Network::new(two(), D, 2, LORA).unwrap(),
        examples: &Toy,
        targets,
        train,
        validation: &validation,
        fold: 0,
    };
    let said = |e: Result<FitState>| e.unwrap_err().to_string();
    assert!(said(fit(&mut make(&one, &train), None, &options(LORA), &mut Silent)).contains("one class"));
    assert!(said(fit(&mut make(&one, &[]), None, &options(LORA), &mut Silent)).contains("no cells"));
    let wrong = FitOptions { learning_rate: f64::NAN, ..options(LORA) };
    assert!(said(fit(&mut make(&one, &train), None, &wrong, &mut Silent)).contains("learning_rate"));
    // Weights that blow up: the state of the epoch before is what the watcher has.
    let targets = targets();
    let mut watcher = Stopping { left: usize::MAX, kept: None };
    let mut f = make(&targets, &train);
    let first = fit(&mut f, None, &FitOptions { epochs: 1, ..options(LORA) }, &mut watcher).unwrap();
    let broken = FitState {
        weights: first
            .weights
            .iter()
            .map(|t| NamedTensor { values: vec![f32::NAN; t.values.len()], ..t.clone() })
            .collect(),
        ..first.clone()
    };
    assert!(said(fit(&mut f, Some(broken), &options(LORA), &mut watcher)).contains("not a number"));
    assert_eq!(watcher.kept, Some(first));
}

#[test]
fn a_probe_is_a_head_without_blocks() {
    let method = Method::Mlp { hidden: 16 };
    with(vec![], method, |f| {
        let state = fit(f, None, &options(method), &mut Silent).unwrap();
        assert!(state.weights.iter().all(|t| t.name.starts_with("head.")));
        assert!(state.best.unwrap().1.is_finite());
    });
}

#[test]
fn a_hidden_token_changes_nothing_but_itself() {
    let network = Network::new(two(), D, 2, Method::Mlp { hidden: 3 }).unwrap();
    let none = Params::new(network.first_values(0, 0)).unwrap();
    let whole = Toy.batch(&[5]).unwrap();
    let n = whole.lengths[0];
    let mut bias = vec![0.0; n];
    bias[n - 1] = f32::NEG_INFINITY;
    let hidden = Batch { key_bias: bias, ..whole.clone() };
    let without = Batch {
        stream: whole.stream[..(n - 1) * D].to_vec(),
        lengths: vec![n - 1],
        pooled: vec![(0..n as u32 - 1).collect()],
        key_bias: vec![],
    };
    let of = |batch: &Batch| values(&network.stream(&none, batch).unwrap())[..(n - 1) * D].to_vec();
    let off = of(&hidden).iter().zip(of(&without)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-6, "{off}");
    assert_ne!(of(&whole), of(&without));
    let wrong = Batch { key_bias: vec![0.0], ..whole };
    assert!(network.stream(&none, &wrong).is_err());
}

#[test]
fn a_block_without_all_its_maps_is_refused() {
    let mut block = block(1, NormPlacement::Pre);
    block.maps.pop();
    assert!(Network::new(vec![block], D, 2, LORA).unwrap_err().to_string().contains("number of maps"));
}
