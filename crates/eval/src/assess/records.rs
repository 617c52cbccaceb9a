//! Records: one row per representation, metric and split.

use microtome_core::{Direction, Record, Result};

use super::{Assessment, Scored};
use crate::metrics::Metric;
use crate::protocol::bootstrap::{Replicates, Series, bootstrap};
use crate::protocol::interval::Interval;
use crate::protocol::units::{MIN_UNITS, MIN_UNITS_BCA};

impl Assessment<'_> {
    /// A row about one representation that holds no value yet.
    pub(crate) fn record(&self, representation: usize, metric: &Metric, split: &str) -> Record {
        let r = &self.representations[representation];
        Record {
            dataset: self.cells.dataset.clone(),
            model: r.model.clone(),
            family: r.family.clone(),
            role: Some(r.role),
            site: r.site.as_ref().map(ToString::to_string),
            block: r.block,
            depth: r.depth,
            pooling: r.pooling.clone(),
            transform: "none".into(),
            task: self.task.id.into(),
            task_version: self.task.version,
            metric: metric.id.into(),
            metric_version: metric.version,
            n_units: Some(self.units.len()),
            n_cells: Some(self.truth.len()),
            unit: Some(self.units.name.clone()),
            split: split.into(),
            higher_is_better: metric.direction == Direction::Higher,
            seed: self.protocol.seed,
            run_card: self.protocol.run_card.clone(),
            ..Record::default()
        }
    }

    /// What a reader must keep in mind about every interval of this run, if anything.
    pub(super) fn unit_caveat(&self) -> Option<String> {
        let (n, unit) = (self.units.len(), &self.units.name);
        if n < MIN_UNITS {
            Some(format!("no interval: {n} independent units ({unit}), at least {MIN_UNITS} are needed"))
        } else if self.units.are_cells() {
            Some(match self.cells.noun {
                "cell" => "cells stand in for independent units, which they are not within a donor: intervals are too narrow".into(),
                noun => format!("{noun}s stand in for independent units, which they are not within a family: intervals are too narrow"),
            })
        } else if n < MIN_UNITS_BCA {
            Some(format!("few independent units ({n}, {unit}): read the interval with care"))
        } else {
            None
        }
    }

    /// Puts a score with its interval, or the reason for its absence, into a row.
    pub(super) fn fill(
        &self,
        record: &mut Record,
        scored: &Scored,
        representation: usize,
        interval: Option<Interval>,
    ) {
        record.value = scored.score(representation);
        if record.value.is_none() {
            let undefined = || "the score is undefined on these cells".to_string();
            record.reason =
                Some(scored.columns[representation].as_ref().err().cloned().unwrap_or_else(undefined));
            return;
        }
        put_interval(record, interval);
        record.reason = join(scored.remarks[representation].clone(), self.unit_caveat());
        if interval.is_none() && record.reason.is_none() {
            record.reason = Some("no interval: too many replicates are undefined".into());
        }
    }

    /// Rows of a metric that is not the headline: score and interval on all cells.
    pub(crate) fn score_records(&self, scored: &Scored) -> Result<Vec<Record>> {
        let series = score_series(scored);
        let replicates = bootstrap(scored.set.as_ref(), &series, self.units, self.protocol, self.progress)?;
        let rows = (0..self.representations.len()).map(|r| {
            let mut record = self.record(r, scored.metric, "all");
            let own = scored.column(r).and_then(|c| replicates.get(c));
            self.fill(&mut record, scored, r, own.and_then(|o| o.interval(self.protocol.level)));
            record
        });
        Ok(rows.collect())
    }
}

/// One series per column of the score set, in its order.
pub(super) fn score_series(scored: &Scored) -> Vec<Series> {
    (0..scored.set.len()).map(Series::Score).collect()
}

pub(super) fn put_interval(record: &mut Record, interval: Option<Interval>) {
    record.ci_low = interval.map(|i| i.low);
    record.ci_high = interval.map(|i| i.high);
    record.ci_method = interval.map(|i| i.method.to_string());
}

/// Both remarks, where there are two.
fn join(a: Option<String>, b: Option<String>) -> Option<String> {
    match (a, b) {
        (Some(a), Some(b)) => Some(format!("{a}; {b}")),
        (a, b) => a.or(b),
    }
}

/// The replicates of a series, by what it is.
pub(super) fn find<'a>(replicates: &'a [Replicates], series: &Series) -> Option<&'a Replicates> {
    replicates.iter().find(|r| r.series == *series)
}
