//! The transform battery: does a finding survive other ways of scaling the same representation?
//!
//! Distances between cells depend on the scale of dimensions, on a shared mean vector and on a few dimensions of very
//! large variance, which differ from block to block. A depth whose advantage turns into its opposite under one of these
//! changes holds no more information: it is scaled differently. All transforms are fitted without labels.

use microtome_core::{Matrix, Result, Summary, Verdict};
use microtome_numerics::pca;

use crate::Representation;

/// A dimension is clipped when its variance exceeds the median by this factor.
const OUTLYING: f64 = 100.0;
/// Share of the largest variance that is added to every one before whitening.
const SHRINKAGE: f64 = 1e-3;
/// A finding is robust when at least this share of the battery has its sign.
const ROBUST: f64 = 0.9;

/// One way of scaling a representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    /// As it is.
    None,
    /// Minus the mean cell.
    Centred,
    /// Every dimension to mean 0 and variance 1; dimensions without variance to 0.
    ZScored,
    /// Every cell to length 1.
    UnitLength,
    /// The first principal components.
    Pca(usize),
    /// The same scaled to equal variance, with a little shrinkage.
    Whitened(usize),
    /// Without the first principal components.
    WithoutTop(usize),
    /// Dimensions of variance above 100 times the median scaled down to that.
    Clipped,
}

/// The battery of the protocol.
pub const BATTERY: [Transform; 10] = [
    Transform::None,
    Transform::Centred,
    Transform::ZScored,
    Transform::UnitLength,
    Transform::Pca(10),
    Transform::Pca(50),
    Transform::Whitened(50),
    Transform::WithoutTop(1),
    Transform::WithoutTop(3),
    Transform::Clipped,
];

impl Transform {
    /// Id in records.
    pub fn id(self) -> String {
        match self {
            Self::None => "none".into(),
            Self::Centred => "centred".into(),
            Self::ZScored => "z_scored".into(),
            Self::UnitLength => "unit_length".into(),
            Self::Pca(k) => format!("pca_{k}"),
            Self::Whitened(k) => format!("whitened_{k}"),
            Self::WithoutTop(k) => format!("without_top_{k}"),
            Self::Clipped => "clipped".into(),
        }
    }

    /// The transformed matrix; component numbers above what exists become what exists.
    ///
    /// Errors when a value is not finite or there are fewer than two cells.
    pub fn apply(self, x: &Matrix, seed: u64) -> Result<Matrix> {
        let most = x.cols().min(x.rows().saturating_sub(1));
        let (mean, variance) = moments(x);
        Ok(match self {
            Self::None => x.clone(),
            Self::Centred => map(x, |j, v| v - mean[j]),
            Self::ZScored => {
                map(x, |j, v| if variance[j] > 0.0 { (v - mean[j]) / variance[j].sqrt() } else { 0.0 })
            }
            Self::UnitLength => {
                let mut out = x.clone();
                for i in 0..out.rows() {
                    let row = out.row_mut(i);
                    let length = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
                    if length > 0.0 {
                        row.iter_mut().for_each(|v| *v = (f64::from(*v) / length) as f32);
                    }
                }
                out
            }
            Self::Pca(k) => pca(x, k.min(most), seed)?.scores,
            Self::Whitened(k) => {
                let found = pca(x, k.min(most), seed)?;
                let floor = SHRINKAGE * found.explained_variance.first().copied().unwrap_or(0.0);
                let scale: Vec<f64> = found
                    .explained_variance
                    .iter()
                    .map(|v| if v + floor > 0.0 { 1.0 / (v + floor).sqrt() } else { 0.0 })
                    .collect();
                map(&found.scores, |j, v| v * scale[j])
            }
            Self::WithoutTop(k) => {
                let found = pca(x, k.min(most), seed)?;
                let mut out = map(x, |j, v| v - mean[j]);
                for i in 0..out.rows() {
                    let scores = found.scores.row(i).to_vec();
                    let row = out.row_mut(i);
                    for (c, s) in scores.iter().enumerate() {
                        row.iter_mut().zip(found.components.row(c)).for_each(|(v, a)| *v -= s * a);
                    }
                }
                out
            }
            Self::Clipped => {
                let mut sorted = variance.clone();
                sorted.sort_by(f64::total_cmp);
                let most = OUTLYING * sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
                let scale: Vec<f64> = variance
                    .iter()
                    .map(|v| if most > 0.0 && *v > most { (most / v).sqrt() } else { 1.0 })
                    .collect();
                map(x, |j, v| mean[j] + scale[j] * (v - mean[j]))
            }
        })
    }

    /// A transformed copy; `Err` with the reason where the representation cannot be transformed.
    pub fn of(self, r: &Representation, seed: u64) -> Result<Representation> {
        Ok(Representation { matrix: self.apply(&r.matrix, seed)?, ..r.clone() })
    }
}

/// Mean and variance (n - 1) of every column.
fn moments(x: &Matrix) -> (Vec<f64>, Vec<f64>) {
    let n = x.rows() as f64;
    let mut mean = vec![0.0; x.cols()];
    (0..x.rows()).for_each(|i| mean.iter_mut().zip(x.row(i)).for_each(|(m, &v)| *m += f64::from(v) / n));
    let mut variance = vec![0.0; x.cols()];
    for i in 0..x.rows() {
        for ((s, m), &v) in variance.iter_mut().zip(&mean).zip(x.row(i)) {
            *s += (f64::from(v) - m).powi(2) / (n - 1.0).max(1.0);
        }
    }
    // A constant column varies by the rounding of its mean alone.
    variance.iter_mut().zip(&mean).filter(|(v, m)| **v <= 1e-14 * **m * **m).for_each(|(v, _)| *v = 0.0);
    (mean, variance)
}

fn map(x: &Matrix, f: impl Fn(usize, f64) -> f64) -> Matrix {
    let mut out = x.clone();
    for i in 0..out.rows() {
        out.row_mut(i).iter_mut().enumerate().for_each(|(j, v)| *v = f(j, f64::from(*v)) as f32);
    }
    out
}

/// The nested gain over the final block of one model under one transform.
#[derive(Clone, Debug, PartialEq)]
pub struct SignRow {
    /// Model.
    pub model: String,
    /// Transform id.
    pub transform: String,
    /// The gain and its interval, where they exist.
    pub gain: Option<(f64, Option<f64>, Option<f64>)>,
    /// What the transform's own run says about depth.
    pub verdict: Verdict,
}

impl SignRow {
    /// From the summary of a run under `transform`.
    pub fn new(transform: Transform, s: &Summary) -> Self {
        let gain = s.gain_over_final.as_ref().map(|g| (g.estimate.value, g.estimate.low, g.estimate.high));
        Self { model: s.model.clone(), transform: transform.id(), gain, verdict: s.depth_verdict }
    }
}

/// What the battery says about one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Robustness {
    /// The same sign in at least 90% of the battery and never significantly the opposite.
    Robust,
    /// A transform turns the finding significantly into its opposite.
    Reversed,
    /// Neither.
    Mixed,
    /// The gain is undefined or zero without a transform.
    Unknown,
}

impl Robustness {
    /// For a reader.
    pub fn words(self) -> &'static str {
        match self {
            Self::Robust => "the sign of the gain over the final block holds under scaling",
            Self::Reversed => "scaling turns the gain over the final block into its opposite",
            Self::Mixed => "the sign of the gain over the final block depends on scaling",
            Self::Unknown => "there is no gain over the final block whose sign could hold",
        }
    }
}

/// Judges the rows of one model; the first is the one without a transform.
pub fn robustness(rows: &[SignRow]) -> Robustness {
    let Some(first) = rows.first().and_then(|r| r.gain).map(|g| g.0).filter(|g| *g != 0.0) else {
        return Robustness::Unknown;
    };
    let sign = first.signum();
    let known: Vec<_> = rows.iter().filter_map(|r| r.gain).collect();
    let against = |g: &(f64, Option<f64>, Option<f64>)| match (g.1, g.2) {
        (Some(low), Some(high)) => {
            if sign > 0.0 {
                high < 0.0
            } else {
                low > 0.0
            }
        }
        _ => false,
    };
    if known.iter().any(against) {
        return Robustness::Reversed;
    }
    let same = known.iter().filter(|g| g.0 * sign > 0.0).count() as f64;
    if same >= ROBUST * rows.len() as f64 { Robustness::Robust } else { Robustness::Mixed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use microtome_numerics::resample::Rng;

    fn cells() -> Matrix {
        let mut rng = Rng::new(3);
        let data = (0..40)
            .flat_map(|_| [5.0 + rng.normal(), 30.0 * rng.normal(), rng.normal(), 7.0])
            .map(|v| v as f32);
        Matrix::new(40, 4, data.collect()).unwrap()
    }

    #[test]
    fn every_transform_does_what_it_says() {
        let x = cells();
        let of = |t: Transform| t.apply(&x, 0).unwrap();
        let (mean, variance) = moments(&of(Transform::ZScored));
        assert!(
            mean.iter().all(|m| m.abs() < 1e-5) && (variance[1] - 1.0).abs() < 1e-4 && variance[3] == 0.0
        );
        assert!(moments(&of(Transform::Centred)).0.iter().all(|m| m.abs() < 1e-5));
        let unit = of(Transform::UnitLength);
        assert!((unit.row(3).iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5);
        assert_eq!(of(Transform::Pca(2)).cols(), 2);
        let white = moments(&of(Transform::Whitened(2))).1;
        assert!(white.iter().all(|v| (v - 1.0).abs() < 0.6), "{white:?}");
        assert!(moments(&of(Transform::WithoutTop(1))).1[1] < 0.05 * moments(&x).1[1]);
        let clipped = moments(&of(Transform::Clipped)).1;
        assert!(clipped[1] < moments(&x).1[1] && (clipped[2] - moments(&x).1[2]).abs() < 1e-4);
        let ids: std::collections::BTreeSet<String> = BATTERY.iter().map(|t| t.id()).collect();
        assert_eq!(ids.len(), BATTERY.len());
    }

    #[test]
    fn signs_are_counted() {
        let row = |v: f64, low: f64, high: f64| SignRow {
            model: "m".into(),
            transform: "t".into(),
            gain: Some((v, Some(low), Some(high))),
            verdict: Verdict::CannotDistinguishDepths,
        };
        let mut rows = vec![row(0.1, 0.05, 0.2); 10];
        assert_eq!(robustness(&rows), Robustness::Robust);
        rows[4] = row(-0.01, -0.1, 0.1);
        assert_eq!(robustness(&rows), Robustness::Robust);
        rows[5] = row(-0.01, -0.1, 0.1);
        assert_eq!(robustness(&rows), Robustness::Mixed);
        rows[6] = row(-0.2, -0.3, -0.1);
        assert_eq!(robustness(&rows), Robustness::Reversed);
        rows[0].gain = None;
        assert_eq!(robustness(&rows), Robustness::Unknown);
    }
}
