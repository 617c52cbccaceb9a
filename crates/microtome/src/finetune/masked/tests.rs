//! Adapters lower the loss on another tissue, only where they are applied and genes are what they are; merged they are the same model.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use microtome_core::Silent;
use microtome_train::SimulateOptions;
use microtome_train::finetune::FitOptions;
use microtome_train::net::NamedTensor;
use microtome_train::pretrain::{Masking, Objective, Recipe};

use super::*;
use crate::data::DataOptions;
use crate::finetune::{Goal, keep, merge};
use crate::output::WORK;
use crate::pretrain::{Begin, PretrainOptions, Shape, Split, pretrain};
use crate::simulate::{SimulateRun, simulate};

/// Cells of the tissue of a seed.
fn tissue(folder: &Path, seed: u64) -> PathBuf {
    let out = folder.join(format!("cells_{seed}.h5ad"));
    let options = SimulateOptions { n_cells: 240, n_genes: 150, seed, ..SimulateOptions::default() };
    simulate(&SimulateRun { options, out: out.clone(), ..SimulateRun::default() }, &Silent).unwrap();
    out
}

/// A small model that was trained on the tissue of seed 1, and cells of another tissue.
fn small(folder: &Path, family: &str) -> (PathBuf, PathBuf) {
    let out = folder.join("model");
    let recipe = Recipe {
        steps: 150,
        batch_tokens: 1024,
        learning_rate: 3e-3,
        validate_every: 50,
        ..Recipe::default()
    };
    let shape = Shape { layers: 2, width: 16, heads: 2, feed_forward: 32, max_tokens: 48 };
    pretrain(
        &PretrainOptions {
            data: vec![tissue(folder, 1)],
            family: family.into(),
            begin: Begin::New(shape),
            split: Split { held_out: 0.1, unit: None, leave_out: vec![] },
            asked: None,
            annotation: None,
            recipe,
            mask: None,
            epochs: None,
            out: out.clone(),
            resume: false,
            overwrite: false,
            command: vec![],
        },
        &Silent,
    )
    .unwrap();
    (tissue(folder, 2), out)
}

fn options(cells: &Path, model: &Path, out: &Path) -> FinetuneOptions {
    FinetuneOptions {
        data: DataOptions { path: cells.to_path_buf(), ..DataOptions::default() },
        model: model.to_path_buf(),
        goal: Goal::Masked { objective: None, share: None },
        unit: Some("donor_id".into()),
        fit: FitOptions {
            method: Method::Lora { rank: 4, alpha: 8.0 },
            epochs: 12,
            patience: 12,
            learning_rate: 1e-2,
            ..FitOptions::default()
        },
        first_block: 0,
        merge: true,
        n_bootstrap: 100,
        out: out.to_path_buf(),
        resume: false,
        overwrite: false,
        command: vec!["microtome".into(), "finetune".into()],
    }
}

/// Base, cells and questions of a run.
struct Setting {
    base: Base,
    held: Held,
    questions: Questions,
    folds: Vec<Vec<usize>>,
}

impl Setting {
    fn new(o: &FinetuneOptions) -> Self {
        let opened = OpenModel::open(&o.model).unwrap();
        let model = opened.model.as_ref();
        let base = Base::open(model, None, None, o.first_block, &o.fit).unwrap();
        let mut data = Data::open(&o.data).unwrap();
        let held = Held::new(&mut data, model, base.takes_values(), &Silent).unwrap();
        let everyone: Vec<usize> = (0..held.len()).collect();
        let questions = Questions::draw(&held, &everyone, &base.objective, base.masking, 0).unwrap();
        let folds = (0..4).map(|f| everyone.iter().copied().filter(|c| c % 4 == f).collect()).collect();
        Self { base, held, questions, folds }
    }

    /// Mean losses of a model that is trained by fold, and of the published one.
    fn run(&self, o: &FinetuneOptions, work: &Path) -> (f64, f64) {
        std::fs::create_dir_all(work).unwrap();
        let folds = Folds {
            base: &self.base,
            cells: &self.held,
            questions: &self.questions,
            folds: &self.folds,
            options: &o.fit,
            work,
            asked: "this",
            progress: &Silent,
        };
        (self.mean(&folds.run().unwrap().0), self.mean(&self.losses(&self.base.published())))
    }

    fn mean(&self, sums: &[f64]) -> f64 {
        sums.iter().sum::<f64>() / self.questions.n_answers().iter().sum::<usize>() as f64
    }

    fn losses(&self, params: &Params) -> Vec<f64> {
        let task = self.base.task();
        let everyone: Vec<usize> = (0..self.held.len()).collect();
        let reader = Reader { params, task: &task, part_tokens: 300 };
        self.questions.losses(&reader, &everyone, &Silent).unwrap()
    }
}

/// On the bundled model, which knows another tissue.
#[test]
fn adapters_lower_the_loss_where_they_are_applied_and_genes_are_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let (cells, model) = (folder.path().join("cells.h5ad"), folder.path().join("model"));
    let simulated = SimulateOptions { n_cells: 96, seed: 5, ..SimulateOptions::default() };
    simulate(&SimulateRun { options: simulated, out: cells.clone(), ..SimulateRun::default() }, &Silent)
        .unwrap();
    crate::demo_model::write(&model).unwrap();
    let mut o = options(&cells, &model, &folder.path().join("out"));
    (o.fit.epochs, o.fit.batch, o.fit.learning_rate) = (3, 4, 5e-3);
    let mut setting = Setting::new(&o);
    // All hidden genes become the mask: where some are left in their place, copying them can be learnt from any genes.
    setting.base.masking = Masking::of_values(0.15);
    let everyone: Vec<usize> = (0..setting.held.len()).collect();
    let Setting { base, held, .. } = &setting;
    setting.questions = Questions::draw(held, &everyone, &base.objective, base.masking, 0).unwrap();
    let (adapted, published) = setting.run(&o, &folder.path().join("whole"));
    assert!(adapted < published - 0.05, "{adapted} {published}");
    // Other genes in the place of a cell's own, others in every cell. What is left to learn is that all genes are as likely (the model
    // of another tissue is surer than it should be), and that genes that are shown are not hidden.
    let true_cells = setting.held.cells.clone();
    let Objective::MaskedGenes(vocabulary) = &setting.base.objective else { panic!() };
    let genes = vocabulary.genes().to_vec();
    for (i, cell) in setting.held.cells.iter_mut().enumerate() {
        let mut other = genes.clone();
        microtome_numerics::resample::Rng::new(i as u64).shuffle(&mut other);
        let of = |t: u32| genes.binary_search(&t).map_or(t, |i| other[i]);
        cell.ids.iter_mut().for_each(|t| *t = of(*t));
    }
    let (shuffled, _) = setting.run(&o, &folder.path().join("shuffled"));
    let shown = setting.held.cells[0].ids.len();
    assert!(shuffled > ((genes.len() - shown) as f64).ln(), "{shuffled}");
    assert!(adapted < shuffled - 0.03, "{shuffled} {published} {adapted}");
    // Adapters that are trained but have no part in the forward pass.
    setting.held.cells = true_cells;
    setting.base.disconnect();
    let (idle, _) = setting.run(&o, &folder.path().join("idle"));
    assert!((idle - published).abs() < 1e-9, "{idle} {published}");
}

#[test]
fn a_run_leaves_the_base_alone_and_its_merged_checkpoint_is_the_adapter() {
    let folder = tempfile::tempdir().unwrap();
    let (cells, model) = small(folder.path(), "geneformer");
    let before = OpenModel::open(&model).unwrap().inputs;
    let o = options(&cells, &model, &folder.path().join("out"));
    let report = crate::finetune::finetune(&o, &Silent).unwrap();
    assert_eq!(OpenModel::open(&model).unwrap().inputs, before, "hashes of the checkpoint's files");
    assert!(!o.out.join(WORK).exists());
    // What is compared, in the same unit.
    let of =
        |name: &str| report.scores.iter().find(|s| s.name.contains(name)).unwrap_or_else(|| panic!("{name}"));
    let (adapted, frozen) = (&report.scores[0], &report.scores[1]);
    assert!(frozen.name.ends_with("frozen") && frozen.ahead_interval.unwrap()[0] > 0.0, "{frozen:?}");
    assert!(report.verdict.starts_with("On hidden genes of held-out donor_ids, "), "{}", report.verdict);
    assert!(of("probe, depth chosen").score <= frozen.score, "{:?}", of("probe, depth chosen"));
    assert_eq!(of("blocks.1.resid_post, own readout").score, frozen.score);
    assert!(of("gene frequency among genes the cell does not show").score < Some(f64::from(150u8).ln()));
    assert!(of("most similar training cells").score.unwrap() > 1.0);
    assert!(adapted.score < frozen.score);
    // The adapter, the checkpoint with it merged, and the same made from the files.
    let setting = Setting::new(&o);
    let folder_of_adapter = report.adapter.clone().unwrap();
    let weights = keep::read_adapter(&folder_of_adapter).unwrap();
    assert!(weights.iter().all(|t| t.name.starts_with("blocks.") && t.name.contains(".lora_")));
    let size = |p: PathBuf| std::fs::metadata(p).unwrap().len();
    let (small, whole) =
        (size(folder_of_adapter.join("adapter.safetensors")), size(model.join("model.safetensors")));
    assert!(small < whole, "{small} {whole}");
    let with_adapter = setting.losses(&setting.base.adapted(weights).unwrap());
    let merged = report.merged.unwrap();
    let other = Setting::new(&options(&cells, &merged, &o.out));
    assert_alike(&with_adapter, &other.losses(&other.base.published()));
    assert!(setting.mean(&with_adapter) < setting.mean(&setting.losses(&setting.base.published())) - 0.05);
    let again = folder.path().join("again");
    merge(&o.out, &model, &again).unwrap();
    let file = |f: &Path| std::fs::read(f.join("model.safetensors")).unwrap();
    assert!(file(&again) == file(&merged), "merged at once and from the files");
    // All but the adapted maps, the readout among them, are the base's bit by bit.
    let (a, b) = (&setting.base.stored.checkpoint, &other.base.stored.checkpoint);
    for name in a.names() {
        let same = a
            .read_f32(name)
            .unwrap()
            .iter()
            .zip(&b.read_f32(name).unwrap())
            .all(|(x, y)| x.to_bits() == y.to_bits());
        let is_map =
            name.contains("encoder.layer") && name.ends_with("weight") && !name.contains("LayerNorm");
        assert_eq!(same, !is_map, "{name}");
    }
}

/// Within 1e-5; the largest difference.
fn assert_alike(a: &[f64], b: &[f64]) -> f64 {
    assert!(a.iter().chain(b).all(|l| l.is_finite()), "{a:?} {b:?}");
    let off = a.iter().zip(b).map(|(a, b)| (a - b).abs() / a.abs().max(1.0)).fold(0.0, f64::max);
    assert!(a.len() == b.len() && off < 1e-5, "{off}");
    off
}

#[test]
fn adapters_of_every_family_that_is_offered_merge_into_the_same_losses() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/models");
    let mut done = BTreeSet::new();
    for family in crate::pretrain::imitation::families() {
        for entry in std::fs::read_dir(root.join(family)).into_iter().flatten().flatten() {
            let (kit, folder) = (entry.path(), tempfile::tempdir().unwrap());
            let o = options(&kit.join("cells.h5ad"), &kit.join("checkpoint"), folder.path());
            let Ok(opened) = OpenModel::open(&o.model) else { continue };
            let Ok(base) = Base::open(opened.model.as_ref(), None, None, 0, &o.fit) else { continue };
            drop(base);
            let Ok(mut data) = Data::open(&o.data) else { continue };
            if Held::new(&mut data, opened.model.as_ref(), false, &Silent).is_err() {
                continue;
            }
            let setting = Setting::new(&o);
            let mut weights = setting.base.first_values(1, 0);
            let wave = |t: &mut NamedTensor| {
                t.values.iter_mut().enumerate().for_each(|(i, v)| *v = 0.2 * (i as f32 * 0.7).sin());
            };
            weights.iter_mut().filter(|t| t.name.ends_with("lora_b")).for_each(wave);
            let blocks = setting.base.network.merged(&Params::new(weights.clone()).unwrap()).unwrap();
            let out = folder.path().join("merged");
            setting.base.stored.write_merged(opened.model.as_ref(), 0, &blocks, &out).unwrap();
            let merged = Setting::new(&options(&o.data.path, &out, folder.path()));
            let adapted = setting.losses(&setting.base.adapted(weights).unwrap());
            let off = assert_alike(&adapted, &merged.losses(&merged.base.published()));
            let published = setting.losses(&setting.base.published());
            // Untrained readouts of some kits hardly tell genes apart: what adapters do is small there, but not nothing.
            let moved = adapted.iter().zip(&published).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(moved > 1e-4_f64.max(10.0 * off), "{}: {moved}, {off}", kit.display());
            done.insert(family);
        }
    }
    // The kit of scgpt has batch labels, which masked training refuses; the family has a test of its own.
    assert!(["generain", "geneformer", "tgpt"].iter().all(|f| done.contains(f)), "{done:?}");
}

#[test]
fn values_are_told_beside_ridge_regression_the_mean_of_the_gene_and_similar_cells() {
    let folder = tempfile::tempdir().unwrap();
    let (cells, model) = small(folder.path(), "scgpt");
    for (method, name) in [(Method::Full, "full"), (Method::Lora { rank: 4, alpha: 8.0 }, "lora")] {
        values_are_told(&cells, &model, &folder.path().join(name), method);
    }
}

fn values_are_told(cells: &Path, model: &Path, out: &Path, method: Method) {
    let mut o = options(cells, model, out);
    o.fit = FitOptions { method, epochs: 2, learning_rate: 3e-3, ..o.fit };
    let report = crate::finetune::finetune(&o, &Silent).unwrap();
    assert!(report.verdict.contains("squared error per hidden value"), "{}", report.verdict);
    let of = |name: &str| {
        let found = report.scores.iter().find(|s| s.name.ends_with(name)).unwrap_or_else(|| panic!("{name}"));
        found.score.unwrap()
    };
    assert!(of("the mean value of the gene") < of("the mean value"));
    // Ridge regression on the embedding of a hidden gene knows which gene it is: better than one number for all.
    assert!(of("embed, fitted readout") < of("the mean value"));
    assert!(of("most similar training cells") < of("the mean value"));
    assert!(report.scores[0].score < report.scores[1].score, "{:?}", &report.scores[..2]);
    // The merged checkpoint is what was trained.
    let weights = keep::read_adapter(report.adapter.as_ref().unwrap()).unwrap();
    let setting = Setting::new(&o);
    let other = Setting::new(&options(cells, &report.merged.unwrap(), &o.out));
    let trained = setting.losses(&setting.base.adapted(weights).unwrap());
    assert_alike(&trained, &other.losses(&other.base.published()));
}

/// Stops in the second fold, after its first pass.
#[derive(Default)]
struct Stopping {
    in_second_fold: AtomicBool,
    asked: AtomicUsize,
}

impl Progress for Stopping {
    fn begin(&self, stage: &str, _: u64, _: &str) {
        self.in_second_fold.store(stage.starts_with("fold 2"), Relaxed);
    }
    fn advance(&self, _: u64) {}
    fn end(&self) {}
    fn note(&self, _: &str) {}
    fn check(&self) -> Result<()> {
        if self.in_second_fold.load(Relaxed) && self.asked.fetch_add(1, Relaxed) >= 13 {
            return Err(Error::new(microtome_core::ErrorKind::Interrupted, "stopped on request"));
        }
        Ok(())
    }
}

#[test]
fn a_stopped_run_goes_on_to_the_same_result() {
    let folder = tempfile::tempdir().unwrap();
    let (cells, model) = small(folder.path(), "tgpt");
    let mut o = options(&cells, &model, &folder.path().join("whole"));
    (o.merge, o.fit.epochs) = (false, 2);
    let whole = crate::finetune::finetune(&o, &Silent).unwrap();
    assert!(whole.verdict.contains("next genes"), "{}", whole.verdict);
    let stopped = FinetuneOptions { out: folder.path().join("out"), ..o.clone() };
    let error = crate::finetune::finetune(&stopped, &Stopping::default()).unwrap_err();
    assert_eq!(error.kind(), microtome_core::ErrorKind::Interrupted);
    let work = stopped.out.join(WORK);
    assert!(
        work.join("fold_0.json").exists() && work.join("fold_1.safetensors").exists(),
        "what was done is kept"
    );
    assert!(!work.join("fold_1.json").exists());
    let other = FinetuneOptions { first_block: 1, resume: true, ..stopped.clone() };
    assert!(crate::finetune::finetune(&other, &Silent).unwrap_err().to_string().contains("something else"));
    let resumed = crate::finetune::finetune(&FinetuneOptions { resume: true, ..stopped }, &Silent).unwrap();
    assert_eq!(resumed.scores, whole.scores);
    let read =
        |r: &FinetuneReport| std::fs::read(r.adapter.as_ref().unwrap().join("adapter.safetensors")).unwrap();
    assert!(read(&resumed) == read(&whole));
    // Losses of every pass, as the page shows them.
    let curve = |r: &FinetuneReport| {
        let page = std::fs::read_to_string(&r.report).unwrap();
        let at = page.find("Loss on the units that say when to stop").unwrap();
        page[at..].split("</figure>").next().unwrap_or_default().to_owned()
    };
    assert!(curve(&resumed) == curve(&whole) && curve(&whole).contains("path"));
}

#[test]
fn wrong_inputs_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (cells, model) = small(folder.path(), "geneformer");
    let out = folder.path().join("out");
    let good = || options(&cells, &model, &out);
    let said = |o: FinetuneOptions| crate::finetune::finetune(&o, &Silent).unwrap_err().to_string();
    assert!(said(FinetuneOptions { unit: None, ..good() }).contains("--unit"));
    // Too few units to learn from, stop by and be judged on.
    assert!(said(FinetuneOptions { unit: Some("batch".into()), ..good() }).contains("three donors"));
    let fit = FitOptions { method: Method::Mlp { hidden: 3 }, ..FitOptions::default() };
    assert!(said(FinetuneOptions { fit, ..good() }).contains("--method"));
    let goal = |objective, share| Goal::Masked { objective, share };
    assert!(
        said(FinetuneOptions { goal: goal(Some(Asked::Regression), None), ..good() }).contains("--objective")
    );
    assert!(said(FinetuneOptions { goal: goal(None, Some(1.5)), ..good() }).contains("--mask"));
    assert!(said(FinetuneOptions { first_block: 2, ..good() }).contains("--first-block"));
    assert!(!out.exists());
    // A rate that blows weights up.
    let fit = FitOptions { learning_rate: 1e30, ..good().fit };
    let blown = said(FinetuneOptions { fit, ..good() });
    assert!(blown.contains("no number any more") && blown.contains("--learning-rate"), "{blown}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/models/scbert");
    let kit =
        std::fs::read_dir(root).unwrap().flatten().find(|e| e.path().join("checkpoint").is_dir()).unwrap();
    let other = said(FinetuneOptions {
        model: kit.path().join("checkpoint"),
        out: folder.path().join("no"),
        ..good()
    });
    assert!(
        other.contains("not offered") && other.contains("scbert") && other.contains("--label"),
        "{other}"
    );
}
