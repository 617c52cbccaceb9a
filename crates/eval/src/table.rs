//! Published scores by layer, read under a stated uncertainty.
//!
//! A table of scores without intervals cannot say which optimum is real. Given the standard deviation of one score and the
//! correlation between scores of two layers (they share cells, so that most noise is shared), this module says which
//! layers could be the best one, which differences would have been seen, and how large a maximum chance alone makes.
//!
//! Scores are drawn many times from a normal distribution around the published ones; the draws take the place of bootstrap
//! replicates in the same bands, adjusted p values and confidence sets that measured scores go through.

use microtome_core::{Error, Estimate, Gain, Record, Result, Role, Summary, Verdict};
use rayon::prelude::*;

use crate::protocol::Scale;
use crate::protocol::bands::{Signed, best_set, simultaneous};
use crate::protocol::bootstrap::{Replicates, Series};
use crate::protocol::interval::quantile;
use crate::protocol::random::stream;
use crate::verdict::depth_verdict;

/// Most layers of one curve.
const MAX_LAYERS: usize = 1000;

/// One curve of a published table.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Data set or state.
    pub dataset: String,
    /// Model.
    pub model: String,
    /// What was measured.
    pub metric: String,
    /// Names of the layers from shallow to deep; the last is what users take by habit.
    pub layers: Vec<String>,
    /// Score of every layer.
    pub scores: Vec<f64>,
    /// Standard deviation of every score.
    pub sd: Vec<f64>,
}

/// What is assumed about the noise of published scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TableOptions {
    /// Correlation between the scores of two layers.
    pub correlation: f64,
    /// Coverage of bands and sets.
    pub level: f64,
    /// Differences inside `-margin..margin` count as a tie.
    pub margin: f64,
    /// Draws.
    pub n_draws: usize,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for TableOptions {
    /// Correlation 0.9, 95%, margin 0.01, 10,000 draws.
    fn default() -> Self {
        Self { correlation: 0.9, level: 0.95, margin: 0.01, n_draws: 10_000, seed: 0 }
    }
}

/// Records and the answer of one curve. Errors when numbers are missing, not finite or out of range.
pub fn assess_curve(curve: &Curve, o: &TableOptions, run_card: &str) -> Result<(Vec<Record>, Summary)> {
    check(curve, o)?;
    let n = curve.layers.len();
    let last = n - 1;
    let noise = noise(&curve.sd, o);
    let replicates = |a: usize, b: usize| Replicates {
        series: Series::Difference(a, vec![b]),
        scale: Scale::Plain,
        estimate: curve.scores[a] - curve.scores[b],
        se: 0.0,
        values: noise.iter().map(|e| curve.scores[a] - curve.scores[b] + e[a] - e[b]).collect(),
        ses: vec![],
        jackknife: vec![],
    };
    let family: Vec<Replicates> = (0..last).map(|l| replicates(l, last)).collect();
    let banded = simultaneous(&family.iter().collect::<Vec<_>>(), o.level);
    let pairs: Vec<Vec<Option<Replicates>>> =
        (0..n).map(|a| (0..n).map(|b| (a < b).then(|| replicates(a, b))).collect()).collect();
    let between = |j: usize, i: usize| {
        let (a, b, sign) = if j < i { (j, i, 1.0) } else { (i, j, -1.0) };
        pairs[a][b].as_ref().map(|replicates| Signed { replicates, sign })
    };
    let best = if n > 1 { best_set(n, between, o.level) } else { vec![0] };
    let argmax = (0..n).fold(0, |m, l| if curve.scores[l] > curve.scores[m] { l } else { m });
    // What the maximum of equal layers exceeds the last one by, on average.
    let luck = noise.iter().map(|e| e.iter().copied().fold(f64::MIN, f64::max) - e[last]).sum::<f64>()
        / noise.len() as f64;
    let half = microtome_numerics::resample::normal_quantile(0.5 + o.level / 2.0);
    let mut records = vec![];
    for l in 0..n {
        let mut r = record(curve, o, l, run_card);
        r.value = Some(curve.scores[l]);
        r.ci_low = Some(curve.scores[l] - half * curve.sd[l]);
        r.ci_high = Some(curve.scores[l] + half * curve.sd[l]);
        r.ci_method = Some("stated_sd".into());
        r.reason = Some(format!("published score; standard deviation {} as stated", curve.sd[l]));
        records.push(r);
    }
    for (l, b) in banded.iter().enumerate() {
        let mut r = record(curve, o, l, run_card);
        r.metric = format!("{}_minus_final", curve.metric);
        r.value = Some(b.estimate);
        (r.ci_low, r.ci_high) = (b.band.map(|i| i.low), b.band.map(|i| i.high));
        r.ci_method = b.band.map(|_| "max_t".into());
        (r.p, r.p_adj) = (b.p, b.p_adj);
        r.reason = Some(format!("published scores; correlation {} between layers assumed", o.correlation));
        records.push(r);
    }
    let gain = banded.get(argmax).and_then(|b| b.band.map(|i| (b.estimate, i)));
    let estimate = gain.map(|(value, i)| Estimate { value, low: Some(i.low), high: Some(i.high) });
    let detectable: Vec<f64> = banded.iter().filter_map(|b| b.detectable).collect();
    let detectable = (!detectable.is_empty()).then(|| quantile(&detectable, 0.5));
    let mut summary = Summary {
        dataset: curve.dataset.clone(),
        model: curve.model.clone(),
        task: "table".into(),
        metric: curve.metric.clone(),
        depth_verdict: match estimate {
            Some(_) => depth_verdict(estimate.as_ref(), best.contains(&last), o.margin),
            None => Verdict::CannotDistinguishDepths,
        },
        model_verdict: Verdict::NotEnoughUnits,
        sentences: vec![],
        chosen_site: None,
        confidence_set: best.iter().map(|&l| curve.layers[l].clone()).collect(),
        nested_score: None,
        gain_over_final: estimate
            .map(|estimate| Gain { against: format!("the last layer ({})", curve.layers[last]), estimate }),
        gain_over_best_baseline: None,
        detectable: None,
        optimism: Some(luck),
        oracle_site: Some(curve.layers[argmax].clone()),
        n_units: 0,
        unit: "published score".into(),
        n_cells: 0,
        warnings: vec![format!(
            "nothing was measured: the standard deviation ({}) and the correlation between layers ({}) are assumptions, and \
             the layer was chosen on the scores themselves",
            range(&curve.sd),
            o.correlation
        )],
    };
    summary.sentences = sentences(curve, &summary, argmax, luck, detectable);
    Ok((records, summary))
}

fn sentences(c: &Curve, s: &Summary, argmax: usize, luck: f64, detectable: Option<f64>) -> Vec<String> {
    let n = c.layers.len();
    let mut out = vec![match &s.gain_over_final {
        _ if argmax + 1 == n => format!(
            "{}: the last layer ({}) has the highest score, {:.3}.",
            c.model, c.layers[argmax], c.scores[argmax]
        ),
        Some(g) => format!(
            "{}: layer {} has the highest score, {:.3}; it exceeds the last layer ({}) by {:+.4} [{:+.4}, {:+.4}]: {}.",
            c.model,
            c.layers[argmax],
            c.scores[argmax],
            c.layers[n - 1],
            g.estimate.value,
            g.estimate.low.unwrap_or(f64::NAN),
            g.estimate.high.unwrap_or(f64::NAN),
            match s.depth_verdict {
                Verdict::DepthMatters => "the two can be told apart",
                _ => "the two cannot be told apart",
            }
        ),
        None => {
            format!("{}: layer {} has the highest score, {:.3}.", c.model, c.layers[argmax], c.scores[argmax])
        }
    }];
    out.push(if s.confidence_set.len() == n {
        format!("None of {n} layers can be ruled out as the best one.")
    } else {
        format!(
            "{} of {n} layers cannot be told from the best one: {}.",
            s.confidence_set.len(),
            s.confidence_set.join(", ")
        )
    });
    out.push(format!(
        "If all layers were equal, the highest of {n} would exceed the last one by {luck:.3} on average."
    ));
    if let Some(d) = detectable {
        out.push(format!(
            "A difference of {d:.3} to the last layer would be found in 80% of such experiments."
        ));
    }
    out
}

fn range(sd: &[f64]) -> String {
    let (low, high) = sd.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
    if low == high { low.to_string() } else { format!("{low} to {high}") }
}

fn record(c: &Curve, o: &TableOptions, l: usize, run_card: &str) -> Record {
    let n = c.layers.len();
    Record {
        dataset: c.dataset.clone(),
        model: c.model.clone(),
        role: Some(Role::Model),
        site: Some(c.layers[l].clone()),
        depth: Some(if n > 1 { l as f64 / (n - 1) as f64 } else { 1.0 }),
        transform: "none".into(),
        task: "table".into(),
        task_version: 1,
        metric: c.metric.clone(),
        metric_version: 1,
        split: "published".into(),
        higher_is_better: true,
        seed: o.seed,
        run_card: run_card.into(),
        ..Record::default()
    }
}

/// Equicorrelated normal noise, `[draw][layer]`: one part that all layers share and one of their own.
fn noise(sd: &[f64], o: &TableOptions) -> Vec<Vec<f64>> {
    let (shared, own) = (o.correlation.sqrt(), (1.0 - o.correlation).sqrt());
    (0..o.n_draws)
        .into_par_iter()
        .map(|draw| {
            let mut random = stream(o.seed, "published table", draw as u64);
            let common = shared * random.normal();
            sd.iter().map(|sd| sd * (common + own * random.normal())).collect()
        })
        .collect()
}

fn check(c: &Curve, o: &TableOptions) -> Result<()> {
    let bad = |what: &str, expected: &str, found: String| {
        Err(Error::mismatch(what)
            .at_key(format!("{} {} {}", c.dataset, c.model, c.metric))
            .expected(expected)
            .found(found))
    };
    let n = c.layers.len();
    if n == 0 || n > MAX_LAYERS || c.scores.len() != n || c.sd.len() != n {
        return bad(
            "a curve needs layers",
            "1 to 1000 layers with one score and one standard deviation each",
            n.to_string(),
        );
    }
    if let Some(v) = c.scores.iter().find(|v| !v.is_finite()) {
        return bad("a published score is missing", "finite numbers", v.to_string());
    }
    // NaN fails every comparison.
    if let Some(v) = c.sd.iter().find(|v| !(**v > 0.0 && v.is_finite())) {
        return bad("a standard deviation must be above zero", "a finite number above 0", v.to_string());
    }
    let level_fits = o.level > 0.5 && o.level < 1.0;
    if !(0.0..1.0).contains(&o.correlation) || !level_fits || o.margin.is_nan() || o.margin < 0.0 {
        return bad(
            "an assumption is out of range",
            "correlation from 0 to below 1, level above 0.5 and below 1, margin of at least 0",
            format!("{o:?}"),
        );
    }
    if !(100..=1_000_000).contains(&o.n_draws) {
        return bad("the number of draws is out of range", "100 to 1000000", o.n_draws.to_string());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(scores: &[f64], sd: f64) -> Curve {
        Curve {
            dataset: "d".into(),
            model: "m".into(),
            metric: "rsa".into(),
            layers: (0..scores.len()).map(|l| l.to_string()).collect(),
            scores: scores.to_vec(),
            sd: vec![sd; scores.len()],
        }
    }

    /// Per-layer scores of arXiv 2604.14838: pseudotime and two perturbation states of one model of 24 layers. With a
    /// standard deviation of 0.03 per score and a correlation of 0.9 only the first optimum stands clear of the last layer.
    #[test]
    fn published_optima_that_can_and_cannot_be_told_from_the_last_layer() {
        let trajectory = [
            0.086, 0.203, 0.322, 0.283, 0.290, 0.290, 0.289, 0.329, 0.196, 0.192, 0.370, 0.380, 0.580, 0.650,
            0.699, 0.763, 0.697, 0.661, 0.610, 0.552, 0.472, 0.575, 0.624, 0.584,
        ];
        let stim48 = [
            0.447, 0.465, 0.495, 0.502, 0.506, 0.512, 0.515, 0.519, 0.522, 0.521, 0.528, 0.526, 0.524, 0.521,
            0.518, 0.518, 0.523, 0.525, 0.527, 0.526, 0.525, 0.530, 0.536, 0.5358,
        ];
        let stim8 = [
            0.426, 0.428, 0.443, 0.444, 0.443, 0.442, 0.441, 0.438, 0.437, 0.433, 0.427, 0.430, 0.429, 0.427,
            0.426, 0.417, 0.401, 0.397, 0.402, 0.405, 0.415, 0.425, 0.434, 0.437,
        ];
        let o = TableOptions::default();
        let verdict = |scores: &[f64]| {
            let (records, s) = assess_curve(&curve(scores, 0.03), &o, "").unwrap();
            assert_eq!(records.len(), 2 * scores.len() - 1);
            (s.depth_verdict, s.confidence_set, s.optimism.unwrap())
        };
        let (v, set, luck) = verdict(&trajectory);
        assert_eq!(v, Verdict::DepthMatters);
        assert_eq!(set, ["15"]);
        // Toy simulations elsewhere put it at 0.019 for 24 layers, SD 0.03, correlation 0.9.
        assert!((luck - 0.019).abs() < 0.002, "{luck}");
        for (scores, best) in [(&stim48, "22"), (&stim8, "3")] {
            let (v, set, _) = verdict(scores);
            assert_eq!(v, Verdict::CannotDistinguishDepths);
            assert!(set.contains(&"23".to_string()) && set.contains(&best.to_string()), "{set:?}");
        }
    }

    #[test]
    fn odd_tables() {
        let o = TableOptions::default();
        let (_, one) = assess_curve(&curve(&[0.4], 0.1), &o, "").unwrap();
        assert_eq!((one.confidence_set.len(), one.gain_over_final), (1, None));
        let (_, rising) = assess_curve(&curve(&[0.1, 0.2, 0.9], 0.01), &o, "").unwrap();
        assert!(rising.sentences[0].contains("the last layer (2) has the highest score"), "{rising:?}");
        assert_eq!(rising.depth_verdict, Verdict::CannotDistinguishDepths);
        assert!(assess_curve(&curve(&[], 0.1), &o, "").is_err());
        assert!(assess_curve(&curve(&[f64::NAN], 0.1), &o, "").is_err());
        assert!(assess_curve(&curve(&[0.1], 0.0), &o, "").is_err());
        let bad = TableOptions { correlation: 1.0, ..o };
        assert!(assess_curve(&curve(&[0.1], 0.1), &bad, "").is_err());
    }
}
