//! Pretraining from cells to a checkpoint that opens like a published one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use microtome::{
    Begin, PretrainOptions, PretrainReport, Recipe, Shape, SimulateOptions, SimulateRun, Split, pretrain,
    simulate,
};
use microtome_core::{Progress, Result, Silent, Site};
use microtome_models::Tokens;
use microtome_models::families::geneformer::{GeneformerGene, GeneformerShape, Generation, write_untrained};
use microtome_models::taps::{Recorded, Recorder};
use microtome_train::net::{Activation, Bert, BertShape, NamedTensor, Params, Ragged};
use microtome_weights::{Checkpoint, TensorData, write_safetensors};

const SHAPE: Shape = Shape { layers: 2, width: 32, heads: 4, feed_forward: 48, max_tokens: 96 };

/// Numbers that look random and are the same everywhere, between -0.5 and 0.5.
fn numbers(n: usize, seed: u64) -> impl Iterator<Item = f32> {
    let mut state = seed;
    (0..n).map(move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    })
}

/// An untrained checkpoint whose norms and biases are shaken as well, since fresh ones are ones and zeros.
fn shaken(generation: Generation, out: &Path) -> (BertShape, Vec<NamedTensor>) {
    let shape = GeneformerShape { layers: 3, d: 48, heads: 4, ffn: 80, max_tokens: 64 };
    let genes: Vec<GeneformerGene> = (0..200)
        .map(|i| GeneformerGene { ensembl_id: format!("ENSG{i:011}"), symbol: None, median: 1.0 })
        .collect();
    write_untrained(generation, shape, &genes, 3, out).unwrap();
    let path = out.join("model.safetensors");
    let file = Checkpoint::open(&path).unwrap();
    let tensors: Vec<NamedTensor> = file
        .names()
        .into_iter()
        .enumerate()
        .map(|(i, name)| {
            let mut values = file.read_f32(name).unwrap();
            let n = values.len();
            values.iter_mut().zip(numbers(n, i as u64)).for_each(|(v, r)| *v += 0.2 * r);
            NamedTensor { name: name.into(), shape: file.info(name).unwrap().shape.clone(), values }
        })
        .collect();
    drop(file);
    let all: Vec<_> =
        tensors.iter().map(|t| (t.name.clone(), t.shape.clone(), TensorData::F32(&t.values))).collect();
    write_safetensors(&path, &all, &[]).unwrap();
    let bert = BertShape {
        n_blocks: 3,
        d_model: 48,
        n_heads: 4,
        d_mlp: 80,
        max_positions: 64,
        vocab_size: if generation == Generation::V1 { 202 } else { 204 },
        type_vocab_size: 2,
        eps: 1e-12,
        activation: Activation::Relu,
    };
    (bert, tensors)
}

/// Largest distance of the two forward passes at the embedding, every block's output and the scores.
fn distances(folder: &Path, shape: &BertShape, tensors: &[NamedTensor]) -> Vec<f32> {
    let model = microtome_models::open(folder).unwrap();
    let mut tokens = Tokens::new();
    let lengths = [64, 1, 17, 40];
    for (cell, n) in lengths.into_iter().enumerate() {
        let ids: Vec<u32> = (0..n as u32).map(|i| (i * 7 + cell as u32 * 31) % 200 + 1).collect();
        tokens.push(&ids, &vec![0.0; n], 0, 0);
    }
    let logits = Site::Extra("mlm_logits".into());
    let mut sites = vec![Site::Embed];
    sites.extend((0..shape.n_blocks).map(Site::resid_post));
    let known: Vec<Site> = model.sites().into_iter().map(|s| s.site).collect();
    let logits = known.iter().find(|s| s.to_string().contains("logits")).cloned().unwrap_or(logits);
    sites.push(logits);
    let mut recorder = Recorder::new(sites.clone());
    model.forward(&tokens, &mut recorder).unwrap();
    let params = Params::new(tensors.to_vec()).unwrap();
    let net = Bert::new(&params, shape).unwrap();
    let mut states = net.states(&tokens.ids, &Ragged::of_lengths(lengths)).unwrap();
    let rows: Vec<u32> = (0..tokens.ids.len() as u32).collect();
    states.push(net.logits(&states[shape.n_blocks], &rows).unwrap());
    let distance = |(site, state): (&Site, &candle_values::Values)| {
        let Some(Recorded::Tokens { data, .. }) = recorder.get(site) else {
            panic!("{site} was not offered")
        };
        assert_eq!(data.len(), state.0.len(), "{site}");
        data.iter().zip(&state.0).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    let states: Vec<candle_values::Values> = states.iter().map(candle_values::of).collect();
    sites.iter().zip(&states).map(distance).collect()
}

/// The facade does not link the framework; its tensors are looked at through what the network hands out.
mod candle_values {
    pub(super) struct Values(pub(super) Vec<f32>);

    pub(super) fn of(t: &microtome_train::net::Tensor) -> Values {
        Values(t.flatten_all().unwrap().to_vec1().unwrap())
    }
}

#[test]
fn training_and_engine_agree_at_every_block() {
    for generation in [Generation::V1, Generation::V2] {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("model");
        let (shape, tensors) = shaken(generation, &folder);
        let found = distances(&folder, &shape, &tensors);
        assert_eq!(found.len(), 5);
        assert!(found.iter().all(|d| *d < 1e-5), "{generation:?}: {found:?}");
        // What is wrong by a little does not pass.
        let gelu = BertShape { activation: Activation::GeluErf, ..shape };
        let eps = BertShape { eps: 1e-3, ..shape };
        let heads = BertShape { n_heads: 8, ..shape };
        for wrong in [gelu, eps, heads] {
            assert!(distances(&folder, &wrong, &tensors).iter().any(|d| *d > 1e-4), "{wrong:?}");
        }
    }
}

fn cells(dir: &Path, name: &str, n_cells: usize) -> PathBuf {
    let path = dir.join(name);
    let options = SimulateOptions { n_cells, n_genes: 300, ..SimulateOptions::default() };
    simulate(&SimulateRun { options, out: path.clone(), ..SimulateRun::default() }, &Silent).unwrap();
    path
}

fn options(data: &Path, out: &Path) -> PretrainOptions {
    PretrainOptions {
        data: vec![data.to_path_buf()],
        family: "geneformer".into(),
        begin: Begin::New(SHAPE),
        split: Split { held_out: 0.2, unit: None, leave_out: vec![] },
        recipe: Recipe {
            steps: 150,
            batch_tokens: 2_000,
            learning_rate: 5e-3,
            validate_every: 50,
            keep_every: 15,
            ..Recipe::default()
        },
        epochs: None,
        out: out.to_path_buf(),
        resume: false,
        overwrite: false,
        command: vec![],
    }
}

fn run(options: &PretrainOptions) -> PretrainReport {
    pretrain(options, &Silent).unwrap()
}

fn refused(options: &PretrainOptions) -> String {
    pretrain(options, &Silent).unwrap_err().to_string()
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

#[test]
fn a_trained_model_opens_knows_its_cells_and_goes_on_after_a_stop() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let data = cells(dir.path(), "cells.h5ad", 200);
    let whole = options(&data, &dir.path().join("whole"));
    let report = run(&whole);
    let model = microtome_models::open(&whole.out)?;
    let audit = model.audit();
    let tied = audit.missing.iter().all(|name| name.contains("(tied to"));
    assert!(audit.unexpected.is_empty() && tied, "{:?} {:?}", audit.unexpected, audit.missing);
    assert_eq!((model.info().n_blocks, model.info().n_parameters), (2, report.n_parameters));
    assert!(model.info().d_vocab > 250 && (report.n_train, report.n_held_out) == (160, 40));
    let (baselines, (_, best)) = (report.baselines.unwrap(), report.best.unwrap());
    assert!(best < baselines.gene_frequency && best < report.validations[0].loss, "{report:?}");
    for file in ["config.json", "model.safetensors", "token_dictionary.pkl", "curve.csv", "pretrain.json"] {
        assert!(whole.out.join(file).is_file(), "{file}");
    }
    assert!(!whole.out.join(".work").exists());
    assert!(refused(&whole).contains("finished run"));

    // Stopped twice, the second time before a state was due, and gone on: the same curve, the same weights.
    let mut stopped = options(&data, &dir.path().join("stopped"));
    for stop in [8, 21] {
        let e = pretrain(&stopped, &StopAfter(AtomicU64::new(0), stop)).unwrap_err();
        assert!(e.exit_code() == 130 && e.to_string().contains("--resume"), "{e}");
        assert!(refused(&stopped.clone_without_resume()).contains("unfinished run"));
        stopped.resume = true;
    }
    let mut other = stopped.clone();
    other.recipe.learning_rate = 1e-3;
    assert!(refused(&other).contains("something else"));
    run(&stopped);
    for file in ["curve.csv", "model.safetensors"] {
        let read = |o: &PretrainOptions| std::fs::read(o.out.join(file)).unwrap();
        assert!(read(&whole) == read(&stopped), "{file} differs");
    }

    // Training goes on from a checkpoint: its loss begins where the other ended.
    let mut more = options(&data, &dir.path().join("more"));
    more.begin = Begin::From(whole.out.clone());
    more.recipe.steps = 1;
    let more = run(&more);
    assert!((more.validations[0].loss - best).abs() < 1e-6, "{} {best}", more.validations[0].loss);
    Ok(())
}

trait WithoutResume {
    fn clone_without_resume(&self) -> Self;
}

impl WithoutResume for PretrainOptions {
    fn clone_without_resume(&self) -> Self {
        Self { resume: false, ..self.clone() }
    }
}

#[test]
fn wrong_inputs_say_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert!(refused(&options(&empty, &out)).contains("holds no .h5ad file"));
    assert!(refused(&options(&dir.path().join("nowhere.h5ad"), &out)).contains("nowhere.h5ad"));
    let data = cells(dir.path(), "cells.h5ad", 24);
    let change = |change: &dyn Fn(&mut PretrainOptions)| {
        let mut options = PretrainOptions { overwrite: true, ..options(&data, &out) };
        change(&mut options);
        refused(&options)
    };
    assert!(change(&|o| o.family = "scgpt".into()).contains("cannot be pretrained"));
    assert!(change(&|o| o.family = "genformer".into()).contains("did you mean geneformer?"));
    assert!(change(&|o| o.recipe.learning_rate = -1.0).contains("learning_rate"));
    assert!(change(&|o| o.split.unit = Some("donor".into())).contains("donor"));
    assert!(change(&|o| o.split.held_out = 1.0).contains("below 1"));
    let one = cells(dir.path(), "one.h5ad", 1);
    assert!(change(&|o| o.data = vec![one.clone()]).contains("--held-out 0"));
    let foreign = dir.path().join("foreign");
    let genes: Vec<GeneformerGene> = (0..50)
        .map(|i| GeneformerGene { ensembl_id: format!("ENSG{i:011}"), symbol: None, median: 1.0 })
        .collect();
    let shape = GeneformerShape { layers: 1, d: 16, heads: 2, ffn: 16, max_tokens: 16 };
    write_untrained(Generation::V1, shape, &genes, 0, &foreign).unwrap();
    let said = change(&|o| o.begin = Begin::From(foreign.clone()));
    assert!(said.contains("gene"), "{said}");
    let steep = change(&|o| {
        o.recipe.learning_rate = 1e30;
        o.recipe.clip = 1e30;
        o.recipe.keep_every = 1;
    });
    assert!(steep.contains("no number") && out.join(".work/state.safetensors").is_file(), "{steep}");
}

#[test]
fn groups_are_held_out_whole_and_cells_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let data = cells(dir.path(), "cells.h5ad", 80);
    let mut o = options(&data, &dir.path().join("out"));
    o.recipe.steps = 1;
    o.split = Split {
        held_out: 0.3,
        unit: Some("donor_id".into()),
        leave_out: vec![("donor_id".into(), "donor_1".into())],
    };
    let report = run(&o);
    assert_eq!((report.held_out_groups.len(), report.n_train + report.n_held_out), (2, 70));
    assert!(!report.held_out_groups.contains(&"donor_1".to_string()));
}

#[test]
fn an_own_size_goes_over_the_dictionaries_of_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let data = cells(dir.path(), "cells.h5ad", 60);
    let short = |o: PretrainOptions| PretrainOptions {
        recipe: Recipe { steps: 3, batch_tokens: 500, validate_every: 3, keep_every: 3, ..Recipe::default() },
        ..o
    };
    let first = dir.path().join("first");
    run(&short(options(&data, &first)));
    let shape = Shape { layers: 1, width: 16, ..SHAPE };
    let over = Begin::Over { shape, like: first.clone() };
    let out = dir.path().join("over");
    let report = run(&short(PretrainOptions { begin: over, ..options(&data, &out) }));
    let opened = microtome::OpenModel::open(&out).unwrap();
    let info = opened.model.info();
    assert_eq!((info.n_blocks, info.d_model, info.n_parameters), (1, 16, report.n_parameters));
    for name in ["token_dictionary.pkl", "gene_median_dictionary.pkl"] {
        let read = |folder: &Path| std::fs::read(folder.join(name)).unwrap();
        assert!(read(&out) == read(&first), "{name}");
    }
    // Heads that do not divide the width.
    let wrong = Begin::Over { shape: Shape { heads: 3, ..shape }, like: first };
    let said = refused(&short(PretrainOptions { begin: wrong, ..options(&data, &dir.path().join("no")) }));
    assert!(said.contains("possible shape"), "{said}");
}

/// What is left out leaves no trace: the vocabulary, the order and the losses are those of a file without it.
#[test]
fn left_out_cells_are_as_good_as_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let all = cells(dir.path(), "all.h5ad", 120);
    let out = |name: &str| dir.path().join(name);
    let table = microtome_h5ad::open(&all).unwrap();
    let donor = table.obs_column("donor_id").unwrap();
    let kept: Vec<usize> = (0..120).filter(|&i| donor.text(i).as_deref() != Some("donor_1")).collect();
    assert!(kept.len() < 120);
    let obs = table.obs().unwrap().select(&kept);
    let slot = microtome_h5ad::Slot::X;
    let mut writer =
        microtome_h5ad::Writer::create(&out("part.h5ad"), &obs, &table.var(&slot).unwrap()).unwrap();
    let counts = table.matrix(&slot).unwrap().select(&kept).unwrap();
    writer.begin_x(counts.n_genes()).unwrap();
    writer.append_x(&counts).unwrap();
    writer.finish().unwrap();
    let recipe =
        Recipe { steps: 5, batch_tokens: 500, validate_every: 5, keep_every: 5, ..Recipe::default() };
    let of = |data: &Path, leave_out: &[(&str, &str)], name: &str| {
        let leave_out = leave_out.iter().map(|(c, v)| (c.to_string(), v.to_string())).collect();
        let split = Split { held_out: 0.2, unit: None, leave_out };
        run(&PretrainOptions { split, recipe: recipe.clone(), ..options(data, &out(name)) });
        std::fs::read(out(name).join("model.safetensors")).unwrap()
    };
    let without = of(&all, &[("donor_id", "donor_1")], "a");
    assert!(without == of(&out("part.h5ad"), &[], "b"));
    assert!(without != of(&all, &[], "c"));
}
