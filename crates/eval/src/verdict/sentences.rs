//! Verdicts in plain English, with the numbers.

use microtome_core::{Estimate, Gain, Verdict};

use crate::representation::Twin;

/// What the sentences are made of.
pub(crate) struct Findings<'a> {
    pub(crate) model: &'a str,
    pub(crate) metric: &'a str,
    pub(crate) unit: &'a str,
    pub(crate) n_units: usize,
    pub(crate) margin: f64,
    pub(crate) folds: Option<&'a str>,
    pub(crate) depth_verdict: Verdict,
    pub(crate) model_verdict: Verdict,
    pub(crate) n_depths: usize,
    /// Depth chosen most often, how often, and of how many folds.
    pub(crate) chosen: Option<(&'a str, usize, usize)>,
    /// Whether the final block was chosen in every fold.
    pub(crate) always_final: bool,
    pub(crate) nested: Option<Estimate>,
    /// Score of the baseline that was chosen on the inner units, and what it is.
    pub(crate) baseline: Option<(Estimate, &'a str)>,
    pub(crate) gain_over_final: Option<&'a Gain>,
    pub(crate) gain_over_baseline: Option<&'a Gain>,
    /// Nested score of the twins of each kind, and the gain over them.
    pub(crate) controls: &'a [(Twin, Estimate, Estimate)],
    pub(crate) best: Option<&'a [String]>,
    pub(crate) optimism: Option<f64>,
    /// Fixed rules with their outer scores.
    pub(crate) rules: &'a [(&'a str, f64)],
    /// The model, its twin and every baseline with their outer scores, best first.
    pub(crate) ranking: &'a [(&'a str, f64)],
    /// P value of the best depth and what was permuted.
    pub(crate) null: Option<(f64, &'a str)>,
    /// Difference to the final block that would be found in 80% of such experiments.
    pub(crate) detectable: Option<f64>,
    /// Why no comparison was possible, if so.
    pub(crate) missing: Option<&'a str>,
}

/// `0.42 [0.38, 0.46]`.
fn number(e: &Estimate) -> String {
    match (e.low, e.high) {
        (Some(low), Some(high)) => format!("{:.2} [{low:.2}, {high:.2}]", e.value),
        _ => format!("{:.2} (no interval)", e.value),
    }
}

/// `+0.02 [-0.01, +0.05]`, with a third decimal because differences are small.
fn difference(e: &Estimate) -> String {
    match (e.low, e.high) {
        (Some(low), Some(high)) => format!("{:+.3} [{low:+.3}, {high:+.3}]", e.value),
        _ => format!("{:+.3} (no interval)", e.value),
    }
}

/// `12 cells`, or `5 independent units (batch)`: the name of a column makes no plural.
fn units(f: &Findings) -> String {
    if matches!(f.unit, "cell" | "gene" | "perturbation") {
        counted(f.n_units, f.unit)
    } else {
        format!("{} ({})", counted(f.n_units, "independent unit"), f.unit)
    }
}

fn counted(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// The sentences, the answer first.
pub(crate) fn sentences(f: &Findings) -> Vec<String> {
    let mut out = vec![];
    if let Some(reason) = f.missing {
        out.push(format!("{}: no answer, because {reason}.", f.model));
    }
    out.extend(answer(f));
    out.extend(against_baseline(f));
    if f.ranking.len() > 1 {
        let places: Vec<String> =
            f.ranking.iter().map(|(name, score)| format!("{name} {score:.2}")).collect();
        out.push(format!("In order, on the same held-out folds: {}.", places.join(", ")));
    }
    out.extend(against_final(f));
    out.extend(choice(f));
    for (kind, score, gain) in f.controls {
        let (who, what) = match kind {
            Twin::Untrained => ("without training", "training"),
            Twin::WeightsShuffled => {
                ("with its weights shuffled within every tensor", "where training put each weight")
            }
            Twin::GenesPermuted => ("with its genes exchanged", "knowing which gene is which"),
        };
        out.push(format!(
            "The same network {who} reaches {}; {what} changes the score by {}{}",
            number(score),
            difference(gain),
            match (gain.low, gain.high) {
                (Some(low), _) if low > 0.0 => ".",
                (_, Some(high)) if high < 0.0 => ", a loss.",
                (Some(_), _) => ", which cannot be told from nothing.",
                _ => ".",
            }
        ));
    }
    if !f.rules.is_empty() && f.n_depths > 1 {
        let rules: Vec<String> = f.rules.iter().map(|(name, score)| format!("{name} {score:.2}")).collect();
        out.push(format!("Without any choice, on the same folds: {}.", rules.join(", ")));
    }
    if let Some((p, exchange)) = f.null {
        out.push(match f.n_depths {
            1 => format!("Against chance ({exchange}), p = {p:.4}."),
            n => format!(
                "Against chance ({exchange}), the best of {n} depths has p = {p:.4}, adjusted for looking at all of them."
            ),
        });
    }
    out
}

/// The answer in one short sentence.
fn answer(f: &Findings) -> Option<String> {
    let against = &f.nested.and(f.gain_over_baseline)?.against;
    Some(match f.model_verdict {
        Verdict::ModelRecommended => format!("{} beats every simple baseline.", f.model),
        Verdict::BaselineWins => format!("A simple baseline, {against}, beats {}.", f.model),
        Verdict::TieWithBaseline => format!("{} does no better than a simple baseline, {against}.", f.model),
        _ => format!("Too few to tell {} from {against}: {}.", f.model, units(f)),
    })
}

fn against_baseline(f: &Findings) -> Option<String> {
    let ((nested, gain), (baseline, words)) = f.nested.zip(f.gain_over_baseline).zip(f.baseline)?;
    let end = match f.model_verdict {
        Verdict::TieWithBaseline => {
            format!(
                ": a tie (the interval contains 0 or lies within {} of it), so take the baseline",
                f.margin
            )
        }
        Verdict::ModelRecommended | Verdict::BaselineWins => String::new(),
        _ => ": not enough units for an answer".into(),
    };
    Some(format!(
        "{} ({words}) reaches {}; {}{} reaches {} ({}). Difference {}{end}.",
        gain.against,
        number(&baseline),
        if f.n_depths > 1 { "the best honest choice of depth of " } else { "" },
        f.model,
        number(&nested),
        f.metric,
        difference(&gain.estimate),
    ))
}

fn against_final(f: &Findings) -> Option<String> {
    // A single depth leaves nothing to choose.
    let gain = f.gain_over_final.filter(|_| f.n_depths > 1)?;
    let set = match f.best {
        Some(best) if best.len() == f.n_depths && f.n_depths > 1 => {
            " No depth can be told from the best one.".into()
        }
        Some(best) if !best.is_empty() => format!(
            " {} of {} cannot be told from the best one: {}.",
            best.len(),
            counted(f.n_depths, "depth"),
            best.join(", ")
        ),
        _ => String::new(),
    };
    let end = match (f.depth_verdict, f.detectable) {
        (Verdict::DepthMatters, _) => "depth matters".into(),
        (Verdict::CannotDistinguishDepths, Some(d)) => format!(
            "no depth can be shown to beat the final block (a difference of {d:.3} would be found in 80% of such experiments)"
        ),
        (Verdict::CannotDistinguishDepths, None) => "no depth can be shown to beat the final block".into(),
        _ => "not enough units for an answer".into(),
    };
    Some(if f.always_final {
        format!("Chosen on other units, the depth of {} is always {}: {end}.{set}", f.model, gain.against)
    } else {
        format!(
            "Choosing the depth of {} on other units changes the score by {} compared with {}: {end}.{set}",
            f.model,
            difference(&gain.estimate),
            gain.against,
        )
    })
}

fn choice(f: &Findings) -> Option<String> {
    let (site, times, n) = f.chosen.filter(|_| f.n_depths > 1)?;
    let optimism = match f.optimism {
        None => String::new(),
        Some(o) if o >= 0.0005 => format!(
            " Picking the best depth on the test cells themselves would have added {o:.3} that is not real."
        ),
        Some(_) => " Picking the best depth on the test cells themselves would have added nothing.".into(),
    };
    Some(format!(
        "{site} was chosen in {times} of {} ({}).{optimism}",
        counted(n, "fold"),
        f.folds.unwrap_or("outer folds")
    ))
}
