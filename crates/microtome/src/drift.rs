//! How far a run in another precision is from f32: a seeded sample of cells goes through both.

use microtome_core::{Error, Matrix, Progress, Result, Silent, Site};
use microtome_models::taps::Pooling;
use microtome_models::{GeneMatch, Model, Precision, pool_cells};
use microtome_numerics::resample::Rng;
use serde::Serialize;

use crate::budget::Budget;
use crate::data::Data;
use crate::open::{OpenModel, open_model};

/// One in so many cells is run in both precisions, so that checking costs little beside the run,
const ONE_IN: usize = 20;
/// but at least so many,
const LEAST: usize = 8;
/// and at most so many.
const MOST: usize = 64;

/// Distance of a precision from f32 at one site, over the sampled cells.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SiteDrift {
    /// The site.
    pub site: String,
    /// Cells compared: those that have a vector at this site.
    pub n_cells: usize,
    /// `|x - f32| / |f32|` of a cell's vector (Euclidean lengths): median over cells.
    pub median_relative_error: f64,
    /// The same, largest.
    pub max_relative_error: f64,
    /// Cosine between both vectors: median over cells.
    pub median_cosine: f64,
    /// The same, smallest.
    pub min_cosine: f64,
}

/// Runs the sample in both precisions. Which cells are drawn depends on the seed and the number of cells only.
///
/// # Errors
/// As reading, tokenising and running; a site without a single comparable cell.
pub(crate) fn measure(
    opened: &OpenModel,
    data: &Data,
    genes: &GeneMatch,
    sites: &[Site],
    pooling: Pooling,
    budget: &Budget,
    progress: &dyn Progress,
) -> Result<Vec<SiteDrift>> {
    let n = data.cells.len();
    let mut cells = Rng::new(data.seed()).choose(n, (n / ONE_IN).clamp(LEAST, MOST).min(n));
    cells.sort_unstable();
    let (_, tokens) = data.tokenize_some(opened.model.as_ref(), genes, &cells)?;
    progress.begin(
        &format!("comparing {} with f32", opened.precision.name()),
        2 * cells.len() as u64,
        "cells",
    );
    let run = |model: &dyn Model| {
        let pooled = pool_cells(model, &tokens, sites, pooling, budget.tokens, &StopOnly(progress))?;
        progress.advance(cells.len() as u64);
        Ok::<_, Error>(pooled.matrices)
    };
    let rounded = run(opened.model.as_ref())?;
    // The other one is dropped before the long run begins.
    let exact = run(open_model(&opened.path, Precision::F32)?.as_ref())?;
    progress.end();
    sites.iter().zip(rounded.iter().zip(&exact)).map(|(site, (b, f))| drift_at(site, b, f)).collect()
}

/// Passes on the wish to stop and nothing else.
struct StopOnly<'a>(&'a dyn Progress);

impl Progress for StopOnly<'_> {
    fn begin(&self, stage: &str, total: u64, unit: &str) {
        Silent.begin(stage, total, unit);
    }
    fn advance(&self, n: u64) {
        Silent.advance(n);
    }
    fn end(&self) {}
    fn note(&self, message: &str) {
        self.0.note(message);
    }
    fn stopped(&self) -> bool {
        self.0.stopped()
    }
}

fn drift_at(site: &Site, rounded: &Matrix, exact: &Matrix) -> Result<SiteDrift> {
    let mut errors = vec![];
    let mut cosines = vec![];
    for row in 0..exact.rows() {
        let (mut distance, mut of_exact, mut of_rounded, mut dot) = (0.0f64, 0.0f64, 0.0f64, 0.0f64);
        for (b, f) in rounded.row(row).iter().zip(exact.row(row)) {
            let (b, f) = (f64::from(*b), f64::from(*f));
            distance += (b - f) * (b - f);
            of_exact += f * f;
            of_rounded += b * b;
            dot += b * f;
        }
        // Cells without a token have rows of NaN in both.
        if of_exact.is_nan() && of_rounded.is_nan() || of_exact == 0.0 && of_rounded == 0.0 {
            continue;
        }
        errors.push((distance / of_exact).sqrt());
        cosines.push(dot / (of_exact * of_rounded).sqrt());
    }
    errors.sort_by(f64::total_cmp);
    cosines.sort_by(f64::total_cmp);
    let (Some(&largest), Some(&smallest)) = (errors.last(), cosines.first()) else {
        return Err(Error::mismatch("no sampled cell has a vector to compare the precision with f32 by")
            .at_key(site.to_string())
            .remedy("run in f32"));
    };
    Ok(SiteDrift {
        site: site.to_string(),
        n_cells: errors.len(),
        median_relative_error: errors[errors.len() / 2],
        max_relative_error: largest,
        median_cosine: cosines[cosines.len() / 2],
        min_cosine: smallest,
    })
}

/// The farthest site in one sentence.
pub(crate) fn sentence(precision: Precision, drift: &[SiteDrift]) -> Option<String> {
    let farthest = drift.iter().max_by(|a, b| a.max_relative_error.total_cmp(&b.max_relative_error))?;
    Some(format!(
        "computed in {}: {} cells run in f32 as well differ by at most {} (median {}, smallest cosine {:.6}) at {}, where the difference is largest",
        precision.name(),
        farthest.n_cells,
        percent(farthest.max_relative_error),
        percent(farthest.median_relative_error),
        farthest.min_cosine,
        farthest.site
    ))
}

/// Per cent, and powers of ten where two digits would show nothing.
fn percent(share: f64) -> String {
    if share == 0.0 || share >= 1e-4 {
        format!("{:.2} %", 100.0 * share)
    } else {
        format!("{:.1e} %", 100.0 * share)
    }
}

/// Entry of a run card; none for a run in f32.
pub(crate) fn choice(precision: Precision, drift: &[SiteDrift]) -> Option<(String, serde_json::Value)> {
    (!drift.is_empty()).then(|| (format!("{}_drift_from_f32", precision.name()), serde_json::json!(drift)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_is_zero_far_is_far_and_empty_cells_do_not_count() {
        let nan = f32::NAN;
        let f = Matrix::new(3, 2, vec![3.0, 4.0, nan, nan, 1.0, 0.0]).unwrap();
        let same = drift_at(&Site::Embed, &f, &f).unwrap();
        assert_eq!((same.n_cells, same.max_relative_error, same.min_cosine), (2, 0.0, 1.0));
        let b = Matrix::new(3, 2, vec![3.0, 4.5, nan, nan, 0.0, 1.0]).unwrap();
        let far = drift_at(&Site::Embed, &b, &f).unwrap();
        assert!((far.max_relative_error - 2f64.sqrt()).abs() < 1e-12 && far.min_cosine == 0.0, "{far:?}");
        // A value lost on one side only is no agreement.
        let lost = Matrix::new(3, 2, vec![nan, 4.0, nan, nan, 1.0, 0.0]).unwrap();
        assert!(drift_at(&Site::Embed, &lost, &f).unwrap().max_relative_error.is_nan());
        let empty = Matrix::new(1, 1, vec![nan]).unwrap();
        assert!(drift_at(&Site::Embed, &empty, &empty).is_err());
        let said = sentence(Precision::Bf16, &[same, far]).unwrap();
        assert!(said.starts_with("computed in bf16: 2 cells") && said.contains("141.42 %"), "{said}");
        assert_eq!((percent(0.0), percent(3e-7)), ("0.00 %".into(), "3.0e-5 %".into()));
    }
}
