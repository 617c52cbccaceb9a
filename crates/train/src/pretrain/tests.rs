//! Learning, resuming, stopping.

use std::sync::atomic::{AtomicU64, Ordering};

use microtome_core::{Progress, Result, Silent};

use super::validation::Baselines;
use super::*;
use crate::net::{Activation, BertShape, NamedTensor, Params};

const SHAPE: BertShape = BertShape {
    n_blocks: 1,
    d_model: 16,
    n_heads: 2,
    d_mlp: 16,
    max_positions: 12,
    vocab_size: 22,
    type_vocab_size: 2,
    eps: 1e-12,
    activation: Activation::Relu,
};

fn params() -> Params {
    let mut state = 7u64;
    let tensors = SHAPE.tensors().into_iter().map(|(name, shape)| {
        let n: usize = shape.iter().product();
        let values = (0..n)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let u = (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
                let norm = name.contains("LayerNorm.weight");
                if norm {
                    1.0
                } else if shape.len() == 1 {
                    0.0
                } else {
                    u * 0.2
                }
            })
            .collect();
        NamedTensor { name, shape, values }
    });
    Params::new(tensors.collect()).unwrap()
}

/// Two kinds of cells that share no gene: what is hidden can be told from what is seen.
struct TwoKinds;

impl Cells for TwoKinds {
    fn n_cells(&self) -> usize {
        200
    }

    fn read(&self, positions: &[usize]) -> Result<Vec<Vec<u32>>> {
        Ok(positions
            .iter()
            .map(|&c| (0..6 + c as u32 % 4).map(|g| 2 + (c as u32 % 2) * 10 + g).collect())
            .collect())
    }
}

/// Cells without genes.
struct Nothing;

impl Cells for Nothing {
    fn n_cells(&self) -> usize {
        10
    }

    fn read(&self, positions: &[usize]) -> Result<Vec<Vec<u32>>> {
        Ok(vec![vec![]; positions.len()])
    }
}

#[derive(Default)]
struct Notes {
    losses: Vec<f64>,
    validations: Vec<f64>,
    baselines: Option<Baselines>,
    kept: Option<Kept>,
}

impl Watcher for Notes {
    fn baselines(&mut self, baselines: &Baselines) -> Result<()> {
        self.baselines = Some(*baselines);
        Ok(())
    }
    fn step(&mut self, record: &Record) -> Result<()> {
        self.losses.push(record.loss);
        Ok(())
    }
    fn validated(&mut self, validated: &Validated) -> Result<()> {
        self.validations.push(validated.loss);
        Ok(())
    }
    fn keep(&mut self, kept: &Kept) -> Result<()> {
        self.kept = Some(kept.clone());
        Ok(())
    }
}

/// Asks to stop after some steps.
struct StopAfter(AtomicU64, u64);

impl Progress for StopAfter {
    fn begin(&self, _: &str, _: u64, _: &str) {}
    fn advance(&self, n: u64) {
        self.0.fetch_add(n, Ordering::SeqCst);
    }
    fn end(&self) {}
    fn note(&self, _: &str) {}
    fn stopped(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= self.1
    }
}

fn recipe() -> Recipe {
    Recipe {
        steps: 60,
        batch_tokens: 120,
        part_tokens: 40,
        learning_rate: 1e-2,
        validate_every: 20,
        keep_every: 1000,
        chunk_cells: 10,
        window_chunks: 3,
        ..Recipe::default()
    }
}

fn go(
    params: &Params,
    recipe: &Recipe,
    from: Option<Kept>,
    notes: &mut Notes,
    progress: &dyn Progress,
) -> Result<Outcome> {
    let vocabulary = Vocabulary::new(22, 1, (2..22).collect()).unwrap();
    let (train, held): (Vec<usize>, Vec<usize>) = (0..200).partition(|c| c % 5 != 0);
    pretrain(params, &SHAPE, &vocabulary, &TwoKinds, (&train, &held), recipe, from, notes, progress)
}

#[test]
fn it_learns_what_gene_frequencies_do_not_know() {
    let mut notes = Notes::default();
    let outcome = go(&params(), &recipe(), None, &mut notes, &Silent).unwrap();
    let b = notes.baselines.unwrap();
    assert_eq!(notes.validations.len(), 4);
    assert!(notes.validations[0] > b.gene_frequency - 0.3, "untrained: {:?}", notes.validations);
    assert!(notes.validations[3] < b.gene_frequency - 0.7, "{:?} {b:?}", notes.validations);
    assert!(b.gene_frequency_unseen < b.gene_frequency);
    assert_eq!((outcome.kept.step, outcome.stopped_early, notes.losses.len()), (60, false, 60));
}

#[test]
fn a_resumed_run_gives_the_same_losses_to_the_last_bit() {
    let mut whole = Notes::default();
    let expected = go(&params(), &recipe(), None, &mut whole, &Silent).unwrap();
    let (mut notes, mut from) = (Notes::default(), None);
    for stop in [7, 33] {
        let stopper = StopAfter(AtomicU64::new(0), stop);
        let e = go(&params(), &recipe(), from, &mut notes, &stopper).unwrap_err();
        assert_eq!(e.exit_code(), 130);
        let kept = notes.kept.clone().unwrap();
        // Through JSON, as it is stored.
        let text = serde_json::to_string(&kept).unwrap();
        from = Some(Kept { tensors: kept.tensors, ..serde_json::from_str(&text).unwrap() });
    }
    let outcome = go(&params(), &recipe(), from, &mut notes, &Silent).unwrap();
    assert_eq!(notes.losses, whole.losses);
    assert_eq!(notes.validations, whole.validations);
    assert_eq!(outcome.kept, expected.kept);
    assert_eq!(outcome.weights, expected.weights);
}

#[test]
fn threads_and_a_seed_change_nothing_and_something() {
    let short = Recipe { steps: 5, ..recipe() };
    let run = |threads: usize, recipe: &Recipe| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut notes = Notes::default();
            go(&params(), recipe, None, &mut notes, &Silent).unwrap();
            notes.losses
        })
    };
    assert_eq!(run(1, &short), run(3, &short));
    assert_ne!(run(1, &short), run(1, &Recipe { seed: 1, ..short.clone() }));
}

#[test]
fn parts_of_a_step_add_up_to_the_step() {
    let losses = |part_tokens| {
        let mut notes = Notes::default();
        go(&params(), &Recipe { steps: 4, part_tokens, ..recipe() }, None, &mut notes, &Silent).unwrap();
        notes.losses
    };
    for (a, b) in losses(8).into_iter().zip(losses(10_000)) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}

#[test]
fn what_cannot_be_learned_from_stops_with_a_reason() {
    let vocabulary = Vocabulary::new(22, 1, (2..22).collect()).unwrap();
    let all: Vec<usize> = (0..10).collect();
    let run = |train: &[usize], cells: &dyn Cells| {
        let mut notes = Notes::default();
        pretrain(&params(), &SHAPE, &vocabulary, cells, (train, &[]), &recipe(), None, &mut notes, &Silent)
            .unwrap_err()
            .to_string()
    };
    assert!(run(&all, &Nothing).contains("no cell has two genes"));
    assert!(run(&[], &TwoKinds).contains("no cells to train on"));
}

#[test]
fn a_loss_that_is_no_number_leaves_the_last_good_state() {
    let steep = Recipe { learning_rate: 1e30, clip: 1e30, keep_every: 1, warm_up: 0.0, ..recipe() };
    let mut notes = Notes::default();
    let e = go(&params(), &steep, None, &mut notes, &Silent).unwrap_err();
    assert!(e.to_string().contains("no number") && e.to_string().contains("--lr"), "{e}");
    let kept = notes.kept.unwrap();
    assert!(kept.records.iter().all(|r| r.loss.is_finite()));
}

#[test]
fn it_stops_when_nothing_gets_better() {
    let flat = Recipe { learning_rate: 1e-12, validate_every: 2, patience: 3, ..recipe() };
    let mut notes = Notes::default();
    let outcome = go(&params(), &flat, None, &mut notes, &Silent).unwrap();
    assert!(outcome.stopped_early && outcome.kept.step < 60 && notes.kept.is_some());
}
