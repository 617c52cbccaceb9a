//! Attribute Learning Index: whether clusters of gene vectors are the sets.

use microtome_core::{Matrix, Result};

use super::run::GeneFunction;
use crate::assess::{Field, rows_of};
use crate::metrics::attributes::{ATTRIBUTE_LEARNING_INDEX, AttributeOptions, attribute_learning_index};
use crate::metrics::{Named, Score};
use crate::{Groups, OutcomeTable};

/// Genes of one set only, below which clusters say nothing.
const LEAST: usize = 20;

impl GeneFunction<'_> {
    /// The index on the genes that are in one set and no other, because clusters do not overlap.
    pub(super) fn field(&self) -> Result<Field> {
        let a = &self.assessment;
        let all: Vec<usize> = (0..a.truth.len()).collect();
        let matrices: Vec<Result<Matrix, String>> = rows_of(a.representations, &all);
        let groups: Vec<u32> = all.iter().map(|&g| self.only_set(g)).collect();
        let n = groups.iter().filter(|g| **g != Groups::MISSING).count();
        a.field("attribute learning index", &matrices, |x| {
            let score = if n < LEAST {
                Score::undefined(format!("{n} genes are in one set only, at least {LEAST} are needed"))
            } else {
                let options = AttributeOptions { seed: a.protocol.seed, ..AttributeOptions::default() };
                let found = attribute_learning_index(x, &groups, &options)?;
                match (found.null_mean, found.p) {
                    (Some(null), Some(p)) => {
                        let chance = format!("{null:.3} with permuted sets, p = {p:.3}");
                        let reason = found.score.reason.map_or_else(|| chance.clone(), |r| format!("{r}; {chance}"));
                        Score { reason: Some(reason), ..found.score }
                    }
                    _ => found.score,
                }
            };
            let out: Vec<Named> = vec![(&ATTRIBUTE_LEARNING_INDEX, score)];
            Ok(out)
        })
    }

    fn only_set(&self, gene: usize) -> u32 {
        let mut own = (0..self.sets.n()).filter(|&s| self.sets.is_member(gene, s));
        match (own.next(), own.next()) {
            (Some(set), None) => set as u32,
            _ => Groups::MISSING,
        }
    }

    pub(super) fn field_table(&self, field: &Field, summaries: &[microtome_core::Summary]) -> Option<OutcomeTable> {
        let words = (
            "Clusters against sets",
            "Mean of adjusted Rand index, Fowlkes-Mallows index and mutual information of as many clusters as there are sets, over the \
             genes that are in exactly one; records.csv has the value under permuted sets beside it. Without an interval.",
        );
        let columns = [(ATTRIBUTE_LEARNING_INDEX.id, "attribute learning index")];
        self.assessment.field_table(words, &columns, field, summaries)
    }
}
