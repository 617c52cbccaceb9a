//! Similarity of blocks, and what is measured block by block, with genes and with cells as rows.

use microtome_anatomy::Estimated;
use microtome_core::Result;
use microtome_report::{HeatMap, LinePoint, Lines};

use super::{Drawn, Source, drawn_lines, heat, point, sentence, words};
use crate::anatomy::analyse::CategoryResult;
use crate::anatomy::cell_view::CellSide;
use crate::anatomy::geometry::{CURVES, Curve, Geometry};
use crate::anatomy::medians::{self, Of, median};
use crate::gene_store::{SiteEntry, StoredFlow, stem_of};

const SIMILARITY: &str = "Similarity of blocks";
const GENES: &str = "Geometry of genes by depth";
const CELLS: &str = "Geometry of cells by depth";
const STREAM: &str = "What blocks do to the stream of a cell";
const OVER: &str =
    "Median over categories, with a bootstrap interval over categories where there are 6 or more";

/// File, heading, how to read it, and the number.
type FlowCurve = (&'static str, &'static str, &'static str, fn(&StoredFlow) -> Option<f64>);

impl Source<'_> {
    /// Triangles per model, then all models together; of genes, and of cells.
    pub(super) fn similarity(&self) -> Result<Vec<Drawn>> {
        let Some(first) = self.results.first() else { return Ok(vec![]) };
        let of_genes = |g: &std::ops::Range<usize>| {
            medians::square(self.results, self.seed, g, |c| Some(&c.models.geometry.rsa))
        };
        let mut out = self.maps(
            &first.models.geometry,
            "similarity",
            "Spearman correlation of the cosines of all gene pairs between two places of the stream; median over categories.",
            SIMILARITY,
            of_genes,
        )?;
        if let Some([models, _]) = self.cells {
            let g = &models.geometry;
            let of_cells = |span: &std::ops::Range<usize>| {
                let pairs = span.clone().flat_map(|a| span.clone().map(move |b| (a, b)));
                Ok(pairs.map(|(a, b)| g.rsa.at(a, b).clone()).collect())
            };
            out.extend(self.maps(
                g,
                "cell_similarity",
                &format!("Spearman correlation of the cosines of all pairs of {} cells of all categories between two places of the stream.", g.n),
                "Similarity of blocks, cells as rows",
                of_cells,
            )?);
        }
        Ok(out)
    }

    fn maps(
        &self,
        geometry: &Geometry,
        file: &str,
        note: &str,
        section: &str,
        values: impl Fn(&std::ops::Range<usize>) -> Result<Vec<Estimated>>,
    ) -> Result<Vec<Drawn>> {
        let entries = self.entries(Of::Models);
        let mut out = vec![];
        for (i, entry) in entries.iter().enumerate() {
            let names: Vec<String> = entry.sites.iter().map(|s| words(&s.site)).collect();
            let map = HeatMap {
                section: section.into(),
                title: entry.name.clone(),
                note: note.into(),
                rows: names.clone(),
                columns: names,
                scale: [-1.0, 0.0, 1.0],
                lower_triangle: true,
                ..HeatMap::default()
            };
            out.push(heat(map, &values(&geometry.span(i))?, format!("{file}_{}.csv", stem_of(&entry.name))));
        }
        if entries.len() > 1 {
            let all = 0..geometry.rsa.names.len();
            let names: Vec<String> =
                entries.iter().flat_map(|e| e.sites.iter().map(|s| words(&s.site))).collect();
            let map = HeatMap {
                section: section.into(),
                title: "All models over the same rows".into(),
                note: "The same measure between places of different models; blocks of one model lie between the lines."
                    .into(),
                rows: names.clone(),
                columns: names,
                groups: entries.iter().map(|e| (e.name.clone(), e.sites.len())).collect(),
                scale: [-1.0, 0.0, 1.0],
                ..HeatMap::default()
            };
            out.push(heat(map, &values(&all)?, format!("{file}_all.csv")));
        }
        Ok(out)
    }

    pub(super) fn gene_geometry(&self) -> Result<Vec<Drawn>> {
        let mut out = vec![];
        for curve in CURVES.iter().filter(|c| c.drawn) {
            let read = |of: Of, m: usize, i: usize| self.of_genes(curve, of, m, i);
            out.push(self.by_depth(GENES, "", curve.id, curve.title, curve.note, OVER, read)?);
        }
        let flows: [FlowCurve; 4] = [
            (
                "attn_share",
                "Share of attention",
                "length of what attention adds to a gene's vector, over the length of the vector before",
                |f| f.attn_share,
            ),
            (
                "mlp_share",
                "Share of the feed-forward part",
                "length of what the feed-forward part adds, over the length of the vector it is added to",
                |f| f.mlp_share,
            ),
            (
                "token_speed",
                "Speed in cells",
                "1 - cosine of a gene's vector in a cell before and after the block",
                |f| f.speed,
            ),
            (
                "token_curvature",
                "Curvature along tokens",
                "mean angle in radians between successive steps along the order of a cell's genes, after the block: 0 = straight; only for models that put genes into an order",
                |f| f.token_curvature,
            ),
        ];
        for (file, title, note, read) in flows {
            // Where no model has an order of genes there is nothing to draw.
            let found = self.results.iter().flat_map(|c| c.models.flow.iter().flatten());
            if file == "token_curvature" && found.clone().all(|f| read(f).is_none()) {
                continue;
            }
            let at = |of: Of, m: usize, i: usize| {
                let Some(block) = i.checked_sub(1) else {
                    return Ok(Estimated::missing(0, "no block before"));
                };
                let flow = |c: &CategoryResult| read(of.side(c).flow.get(m)?.get(block)?);
                median(self.results, self.seed, flow)
            };
            let words = "Mean over all gene tokens of the cells of a category, not of mean vectors; median over categories, with a bootstrap interval where there are 6 or more";
            out.push(self.by_depth(STREAM, "", file, title, note, words, at)?);
        }
        Ok(out)
    }

    pub(super) fn of_genes(&self, curve: &Curve, of: Of, m: usize, i: usize) -> Result<Estimated> {
        median(self.results, self.seed, |c| (curve.read)(&of.side(c).geometry, m, i))
    }

    pub(super) fn cell_geometry(&self) -> Result<Vec<Drawn>> {
        let Some(sides) = self.cells else { return Ok(vec![]) };
        let over = format!(
            "One vector per cell (mean over its genes), {} cells of all categories; jackknife interval over categories where there are 6 or more",
            sides[0].geometry.n
        );
        let side = |of: Of| -> &CellSide { &sides[usize::from(of == Of::Twins)] };
        let mut out = vec![];
        for (c, curve) in CURVES.iter().enumerate().filter(|(_, c)| c.drawn) {
            let read = |of: Of, m: usize, i: usize| Ok(side(of).curves[c][m][i].clone());
            out.push(self.by_depth(CELLS, "cell_", curve.id, curve.title, curve.note, &over, read)?);
        }
        if !sides[0].along_time.is_empty() {
            let read = |of: Of, m: usize, i: usize| Ok(side(of).along_time[m][i].clone());
            let note = "mean angle in radians between successive steps of the centroids of cells along pseudotime: 0 = straight";
            let over = "Cells of all categories in stretches of equal number";
            out.push(self.by_depth(
                CELLS,
                "cell_",
                "curvature_time",
                "Curvature along pseudotime",
                note,
                over,
                read,
            )?);
        }
        Ok(out)
    }

    #[allow(clippy::too_many_arguments, reason = "what a figure says about itself, and its numbers")]
    fn by_depth(
        &self,
        section: &str,
        prefix: &str,
        file: &str,
        title: &str,
        note: &str,
        over: &str,
        read: impl Fn(Of, usize, usize) -> Result<Estimated>,
    ) -> Result<Drawn> {
        let mut lines = Lines {
            section: section.into(),
            title: title.into(),
            note: format!("{}. {over}. Grey: the untrained twin.", sentence(note)),
            x: "depth (0 = embedding, 1 = last block)".into(),
            y: title.to_lowercase(),
            ..Lines::default()
        };
        for of in [Of::Models, Of::Twins] {
            for (m, entry) in self.entries(of).iter().enumerate() {
                let mut points: Vec<LinePoint> = vec![];
                for (i, SiteEntry { depth, .. }) in entry.sites.iter().enumerate() {
                    if let Some(depth) = depth {
                        points.push(point(*depth, &read(of, m, i)?));
                    }
                }
                lines.series.push(self.series(of, m, entry, points));
            }
        }
        Ok(drawn_lines(lines, format!("{prefix}{file}.csv")))
    }
}
