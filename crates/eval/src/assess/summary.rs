//! The answer about one model.

use microtome_core::{Estimate, Gain, Record, Summary, Verdict};

use super::headline::{Evidence, Nested};
use super::records::put_interval;
use super::{Assessment, Scored};
use crate::controls::words_of;
use crate::protocol::interval::Interval;
use crate::protocol::nested::{frequencies, mean_defined, over_folds};
use crate::protocol::units::{MIN_UNITS, MIN_UNITS_BCA};
use crate::representation::Twin;
use crate::verdict::{Findings, depth_verdict, model_verdict, sentences};

/// A twin in the order of all.
fn name_of(kind: Twin) -> &'static str {
    match kind {
        Twin::Untrained => "its untrained twin",
        Twin::WeightsShuffled => "itself with weights shuffled",
        Twin::GenesPermuted => "itself with genes permuted",
    }
}

impl Assessment<'_> {
    /// Mean over outer folds, its interval withheld when there are too few units.
    fn estimate(&self, values: &[f64], nested: &Nested) -> Option<Estimate> {
        let (value, i): (f64, Interval) = over_folds(values, &nested.folds, self.protocol.level)?;
        let i = (self.units.len() >= MIN_UNITS).then_some(i);
        Some(Estimate { value, low: i.map(|i| i.low), high: i.map(|i| i.high) })
    }

    /// The summary of one slot and the row of its nested score.
    pub(super) fn summarise(
        &self,
        evidence: &Evidence,
        scored: &Scored,
        nested: &Result<Nested, String>,
    ) -> (Summary, Record) {
        let slot = evidence.slot;
        let label = |r: usize| self.representations[r].label();
        let reference = slot.reference();
        let mut s = self.empty_summary(slot.name.clone(), scored);
        s.confidence_set = evidence.best.iter().flatten().map(|&d| label(d)).collect();
        let by_score = |a: &usize, b: &usize| scored.score(*a).partial_cmp(&scored.score(*b));
        let fine = slot.depths.iter().copied().filter(|&d| scored.score(d).is_some());
        let oracle = fine
            .clone()
            .reduce(|a, b| if by_score(&a, &b) == Some(std::cmp::Ordering::Less) { b } else { a });
        s.oracle_site = oracle.map(label);

        let (mut chosen_count, mut baseline) = (None, None);
        let mut controls: Vec<(Twin, Estimate, Estimate)> = vec![];
        let (mut rules, mut ranking) = (vec![], vec![]);
        let mut always_final = false;
        let mut missing = nested.as_ref().err().cloned();
        if oracle.is_none() {
            missing = Some("no depth of it could be scored".into());
        } else if let Ok(n) = nested {
            let chosen = n.scores.choose(&slot.depths);
            let own = n.scores.outer_of(&chosen);
            let minus = |other: &[f64]| -> Vec<f64> { own.iter().zip(other).map(|(a, b)| a - b).collect() };
            s.nested_score = self.estimate(&own, n);
            let counts = frequencies(&chosen);
            s.chosen_site = counts.first().map(|c| label(c.0));
            always_final = counts.len() == 1 && counts[0].0 == reference;
            chosen_count = counts.first().map(|c| c.1);
            s.gain_over_final = self.estimate(&minus(&n.scores.fixed(reference)), n).map(|estimate| Gain {
                against: format!("the final block ({})", label(reference)),
                estimate,
            });
            let rivals = n.scores.choose(&self.baselines());
            let theirs = n.scores.outer_of(&rivals);
            if let Some(&(best, _)) = frequencies(&rivals).first() {
                s.gain_over_best_baseline = self
                    .estimate(&minus(&theirs), n)
                    .map(|estimate| Gain { against: self.representations[best].model.clone(), estimate });
                let words = words_of(&self.representations[best].model);
                baseline = self.estimate(&theirs, n).map(|e| (e, words));
            }
            for (kind, by_depth) in &slot.twins {
                let twins: Vec<usize> = by_depth.iter().flatten().copied().collect();
                let scores = n.scores.outer_of(&n.scores.choose(&twins));
                let found = self.estimate(&scores, n).zip(self.estimate(&minus(&scores), n));
                controls.extend(found.map(|(score, gain)| (*kind, score, gain)));
            }
            let naive = slot.depths.iter().map(|&d| mean_defined(n.scores.fixed(d).into_iter()));
            let naive = naive.filter(|v| !v.is_nan()).reduce(f64::max);
            s.optimism = naive.map(|v| v - mean_defined(own.iter().copied())).filter(|o| o.is_finite());
            let fixed = |r: usize| mean_defined(n.scores.fixed(r).into_iter());
            rules =
                slot.rules.iter().map(|&(name, r)| (name, fixed(r))).filter(|r| r.1.is_finite()).collect();
            let baselines =
                self.baselines().into_iter().map(|b| (self.representations[b].model.as_str(), fixed(b)));
            let own = s.nested_score.map(|e| (slot.name.as_str(), e.value));
            let twins = controls.iter().map(|(kind, score, _)| (name_of(*kind), score.value));
            ranking = own.into_iter().chain(twins).chain(baselines).filter(|r| r.1.is_finite()).collect();
            ranking.sort_by(|a: &(&str, f64), b| b.1.total_cmp(&a.1));
        }
        let final_may_be_best = evidence.best.as_ref().is_none_or(|b| b.contains(&reference));
        let margin = self.protocol.margin;
        let gain = |g: &Option<Gain>| g.as_ref().map(|g| g.estimate);
        s.depth_verdict = depth_verdict(gain(&s.gain_over_final).as_ref(), final_may_be_best, margin);
        if let [_] = slot.depths[..] {
            s.depth_verdict = Verdict::OneDepth;
            (s.gain_over_final, s.optimism) = (None, None);
            s.confidence_set.clear();
        }
        s.model_verdict = model_verdict(gain(&s.gain_over_best_baseline).as_ref(), margin);
        let n_folds = nested.as_ref().map_or(0, |n| n.folds.splits.len());
        s.detectable = evidence.detectable;
        s.sentences = sentences(&Findings {
            model: &slot.name,
            metric: scored.metric.words,
            unit: &self.units.name,
            n_units: self.units.len(),
            margin,
            folds: nested.as_ref().ok().map(|n| n.folds.words.as_str()),
            depth_verdict: s.depth_verdict,
            model_verdict: s.model_verdict,
            n_depths: fine.count(),
            chosen: s.chosen_site.as_deref().zip(chosen_count).map(|(c, k)| (c, k, n_folds)),
            always_final,
            nested: s.nested_score,
            baseline,
            gain_over_final: s.gain_over_final.as_ref(),
            gain_over_baseline: s.gain_over_best_baseline.as_ref(),
            controls: &controls,
            best: evidence.best.is_some().then_some(s.confidence_set.as_slice()),
            optimism: s.optimism,
            rules: &rules,
            ranking: &ranking,
            null: evidence.p_best.map(|p| (p, evidence.exchange)),
            detectable: evidence.detectable,
            missing: missing.as_deref(),
        });
        let record = self.nested_record(reference, scored, &s, missing);
        (s, record)
    }

    fn empty_summary(&self, model: String, scored: &Scored) -> Summary {
        let (n, unit) = (self.units.len(), self.units.name.clone());
        let mut warnings = vec![];
        if self.units.are_cells() {
            let noun = self.cells.noun;
            warnings.push(if noun == "cell" {
                "no unit was named, so every cell counts as independent. Cells of one donor or clone are not: scores of \
                 what is learnt from other cells are optimistic, the intervals too narrow and the verdicts too sure. Name \
                 the unit (donor, clone, ...) if there is one."
                    .to_string()
            } else {
                format!(
                    "no groups of {noun}s were named, so every {noun} counts as independent. Members of one family are \
                     not: the scores are optimistic, the intervals too narrow and the verdicts too sure."
                )
            });
        } else if n < MIN_UNITS {
            warnings.push(format!(
                "{n} independent units ({unit}) are too few for an interval (at least {MIN_UNITS}); scores per unit are shown instead"
            ));
        } else if n < MIN_UNITS_BCA {
            warnings.push(format!("only {n} independent units ({unit}): read the intervals with care"));
        }
        Summary {
            dataset: self.cells.dataset.clone(),
            model,
            task: self.task.id.into(),
            metric: scored.metric.id.into(),
            depth_verdict: Verdict::NotEnoughUnits,
            model_verdict: Verdict::NotEnoughUnits,
            sentences: vec![],
            chosen_site: None,
            confidence_set: vec![],
            nested_score: None,
            gain_over_final: None,
            gain_over_best_baseline: None,
            optimism: None,
            detectable: None,
            oracle_site: None,
            n_units: n,
            unit,
            n_cells: self.truth.len(),
            warnings,
        }
    }

    /// The nested score as a row: it belongs to the model, not to one site.
    fn nested_record(
        &self,
        reference: usize,
        scored: &Scored,
        s: &Summary,
        missing: Option<String>,
    ) -> Record {
        let mut record = self.record(reference, scored.metric, "nested");
        (record.site, record.block, record.depth) = (None, None, None);
        record.value = s.nested_score.map(|e| e.value);
        let interval = s
            .nested_score
            .and_then(|e| Some(Interval { low: e.low?, high: e.high?, method: "nadeau_bengio_t" }));
        put_interval(&mut record, interval);
        record.reason = Some(match (record.value, missing) {
            (None, Some(reason)) => reason,
            (None, None) => "the score is undefined on the outer folds".into(),
            (Some(_), _) => "depth chosen on inner units, scored on outer units".into(),
        });
        record
    }
}
