//! Whole runs on simulated cells, and what holds on reference kits.

mod kits;

use std::path::{Path, PathBuf};

use microtome_core::Silent;
use microtome_train::SimulateOptions;
use microtome_train::net::Params;

use super::*;
use crate::simulate::{SimulateRun, simulate};
use kits::{both, largest_difference};

/// Simulated cells and a small model over their genes.
fn small(folder: &Path) -> (PathBuf, PathBuf) {
    use microtome_models::families::geneformer::{GeneformerShape, Generation, write_untrained};
    let cells = folder.join("cells.h5ad");
    let options = SimulateOptions { n_cells: 240, n_genes: 150, ..SimulateOptions::default() };
    simulate(&SimulateRun { options, out: cells.clone(), ..SimulateRun::default() }, &Silent).unwrap();
    let data = Data::open(&DataOptions { path: cells.clone(), ..DataOptions::default() }).unwrap();
    let genes = crate::pretrain::vocabulary(&[data]).unwrap();
    let shape = GeneformerShape { layers: 2, d: 16, heads: 2, ffn: 32, max_tokens: 64 };
    let model = folder.join("model");
    write_untrained(Generation::V1, shape, &genes, 3, &model).unwrap();
    (cells, model)
}

fn options(cells: &Path, model: &Path, out: &Path) -> FinetuneOptions {
    FinetuneOptions {
        data: DataOptions { path: cells.to_path_buf(), ..DataOptions::default() },
        model: model.to_path_buf(),
        goal: Goal::Label("branch".into()),
        unit: Some("donor_id".into()),
        fit: FitOptions {
            method: Method::Lora { rank: 2, alpha: 4.0 },
            epochs: 2,
            learning_rate: 5e-3,
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

/// A model whose cells are padded, and whose padding is hidden from attention and from the mean.
fn padded(folder: &Path, cells: &Path) -> PathBuf {
    use microtome_models::Dimensions;
    use microtome_models::families::nicheformer::write_untrained;
    let data = Data::open(&DataOptions { path: cells.to_path_buf(), ..DataOptions::default() }).unwrap();
    let genes = crate::pretrain::vocabulary(&[data]).unwrap();
    let genes: Vec<(String, f64)> = genes.into_iter().map(|g| (g.ensembl_id, g.median)).collect();
    let size = Dimensions { layers: 2, d: 16, heads: 2, ffn: 32, max_tokens: 140 };
    let model = folder.join("padded");
    write_untrained(size, &genes, 3, &model).unwrap();
    model
}

#[test]
fn a_run_leaves_the_base_alone_and_its_merged_checkpoint_is_the_adapter() {
    let folder = tempfile::tempdir().unwrap();
    let (cells, model) = small(folder.path());
    check_run(&cells, &model);
    check_run(&cells, &padded(folder.path(), &cells));
}

fn check_run(cells: &Path, model: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let before = OpenModel::open(model).unwrap().inputs;
    let out = folder.path().join("out");
    let report = finetune(&options(cells, model, &out), &Silent).unwrap();
    assert_eq!(OpenModel::open(model).unwrap().inputs, before, "hashes of the checkpoint's files");
    assert!(report.verdict.contains("held-out donor_ids"), "{}", report.verdict);
    assert!(
        report.scores.len() > 5
            && report.scores[0].interval.is_some()
            && report.scores[1].ahead_interval.is_some()
    );
    let page = std::fs::read_to_string(&report.report).unwrap();
    assert!(page.contains("Trained beside frozen and baselines"));
    // Reload, merge, run in the engine.
    let weights = keep::read_adapter(report.adapter.as_ref().unwrap()).unwrap();
    let size: u64 = std::fs::metadata(report.adapter.unwrap().join("adapter.safetensors")).unwrap().len();
    assert!(size < std::fs::metadata(model.join("model.safetensors")).unwrap().len());
    let base = OpenModel::open(model).unwrap();
    let stored = Stored::open(base.model.as_ref()).unwrap();
    let method = Method::Lora { rank: 2, alpha: 4.0 };
    let params = Params::new(weights).unwrap();
    let blocks = stored.blocks(0).unwrap();
    let last = |model: &OpenModel| {
        both(model.model.as_ref(), cells, (&blocks, method, &params)).unwrap().pop().unwrap()
    };
    let [unchanged, adapted] = last(&base);
    assert!(largest_difference(&unchanged, &adapted) > 1e-3, "the adapter does something");
    let again = folder.path().join("again");
    merge(&out, model, &again).unwrap();
    let file = |f: &Path| std::fs::read(f.join("model.safetensors")).unwrap();
    let merged = report.merged.unwrap();
    assert!(file(&again) == file(&merged), "merged at once and from the files");
    assert!(
        merge(&out, &merged, &folder.path().join("no")).unwrap_err().to_string().contains("other weights")
    );
    let merged = OpenModel::open(&merged).unwrap();
    let [engine, adapted] = last(&merged);
    let off = largest_difference(&engine, &adapted);
    assert!(off < 1e-5, "{off}");
}

#[test]
fn numbers_are_learnt_and_judged_beside_ridge_regression() {
    let folder = tempfile::tempdir().unwrap();
    let (cells, model) = small(folder.path());
    let out = folder.path().join("out");
    let goal = Goal::Number("pseudotime".into());
    let report =
        finetune(&FinetuneOptions { goal, merge: false, ..options(&cells, &model, &out) }, &Silent).unwrap();
    assert!(report.verdict.contains("Spearman correlation"), "{}", report.verdict);
    let of =
        |name: &str| report.scores.iter().find(|s| s.name.contains(name)).unwrap_or_else(|| panic!("{name}"));
    assert!(of("frozen, blocks.1.resid_post").ahead_interval.is_some());
    // Linear in what it sees: principal components of simulated cells tell their time.
    assert!(of("pca").score.unwrap() > 0.6, "{:?}", of("pca"));
    let card = std::fs::read_to_string(report.adapter.unwrap().join("adapter.json")).unwrap();
    let card: serde_json::Value = serde_json::from_str(&card).unwrap();
    let [mean, sd] = [0, 1].map(|k| card["standard"][k].as_f64().unwrap());
    assert!((mean - 0.5).abs() < 0.1 && (sd - 0.29).abs() < 0.1, "pseudotime is uniform: {mean} {sd}");
    assert!(merge(&out, &model, &folder.path().join("merged")).is_ok());
    let label = Goal::Number("branch".into());
    let error = finetune(
        &FinetuneOptions { goal: label, ..options(&cells, &model, &folder.path().join("no")) },
        &Silent,
    );
    assert!(error.unwrap_err().to_string().contains("not numeric"));
}

/// Stops in the second fold, after its first epoch.
#[derive(Default)]
struct Stopping {
    in_second_fold: std::sync::atomic::AtomicBool,
    asked: std::sync::atomic::AtomicUsize,
}

/// Steps of an epoch of the second fold, and a few more.
const STEPS: usize = 13;

impl Progress for Stopping {
    fn begin(&self, stage: &str, _: u64, _: &str) {
        self.in_second_fold.store(stage.starts_with("fold 2"), std::sync::atomic::Ordering::Relaxed);
    }
    fn advance(&self, _: u64) {}
    fn end(&self) {}
    fn note(&self, _: &str) {}
    fn check(&self) -> Result<()> {
        use std::sync::atomic::Ordering::Relaxed;
        if self.in_second_fold.load(Relaxed) && self.asked.fetch_add(1, Relaxed) >= STEPS {
            return Err(Error::new(microtome_core::ErrorKind::Interrupted, "stopped on request"));
        }
        Ok(())
    }
}

#[test]
fn wrong_inputs_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (cells, model) = small(folder.path());
    let out = folder.path().join("out");
    let said = |o: FinetuneOptions| finetune(&o, &Silent).unwrap_err().to_string();
    let good = || options(&cells, &model, &out);
    assert!(said(FinetuneOptions { unit: None, ..good() }).contains("--unit"));
    assert!(
        said(FinetuneOptions { goal: Goal::Label("n_such".into()), ..good() }).contains("no such column")
    );
    assert!(said(FinetuneOptions { first_block: 2, ..good() }).contains("--first-block"));
    let fit = FitOptions { epochs: 0, ..FitOptions::default() };
    assert!(said(FinetuneOptions { fit, ..good() }).contains("epochs"));
    // A label within one donor alone leaves a single class that can be learnt elsewhere.
    assert!(said(FinetuneOptions { goal: Goal::Label("donor_id".into()), ..good() }).contains("label"));
    assert!(!out.exists());
}

#[test]
fn a_stopped_run_goes_on_to_the_same_result() {
    let folder = tempfile::tempdir().unwrap();
    let (cells, model) = small(folder.path());
    let whole = folder.path().join("whole");
    let whole = finetune(&options(&cells, &model, &whole), &Silent).unwrap();
    let out = folder.path().join("out");
    let error = finetune(&options(&cells, &model, &out), &Stopping::default()).unwrap_err();
    assert_eq!(error.kind(), microtome_core::ErrorKind::Interrupted);
    let work = out.join(WORK);
    assert!(
        work.join("fold_0.json").exists() && work.join("fold_1.safetensors").exists(),
        "what was done is kept"
    );
    assert!(!work.join("fold_1.json").exists());
    let other = FinetuneOptions { first_block: 1, resume: true, ..options(&cells, &model, &out) };
    assert!(finetune(&other, &Silent).unwrap_err().to_string().contains("something else"));
    let resumed =
        finetune(&FinetuneOptions { resume: true, ..options(&cells, &model, &out) }, &Silent).unwrap();
    assert_eq!(resumed.scores, whole.scores);
    let read =
        |r: &FinetuneReport| std::fs::read(r.adapter.as_ref().unwrap().join("adapter.safetensors")).unwrap();
    assert!(read(&resumed) == read(&whole));
}
