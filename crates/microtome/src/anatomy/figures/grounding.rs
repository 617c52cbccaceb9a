//! Enrichment of strongest edges in networks and of gene neighbourhoods in sets, by depth, beside nulls and simple baselines.

use microtome_anatomy::Estimated;
use microtome_anatomy::grounding::EdgeEnrichment;
use microtome_core::{Result, Role};
use microtome_report::{LineSeries, Lines};

use super::{Drawn, Source, drawn_lines, point};
use crate::anatomy::analyse::CategoryResult;
use crate::anatomy::grounding::Grounded;
use crate::anatomy::medians::{Of, median_of};
use crate::gene_store::stem_of;

impl Source<'_> {
    /// One figure per reference.
    pub(super) fn grounding(&self) -> Result<Vec<Drawn>> {
        let mut out = vec![];
        for (at, reference) in self.references.iter().enumerate() {
            let mut lines = if reference.is_network() { self.edges(at)? } else { self.neighbours(at)? };
            lines.note = format!("{}. {}", reference.note, lines.note);
            lines.title = lines.title.replace("{name}", &reference.name);
            out.push(drawn_lines(lines, format!("grounding_{}.csv", stem_of(&reference.name))));
        }
        Ok(out)
    }

    fn edges(&self, at: usize) -> Result<Lines> {
        let mut lines = Lines {
            section: "Grounding".into(),
            title: format!("{{name}}: interactions among the strongest {} edges", self.k()),
            note: "Share of a block's strongest edges that are in the network, direction left aside, over the share among edges that keep every gene's number of edges and its group of expression (99 draws): 1 = what these genes give when they are paired anew. Edges of genes that the network does not cover are left out. Median over categories, with a bootstrap interval where there are 6 or more; a single category shows a bootstrap interval over query genes. Level lines: the strongest pairs by co-expression in the same cells, by the product of mean expression and by static vectors, each against its own null. Grey: the untrained twin.".into(),
            x: "depth of the stream that enters the block".into(),
            y: "times as many as among matched edges".into(),
            ..Lines::default()
        };
        for of in [Of::Models, Of::Twins] {
            for (m, entry) in self.entries(of).iter().enumerate() {
                let mut points = vec![];
                for i in 0..entry.n_blocks {
                    let value = median_of(self.results, self.seed, |c| {
                        let place = of.side(c).routes.as_ref()?.places.iter().position(|p| *p == (m, i))?;
                        Some(&places(c, of, at)?.get(place)?.enrichment)
                    })?;
                    points.push(point(i as f64 / entry.n_blocks as f64, &value));
                }
                if points.iter().any(|p| p.y.is_some()) {
                    lines.series.push(self.series(of, m, entry, points));
                }
            }
        }
        let names = self.results.first().map_or(vec![], |c| match c.models.grounded.get(at) {
            Some(Grounded::Edges { baselines, .. }) => {
                baselines.iter().map(|(name, member, _)| (name.clone(), *member)).collect()
            }
            _ => vec![],
        });
        for (name, member) in names {
            let value = median_of(self.results, self.seed, |c| match c.models.grounded.get(at)? {
                Grounded::Edges { baselines, .. } => {
                    baselines.iter().find(|b| (&b.0, b.1) == (&name, member)).map(|b| &b.2.enrichment)
                }
                Grounded::Neighbours { .. } => None,
            })?;
            let of_member = member.and_then(|m| self.entries(Of::Models).get(m).map(|e| e.name.clone()));
            let name = of_member.map_or(name.clone(), |m| format!("{m}: {name}"));
            lines.series.extend(level(name, member, &value));
        }
        lines.series.push(chance());
        Ok(lines)
    }

    fn neighbours(&self, at: usize) -> Result<Lines> {
        let mut lines = Lines {
            section: "Grounding".into(),
            title: "{name}: neighbours from the same gene set".into(),
            note: "Share of a gene's 10 nearest genes (cosine of mean vectors) that share its set, less the share in random sets of equal size and expression (99 draws); mean over sets of 5 to 500 compared genes: 0 = chance. Median over categories, with a bootstrap interval where there are 6 or more; a single category shows a bootstrap interval over sets. Level lines: neighbours by co-expression in the same cells and by mean expression. Grey: the untrained twin.".into(),
            x: "depth (0 = embedding, 1 = last block)".into(),
            y: "share of neighbours above chance".into(),
            ..Lines::default()
        };
        for of in [Of::Models, Of::Twins] {
            for (m, entry) in self.entries(of).iter().enumerate() {
                let mut points = vec![];
                for (i, site) in entry.sites.iter().enumerate() {
                    let Some(depth) = site.depth else { continue };
                    let value =
                        median_of(self.results, self.seed, |c| match of.side(c).grounded.get(at)? {
                            Grounded::Neighbours { sites, .. } => Some(&sites.get(m)?.get(i)?.excess),
                            Grounded::Edges { .. } => None,
                        })?;
                    points.push(point(depth, &value));
                }
                lines.series.push(self.series(of, m, entry, points));
            }
        }
        let names = self.results.first().map_or(vec![], |c| match c.models.grounded.get(at) {
            Some(Grounded::Neighbours { baselines, .. }) => baselines.iter().map(|b| b.0.clone()).collect(),
            _ => vec![],
        });
        for name in names {
            let value = median_of(self.results, self.seed, |c| match c.models.grounded.get(at)? {
                Grounded::Neighbours { baselines, .. } => {
                    baselines.iter().find(|b| b.0 == name).map(|b| &b.1.excess)
                }
                Grounded::Edges { .. } => None,
            })?;
            lines.series.extend(level(name, None, &value));
        }
        Ok(lines)
    }
}

/// Enrichment of every place in one category.
fn places(c: &CategoryResult, of: Of, at: usize) -> Option<&[EdgeEnrichment]> {
    match of.side(c).grounded.get(at)? {
        Grounded::Edges { places, .. } => Some(places),
        Grounded::Neighbours { .. } => None,
    }
}

/// A line of one height over all depths.
fn level(name: String, of: Option<usize>, value: &Estimated) -> Option<LineSeries> {
    value.value?;
    let points = vec![point(0.0, value), point(1.0, value)];
    Some(LineSeries { name, role: Role::Baseline, of, points })
}

/// What the null gives, by definition of the enrichment.
fn chance() -> LineSeries {
    let one = Estimated::exact(1.0, 0);
    let points = vec![point(0.0, &one), point(1.0, &one)];
    LineSeries { name: "matched edges (= 1)".into(), role: Role::Baseline, of: None, points }
}
