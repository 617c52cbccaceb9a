//! Baselines and controls: the simple methods and the emptied inputs that stand beside every model, in the same
//! slot as the model's own representations. The one list is [`CONTROLS`].

mod batches;
mod expression;
mod genes;
mod validation;

use microtome_core::{Counts, Error, ErrorKind, Matrix, Progress, Result, Role};

use crate::{Groups, Representation};
pub use expression::Expression;

/// What a control is made from.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// The input counts.
    Expression(fn(&Expression, u64) -> Result<Representation>),
    /// The input counts, one row per gene.
    Genes(fn(&Expression, u64) -> Result<Representation>),
    /// The input counts and the batch of every cell: methods that correct for batches.
    Batches(fn(&Expression, &[u32], u64) -> Result<Representation>),
    /// The truth itself, one value per cell, and a seed: controls that test the task, not a model.
    Truth(fn(&[f64], u64) -> Matrix),
    /// What the task holds for the true state of every cell, `[cell, dimension]`, and a seed.
    Effects(fn(&Matrix, u64) -> Matrix),
}

/// A baseline or a control.
#[derive(Clone, Copy, Debug)]
pub struct Control {
    /// Id, `[a-z0-9_]+`.
    pub id: &'static str,
    /// Version of the definition; rises when the numbers can change.
    pub version: u32,
    /// [`Role::Baseline`] or [`Role::Control`].
    pub role: Role,
    /// What it is, for a reader.
    pub words: &'static str,
    /// How it is made.
    pub source: Source,
}

macro_rules! controls {
    ($($name:ident $id:literal = $version:literal, $role:ident, $source:ident($make:path), $words:literal;)*) => {
        $(
            #[doc = $words]
            pub static $name: Control = Control {
                id: $id,
                version: $version,
                role: Role::$role,
                words: $words,
                source: Source::$source($make),
            };
        )*
        /// Every baseline and control.
        pub static CONTROLS: &[&Control] = &[$(&$name),*];
    };
}

controls! {
    LOG_NORMALISED "log_normalised" = 1, Baseline, Expression(expression::log_normalised),
        "log-normalised expression, without any reduction";
    PCA "pca" = 1, Baseline, Expression(expression::pca),
        "principal components of the most variable genes";
    PCA_CELL_RANGER "pca_cell_ranger" = 1, Baseline, Expression(expression::pca_cell_ranger),
        "principal components of the most variable genes by the rule of Cell Ranger";
    PCA_SEURAT_V3 "pca_seurat_v3" = 1, Baseline, Expression(expression::pca_seurat_v3),
        "principal components of the most variable genes by the rule of Seurat v3";
    PEARSON_RESIDUALS "pearson_residuals" = 1, Baseline, Expression(expression::pearson_residuals),
        "principal components of analytic Pearson residuals of the most variable genes";
    RANK_NORMAL "rank_normal" = 1, Baseline, Expression(expression::rank_normal),
        "ranks of a cell's genes as normal scores of unit length, without any parameter (scTOP)";
    RANK_NORMAL_PCA "rank_normal_pca" = 1, Baseline, Expression(expression::rank_normal_pca),
        "principal components of ranks of a cell's genes as normal scores";
    HARMONY_V1 "harmony_v1" = 1, Baseline, Batches(batches::harmony_v1),
        "principal components corrected by Harmony as of 2019";
    HARMONY_V2 "harmony_v2" = 1, Baseline, Batches(batches::harmony_v2),
        "principal components corrected by Harmony as of 2024";
    RANDOM_PROJECTION "random_projection" = 1, Baseline, Expression(expression::random_projection),
        "random projection of log-normalised expression";
    TOTAL_COUNTS "total_counts" = 1, Baseline, Expression(expression::total_counts),
        "total counts alone, which is sequencing depth";
    DETECTED_GENES "detected_genes" = 1, Baseline, Expression(expression::detected_genes),
        "the number of detected genes alone";
    GENE_EXPRESSION "gene_expression" = 1, Baseline, Genes(genes::expression),
        "mean expression, dispersion and detection rate of a gene";
    GENE_COEXPRESSION "gene_coexpression" = 1, Baseline, Genes(genes::coexpression),
        "principal components of genes over cells";
    GENE_RANDOM "gene_random" = 1, Baseline, Genes(genes::random),
        "a random vector per gene";
    RANDOM_EMBEDDING "random_embedding" = 1, Control, Truth(validation::random_embedding),
        "Gaussian noise that knows nothing of the truth: must score at chance";
    NOISY_TRUTH "noisy_truth" = 1, Control, Truth(validation::noisy_truth),
        "the truth itself with a little noise: must score near one";
    EFFECT_PROFILES "effect_profiles" = 1, Control, Effects(crate::tasks::perturbation::effect_profiles),
        "the reference effect of every cell's perturbation with noise: must score near the ceiling";
    NOISY_CLASSES "noisy_classes" = 1, Control, Truth(validation::noisy_classes),
        "the true class itself with a little noise: must score near one";
    NOISY_SETS "noisy_sets" = 1, Control, Truth(validation::noisy_sets),
        "the true memberships themselves with a little noise: must score near one";
}

impl Control {
    /// Makes a control that is drawn from the truth. `None` for one that is made from counts.
    pub fn from_truth(&self, truth: &[f64], seed: u64) -> Option<Representation> {
        match self.source {
            Source::Truth(make) => Some(Representation::simple(self.id, self.role, make(truth, seed))),
            Source::Expression(_) | Source::Genes(_) | Source::Batches(_) | Source::Effects(_) => None,
        }
    }

    /// Makes a control from the true state of every cell. `None` for one that is made of something else.
    pub fn from_effects(&self, effects: &Matrix, seed: u64) -> Option<Representation> {
        match self.source {
            Source::Effects(make) => Some(Representation::simple(self.id, self.role, make(effects, seed))),
            Source::Expression(_) | Source::Genes(_) | Source::Batches(_) | Source::Truth(_) => None,
        }
    }
}

/// The control whose representation has this name: its id, or its id followed by `_` and its sizes.
pub(crate) fn of_model(model: &str) -> Option<&'static Control> {
    let named =
        |c: &&&Control| model.strip_prefix(c.id).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
    // The longest id that fits: pca_seurat_v3_50 is not pca.
    CONTROLS.iter().filter(named).max_by_key(|c| c.id.len()).copied()
}

/// What a baseline is, for a reader, by the name of its representation. Falls back to a plain description for a baseline
/// that was not made here.
pub(crate) fn words_of(model: &str) -> &'static str {
    of_model(model).map_or("a baseline without a model", |c| c.words)
}

/// Keeps a baseline; one that these cells do not allow (no bins of different mean, too few cells) is named and left out.
fn keep(
    made: Result<Representation>,
    control: &Control,
    out: &mut Vec<Representation>,
    progress: &dyn Progress,
) -> Result<()> {
    match made {
        Ok(r) => out.push(r),
        Err(e) if e.kind() == ErrorKind::Interrupted => return Err(e),
        Err(e) => {
            progress.note(&format!("no baseline {}: {}", control.id, e.to_string().replace("\n  ", "; ")))
        }
    }
    Ok(())
}

/// All baselines of raw counts with one row per cell that these cells allow, in the order of [`CONTROLS`].
///
/// Genes are chosen and components fitted on all cells without labels, as every user of these methods does.
///
/// # Errors
/// When the values are not raw counts, when there are fewer than three cells, or when no gene varies.
pub fn baselines(counts: &Counts, seed: u64, progress: &dyn Progress) -> Result<Vec<Representation>> {
    make(counts, seed, progress, |source| match source {
        Source::Expression(make) => Some(make),
        _ => None,
    })
}

/// All baselines of raw counts with one row per gene, in the order of [`CONTROLS`]. Errors as [`baselines`].
pub fn gene_baselines(counts: &Counts, seed: u64, progress: &dyn Progress) -> Result<Vec<Representation>> {
    make(counts, seed, progress, |source| match source {
        Source::Genes(make) => Some(make),
        _ => None,
    })
}

/// Makes a representation of checked counts.
type Make = fn(&Expression, u64) -> Result<Representation>;

fn make(
    counts: &Counts,
    seed: u64,
    progress: &dyn Progress,
    wanted: impl Fn(Source) -> Option<Make>,
) -> Result<Vec<Representation>> {
    let expression = Expression::new(counts)?;
    let with = |c: &&'static Control| wanted(c.source).map(|make| (*c, make));
    let makers: Vec<(&Control, Make)> = CONTROLS.iter().filter_map(with).collect();
    progress.begin("baselines", makers.len() as u64, "baselines");
    let mut out = vec![];
    for (control, make) in makers {
        progress.check()?;
        keep(make(&expression, seed), control, &mut out, progress)?;
        progress.advance(1);
    }
    progress.end();
    Ok(out)
}

/// All baselines that correct for batches, in the order of [`CONTROLS`]; none where there is a single batch.
///
/// # Errors
/// As [`baselines`], and when the batch of a cell is not known.
pub fn batch_baselines(
    counts: &Counts,
    batches: &Groups,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Vec<Representation>> {
    if batches.codes.len() != counts.n_cells() || batches.codes.contains(&Groups::MISSING) {
        return Err(Error::usage("the batch must be known for every cell")
            .at_key(batches.name.clone())
            .expected(format!("{} values, none missing", counts.n_cells()))
            .found(format!(
                "{} values, {} missing",
                batches.codes.len(),
                batches.codes.iter().filter(|c| **c == Groups::MISSING).count()
            )));
    }
    if batches.codes.iter().all(|c| *c == batches.codes[0]) {
        progress.note(&format!("all cells are of one {}: nothing to correct for", batches.name));
        return Ok(vec![]);
    }
    let expression = Expression::new(counts)?;
    let mut out = vec![];
    for control in CONTROLS {
        if let Source::Batches(make) = control.source {
            progress.check()?;
            keep(make(&expression, &batches.codes, seed), control, &mut out, progress)?;
        }
    }
    Ok(out)
}
