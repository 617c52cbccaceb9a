//! Simulated cells beside real ones: mean and variance, zeros, depth.

use microtome_core::{Result, Role, RunCard};
use microtome_report::{Figure, LinePoint, LineSeries, Lines, Page, TableBlock};
use microtome_train::Description;

use super::SimulateRun;
use super::real::Real;
use crate::card::{self, VERSION};
use crate::hash;

/// Groups of genes of similar mean, and of cells of similar depth.
const GENE_BINS: usize = 24;
const DEPTH_BINS: usize = 30;
const SECTION: &str = "Simulated beside real cells";

/// The page; its findings are the headline.
pub(super) fn page(real: &Real, simulated: &Description, run: &SimulateRun) -> Result<Page> {
    let pair = [(real.name.as_str(), &real.description), ("simulated", simulated)];
    let agreement = Agreement::of(&real.description, simulated);
    Ok(Page {
        title: format!("Simulated cells beside {}", real.name),
        command: card::shell(&run.command),
        run_card: RunCard {
            microtome: VERSION.into(),
            command: run.command.clone(),
            inputs: hash::inputs("data", &real.path)?,
            seed: run.options.seed,
            precision: "f64".into(),
            choices: serde_json::Map::new(),
        },
        findings: agreement.sentences(),
        figures: vec![
            Figure::Lines(mean_variance(&pair)),
            Figure::Lines(zeros(&pair)),
            Figure::Lines(depth(&pair)),
        ],
        tables: vec![agreement.table(&real.name)],
        ..Page::default()
    })
}

type Pair<'a> = [(&'a str, &'a Description); 2];

/// Genes of the real file that are seen, in groups of equal number by their mean there: the same genes in both.
fn groups(real: &Description) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..real.mean.len()).filter(|&g| real.mean[g] > 0.0).collect();
    order.sort_by(|&a, &b| real.mean[a].total_cmp(&real.mean[b]));
    let n = order.len();
    (0..GENE_BINS)
        .map(|k| order[k * n / GENE_BINS..(k + 1) * n / GENE_BINS].to_vec())
        .filter(|g| !g.is_empty())
        .collect()
}

/// Quartiles; `None` of no values.
fn quartiles(mut values: Vec<f64>) -> Option<[f64; 3]> {
    values.retain(|v| v.is_finite());
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some([0.25, 0.5, 0.75].map(|p| values[(p * last as f64).round() as usize]))
}

/// A line over groups of genes: median and quartiles of `value`.
fn by_mean(name: &str, d: &Description, groups: &[Vec<usize>], value: &dyn Fn(usize) -> f64) -> LineSeries {
    let points = groups
        .iter()
        .filter_map(|genes| {
            let x = quartiles(genes.iter().map(|&g| d.mean[g].log10()).collect())?[1];
            let y = quartiles(genes.iter().map(|&g| value(g)).collect());
            Some(LinePoint { x, y: y.map(|q| q[1]), low: y.map(|q| q[0]), high: y.map(|q| q[2]) })
        })
        .collect();
    LineSeries { name: name.into(), role: Role::Model, of: None, points }
}

fn poisson(d: &Description, groups: &[Vec<usize>], value: &dyn Fn(usize) -> f64) -> LineSeries {
    let bare = by_mean("Poisson of the same means", d, groups, value);
    let points = bare.points.into_iter().map(|p| LinePoint { low: None, high: None, ..p }).collect();
    LineSeries { role: Role::Baseline, points, ..bare }
}

fn mean_variance(pair: &Pair<'_>) -> Lines {
    let groups = groups(pair[0].1);
    let mut series: Vec<LineSeries> =
        pair.iter().map(|(name, d)| by_mean(name, d, &groups, &|g| d.variance[g].log10())).collect();
    let real = pair[0].1;
    let depths = || real.depths.iter().map(|&d| f64::from(d));
    let inflation =
        depths().sum::<f64>() * depths().map(f64::recip).sum::<f64>() / (real.n_cells as f64).powi(2);
    series.push(poisson(real, &groups, &|g| (real.mean[g] * inflation).log10()));
    Lines {
        section: SECTION.into(),
        title: "Variance against mean".into(),
        note: "Genes in groups of equal number by their mean in the real file; median and quartiles of each group. \
               Counts are brought to the mean depth."
            .into(),
        x: "mean count of a gene, log10".into(),
        y: "variance, log10".into(),
        series,
        ..Lines::default()
    }
}

fn zeros(pair: &Pair<'_>) -> Lines {
    let groups = groups(pair[0].1);
    let mut series: Vec<LineSeries> =
        pair.iter().map(|(name, d)| by_mean(name, d, &groups, &|g| d.zeros[g])).collect();
    let real = pair[0].1;
    let expected = |g: usize| {
        let share = real.share[g];
        real.depths.iter().map(|&d| (-share * f64::from(d)).exp()).sum::<f64>() / real.n_cells as f64
    };
    series.push(poisson(real, &groups, &expected));
    Lines {
        section: SECTION.into(),
        title: "Zeros against mean".into(),
        note: "Share of cells without a count of the gene; groups as above.".into(),
        x: "mean count of a gene, log10".into(),
        y: "share of zeros".into(),
        series,
        ..Lines::default()
    }
}

fn depth(pair: &Pair<'_>) -> Lines {
    let logs = |d: &Description| d.depths.iter().map(|&v| f64::from(v).log10()).collect::<Vec<f64>>();
    let both: Vec<Vec<f64>> = pair.iter().map(|(_, d)| logs(d)).collect();
    let all = || both.iter().flatten().copied();
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    let width = ((high - low) / DEPTH_BINS as f64).max(1e-9);
    let series = pair
        .iter()
        .zip(&both)
        .map(|((name, _), values)| {
            let mut counts = [0.0; DEPTH_BINS];
            for v in values {
                counts[(((v - low) / width) as usize).min(DEPTH_BINS - 1)] += 1.0;
            }
            let point = |(k, n): (usize, &f64)| LinePoint {
                x: low + (k as f64 + 0.5) * width,
                y: Some(n / values.len() as f64),
                low: None,
                high: None,
            };
            let points = counts.iter().enumerate().map(point).collect();
            LineSeries { name: (*name).into(), role: Role::Model, of: None, points }
        })
        .collect();
    Lines {
        section: SECTION.into(),
        title: "Counts per cell".into(),
        note: "Share of the cells in intervals of equal width.".into(),
        x: "total counts of a cell, log10".into(),
        y: "share of cells".into(),
        series,
        ..Lines::default()
    }
}

/// How far apart two descriptions of the same genes are.
struct Agreement {
    median_depth: [f64; 2],
    zeros: [f64; 2],
    /// Largest distance of the cumulative distributions of depth (Kolmogorov-Smirnov).
    depth_distance: f64,
    /// Correlation of log means, and median absolute differences over genes.
    mean_correlation: f64,
    variance_difference: f64,
    zero_difference: f64,
}

impl Agreement {
    fn of(real: &Description, simulated: &Description) -> Self {
        let both = [real, simulated];
        let seen: Vec<usize> =
            (0..real.mean.len()).filter(|&g| real.mean[g] > 0.0 && simulated.mean[g] > 0.0).collect();
        let log = |v: &[f64]| seen.iter().map(|&g| v[g].log10()).collect::<Vec<f64>>();
        let difference = |a: Vec<f64>, b: Vec<f64>| {
            let d = a.into_iter().zip(b).map(|(a, b)| (a - b).abs()).collect();
            quartiles(d).map_or(f64::NAN, |q| q[1])
        };
        Self {
            median_depth: both.map(|d| d.depth_quantile(0.5)),
            zeros: both.map(|d| d.zeros.iter().sum::<f64>() / d.zeros.len().max(1) as f64),
            depth_distance: largest_distance(&real.depths, &simulated.depths),
            mean_correlation: correlation(&log(&real.mean), &log(&simulated.mean)),
            variance_difference: difference(log(&real.variance), log(&simulated.variance)),
            zero_difference: difference(real.zeros.clone(), simulated.zeros.clone()),
        }
    }

    fn sentences(&self) -> Vec<String> {
        let ([real, simulated], [z_real, z_simulated]) = (self.median_depth, self.zeros);
        vec![
            format!(
                "Simulated cells have a median of {simulated:.0} counts where the real ones have {real:.0}, and {:.1} % zeros where those \
                 have {:.1} %.",
                100.0 * z_simulated,
                100.0 * z_real
            ),
            format!(
                "Gene by gene, log means correlate at {:.3}, variances differ by a factor of {:.2} and shares of zeros by {:.3} (medians).",
                self.mean_correlation,
                10_f64.powf(self.variance_difference),
                self.zero_difference
            ),
        ]
    }

    fn table(&self, real: &str) -> TableBlock {
        let row = |words: &str, values: [String; 2]| {
            let [a, b] = values;
            vec![words.to_string(), a, b]
        };
        let one = |words: &str, value: String| vec![words.to_string(), String::new(), value];
        TableBlock {
            title: "How far apart".into(),
            note: "Distances are between the real and the simulated cells, over the genes that both have."
                .into(),
            header: vec!["".into(), real.into(), "simulated".into()],
            rows: vec![
                row("median counts per cell", self.median_depth.map(|v| format!("{v:.0}"))),
                row("share of zeros", self.zeros.map(|v| format!("{v:.4}"))),
                one(
                    "largest distance of the distributions of counts per cell",
                    format!("{:.4}", self.depth_distance),
                ),
                one("correlation of log means", format!("{:.4}", self.mean_correlation)),
                one("median difference of log10 variance", format!("{:.4}", self.variance_difference)),
                one("median difference of the share of zeros", format!("{:.4}", self.zero_difference)),
            ],
            ..TableBlock::default()
        }
    }
}

fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let n = x.len() as f64;
    let (mx, my) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let sum = |f: &dyn Fn(f64, f64) -> f64| x.iter().zip(y).map(|(a, b)| f(a - mx, b - my)).sum::<f64>();
    sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
}

/// Largest distance of two cumulative distributions; both ascending.
fn largest_distance(a: &[f32], b: &[f32]) -> f64 {
    let (mut i, mut j, mut most) = (0, 0, 0.0_f64);
    while i < a.len() && j < b.len() {
        let at = a[i].min(b[j]);
        while i < a.len() && a[i] <= at {
            i += 1;
        }
        while j < b.len() && b[j] <= at {
            j += 1;
        }
        most = most.max((i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs());
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_of_distributions() {
        assert_eq!(largest_distance(&[1.0, 2.0], &[1.0, 2.0]), 0.0);
        assert_eq!(largest_distance(&[1.0, 2.0], &[3.0]), 1.0);
        assert_eq!(largest_distance(&[1.0, 2.0, 3.0, 4.0], &[2.5, 9.0]), 0.5);
        assert_eq!(quartiles(vec![f64::NAN]), None);
        assert_eq!(quartiles(vec![3.0, 1.0, 2.0]), Some([2.0, 2.0, 3.0]));
    }
}
