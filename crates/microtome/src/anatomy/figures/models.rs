//! Models against each other: their consensus over blocks.

use microtome_core::Result;
use microtome_report::HeatMap;

use super::{Drawn, Source, heat, place_words};
use crate::anatomy::medians::{self, Of, median};
use crate::anatomy::routes::matched;

impl Source<'_> {
    /// One map per rule of consensus, where there are several models.
    pub(super) fn across_models(&self) -> Result<Vec<Drawn>> {
        let Some(routes) = self.results.first().and_then(|c| c.models.routes.as_ref()) else {
            return Ok(vec![]);
        };
        if routes.members.len() < 2 {
            return Ok(vec![]);
        }
        let entries = self.entries(Of::Models);
        let names: Vec<String> = routes.members.iter().map(|&m| entries[m].name.clone()).collect();
        let n = names.len();
        let mut out = vec![];
        for (rule, _) in &routes.consensus {
            let mut values = vec![];
            for a in 0..n {
                for b in 0..n {
                    values.push(median(self.results, self.seed, |c| {
                        let (_, r) = c.models.routes.as_ref()?.consensus.iter().find(|(r, _)| r == rule)?;
                        r.at.first()?.between(a, b)?.agreement()
                    })?);
                }
            }
            let chance = median(self.results, self.seed, |c| {
                let (_, r) = c.models.routes.as_ref()?.consensus.iter().find(|(r, _)| r == rule)?;
                medians::chance(r, &matched(self.k()))
            })?;
            let words = match rule.as_str() {
                "max" => "the largest score of any block",
                "sum" => "the sum of scores over blocks",
                "abs_argmax" => "the score of largest magnitude of any block, with its sign",
                _ => "the mean over blocks of the rank among all pairs, so that no block's scale counts",
            };
            let map = HeatMap {
                section: "Consensus of models".into(),
                title: rule.replace('_', " "),
                note: format!(
                    "Every model's blocks made one by {words}. Row: the model whose strongest {} edges are asked about; column: the model that ranks them. 1 = they stay on top. Chance is measured: edges of the same genes with the same numbers of edges, paired anew within groups of equal expression, rank at {} (median over pairs of models and categories).",
                    self.k(),
                    place_words(&chance)
                ),
                rows: names.clone(),
                columns: names.clone(),
                scale: [0.0, 0.5, 1.0],
                ..HeatMap::default()
            };
            out.push(heat(map, &values, format!("consensus_{rule}.csv")));
        }
        Ok(out)
    }
}
