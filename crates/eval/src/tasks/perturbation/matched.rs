//! A harder null: reference effects are exchanged only between perturbations of like cell number. Effects of few cells are
//! noisier, and so are their references, so that a representation of noise alone can follow the reference a little.

use microtome_core::{Record, Result};

use super::run::Run;
use crate::TaskOutcome;
use crate::assess::Scored;
use crate::protocol::Units;

/// Perturbations of like cell number that are exchanged with each other.
const LIKE: usize = 6;

impl Run<'_> {
    /// Adds p values under the harder null to an outcome that holds those of the plain one; nothing where there are too few
    /// perturbations to tell small from large ones.
    pub(super) fn matched_null(&self, scored: &Scored, outcome: &mut TaskOutcome) -> Result<Vec<Record>> {
        let a = self.assessment;
        let Some(groups) = self.like_in_cells() else { return Ok(vec![]) };
        let p_values = a.p_among(scored, &groups)?;
        let words = format!("reference effects permuted among perturbations of like cell number, {LIKE} or more");
        let mut records = vec![];
        for (r, p) in p_values.iter().enumerate() {
            let mut record = a.record(r, scored.metric, "all");
            record.metric = format!("{}_matched_null", scored.metric.id);
            record.value = p.map(|p| p.p);
            (record.p, record.p_adj) = (p.map(|p| p.p), p.map(|p| p.p_adj));
            record.higher_is_better = false;
            record.reason = Some(match p {
                Some(_) => format!("p value: {words}"),
                None => "the score is undefined on these cells".into(),
            });
            records.push(record);
        }
        for s in &mut outcome.summaries {
            let own = |(r, p): (usize, &Option<crate::protocol::permutation::NullP>)| {
                let of = &a.representations[r];
                (of.depth.is_some() && of.role == microtome_core::Role::Model && s.model.starts_with(&of.model))
                    .then_some(p.map(|p| p.p_adj))
                    .flatten()
            };
            if let Some(p) = p_values.iter().enumerate().filter_map(own).reduce(f64::min) {
                s.sentences.push(format!(
                    "Against a harder chance ({words}), the best depth has p = {p:.4}, adjusted for looking at all of them."
                ));
            }
        }
        Ok(records)
    }

    /// Perturbations in groups of like cell number.
    fn like_in_cells(&self) -> Option<Units> {
        let n = self.design.len();
        let n_groups = n / LIKE;
        if n_groups < 2 {
            return None;
        }
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by_key(|&p| self.design.cells[p].len());
        let members: Vec<Vec<usize>> =
            (0..n_groups).map(|g| order[g * n / n_groups..(g + 1) * n / n_groups].to_vec()).collect();
        let names = (0..n_groups).map(|g| g.to_string()).collect();
        Some(Units { name: "cell number".into(), names, members })
    }
}
