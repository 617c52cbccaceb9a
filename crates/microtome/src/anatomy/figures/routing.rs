//! Attention routing: agreement of blocks, over K, heads, and what edges move; always beside what was measured as chance.

use microtome_core::{Result, Role};
use microtome_report::{HeatMap, LineSeries, Lines};

use super::{Drawn, Source, drawn_lines, heat, place_words, point};
use crate::anatomy::analyse::{COEXPRESSION, CategoryResult};
use crate::anatomy::medians::{self, Of, median};
use crate::anatomy::routes::{Routes, matched};

const ROUTING: &str = "Attention routing";

/// File, heading, how to read it, and the number of a place.
type PlaceCurve = (&'static str, &'static str, String, fn(&Routes, usize) -> Option<f64>);

impl Source<'_> {
    pub(super) fn routing(&self) -> Result<Vec<Drawn>> {
        if self.results.first().is_none_or(|c| c.models.routes.is_none()) {
            return Ok(vec![]);
        }
        let mut out = vec![self.agreement_map()?, self.spearman_map()?];
        let near = |a: usize, b: usize| a.abs_diff(b) == 1;
        out.push(self.over_k(
            "routing_neighbours",
            "Agreement of neighbouring blocks",
            "How high the strongest edges of a block rank in the block before and after it",
            |r, m, value| medians::within(r, m, near, value),
        )?);
        if self.entries(Of::Models).len() > 1 {
            out.push(self.over_k(
                "routing_models",
                "Agreement with other models",
                "How high the strongest edges of a model's blocks rank in the blocks of all other models",
                |r, m, value| medians::across(r, m, value),
            )?);
        }
        out.push(self.consecutive()?);
        let k = self.k();
        let curves: [PlaceCurve; 4] = [
            ("routing_entropy", "Entropy of heads", "Entropy of a gene's attention over ln(number of genes), median over genes, mean over heads: 1 = looks at all alike".into(), |r, p| medians::mean(r.heads.get(p)?.iter().filter_map(|h| h.entropy_normalised.value))),
            ("routing_keys", "Keys in effect", "exp of the entropy of a gene's attention, median over genes, mean over heads: how many genes it looks at".into(), |r, p| medians::mean(r.heads.get(p)?.iter().filter_map(|h| h.effective_keys.value))),
            ("routing_sink", "Attention on the sink", "Mean share of attention on the one gene that receives most, mean over heads".into(), |r, p| medians::mean(r.heads.get(p)?.iter().map(|h| h.sink_mass))),
            ("routing_moved", "Attention and what it moves", format!("Spearman between the score of the strongest {k} edges and the length of the vector that the key adds to the query (value-weighted norm): low where attention falls on keys that move nothing"), |r, p| r.moved.get(p)?.as_ref()?.agreement),
        ];
        for (file, title, note, read) in curves {
            out.push(self.by_block(file, title, &note, read)?);
        }
        Ok(out)
    }

    fn routes<'c>(&self, of: Of, c: &'c CategoryResult) -> Option<&'c Routes> {
        of.side(c).routes.as_ref()
    }

    fn map_of(&self, title: String, note: String, scale: [f64; 3]) -> Option<HeatMap> {
        let first = self.results.first()?.models.routes.as_ref()?;
        let names: Vec<String> = first.places.iter().map(|(_, block)| block.to_string()).collect();
        let entries = self.entries(Of::Models);
        let groups = entries.iter().enumerate().filter_map(|(m, e)| {
            let count = first.places.iter().filter(|p| p.0 == m).count();
            (count > 0).then(|| (e.name.clone(), count))
        });
        Some(HeatMap {
            section: ROUTING.into(),
            title,
            note,
            rows: names.clone(),
            columns: names,
            groups: groups.collect(),
            scale,
            ..HeatMap::default()
        })
    }

    fn square(
        &self,
        read: impl Fn(&Routes, usize, usize) -> Option<f64>,
    ) -> Result<Vec<microtome_anatomy::Estimated>> {
        let n = self.results[0].models.routes.as_ref().map_or(0, |r| r.places.len());
        let mut out = Vec::with_capacity(n * n);
        for a in 0..n {
            for b in 0..n {
                let of = |c: &CategoryResult| {
                    if a == b { None } else { read(self.routes(Of::Models, c)?, a, b) }
                };
                out.push(median(self.results, self.seed, of)?);
            }
        }
        Ok(out)
    }

    fn agreement_map(&self) -> Result<Drawn> {
        let at = self.ks.len() / 2;
        let chance = self.chance(at)?;
        let map = self.map_of(
            format!("Where the strongest {} edges of a block rank in others", self.k()),
            format!(
                "Row: the block whose strongest edges are asked about; column: the block that ranks them. 1 = they stay on top, 0 = at the bottom. Chance is not 0.5: edges of the same genes with the same numbers of edges, paired anew within groups of equal expression, rank at {chance} (median over pairs of blocks and categories). Scores: {}.",
                self.choice.words()
            ),
            [0.0, 0.5, 1.0],
        );
        let values = self.square(|r, a, b| medians::agreement(r, at, a, b))?;
        Ok(heat(map.unwrap_or_default(), &values, "routing_agreement.csv".into()))
    }

    /// Agreement of degree-matched edges, in words.
    fn chance(&self, at: usize) -> Result<String> {
        let name = matched(self.ks[at]);
        let value = median(self.results, self.seed, |c| {
            medians::chance(&self.routes(Of::Models, c)?.routing, &name)
        })?;
        Ok(place_words(&value))
    }

    fn spearman_map(&self) -> Result<Drawn> {
        let at = self.ks.len() / 2;
        let map = self.map_of(
            format!("Scores of the union of the strongest {} edges", self.k()),
            "Spearman correlation between two blocks of the scores of all edges that are among the strongest of any block; median over categories.".into(),
            [-1.0, 0.0, 1.0],
        );
        let values = self.square(|r, a, b| r.routing.at.get(at)?.spearman.at(a, b).value)?;
        Ok(heat(map.unwrap_or_default(), &values, "routing_spearman.csv".into()))
    }

    fn over_k(
        &self,
        file: &str,
        title: &str,
        note: &str,
        read: impl Fn(&Routes, usize, &dyn Fn(usize, usize) -> Option<f64>) -> Option<f64>,
    ) -> Result<Drawn> {
        let mut lines = Lines {
            section: ROUTING.into(),
            title: title.into(),
            note: format!(
                "{note}: 1 - median quantile, median over categories, with a bootstrap interval where there are 6 or more. Chance is measured: dotted, edges that keep every gene's number of edges and its group of expression; and pairs of genes that are co-expressed in the same cells. Grey: the untrained twin.",
            ),
            x: "number of strongest edges K".into(),
            x_log: true,
            y: "agreement (1 = stay on top)".into(),
            ..Lines::default()
        };
        // What is drawn, by role and side.
        for (of, role) in
            [(Of::Models, Role::Model), (Of::Twins, Role::Control), (Of::Models, Role::Baseline)]
        {
            for (m, entry) in self.entries(of).iter().enumerate() {
                let mut points = vec![];
                for (at, &k) in self.ks.iter().enumerate() {
                    let value = median(self.results, self.seed, |c| {
                        let r = self.routes(of, c)?;
                        match role {
                            Role::Baseline => {
                                read(r, m, &|a, b| medians::of_set(&r.routing, &matched(k), Some(a), b))
                            }
                            _ => read(r, m, &|a, b| medians::agreement(r, at, a, b)),
                        }
                    })?;
                    points.push(point(k as f64, &value));
                }
                if points.iter().any(|p| p.y.is_some()) {
                    let mut series = self.series(of, m, entry, points);
                    if role == Role::Baseline {
                        series.name = format!("{} (edges of the same degree)", entry.name);
                        (series.role, series.of) = (role, Some(m));
                    }
                    lines.series.push(series);
                }
            }
        }
        let mut points = vec![];
        for &k in self.ks {
            let value = median(self.results, self.seed, |c| {
                let r = self.routes(Of::Models, c)?;
                let name = format!("{COEXPRESSION}@{k}");
                medians::mean((0..r.places.len()).filter_map(|p| medians::of_set(&r.routing, &name, None, p)))
            })?;
            points.push(point(k as f64, &value));
        }
        if points.iter().any(|p| p.y.is_some()) {
            let name = "co-expressed pairs, in all blocks".into();
            lines.series.push(LineSeries { name, role: Role::Baseline, of: None, points });
        }
        Ok(drawn_lines(lines, format!("{file}.csv")))
    }

    /// Every block against the next, by depth, at the middle K.
    fn consecutive(&self) -> Result<Drawn> {
        let at = self.ks.len() / 2;
        let note = format!(
            "How high the strongest {} edges of a block rank in the next block: 1 - median quantile",
            self.k()
        );
        let mut lines = self.block_lines("From block to block", &note, "agreement (1 = stay on top)");
        for (of, role) in
            [(Of::Models, Role::Model), (Of::Twins, Role::Control), (Of::Models, Role::Baseline)]
        {
            self.per_place(&mut lines, of, role, |r, p| {
                let next = p + 1;
                (r.places.get(next)?.0 == r.places[p].0).then_some(())?;
                match role {
                    Role::Baseline => medians::of_set(&r.routing, &matched(self.k()), Some(p), next),
                    _ => medians::agreement(r, at, p, next),
                }
            })?;
        }
        Ok(drawn_lines(lines, "routing_consecutive.csv".into()))
    }

    fn by_block(
        &self,
        file: &str,
        title: &str,
        note: &str,
        read: fn(&Routes, usize) -> Option<f64>,
    ) -> Result<Drawn> {
        let mut lines = self.block_lines(title, note, &title.to_lowercase());
        for (of, role) in [(Of::Models, Role::Model), (Of::Twins, Role::Control)] {
            self.per_place(&mut lines, of, role, read)?;
        }
        Ok(drawn_lines(lines, format!("{file}.csv")))
    }

    fn block_lines(&self, title: &str, note: &str, y: &str) -> Lines {
        Lines {
            section: ROUTING.into(),
            title: title.into(),
            note: format!(
                "{note}. Median over categories, with a bootstrap interval where there are 6 or more. Grey: the untrained twin; dotted, where drawn: edges of the same degree."
            ),
            x: "depth of the stream that enters the block".into(),
            y: y.into(),
            ..Lines::default()
        }
    }

    fn per_place(
        &self,
        lines: &mut Lines,
        of: Of,
        role: Role,
        read: impl Fn(&Routes, usize) -> Option<f64>,
    ) -> Result<()> {
        for (m, entry) in self.entries(of).iter().enumerate() {
            let mut points = vec![];
            for i in 0..entry.n_blocks {
                let value = median(self.results, self.seed, |c| {
                    let r = self.routes(of, c)?;
                    read(r, r.places.iter().position(|p| *p == (m, i))?)
                })?;
                points.push(point(i as f64 / entry.n_blocks as f64, &value));
            }
            if points.iter().any(|p| p.y.is_some()) {
                let mut series = self.series(of, m, entry, points);
                if role == Role::Baseline {
                    series.name = format!("{} (edges of the same degree)", entry.name);
                    (series.role, series.of) = (role, Some(m));
                }
                lines.series.push(series);
            }
        }
        Ok(())
    }
}
