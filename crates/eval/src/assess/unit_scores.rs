//! Scores of every unit by itself.

use microtome_core::Record;

use super::{Assessment, Scored};
use crate::UnitScore;
use crate::protocol::{LANES, Weights};

impl Assessment<'_> {
    /// `[unit][representation]`: the score on the unit's own cells, NaN where it is undefined. Empty where cells
    /// are the unit.
    pub(super) fn by_unit(&self, scored: &Scored) -> Vec<Vec<f64>> {
        if self.units.are_cells() {
            return vec![];
        }
        let blocks = self.units.members.chunks(LANES).flat_map(|part| {
            let scores = scored.set.weighted(&Weights::subsets(self.truth.len(), part));
            (0..part.len()).map(move |lane| scores.iter().map(|s| s[lane]).collect::<Vec<f64>>())
        });
        let by_representation = |columns: Vec<f64>| -> Vec<f64> {
            let one = |r: usize| scored.column(r).map_or(f64::NAN, |c| columns[c]);
            (0..self.representations.len()).map(one).collect()
        };
        blocks.map(by_representation).collect()
    }

    /// The same for the reader.
    pub(super) fn unit_scores(&self, scored: &Scored, by_unit: &[Vec<f64>]) -> Vec<UnitScore> {
        let mut out = vec![];
        for (unit, scores) in by_unit.iter().enumerate() {
            for (r, value) in self.representations.iter().zip(scores) {
                out.push(UnitScore {
                    model: r.model.clone(),
                    site: r.site.as_ref().map(ToString::to_string),
                    pooling: r.pooling.clone(),
                    metric: scored.metric.id.into(),
                    unit: self.units.names[unit].clone(),
                    n_cells: self.units.members[unit].len(),
                    value: value.is_finite().then_some(*value),
                });
            }
        }
        out
    }

    /// One row per unit and representation, for when there are too few units for an interval.
    pub(super) fn unit_records(&self, scored: &Scored, by_unit: &[Vec<f64>]) -> Vec<Record> {
        let mut out = vec![];
        for (unit, scores) in by_unit.iter().enumerate() {
            for (r, value) in scores.iter().enumerate() {
                let mut record = self.record(r, scored.metric, &format!("unit:{}", self.units.names[unit]));
                record.n_units = Some(1);
                record.n_cells = Some(self.units.members[unit].len());
                record.value = value.is_finite().then_some(*value);
                record.reason = Some(match (&scored.columns[r], record.value) {
                    (Err(reason), _) => reason.clone(),
                    (_, None) => "the score is undefined on this unit".into(),
                    _ => "one unit by itself".into(),
                });
                out.push(record);
            }
        }
        out
    }
}
