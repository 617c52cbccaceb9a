//! The figures of the report, and the table behind each.

mod geometry;
mod grounding;
mod models;
mod routing;
mod tables;

use microtome_anatomy::Estimated;
use microtome_core::{Result, Role, Site};
use microtome_report::{Figure, HeatMap, LinePoint, LineSeries, Lines};

use super::analyse::CategoryResult;
use super::cell_view::CellSide;
use super::grounding::Reference;
use super::medians::Of;
use super::options::RoutingChoice;
use crate::gene_store::{GeneStore, ModelEntry};
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
    /// Models and twins over cells, where the store holds cells.
    pub(super) cells: Option<&'a [CellSide; 2]>,
    pub(super) references: &'a [Reference],
    pub(super) ks: &'a [usize],
    pub(super) choice: &'a RoutingChoice,
    pub(super) seed: u64,
}

impl Source<'_> {
    /// All figures, in the order of the report.
    pub(super) fn figures(&self) -> Result<Vec<Drawn>> {
        let mut out = self.similarity()?;
        out.extend(self.gene_geometry()?);
        out.extend(self.cell_geometry()?);
        out.extend(self.routing()?);
        out.extend(self.across_models()?);
        out.extend(self.grounding()?);
        Ok(out)
    }

    pub(super) fn entries(&self, of: Of) -> Vec<&ModelEntry> {
        let role = if of == Of::Models { Role::Model } else { Role::Control };
        self.store.manifest().models.iter().filter(|m| m.role == role).collect()
    }

    /// The K that single numbers are shown at: the middle one that was asked for.
    pub(super) fn k(&self) -> usize {
        self.ks[self.ks.len() / 2]
    }

    fn series(&self, of: Of, m: usize, entry: &ModelEntry, points: Vec<LinePoint>) -> LineSeries {
        let role = if of == Of::Models { Role::Model } else { Role::Control };
        LineSeries { name: entry.name.clone(), role, of: (of == Of::Twins).then_some(m), points }
    }
}

pub(super) fn point(x: f64, e: &Estimated) -> LinePoint {
    LinePoint { x, y: e.value, low: e.low, high: e.high }
}

/// Where chance stands, in words.
fn place_words(chance: &Estimated) -> String {
    chance.value.map_or_else(|| "an undefined place".into(), |v| format!("{v:.2}"))
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

/// A heat map of medians, and its table with intervals.
fn heat(mut map: HeatMap, values: &[Estimated], file: String) -> Drawn {
    map.values = values.iter().map(|v| v.value).collect();
    let of: Vec<&str> =
        map.groups.iter().flat_map(|(name, n)| std::iter::repeat_n(name.as_str(), *n)).collect();
    let name = |i: usize, names: &[String]| match of.get(i) {
        Some(group) => format!("{},{}", quoted(group), quoted(&names[i])),
        None => format!("{},{}", quoted(&map.title), quoted(&names[i])),
    };
    let mut text = String::from("row_model,row,column_model,column,value,low,high,n_categories\n");
    for i in 0..map.rows.len() {
        for j in 0..map.columns.len() {
            let v = &values[i * map.columns.len() + j];
            text.push_str(&format!("{},{},{}\n", name(i, &map.rows), name(j, &map.columns), numbers(v)));
        }
    }
    map.table = Some(format!("tables/{file}"));
    Drawn { figure: Figure::HeatMap(map), table: (file, text) }
}

/// `value,low,high,n`, empty where there is none.
fn numbers(v: &Estimated) -> String {
    let number = |v: Option<f64>| v.map(|v| v.to_string()).unwrap_or_default();
    format!("{},{},{},{}", number(v.value), number(v.low), number(v.high), v.n)
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
