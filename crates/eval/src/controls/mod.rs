//! Baselines and controls: the simple methods and the emptied inputs that stand beside every model, in the same
//! slot as the model's own representations. The one list is [`CONTROLS`].

mod expression;
mod genes;
mod validation;

use microtome_core::{Counts, Matrix, Progress, Result, Role};

use crate::Representation;
pub use expression::Expression;

/// What a control is made from.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// The input counts.
    Expression(fn(&Expression, u64) -> Result<Representation>),
    /// The input counts, one row per gene.
    Genes(fn(&Expression, u64) -> Result<Representation>),
    /// The truth itself, one value per cell, and a seed: controls that test the task, not a model.
    Truth(fn(&[f64], u64) -> Matrix),
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
            Source::Expression(_) | Source::Genes(_) => None,
        }
    }
}

/// What a baseline is, for a reader, by the name of its representation: the id, or the id followed by `_` and its
/// sizes. Falls back to a plain description for a baseline that was not made here.
pub(crate) fn words_of(model: &str) -> &'static str {
    let named =
        |c: &&&Control| model.strip_prefix(c.id).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
    CONTROLS.iter().find(named).map_or("a baseline without a model", |c| c.words)
}

/// All baselines of raw counts with one row per cell, in the order of [`CONTROLS`].
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
    let makers: Vec<Make> = CONTROLS.iter().filter_map(|c| wanted(c.source)).collect();
    progress.begin("baselines", makers.len() as u64, "baselines");
    let mut out = vec![];
    for make in makers {
        progress.check()?;
        out.push(make(&expression, seed)?);
        progress.advance(1);
    }
    progress.end();
    Ok(out)
}
