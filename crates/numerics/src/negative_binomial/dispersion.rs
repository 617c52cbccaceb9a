//! Dispersion of one gene: the mode of the Cox-Reid adjusted profile likelihood, alone or with a prior.

use super::{Design, LEAST};
use libm::lgamma;

/// Grid points over the logarithm of the dispersion.
const GRID: usize = 30;
/// Steps of the golden-section search that follows.
const STEPS: usize = 30;

/// Maximum likelihood. A gene whose counts vary less than a Poisson model of moments allows keeps the least dispersion:
/// published implementations start there and find no slope.
pub(super) fn own(design: &Design<'_>, gene: usize, most: f64) -> f64 {
    if of_moments(design, gene) <= LEAST { LEAST } else { mode(design, gene, most, None) }
}

/// The smaller of two rough estimates on normalised counts: from residuals about group means, and from all samples.
fn of_moments(design: &Design<'_>, gene: usize) -> f64 {
    let y = design.column(gene);
    let normed: Vec<f64> = y.iter().zip(design.size).map(|(y, s)| y / s).collect();
    let n = normed.len() as f64;
    let free = n - design.members.len() as f64;
    let mut rough = 0.0;
    for members in &design.members {
        let mean = (members.iter().map(|&j| normed[j]).sum::<f64>() / members.len() as f64).max(1.0);
        rough +=
            members.iter().map(|&j| (normed[j] - mean).powi(2) - mean).sum::<f64>() / (free * mean * mean);
    }
    let mean = normed.iter().sum::<f64>() / n;
    let variance = normed.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let inverse = design.size.iter().map(|s| 1.0 / s).sum::<f64>() / n;
    rough.max(0.0).min((variance - inverse * mean) / (mean * mean))
}

/// Posterior mode under a log-normal prior around the trend.
pub(super) fn shrunken(design: &Design<'_>, gene: usize, most: f64, trend: f64, variance: f64) -> f64 {
    mode(design, gene, most, Some((trend.ln(), variance)))
}

fn mode(design: &Design<'_>, gene: usize, most: f64, prior: Option<(f64, f64)>) -> f64 {
    let y = design.column(gene);
    let mu = design.fitted(&y);
    let loss = |log_alpha: f64| {
        let alpha = log_alpha.exp();
        let inverse = 1.0 / alpha;
        let base = lgamma(inverse);
        let mut sum = 0.0;
        for (&y, &mu) in y.iter().zip(&mu) {
            sum += (y + inverse) * (alpha * mu).ln_1p() - y * log_alpha;
            if y > 0.0 {
                sum -= lgamma(y + inverse) - base;
            }
        }
        // The design has one column per group, so that the information matrix is diagonal.
        for members in &design.members {
            let information: f64 = members.iter().map(|&j| mu[j] / (1.0 + alpha * mu[j])).sum();
            sum += 0.5 * information.ln();
        }
        sum + prior.map_or(0.0, |(centre, variance)| (log_alpha - centre).powi(2) / (2.0 * variance))
    };
    let (low, high) = (LEAST.ln(), most.ln());
    let step = (high - low) / (GRID - 1) as f64;
    let at = |i: usize| low + step * i as f64;
    let best =
        (0..GRID).map(|i| (loss(at(i)), i)).fold((f64::INFINITY, 0), |a, b| if b.0 < a.0 { b } else { a }).1;
    golden_section(&loss, (at(best) - step).max(low), (at(best) + step).min(high)).exp()
}

/// Minimum of a function with a single one between the ends.
fn golden_section(f: &impl Fn(f64) -> f64, mut a: f64, mut b: f64) -> f64 {
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    let (mut c, mut d) = (b - ratio * (b - a), a + ratio * (b - a));
    let (mut at_c, mut at_d) = (f(c), f(d));
    for _ in 0..STEPS {
        if at_c < at_d {
            (b, d, at_d) = (d, c, at_c);
            c = b - ratio * (b - a);
            at_c = f(c);
        } else {
            (a, c, at_c) = (c, d, at_d);
            d = a + ratio * (b - a);
            at_d = f(d);
        }
    }
    0.5 * (a + b)
}
