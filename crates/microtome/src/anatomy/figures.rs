//! The figures of the report, and the table behind each.

use microtome_anatomy::Estimated;
use microtome_core::{Result, Role, Site};
use microtome_report::{Figure, HeatMap, LinePoint, LineSeries, Lines};

use super::analyse::CategoryResult;
use super::medians::{self, Of, median};
use crate::gene_store::{GeneStore, ModelEntry, stem_of};
use crate::perturb::quoted;

/// A figure with the text of its table.
pub(super) struct Drawn {
    pub(super) figure: Figure,
    /// File below `tables/`, and its text.
    pub(super) table: (String, String),
}

/// What figures are drawn from.
pub(super) struct Source<'a> {
    pub(super) store: &'a GeneStore,
    pub(super) results: &'a [CategoryResult],
    pub(super) ks: &'a [usize],
    pub(super) seed: u64,
}

const GEOMETRY: &str = "Geometry by depth";
const SIMILARITY: &str = "Similarity of blocks";
const ROUTING: &str = "Attention routing";

impl Source<'_> {
    pub(super) fn figures(&self) -> Result<Vec<Drawn>> {
        let mut out = self.similarity()?;
        out.extend(self.geometry()?);
        out.extend(self.routing()?);
        Ok(out)
    }

    pub(super) fn entries(&self, of: Of) -> Vec<&ModelEntry> {
        let role = if of == Of::Models { Role::Model } else { Role::Control };
        self.store.manifest().models.iter().filter(|m| m.role == role).collect()
    }

    /// Triangles per model, then all models together.
    fn similarity(&self) -> Result<Vec<Drawn>> {
        let Some(first) = self.results.first() else { return Ok(vec![]) };
        let mut out = vec![];
        for (i, entry) in self.entries(Of::Models).iter().enumerate() {
            let span = first.models.span(i);
            let values = medians::square(self.results, self.seed, &span, |c| Some(&c.models.rsa))?;
            let names: Vec<String> = entry.sites.iter().map(|s| words(&s.site)).collect();
            let mut map = HeatMap {
                section: SIMILARITY.into(),
                title: entry.name.clone(),
                note: "Spearman correlation of the cosines of all gene pairs between two places of the stream; median over categories."
                    .into(),
                rows: names.clone(),
                columns: names,
                values,
                scale: [-1.0, 0.0, 1.0],
                lower_triangle: true,
                ..HeatMap::default()
            };
            let file = format!("similarity_{}.csv", stem_of(&entry.name));
            out.push(heat(&mut map, file));
        }
        if self.entries(Of::Models).len() > 1 {
            let all = 0..first.models.rsa.names.len();
            let values = medians::square(self.results, self.seed, &all, |c| Some(&c.models.rsa))?;
            let entries = self.entries(Of::Models);
            let names: Vec<String> =
                entries.iter().flat_map(|e| e.sites.iter().map(|s| words(&s.site))).collect();
            let mut map = HeatMap {
                section: SIMILARITY.into(),
                title: "All models over the same genes".into(),
                note: "The same measure between places of different models; blocks of one model lie between the lines."
                    .into(),
                rows: names.clone(),
                columns: names,
                groups: entries.iter().map(|e| (e.name.clone(), e.sites.len())).collect(),
                values,
                scale: [-1.0, 0.0, 1.0],
                lower_triangle: false,
                ..HeatMap::default()
            };
            out.push(heat(&mut map, "similarity_all.csv".into()));
        }
        Ok(out)
    }

    fn geometry(&self) -> Result<Vec<Drawn>> {
        let curves: [(&str, &str, &str, Reading); 4] = [
            (
                "effective_rank",
                "Effective rank",
                "exp of the entropy of the variances of centred gene vectors: how many directions genes spread over",
                |c, of, m, i| of.side(c).shapes[m][i].centred.effective_rank_variance.value,
            ),
            (
                "mean_cosine",
                "Shared direction",
                "mean cosine of all gene pairs: 0 without a preferred direction, 1 when all genes point the same way",
                |c, of, m, i| of.side(c).shapes[m][i].mean_cosine.value,
            ),
            (
                "speed",
                "Representation speed",
                "1 - cosine of a gene's vector before and after the block, median over genes",
                |c, of, m, i| of.side(c).steps[m].get(i.checked_sub(1)?)?.speed.value,
            ),
            (
                "drift",
                "Kept from the embedding",
                "debiased CKA of the place with the embedding: 1 when the geometry of genes is still that of the input",
                |c, of, m, i| of.side(c).cka[m].at(0, i).value,
            ),
        ];
        curves.into_iter().map(|(file, title, note, read)| self.by_depth(file, title, note, read)).collect()
    }

    fn by_depth(&self, file: &str, title: &str, note: &str, read: Reading) -> Result<Drawn> {
        let mut lines = Lines {
            section: GEOMETRY.into(),
            title: title.into(),
            note: format!(
                "{}. Median over categories, with a bootstrap interval over categories where there are 6 or more.",
                sentence(note)
            ),
            x: "depth (0 = embedding, 1 = last block)".into(),
            y: title.to_lowercase(),
            ..Lines::default()
        };
        for of in [Of::Models, Of::Twins] {
            for (m, entry) in self.entries(of).iter().enumerate() {
                let mut points = vec![];
                for (i, site) in entry.sites.iter().enumerate() {
                    let Some(depth) = site.depth else { continue };
                    points.push(point(depth, &median(self.results, self.seed, |c| read(c, of, m, i))?));
                }
                lines.series.push(self.series(of, m, entry, points));
            }
        }
        Ok(drawn_lines(lines, format!("{file}.csv")))
    }

    fn series(&self, of: Of, m: usize, entry: &ModelEntry, points: Vec<LinePoint>) -> LineSeries {
        let role = if of == Of::Models { Role::Model } else { Role::Control };
        LineSeries { name: entry.name.clone(), role, of: (of == Of::Twins).then_some(m), points }
    }

    fn routing(&self) -> Result<Vec<Drawn>> {
        let Some(first) = self.results.first() else { return Ok(vec![]) };
        if first.models.routing.is_none() {
            return Ok(vec![]);
        }
        let mut out = vec![self.agreement_map()?];
        let near = |a: usize, b: usize| a.abs_diff(b) == 1;
        out.push(self.over_k(
            "routing_neighbours",
            "Agreement of neighbouring blocks",
            "How high the strongest edges of a block rank in the block before and after it",
            |side, at, m| medians::within(side, at, m, near),
        )?);
        if self.entries(Of::Models).len() > 1 {
            out.push(self.over_k(
                "routing_models",
                "Agreement with other models",
                "How high the strongest edges of a model's blocks rank in the blocks of all other models",
                medians::across,
            )?);
        }
        Ok(out)
    }

    fn agreement_map(&self) -> Result<Drawn> {
        let first = &self.results[0].models;
        // The middle K that was asked for.
        let at = self.ks.len() / 2;
        let n = first.places.len();
        let mut values = Vec::with_capacity(n * n);
        for a in 0..n {
            for b in 0..n {
                let read = |c: &CategoryResult| medians::agreement(&c.models, at, a, b);
                values.push(if a == b { None } else { median(self.results, self.seed, read)?.value });
            }
        }
        let entries = self.entries(Of::Models);
        let names: Vec<String> = first.places.iter().map(|(_, block)| block.to_string()).collect();
        let groups = entries.iter().enumerate().filter_map(|(m, e)| {
            let count = first.places.iter().filter(|p| p.0 == m).count();
            (count > 0).then(|| (e.name.clone(), count))
        });
        let mut map = HeatMap {
            section: ROUTING.into(),
            title: format!("Where the strongest {} edges of a block rank in others", self.ks[at]),
            note: "Row: the block whose strongest edges are asked about; column: the block that ranks them. 1 = they stay on top, 0.5 = the middle of all pairs, 0 = at the bottom. Attention of the mean stream with biases, norms and softmax per head."
                .into(),
            rows: names.clone(),
            columns: names,
            groups: groups.collect(),
            values,
            scale: [0.0, 0.5, 1.0],
            lower_triangle: false,
            ..HeatMap::default()
        };
        Ok(heat(&mut map, "routing_agreement.csv".into()))
    }

    fn over_k(
        &self,
        file: &str,
        title: &str,
        note: &str,
        read: impl Fn(&super::analyse::Side, usize, usize) -> Option<f64>,
    ) -> Result<Drawn> {
        let mut lines = Lines {
            section: ROUTING.into(),
            title: title.into(),
            note: format!(
                "{note}: 1 - median quantile, median over categories. Grey: the untrained twin of the same shape, which is where chance lies for this model.",
            ),
            x: "number of strongest edges K".into(),
            x_log: true,
            y: "agreement (1 = stay on top, 0.5 = middle of all pairs)".into(),
            ..Lines::default()
        };
        for of in [Of::Models, Of::Twins] {
            for (m, entry) in self.entries(of).iter().enumerate() {
                let mut points = vec![];
                for (at, &k) in self.ks.iter().enumerate() {
                    let value = median(self.results, self.seed, |c| read(of.side(c), at, m))?;
                    points.push(point(k as f64, &value));
                }
                if points.iter().any(|p| p.y.is_some()) {
                    lines.series.push(self.series(of, m, entry, points));
                }
            }
        }
        Ok(drawn_lines(lines, format!("{file}.csv")))
    }
}

/// A number of one category, side, member and site.
type Reading = fn(&CategoryResult, Of, usize, usize) -> Option<f64>;

pub(super) fn point(x: f64, e: &Estimated) -> LinePoint {
    LinePoint { x, y: e.value, low: e.low, high: e.high }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

/// `embed`, or the number of the block.
fn words(site: &str) -> String {
    match site.parse() {
        Ok(Site::Embed) => "embed".into(),
        Ok(Site::Block(i, _)) => i.to_string(),
        Ok(Site::FinalNorm) => "norm".into(),
        _ => site.into(),
    }
}

fn heat(map: &mut HeatMap, file: String) -> Drawn {
    let of: Vec<&str> =
        map.groups.iter().flat_map(|(name, n)| std::iter::repeat_n(name.as_str(), *n)).collect();
    let name = |i: usize, names: &[String]| match of.get(i) {
        Some(group) => format!("{},{}", quoted(group), quoted(&names[i])),
        None => format!("{},{}", quoted(&map.title), quoted(&names[i])),
    };
    let mut text = String::from("row_model,row,column_model,column,value\n");
    for i in 0..map.rows.len() {
        for j in 0..map.columns.len() {
            let value = map.values[i * map.columns.len() + j].map(|v| v.to_string()).unwrap_or_default();
            text.push_str(&format!("{},{},{value}\n", name(i, &map.rows), name(j, &map.columns)));
        }
    }
    map.table = Some(format!("tables/{file}"));
    Drawn { figure: Figure::HeatMap(map.clone()), table: (file, text) }
}

pub(super) fn drawn_lines(mut lines: Lines, file: String) -> Drawn {
    let mut text = String::from("series,role,x,value,low,high\n");
    let number = |v: Option<f64>| v.map(|v| v.to_string()).unwrap_or_default();
    for s in &lines.series {
        for p in &s.points {
            text.push_str(&format!(
                "{},{},{},{},{},{}\n",
                quoted(&s.name),
                role(s.role),
                p.x,
                number(p.y),
                number(p.low),
                number(p.high)
            ));
        }
    }
    lines.table = Some(format!("tables/{file}"));
    Drawn { figure: Figure::Lines(lines), table: (file, text) }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Model => "model",
        Role::Control => "control",
        Role::Baseline => "baseline",
    }
}
