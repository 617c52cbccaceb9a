//! What the tests of families share: reading kits, altering checkpoints, and what every model promises.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use microtome_core::{Column, Counts, Error, GeneTable, Result, Silent, Site, Table};
use microtome_weights::{Checkpoint, TensorData, write_safetensors};

use crate::model::CellTotals;
use crate::parity::{KitCells, KitReport, TensorReport, run_kit, run_kit_with};
use crate::taps::{Pooling, Recorded, Recorder, Tee};
use crate::{Model, SiteData, Tap, TokenizeOptions, Tokens, pool_cells};

/// A kit of the repository.
#[derive(Clone, Copy)]
pub(crate) struct Kit {
    pub(crate) family: &'static str,
    pub(crate) case: &'static str,
    /// Weights within `checkpoint/` that [`Kit::altered`] alters.
    pub(crate) weights: &'static str,
}

pub(crate) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

impl Kit {
    pub(crate) fn dir(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/models").join(self.family).join(self.case)
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.dir().join("checkpoint")
    }

    pub(crate) fn cells(&self) -> Cells {
        Cells::read(&self.dir())
    }

    pub(crate) fn run(&self, model: &dyn Model) -> KitReport {
        run_kit_with(&self.dir(), model, &self.cells().as_kit()).unwrap()
    }

    /// A copy of the checkpoint folder with other tensors in its weights; tensors that are not of floats are left out.
    pub(crate) fn altered(&self, alter: impl FnOnce(&mut Tensors)) -> tempfile::TempDir {
        let out = tempfile::tempdir().unwrap();
        copy_folder(&self.checkpoint(), out.path());
        let file = out.path().join(self.weights);
        let checkpoint = Checkpoint::open(&file).unwrap();
        let names =
            checkpoint.names().into_iter().filter(|n| !checkpoint.info(n).unwrap().dtype.is_integer());
        let mut all: Tensors = names
            .map(|n| {
                (n.to_string(), (checkpoint.info(n).unwrap().shape.clone(), checkpoint.read_f32(n).unwrap()))
            })
            .collect();
        drop(checkpoint);
        alter(&mut all);
        let list: Vec<(String, Vec<usize>, TensorData<'_>)> =
            all.iter().map(|(n, (shape, v))| (n.clone(), shape.clone(), TensorData::F32(v))).collect();
        std::fs::remove_file(&file).unwrap();
        write_safetensors(&file.with_file_name("model.safetensors"), &list, &[]).unwrap();
        out
    }

    /// A copy with other text in one of its files.
    pub(crate) fn with_text(&self, name: &str, from: &str, to: &str) -> tempfile::TempDir {
        let out = self.altered(|_| {});
        let path = out.path().join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from} is not in {name}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        out
    }

    /// Fails unless every tensor of the kit is within tolerance, none is left out, and the kit covers every site.
    pub(crate) fn holds(&self) -> KitReport {
        let report = run_kit(&self.dir(), &self.cells().as_kit()).unwrap();
        for t in &report.tensors {
            let allowed = t.worst.as_ref().map_or(0.0, |w| w.allowed);
            println!(
                "{} {} {:.2e} (allowed {allowed:.2e}) {}",
                report.case, t.name, t.max_abs_error, t.n_elements
            );
        }
        assert!(report.passed, "{:?}", report.tensors.iter().find(|t| !t.passed));
        assert_eq!(report.not_compared, [], "nothing is left out");
        assert_eq!(report.without_expectation, Vec::<String>::new(), "the kit covers every site");
        assert!(report.tensors.iter().all(|t| t.n_elements > 0));
        report
    }
}

/// Fails unless a wrong variant is noticed by far, and first at the tensor given.
pub(crate) fn caught(what: &str, report: &KitReport, first: &str) {
    let ratio = |t: &TensorReport| {
        let w = t.worst.as_ref()?;
        Some((w.expected - w.found).abs() / w.allowed)
    };
    let excess = report.tensors.iter().filter_map(ratio).fold(0.0, f64::max);
    assert!(!report.passed, "{what} was not noticed");
    assert_eq!(report.first_divergence.as_deref(), Some(first), "{what}");
    assert!(excess > 5.0, "{what}: only {excess} times the tolerance");
}

/// Swaps two tensors.
pub(crate) fn swap(tensors: &mut Tensors, a: &str, b: &str) {
    let first = tensors.remove(a).unwrap();
    let second = tensors.insert(b.into(), first).unwrap();
    tensors.insert(a.into(), second);
}

/// Fills a tensor with zeros.
pub(crate) fn zero(tensors: &mut Tensors, name: &str) {
    tensors.get_mut(name).unwrap().1.fill(0.0);
}

/// `../shared` of the workspace, or `MICROTOME_SHARED`; says so when it is absent.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("MICROTOME_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let path = root.join(path);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there (set MICROTOME_SHARED to the shared data)", path.display());
    None
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::write(target, std::fs::read(&path).unwrap()).unwrap();
        }
    }
}

/// The cells of a kit.
pub(crate) struct Cells {
    pub(crate) counts: Counts,
    pub(crate) var: Table,
    pub(crate) obs: Table,
    totals: Option<(Vec<f64>, bool)>,
}

impl Cells {
    pub(crate) fn read(kit: &Path) -> Self {
        let data = microtome_h5ad::open(&kit.join("cells.h5ad")).unwrap();
        let slot = microtome_h5ad::Slot::X;
        let obs = data.obs().unwrap();
        let totals = obs.columns.iter().find(|(n, _)| n == "n_counts");
        Self {
            counts: data.matrix(&slot).unwrap().rows(0..data.n_cells()).unwrap(),
            var: data.var(&slot).unwrap(),
            totals: totals.map(|(_, c)| (c.numbers().unwrap(), matches!(c, Column::Float(_)))),
            obs,
        }
    }

    /// As if the file had no `n_counts`.
    pub(crate) fn forget_totals(&mut self) {
        self.totals = None;
    }

    pub(crate) fn totals(&self) -> Option<CellTotals<'_>> {
        self.totals.as_ref().map(|(values, single)| CellTotals { values, single_precision: *single })
    }

    pub(crate) fn as_kit(&self) -> KitCells<'_> {
        KitCells { counts: &self.counts, var: &self.var, obs: &self.obs, totals: self.totals() }
    }

    pub(crate) fn genes(&self) -> GeneTable {
        let column = self.var.columns.iter().find(|(n, _)| n == "ensembl_id").map(|(n, _)| n.as_str());
        GeneTable::detect(&self.var, column, None).unwrap()
    }

    pub(crate) fn tokens(&self, model: &dyn Model) -> Tokens {
        self.tokens_with(model, &TokenizeOptions::default()).unwrap()
    }

    pub(crate) fn tokens_with(&self, model: &dyn Model, options: &TokenizeOptions) -> Result<Tokens> {
        let genes = model.match_genes(&self.genes()).unwrap();
        model.tokenize(&self.counts, self.totals(), &genes, options)
    }
}

fn rows(model: &dyn Model, tokens: &Tokens, site: &Site) -> Vec<f32> {
    let mut recorder = Recorder::new([site.clone()]);
    model.forward(tokens, &mut recorder).unwrap();
    match recorder.take(site) {
        Some(Recorded::Tokens { data, .. } | Recorded::Cells { data, .. }) => data,
        other => panic!("{other:?}"),
    }
}

/// What the forward pass promises: independence of company, order and threads, and nothing computed in vain.
pub(crate) fn forward_keeps_its_promises(model: &dyn Model, tokens: &Tokens) {
    let last = Site::resid_post(model.info().n_blocks - 1);
    for site in [&last, &Site::CellEmbedding] {
        let together = rows(model, tokens, site);
        let alone: Vec<f32> =
            (0..tokens.n_cells()).flat_map(|c| rows(model, &tokens.select(&[c]), site)).collect();
        assert_eq!(together, alone, "{site}: a cell's neighbours");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(together, pool.install(|| rows(model, tokens, site)), "{site}: threads");
    }
    let sites: Vec<Site> = model.sites().into_iter().map(|s| s.site).collect();
    let one_cell = tokens.select(&[0]);
    let mut all = Strict { wanted: sites.clone(), seen: vec![] };
    let mut full = Recorder::new(sites.clone());
    model.forward(&one_cell, &mut Tee(vec![&mut all, &mut full])).unwrap();
    assert_eq!(all.seen, sites, "in the order of the forward pass");
    for site in &sites {
        let mut one = Strict { wanted: vec![site.clone()], seen: vec![] };
        let mut record = Recorder::new([site.clone()]);
        model.forward(&one_cell, &mut Tee(vec![&mut one, &mut record])).unwrap();
        assert_eq!(one.seen, std::slice::from_ref(site), "nothing but what was asked for");
        assert_eq!(record.get(site), full.get(site), "{site}: alone and among all");
    }
    let pooled = |budget| {
        let sites = [Site::Embed, last.clone(), Site::CellEmbedding];
        pool_cells(model, tokens, &sites, Pooling::Published, budget, &Silent).unwrap()
    };
    assert_eq!(pooled(1 << 20), pooled(1), "the budget of a minibatch");
    foreign_tokens_are_refused(model);
}

fn foreign_tokens_are_refused(model: &dyn Model) {
    let mut recorder = Recorder::new([Site::Embed]);
    let (foreign, longest) = (model.info().d_vocab as u32, model.info().max_tokens);
    let mut tokens = Tokens::new();
    tokens.push(&[foreign], &[0.0], 0, 0);
    assert!(model.forward(&tokens, &mut recorder).unwrap_err().to_string().contains("vocabulary"));
    let mut tokens = Tokens::new();
    tokens.push(&vec![2; longest + 1], &vec![0.0; longest + 1], 0, 0);
    assert!(model.forward(&tokens, &mut recorder).unwrap_err().to_string().contains("at most"));
}

/// What a tokeniser of ranked genes behind one special token promises, over the cells of a kit.
pub(crate) fn ranks_keep_their_promises(model: &dyn Model, cells: &Cells) {
    let all = cells.tokens(model);
    assert!(all.n_ties.iter().all(|&n| n == 0) && all.n_cut.iter().any(|&n| n > 0));
    let capped = |max_tokens| {
        cells.tokens_with(
            model,
            &TokenizeOptions { max_tokens: Some(max_tokens), ..TokenizeOptions::default() },
        )
    };
    let few = capped(7).unwrap();
    for c in 0..all.n_cells() {
        let (a, f) = (all.cell(c).0, few.cell(c).0);
        assert!(f.len() <= 7 && f == &a[..f.len()]);
        assert_eq!(all.n_cut[c] as usize + a.len(), few.n_cut[c] as usize + f.len());
        let values = &all.cell(c).1[model.gene_tokens(a.len())];
        assert!(values.windows(2).all(|w| w[0] >= w[1]));
    }
    assert!(capped(0).is_err() && capped(1).is_err());
    assert_eq!(capped(9999).unwrap(), all);
    let overlap = model.match_genes(&cells.genes()).unwrap().overlap;
    assert!(overlap.n_matched < overlap.n_genes && !overlap.examples_missing.is_empty());
    let c = &cells.counts;
    let logged: Vec<f32> = c.values().iter().map(|v| v.ln_1p()).collect();
    let logged = Counts::new(c.n_genes(), c.indptr().to_vec(), c.indices().to_vec(), logged).unwrap();
    let genes = model.match_genes(&cells.genes()).unwrap();
    let e = model.tokenize(&logged, None, &genes, &TokenizeOptions::default()).unwrap_err().to_string();
    assert!(e.contains("log-normalised"), "{e}");
}

/// Notes the order of offers and fails on a site it did not ask for.
struct Strict {
    wanted: Vec<Site>,
    seen: Vec<Site>,
}

impl Tap for Strict {
    fn wants(&self, site: &Site) -> bool {
        self.wanted.contains(site)
    }

    fn offer(&mut self, site: &Site, _tokens: &Tokens, _data: SiteData<'_>) -> Result<()> {
        if !self.wanted.contains(site) {
            return Err(Error::usage("not asked for").at_key(site.to_string()));
        }
        if self.seen.last() != Some(site) {
            self.seen.push(site.clone());
        }
        Ok(())
    }
}
