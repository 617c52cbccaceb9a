//! Metrics of the field: recorded for every representation beside the task's own, without an interval.
//!
//! They are not means over cells, and a cell that is drawn twice would be its own neighbour: no replicate can be scored by
//! them. They are there because published tables hold them; none of them decides.

use microtome_core::{Direction, Matrix, Record, Result, Role, Summary};

use super::{Assessment, attempt};
use crate::OutcomeTable;
use crate::metrics::Named;

/// Most cells, because some of them compare all pairs.
pub(crate) const MAX_FIELD_CELLS: usize = 20_000;
/// Why they have no interval.
const NO_INTERVAL: &str = "no interval: the metric is not a mean over cells and is not resampled";

/// What the metrics say of every representation, or why they do not.
pub(crate) type Field = Vec<std::result::Result<Vec<Named>, String>>;

impl Assessment<'_> {
    /// Reads every representation (`matrices`: their scored rows); above [`MAX_FIELD_CELLS`] cells none, with the reason.
    pub(crate) fn field(
        &self,
        stage: &str,
        matrices: &[std::result::Result<Matrix, String>],
        read: impl Fn(&Matrix) -> Result<Vec<Named>> + Sync,
    ) -> Result<Field> {
        if self.truth.len() > MAX_FIELD_CELLS {
            let reason = format!("not computed for more than {MAX_FIELD_CELLS} {}s", self.cells.noun);
            return Ok(matrices.iter().map(|_| Err(reason.clone())).collect());
        }
        self.each(stage, |r| match &matrices[r] {
            Err(reason) => Ok(Err(reason.clone())),
            Ok(x) => attempt(read(x)),
        })
    }

    /// One row per metric and representation.
    pub(crate) fn field_records(&self, field: &Field) -> Vec<Record> {
        let Some(named) = field.iter().find_map(|f| f.as_ref().ok()) else { return vec![] };
        let mut out = vec![];
        for (i, (definition, _)) in named.iter().enumerate() {
            for (r, scores) in field.iter().enumerate() {
                let mut record = self.plain_record(
                    r,
                    definition.id,
                    definition.version,
                    definition.direction == Direction::Higher,
                );
                match scores {
                    Err(reason) => record.reason = Some(reason.clone()),
                    Ok(scores) => fill(&mut record, &scores[i]),
                }
                out.push(record);
            }
        }
        out
    }

    /// The records of something that is none of the representations, such as a method that gives a graph only.
    pub(crate) fn field_records_of(&self, model: &str, role: Role, scores: &[Named]) -> Vec<Record> {
        let of = |named: &Named| {
            let (definition, _) = named;
            let record = self.plain_record(
                0,
                definition.id,
                definition.version,
                definition.direction == Direction::Higher,
            );
            let mut record = Record {
                model: model.into(),
                family: None,
                role: Some(role),
                site: None,
                block: None,
                depth: None,
                pooling: None,
                ..record
            };
            fill(&mut record, named);
            record
        };
        scores.iter().map(of).collect()
    }

    /// Metrics by id under their headings: chosen, best and final depth of every model, baselines, and controls without depth.
    pub(crate) fn field_table(
        &self,
        (title, note): (&str, &str),
        columns: &[(&str, &str)],
        field: &Field,
        summaries: &[Summary],
    ) -> Option<OutcomeTable> {
        let known = field.iter().find_map(|f| f.as_ref().ok())?;
        let is_known = |id: &str| known.iter().any(|n| n.0.id == id);
        let columns: Vec<&(&str, &str)> = columns.iter().filter(|c| is_known(c.0)).collect();
        let header: Vec<&str> =
            std::iter::once("representation").chain(columns.iter().map(|c| c.1)).collect();
        let mut table = OutcomeTable::new(title, note, &header);
        for (r, scores) in self.representations.iter().zip(field) {
            let Ok(scores) = scores else { continue };
            let shown = match r.role {
                Role::Model => {
                    let site = r.label();
                    let of = |s: &Summary| {
                        s.chosen_site.as_ref() == Some(&site)
                            || s.oracle_site.as_ref() == Some(&site)
                            || r.depth == Some(1.0)
                    };
                    summaries.iter().filter(|s| s.model.starts_with(&r.model)).any(of)
                }
                _ => r.site.is_none(),
            };
            if shown {
                let name =
                    if r.site.is_some() { format!("{}, {}", r.model, r.label()) } else { r.model.clone() };
                table.rows.push(row(name, scores, &columns));
            }
        }
        Some(table)
    }
}

/// A row of a table of such metrics.
pub(crate) fn row(name: String, scores: &[Named], columns: &[&(&str, &str)]) -> Vec<String> {
    let value = |id: &str| {
        let score = scores.iter().find(|n| n.0.id == id).and_then(|n| n.1.value);
        score.map_or_else(|| "n/a".into(), |v| format!("{v:.3}"))
    };
    std::iter::once(name).chain(columns.iter().map(|c| value(c.0))).collect()
}

fn fill(record: &mut Record, (_, score): &Named) {
    record.value = score.value;
    record.reason = Some(match &score.reason {
        Some(reason) if score.value.is_none() => reason.clone(),
        Some(reason) => format!("{reason}; {NO_INTERVAL}"),
        None => NO_INTERVAL.into(),
    });
}
