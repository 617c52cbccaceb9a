//! What representations are held against: similarities of reference effects in every half, counts of changed genes.

use microtome_core::{Progress, Result};

use super::design::Design;
use super::effects::{Effects, dot};
use super::readings::reliability;
use super::reference::Expression;
use super::{PerturbationOptions, Reference};

/// Reference effects of one design.
pub(super) struct Truth {
    /// Similarities of pairs, `[split, half, pair]`.
    pub(super) reference: Vec<f64>,
    /// Effects over all cells.
    pub(super) effects: Effects,
    /// Changed genes per perturbation.
    pub(super) n_changed: Vec<f64>,
    /// Similarities of the published variant.
    pub(super) published: Vec<f64>,
    /// Agreement of the references of both halves.
    pub(super) ceiling: Option<f64>,
}

impl Truth {
    pub(super) fn new(
        options: &PerturbationOptions<'_>,
        design: &Design,
        expression: &Expression<'_>,
        seed: u64,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let n = design.len();
        progress.begin("reference effects", 2 * design.splits.len() as u64 + 1, "fits");
        let mut reference = vec![];
        for s in 0..design.splits.len() {
            for h in 0..2 {
                progress.check()?;
                reference.extend(expression.of_half(s, h)?.pair_similarities(n));
                progress.advance(1);
            }
        }
        let effects = expression.of_all()?;
        progress.advance(1);
        progress.end();
        let published = PerturbationOptions { reference: Reference::MeanDifferenceTop500, ..options.clone() };
        let published = Expression::new(&published, design, seed)?.of_all()?.pair_similarities(n);
        Ok(Self {
            ceiling: reliability(&reference, n * (n - 1) / 2),
            n_changed: expression.n_changed(&effects)?,
            reference,
            effects,
            published,
        })
    }

    /// Length of every perturbation's effect over all cells.
    pub(super) fn strength(&self, n: usize) -> Vec<f64> {
        let length = |p| {
            let e = self.effects.mean(p);
            dot(&e, &e).sqrt()
        };
        (0..n).map(length).collect()
    }
}
