//! Geometry and axes of the curve figure, once for a wide and once for a narrow page.

use std::fmt::Write;

use microtome_core::{BlockSite, Role, Site};

use super::escape::esc;
use super::labels::{text_width, thin};
use super::marks::marker;
use crate::axis::Axis;
use crate::number::tick;
use crate::panel::{Panel, Series};

/// Height of the row that shows one model's confidence set.
const STRIP: f64 = 30.0;
/// Height of one row of block labels.
const BLOCK_ROW: f64 = 18.0;
/// How far beside the last block a second site of the same depth is drawn.
pub(crate) const BESIDE: f64 = 30.0;

/// The place of everything in one figure, in pixels.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) narrow: bool,
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
    /// Horizontal place of depth 1.
    pub(crate) last: f64,
    pub(crate) y: Axis,
}

impl Frame {
    pub(crate) fn new(panel: &Panel, narrow: bool) -> Self {
        let (width, plot, left, margin) =
            if narrow { (360.0, 250.0, 40.0, 24.0) } else { (920.0, 340.0, 56.0, 214.0) };
        let values = |series: &Series| -> Vec<f64> {
            let points = series.points.iter().chain(&series.extra).chain(&series.units);
            points.flat_map(|p| ends(p.value, p.interval)).collect()
        };
        let all = panel
            .series
            .iter()
            .flat_map(values)
            .chain(panel.levels.iter().flat_map(|l| ends(l.value, l.interval)));
        let y = Axis::around(all, if narrow { 5 } else { 6 });
        let strips = panel.series.iter().filter(|s| has_strip(s)).count();
        let top = 26.0 + strips as f64 * STRIP + if strips > 0 { 8.0 } else { 0.0 };
        let rows = block_rows(panel).len();
        let bottom = top + plot;
        let right = width - margin;
        let beside = panel.series.iter().any(|s| !s.extra.is_empty());
        let last = right - if beside { BESIDE + 10.0 } else { 10.0 };
        let height = bottom + 46.0 + rows as f64 * BLOCK_ROW;
        Self { narrow, width, height, left, right, top, bottom, last, y }
    }

    pub(crate) fn x(&self, depth: f64) -> f64 {
        let first = self.left + 10.0;
        first + depth.clamp(0.0, 1.0) * (self.last - first)
    }

    pub(crate) fn y(&self, value: f64) -> f64 {
        self.bottom - self.y.place(value) * (self.bottom - self.top)
    }

    /// Baseline of the text of strip `i`.
    pub(crate) fn strip(&self, i: usize) -> f64 {
        36.0 + i as f64 * STRIP
    }

    /// Grid, labels of both axes, rows of block labels and the metric's name.
    pub(crate) fn axes(&self, panel: &Panel, out: &mut String) {
        let better =
            if panel.higher_is_better { "\u{2191} higher is better" } else { "\u{2193} lower is better" };
        let metric = super::escape::shorten(panel.metric, if self.narrow { 26 } else { 60 });
        let _ = write!(
            out,
            "<text class=\"axis-title\" x=\"0\" y=\"13\">{}<tspan class=\"quiet\" dx=\"8\">{better}</tspan></text>",
            esc(&metric)
        );
        for &t in &self.y.ticks {
            let y = self.y(t);
            let zero = if t == 0.0 { " zero" } else { "" };
            let _ = write!(
                out,
                "<path class=\"grid{zero}\" d=\"M{:.1} {y:.1}H{:.1}\"/><text class=\"tick\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                self.left,
                self.right,
                self.left - 8.0,
                y + 4.0,
                tick(t, self.y.step)
            );
        }
        let _ = write!(
            out,
            "<path class=\"base\" d=\"M{:.1} {:.1}H{:.1}\"/>",
            self.left, self.bottom, self.right
        );
        for i in 0..=5 {
            let depth = f64::from(i) / 5.0;
            let x = self.x(depth);
            let _ = write!(
                out,
                "<path class=\"base\" d=\"M{x:.1} {:.1}v5\"/><text class=\"tick\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                self.bottom,
                self.bottom + 18.0,
                tick(depth, if i % 5 == 0 { 1.0 } else { 0.2 })
            );
        }
        let rows = block_rows(panel);
        for (i, &(index, series)) in rows.iter().enumerate() {
            self.block_row(series, index, self.bottom + 36.0 + i as f64 * BLOCK_ROW, rows.len() > 1, out);
        }
        let _ = write!(
            out,
            "<text class=\"axis-title\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">depth<tspan class=\"quiet\" dx=\"6\">{}</tspan></text>",
            (self.left + self.last) / 2.0,
            self.height - 4.0,
            if rows.is_empty() {
                "0 = embedding, 1 = last block"
            } else {
                "and, in small print, number of the block"
            }
        );
    }

    /// The numbers of one model's blocks below the depth they have.
    fn block_row(&self, series: &Series, index: usize, y: f64, marked: bool, out: &mut String) {
        let mut labels: Vec<(f64, String)> = series
            .points
            .iter()
            .filter_map(|p| Some((self.x(p.depth), block_label(p.record.site.as_deref()?)?)))
            .collect();
        if let Some(p) = series.extra.last().filter(|p| p.depth >= 1.0) {
            labels.extend(
                p.record.site.as_deref().and_then(block_label).map(|l| (self.x(p.depth) + BESIDE, l)),
            );
        }
        let at: Vec<f64> = labels.iter().map(|l| l.0).collect();
        let widths: Vec<f64> = labels.iter().map(|l| text_width(&l.1, 10.5) + 7.0).collect();
        for ((x, label), _) in labels.iter().zip(thin(&at, &widths)).filter(|(_, show)| *show) {
            let _ = write!(
                out,
                "<text class=\"block\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{y:.1}\">{label}</text>"
            );
        }
        if marked {
            let _ = write!(
                out,
                "<path class=\"mk m{}\" d=\"{}\"/>",
                index % super::palette::MODELS,
                marker(index, self.left - 18.0, y - 4.0, 4.0)
            );
        }
    }
}

/// Value and interval ends of a point.
pub(crate) fn ends(value: f64, interval: Option<(f64, f64)>) -> Vec<f64> {
    let (low, high) = interval.unwrap_or((value, value));
    vec![value, low, high]
}

/// Whether a model's chosen depth or confidence set can be shown.
pub(crate) fn has_strip(series: &Series) -> bool {
    series.summary.is_some_and(|s| {
        s.chosen_site.iter().chain(&s.confidence_set).any(|site| series.at_site(site).is_some())
    })
}

/// Models whose blocks lie at different depths, each with its number among the models; at most three rows.
fn block_rows<'p, 'a>(panel: &'p Panel<'a>) -> Vec<(usize, &'p Series<'a>)> {
    let mut rows: Vec<(usize, &Series)> = vec![];
    for (i, s) in panel.series.iter().filter(|s| s.role == Role::Model).enumerate() {
        let depths: Vec<f64> = s.points.iter().map(|p| p.depth).collect();
        let known = rows.iter().any(|(_, r)| r.points.iter().map(|p| p.depth).eq(depths.iter().copied()));
        if !known && depths.len() > 1 && rows.len() < 3 {
            rows.push((i, s));
        }
    }
    rows
}

fn block_label(site: &str) -> Option<String> {
    match site.parse().ok()? {
        Site::Embed => Some("emb".into()),
        Site::Block(i, BlockSite::ResidPost) => Some(i.to_string()),
        Site::FinalNorm => Some("norm".into()),
        Site::CellEmbedding => Some("cell".into()),
        _ => None,
    }
}
