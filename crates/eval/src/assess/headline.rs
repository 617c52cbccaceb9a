//! The headline metric: differences between depths, permutation null, nested choice.

use microtome_core::{Record, Result, Role, Summary};
use microtome_numerics::resample::{Rng, sign_flip};

use super::records::{find, put_interval, score_series};
use super::slots::{Slot, slots};
use super::{Assessment, Half, Scored};
use crate::UnitScore;
use crate::metrics::Metric;
use crate::protocol::Units;
use crate::protocol::bands::{Signed, best_set, simultaneous};
use crate::protocol::bootstrap::{Replicates, Series, bootstrap};
use crate::protocol::nested::{FoldScores, Folds, over_folds};
use crate::protocol::permutation::{NullP, permutation_null};
use crate::protocol::units::MIN_UNITS;

/// Everything the headline metric yields.
#[derive(Debug, Default)]
pub(crate) struct Headline {
    pub(crate) records: Vec<Record>,
    pub(crate) summaries: Vec<Summary>,
    pub(crate) unit_scores: Vec<UnitScore>,
    /// What was exchanged under the null, for the run card.
    pub(crate) exchange: String,
}

/// What is known about one slot before words are made of it.
pub(super) struct Evidence<'a> {
    pub(super) slot: &'a Slot,
    /// Depths that cannot be told from the best one, by representation; `None` without intervals.
    pub(super) best: Option<Vec<usize>>,
    /// P value of the best depth over the permutation null, adjusted for the number of depths.
    pub(super) p_best: Option<f64>,
    /// What was exchanged under the null.
    pub(super) exchange: &'a str,
    /// Difference to the reference that would be found in 80% of such experiments, median over depths.
    pub(super) detectable: Option<f64>,
}

/// Outer and inner scores by representation.
pub(crate) struct Nested {
    pub(crate) folds: Folds,
    pub(crate) scores: FoldScores,
}

impl Scored {
    /// Fold scores of predictions that never saw the truth.
    pub(crate) fn nested(&self, assessment: &Assessment, folds: Folds) -> Nested {
        let by_column = FoldScores::of_fixed(self.set.as_ref(), assessment.units, &folds);
        let expand = |rows: Vec<Vec<f64>>| -> Vec<Vec<f64>> {
            let one = |row: &Vec<f64>, r: usize| self.column(r).map_or(f64::NAN, |c| row[c]);
            rows.iter().map(|row| (0..self.columns.len()).map(|r| one(row, r)).collect()).collect()
        };
        let scores = FoldScores { outer: expand(by_column.outer), inner: expand(by_column.inner) };
        Nested { folds, scores }
    }
}

impl Assessment<'_> {
    /// Scores, compares and sums up the headline metric. `nested` says why when no folds could be made.
    pub(crate) fn headline(&self, scored: &Scored, nested: &Result<Nested, String>) -> Result<Headline> {
        let null =
            permutation_null(scored.set.as_ref(), self.units, self.truth, self.protocol, self.progress)?;
        let p_values = self.null_p_values(scored, &|family: &[usize]| null.p_values(family));
        let exchange = null.exchange.words(self.truth_name, self.cells.noun);
        self.with_null(scored, nested, &p_values, &exchange)
    }

    /// The same for a reading that learns: p values come from `half` with its scores; without one there are none.
    pub(crate) fn learned_headline(
        &self,
        scored: &Scored,
        nested: &Result<Nested, String>,
        half: Option<(&Half, &Scored)>,
    ) -> Result<Headline> {
        let Some((half, tested)) = half else {
            let none = vec![None; self.representations.len()];
            return self.with_null(
                scored,
                nested,
                &none,
                "no permutation test: the truth does not vary within halves",
            );
        };
        let null =
            permutation_null(tested.set.as_ref(), &half.units, &half.truth, self.protocol, self.progress)?;
        let p_values = self.null_p_values(tested, &|family: &[usize]| null.p_values(family));
        let exchange = format!(
            "{}, in a half of the units that took no part in learning",
            null.exchange.words(self.truth_name, self.cells.noun)
        );
        self.with_null(scored, nested, &p_values, &exchange)
    }

    /// P values per representation when the truth is exchanged only within these groups.
    pub(crate) fn p_among(&self, scored: &Scored, groups: &Units) -> Result<Vec<Option<NullP>>> {
        let null = permutation_null(scored.set.as_ref(), groups, self.truth, self.protocol, self.progress)?;
        Ok(self.null_p_values(scored, &|family: &[usize]| null.p_values(family)))
    }

    fn with_null(
        &self,
        scored: &Scored,
        nested: &Result<Nested, String>,
        p_values: &[Option<NullP>],
        exchange: &str,
    ) -> Result<Headline> {
        let slots = slots(self.representations);
        let mut series = score_series(scored);
        for slot in &slots {
            series.extend(differences(slot, scored));
        }
        let replicates = bootstrap(scored.set.as_ref(), &series, self.units, self.protocol, self.progress)?;
        let by_unit = self.by_unit(scored);
        let mut out = Headline {
            unit_scores: self.unit_scores(scored, &by_unit),
            exchange: exchange.into(),
            ..Headline::default()
        };
        for (r, p) in p_values.iter().enumerate() {
            let mut record = self.record(r, scored.metric, "all");
            let own = scored.column(r).and_then(|c| replicates.get(c));
            self.fill(&mut record, scored, r, own.and_then(|o| o.interval(self.protocol.level)));
            record.p = p.map(|p| p.p);
            record.p_adj = p.map(|p| p.p_adj);
            out.records.push(record);
        }
        if self.units.len() < MIN_UNITS {
            out.records.extend(self.unit_records(scored, &by_unit));
        }
        out.records.extend(self.outer_records(scored.metric, nested));
        for slot in &slots {
            let (records, detectable) = self.reference_records(slot, scored, &replicates, &by_unit)?;
            out.records.extend(records);
            out.records.extend(self.twin_records(slot, scored, &replicates));
            let best = (self.units.len() >= MIN_UNITS)
                .then(|| self.best_depths(slot, scored, &replicates))
                .filter(|b| !b.is_empty());
            let p_best = slot.depths.iter().filter_map(|&d| p_values[d]).map(|p| p.p_adj).reduce(f64::min);
            let evidence = Evidence { slot, best, p_best, exchange, detectable };
            let (summary, record) = self.summarise(&evidence, scored, nested);
            out.records.push(record);
            out.summaries.push(summary);
        }
        Ok(out)
    }

    /// P values per representation; depths of one model (or twin) under one pooling are one family.
    fn null_p_values(
        &self,
        scored: &Scored,
        p_values: &dyn Fn(&[usize]) -> Vec<Option<NullP>>,
    ) -> Vec<Option<NullP>> {
        let key = |r: usize| {
            let r = &self.representations[r];
            (r.role, r.model.as_str(), r.pooling.as_deref(), r.depth.is_some())
        };
        let mut out = vec![None; self.representations.len()];
        let mut done = vec![];
        for r in 0..out.len() {
            if done.contains(&key(r)) {
                continue;
            }
            done.push(key(r));
            let together = |o: &usize| key(*o) == key(r) && (key(r).3 || *o == r);
            let family: Vec<usize> = (r..out.len()).filter(together).collect();
            let columns: Vec<(usize, usize)> =
                family.iter().filter_map(|&o| scored.column(o).map(|c| (o, c))).collect();
            let found = p_values(&columns.iter().map(|c| c.1).collect::<Vec<_>>());
            columns.iter().zip(found).for_each(|((o, _), p)| out[*o] = p);
        }
        out
    }

    /// Mean outer-fold score of every representation, as the fixed rule "always this one".
    fn outer_records(&self, metric: &Metric, nested: &Result<Nested, String>) -> Vec<Record> {
        (0..self.representations.len())
            .map(|r| {
                let mut record = self.record(r, metric, "outer");
                match nested {
                    Err(reason) => record.reason = Some(reason.clone()),
                    Ok(n) => match over_folds(&n.scores.fixed(r), &n.folds, self.protocol.level) {
                        None => record.reason = Some("the score is undefined on the outer folds".into()),
                        Some((mean, interval)) => {
                            record.value = Some(mean);
                            let enough = self.units.len() >= MIN_UNITS;
                            put_interval(&mut record, enough.then_some(interval));
                            record.reason = self.unit_caveat();
                        }
                    },
                }
                record
            })
            .collect()
    }

    /// Difference of every depth to the reference with simultaneous bands, or with the exact sign-flip test when
    /// there are too few units; and the difference that could have been found, median over depths.
    fn reference_records(
        &self,
        slot: &Slot,
        scored: &Scored,
        replicates: &[Replicates],
        by_unit: &[Vec<f64>],
    ) -> Result<(Vec<Record>, Option<f64>)> {
        let reference = slot.reference();
        let others: Vec<usize> = slot.depths.iter().copied().filter(|&d| d != reference).collect();
        let family: Vec<(usize, &Replicates)> = others
            .iter()
            .filter_map(|&d| find(replicates, &difference(scored, d, &[reference])?).map(|r| (d, r)))
            .collect();
        let banded = simultaneous(&family.iter().map(|f| f.1).collect::<Vec<_>>(), self.protocol.level);
        let mut out = vec![];
        for &d in &others {
            let mut record = self.record(d, scored.metric, "all");
            record.metric = format!("{}_minus_final", scored.metric.id);
            record.value = scored.score(d).zip(scored.score(reference)).map(|(a, b)| a - b);
            record.reason = self.unit_caveat();
            if let Some(i) = family.iter().position(|f| f.0 == d) {
                put_interval(&mut record, banded[i].band);
                (record.p, record.p_adj) = (banded[i].p, banded[i].p_adj);
            } else if record.value.is_none() {
                record.reason = Some("one of the two scores is missing".into());
            } else if self.units.len() < MIN_UNITS {
                let per_unit: Vec<f64> =
                    by_unit.iter().map(|u| u[d] - u[reference]).filter(|v| !v.is_nan()).collect();
                // Fewer than six units: all sign patterns are tried, nothing is drawn.
                record.p = sign_flip(&per_unit, 0, &mut Rng::new(0))?;
                record.reason = Some(format!(
                    "no interval with {} units; p is the exact sign-flip test over the {} units with a score",
                    self.units.len(),
                    per_unit.len()
                ));
            }
            out.push(record);
        }
        let mut detectable: Vec<f64> = banded.iter().filter_map(|b| b.detectable).collect();
        detectable.sort_by(f64::total_cmp);
        Ok((out, detectable.get(detectable.len() / 2).copied()))
    }

    /// Difference of every depth to the mean of its twins of each kind.
    fn twin_records(&self, slot: &Slot, scored: &Scored, replicates: &[Replicates]) -> Vec<Record> {
        let mut out = vec![];
        let of_depth = |(kind, twins)| slot.depths.iter().zip(twins).map(move |(&d, t)| (kind, d, t));
        let pairs = slot.twins.iter().map(|(kind, twins)| (*kind, twins)).flat_map(of_depth);
        for (kind, d, twins) in pairs.filter(|(_, _, t)| !t.is_empty()) {
            let mut record = self.record(d, scored.metric, "all");
            record.metric = format!("{}_{}", scored.metric.id, kind.id());
            let scores: Option<Vec<f64>> = twins.iter().map(|&t| scored.score(t)).collect();
            record.value =
                scored.score(d).zip(scores).map(|(s, t)| s - t.iter().sum::<f64>() / t.len() as f64);
            record.reason = match record.value {
                None => Some("one of the scores is missing".into()),
                Some(_) => self.unit_caveat(),
            };
            let found = difference(scored, d, twins).and_then(|s| find(replicates, &s));
            put_interval(&mut record, found.and_then(|r| r.interval(self.protocol.level)));
            out.push(record);
        }
        out
    }

    /// Confidence set of best depths.
    fn best_depths(&self, slot: &Slot, scored: &Scored, replicates: &[Replicates]) -> Vec<usize> {
        let fine: Vec<usize> = slot.depths.iter().copied().filter(|&d| scored.score(d).is_some()).collect();
        let between = |j: usize, i: usize| {
            // Only "earlier minus later" is bootstrapped; the other way round is its negative.
            let (a, b, sign) = if j < i { (j, i, 1.0) } else { (i, j, -1.0) };
            let series = difference(scored, fine[a], &[fine[b]])?;
            find(replicates, &series).map(|replicates| Signed { replicates, sign })
        };
        best_set(fine.len(), between, self.protocol.level).into_iter().map(|i| fine[i]).collect()
    }

    /// Baselines by index.
    pub(super) fn baselines(&self) -> Vec<usize> {
        let is = |r: &usize| self.representations[*r].role == Role::Baseline;
        (0..self.representations.len()).filter(is).collect()
    }
}

/// The series "representation minus mean of others", where all have predictions.
pub(super) fn difference(scored: &Scored, a: usize, others: &[usize]) -> Option<Series> {
    let others = others.iter().map(|&o| scored.column(o)).collect::<Option<Vec<_>>>()?;
    Some(Series::Difference(scored.column(a)?, others))
}

/// Every pair of depths (earlier minus later, so that the reference is always subtracted) and every depth minus
/// its twins.
fn differences(slot: &Slot, scored: &Scored) -> Vec<Series> {
    let mut out = vec![];
    for (i, &a) in slot.depths.iter().enumerate() {
        out.extend(slot.depths[i + 1..].iter().filter_map(|&b| difference(scored, a, &[b])));
        let twins = slot.twins.iter().map(|(_, t)| &t[i]).filter(|t| !t.is_empty());
        out.extend(twins.filter_map(|t| difference(scored, a, t)));
    }
    out
}
