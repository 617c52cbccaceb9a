//! Learning, resuming, stopping.

mod questions;

use std::sync::atomic::{AtomicU64, Ordering};

use microtome_core::{Progress, Result, Silent};

use super::*;
use crate::net::{
    Activation, AidoCellShape, Architecture, BertShape, GptShape, NamedTensor, Params, ScGptShape,
};

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

fn params_of(task: &Task<'_>) -> Params {
    let mut state = 7u64;
    let tensors = task.architecture.tensors().into_iter().map(|(name, shape)| {
        let n: usize = shape.iter().product();
        let values = (0..n)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let u = (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
                let is_norm = ["LayerNorm", "norm", "ln"].iter().any(|n| name.contains(n));
                match shape.len() {
                    1 if is_norm && name.ends_with("weight") => 1.0,
                    1 => 0.0,
                    _ => u * 0.2,
                }
            })
            .collect();
        NamedTensor { name, shape, values }
    });
    Params::new(tensors.chain(task.heads()).collect()).unwrap()
}

fn params() -> Params {
    params_of(&masked_genes())
}

fn masked_genes() -> Task<'static> {
    let vocabulary = Vocabulary::new(22, 1, (2..22).collect()).unwrap();
    Task { architecture: &SHAPE, objective: Objective::MaskedGenes(vocabulary), annotation: None }
}

/// Two kinds of cells that share no gene: what is hidden can be told from what is seen. Values are high in one kind and low in the
/// other, and labels tell the kinds apart.
struct TwoKinds;

impl Cells for TwoKinds {
    fn n_cells(&self) -> usize {
        200
    }

    fn read(&self, positions: &[usize]) -> Result<Vec<Cell>> {
        let cell = |&c: &usize| {
            let (kind, n) = (c as u32 % 2, 6 + c as u32 % 4);
            Cell {
                ids: (0..n).map(|g| 2 + kind * 10 + g).collect(),
                is_gene: vec![true; n as usize],
                pooled: (0..n).collect(),
                label: (c % 7 != 0).then_some(kind),
                ..Cell::default()
            }
        };
        Ok(positions.iter().map(cell).collect())
    }
}

/// The same genes in both kinds of cells, high in one and low in the other, behind a token that is no gene.
struct TwoLevels;

impl Cells for TwoLevels {
    fn n_cells(&self) -> usize {
        200
    }

    fn read(&self, positions: &[usize]) -> Result<Vec<Cell>> {
        let cell = |&c: &usize| {
            let value = |g: u32| (1 + 3 * (c as u32 % 2) + g % 2) as f32;
            Cell {
                ids: [0].into_iter().chain(2..10).collect(),
                values: [-2.0].into_iter().chain((2..10).map(value)).collect(),
                is_gene: (0..9).map(|p| p > 0).collect(),
                pooled: vec![0],
                ..Cell::default()
            }
        };
        Ok(positions.iter().map(cell).collect())
    }
}

/// Cells without genes.
struct Nothing;

impl Cells for Nothing {
    fn n_cells(&self) -> usize {
        10
    }

    fn read(&self, positions: &[usize]) -> Result<Vec<Cell>> {
        Ok(vec![Cell::default(); positions.len()])
    }
}

#[derive(Default)]
struct Notes {
    losses: Vec<f64>,
    validations: Vec<f64>,
    accuracies: Vec<Option<f64>>,
    baselines: Option<Baselines>,
    kept: Option<Kept>,
}

impl Watcher for Notes {
    fn baselines(&mut self, baselines: &Baselines) -> Result<()> {
        self.baselines = Some(baselines.clone());
        Ok(())
    }
    fn step(&mut self, record: &Record) -> Result<()> {
        self.losses.push(record.loss);
        Ok(())
    }
    fn validated(&mut self, validated: &Validated) -> Result<()> {
        self.validations.push(validated.loss);
        self.accuracies.push(validated.accuracy);
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

fn go_on(
    task: &Task<'_>,
    cells: &dyn Cells,
    recipe: &Recipe,
    from: Option<Kept>,
    notes: &mut Notes,
    progress: &dyn Progress,
) -> Result<Outcome> {
    let (train, held): (Vec<usize>, Vec<usize>) = (0..200).partition(|c| c % 5 != 0);
    pretrain(&params_of(task), task, cells, (&train, &held), recipe, from, notes, progress)
}

fn go(recipe: &Recipe, from: Option<Kept>, notes: &mut Notes, progress: &dyn Progress) -> Result<Outcome> {
    go_on(&masked_genes(), &TwoKinds, recipe, from, notes, progress)
}

#[test]
fn it_learns_what_gene_frequencies_do_not_know() {
    let mut notes = Notes::default();
    let outcome = go(&recipe(), None, &mut notes, &Silent).unwrap();
    let b = notes.baselines.unwrap();
    assert_eq!(notes.validations.len(), 4);
    assert!(notes.validations[0] > b.guesses[0].loss - 0.3, "untrained: {:?}", notes.validations);
    assert!(notes.validations[3] < b.guesses[0].loss - 0.7, "{:?} {b:?}", notes.validations);
    assert!(b.guesses[1].loss < b.guesses[0].loss && notes.accuracies == [None; 4]);
    assert_eq!((outcome.kept.step, outcome.stopped_early, notes.losses.len()), (60, false, 60));
}

const GPT: fn() -> GptShape = || GptShape {
    prefix: String::new(),
    n_blocks: 1,
    d_model: 16,
    n_heads: 2,
    d_mlp: 16,
    max_positions: 12,
    vocab_size: 22,
    eps: 1e-5,
    activation: Activation::GeluTanh,
};
const SCGPT: ScGptShape = ScGptShape { n_blocks: 1, d_model: 16, n_heads: 2, d_mlp: 16, vocab_size: 10 };
const AIDO: AidoCellShape = AidoCellShape {
    n_blocks: 1,
    d_model: 16,
    n_heads: 2,
    d_mlp: 16,
    n_tokens: 10,
    n_bins: 6,
    alpha: 1.0,
    eps: 1e-5,
};

/// Every objective learns what its baselines cannot know: the losses before and after, and the better guess.
#[test]
fn every_objective_beats_guesses_that_know_no_cell() {
    let values = Objective::MaskedValues { mask: -1.0 };
    let bins = Objective::MaskedBins { mask: -1.0, n: 6 };
    let gpt = GPT();
    let cases: [(&dyn Architecture, Objective, &dyn Cells, f64); 4] = [
        (&SCGPT, values.clone(), &TwoLevels, 0.5),
        (&SCGPT, bins, &TwoLevels, 0.6),
        (&AIDO, values, &TwoLevels, 0.5),
        (&gpt, Objective::NextGene(22), &TwoKinds, 0.8),
    ];
    for (architecture, objective, cells, share) in cases {
        let task = Task { architecture, objective, annotation: None };
        let masking = Masking::of_values(0.3);
        let recipe = Recipe { steps: 300, learning_rate: 3e-3, masking, validate_every: 100, ..recipe() };
        let mut notes = Notes::default();
        go_on(&task, cells, &recipe, None, &mut notes, &Silent).unwrap();
        let best = notes.baselines.unwrap().best().unwrap().loss;
        let (first, last) = (notes.validations[0], notes.validations[3]);
        assert!(last < share * best, "{:?}: {first} {last}, guess {best}", task.objective);
        assert!(first > 0.9 * best, "{:?}: untrained {first}, guess {best}", task.objective);
    }
}

#[test]
fn an_annotation_is_learned_beside_the_objective() {
    let annotation = Some(Annotation { n_classes: 2, weight: 1.0 });
    let task = Task { annotation, ..masked_genes() };
    let mut notes = Notes::default();
    let outcome = go_on(&task, &TwoKinds, &recipe(), None, &mut notes, &Silent).unwrap();
    assert!(outcome.kept.records.iter().all(|r| r.besides > 0.0));
    assert!(outcome.kept.records[0].besides > 4.0 * outcome.kept.records[59].besides);
    assert!(notes.accuracies[0].unwrap() < 0.8, "{:?}", notes.accuracies);
    assert_eq!(notes.accuracies[3], Some(1.0));
    assert!(outcome.weights.iter().any(|t| t.name == "heads.annotation.weight"));
    // Without its weight nothing is learned of it.
    let task = Task { annotation: Some(Annotation { n_classes: 2, weight: 0.0 }), ..masked_genes() };
    let outcome = go_on(&task, &TwoKinds, &recipe(), None, &mut Notes::default(), &Silent).unwrap();
    let head = outcome.weights.iter().find(|t| t.name == "heads.annotation.weight").unwrap();
    assert!(head.values.iter().all(|v| *v == 0.0));
}

#[test]
fn a_resumed_run_gives_the_same_losses_to_the_last_bit() {
    let dropped = Recipe { dropout: 0.2, ..recipe() };
    let values = Task {
        architecture: &SCGPT,
        objective: Objective::MaskedValues { mask: -1.0 },
        annotation: Some(Annotation { n_classes: 2, weight: 0.5 }),
    };
    let genes = masked_genes();
    let cases: [(&Task<'_>, &dyn Cells, Recipe); 3] =
        [(&genes, &TwoKinds, recipe()), (&genes, &TwoKinds, dropped.clone()), (&values, &TwoLevels, dropped)];
    let mut curves = vec![];
    for (task, cells, recipe) in cases {
        let mut whole = Notes::default();
        let expected = go_on(task, cells, &recipe, None, &mut whole, &Silent).unwrap();
        let (mut notes, mut from) = (Notes::default(), None);
        for stop in [7, 33] {
            let stopper = StopAfter(AtomicU64::new(0), stop);
            let e = go_on(task, cells, &recipe, from, &mut notes, &stopper).unwrap_err();
            assert_eq!(e.exit_code(), 130);
            let kept = notes.kept.clone().unwrap();
            // Through JSON, as it is stored.
            let text = serde_json::to_string(&kept).unwrap();
            from = Some(Kept { tensors: kept.tensors, ..serde_json::from_str(&text).unwrap() });
        }
        let outcome = go_on(task, cells, &recipe, from, &mut notes, &Silent).unwrap();
        assert_eq!(notes.losses, whole.losses);
        assert_eq!(notes.validations, whole.validations);
        assert_eq!(outcome.kept, expected.kept);
        assert_eq!(outcome.weights, expected.weights);
        curves.push(whole.losses);
    }
    assert_ne!(curves[0], curves[1], "dropout drops nothing");
}

#[test]
fn threads_and_a_seed_change_nothing_and_something() {
    let short = Recipe { steps: 5, ..recipe() };
    let run = |threads: usize, recipe: &Recipe| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut notes = Notes::default();
            go(recipe, None, &mut notes, &Silent).unwrap();
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
        go(&Recipe { steps: 4, part_tokens, ..recipe() }, None, &mut notes, &Silent).unwrap();
        notes.losses
    };
    for (a, b) in losses(8).into_iter().zip(losses(10_000)) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}

#[test]
fn what_cannot_be_learned_from_stops_with_a_reason() {
    let all: Vec<usize> = (0..10).collect();
    let run = |train: &[usize], cells: &dyn Cells| {
        let mut notes = Notes::default();
        pretrain(&params(), &masked_genes(), cells, (train, &[]), &recipe(), None, &mut notes, &Silent)
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
    let e = go(&steep, None, &mut notes, &Silent).unwrap_err();
    assert!(e.to_string().contains("no number") && e.to_string().contains("--lr"), "{e}");
    let kept = notes.kept.unwrap();
    assert!(kept.records.iter().all(|r| r.loss.is_finite()));
    let task =
        Task { architecture: &AIDO, objective: Objective::MaskedValues { mask: -1.0 }, annotation: None };
    let mut notes = Notes::default();
    let e = go_on(&task, &TwoLevels, &steep, None, &mut notes, &Silent).unwrap_err();
    assert!(e.to_string().contains("no number") && notes.kept.is_some(), "{e}");
}

#[test]
fn it_stops_when_nothing_gets_better() {
    let flat = Recipe { learning_rate: 1e-12, validate_every: 2, patience: 3, ..recipe() };
    let mut notes = Notes::default();
    let outcome = go(&flat, None, &mut notes, &Silent).unwrap();
    assert!(outcome.stopped_early && outcome.kept.step < 60 && notes.kept.is_some());
}
