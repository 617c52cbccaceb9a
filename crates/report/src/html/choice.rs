//! Marks of the choice of a depth in the curve figure: chosen, confidence set, oracle.

use std::fmt::Write;

use super::curve::look;
use super::escape::{esc, shorten};
use super::frame::{BESIDE, Frame, has_strip};
use super::marks::diamond;
use crate::panel::{Panel, Series, site_words};

/// Above the plot: which depth was chosen and which cannot be told from the best one.
pub(crate) fn strips(panel: &Panel, f: &Frame, out: &mut String) {
    let mut row = 0;
    for (at, series) in panel.series.iter().enumerate() {
        let Some(summary) = series.summary.filter(|_| has_strip(series)) else { continue };
        let class = look(panel, at).0;
        let y = f.strip(row);
        row += 1;
        let stream: Vec<&str> = series.points.iter().filter_map(|p| p.record.site.as_deref()).collect();
        let x = |i: usize| f.x(series.points[i].depth);
        let middle = |a: usize, b: usize| (x(a) + x(b)) / 2.0;
        for i in 0..stream.len().min(series.points.len()) {
            if !summary.confidence_set.iter().any(|s| s == stream[i]) {
                continue;
            }
            let from = if i == 0 { x(0) - 6.0 } else { middle(i - 1, i) };
            let to = if i + 1 == stream.len() { x(i) + 6.0 } else { middle(i, i + 1) };
            let _ = write!(out, "<path class=\"set {class}\" d=\"M{from:.1} {:.1}H{to:.1}\"/>", y + 9.0);
        }
        for p in series.extra.iter().filter(|p| p.depth >= 1.0) {
            if summary.confidence_set.iter().any(|s| Some(s.as_str()) == p.record.site.as_deref()) {
                let x = f.x(p.depth) + BESIDE;
                let _ = write!(out, "<path class=\"set {class}\" d=\"M{:.1} {:.1}h12\"/>", x - 6.0, y + 9.0);
            }
        }
        let Some((site, p)) = summary.chosen_site.as_deref().and_then(|s| Some((s, series.at_site(s)?)))
        else {
            continue;
        };
        let beside = series.extra.iter().any(|e| std::ptr::eq(e, p)) && p.depth >= 1.0;
        let px = f.x(p.depth) + if beside { BESIDE } else { 0.0 };
        let _ = write!(
            out,
            "<path class=\"chosen {class}\" d=\"M{px:.1} {:.1}V{:.1}\"/><path class=\"chosen-tip {class}\" d=\"M{:.1} {:.1}h10l-5 7z\"/>",
            y + 14.0,
            f.y(p.value),
            px - 5.0,
            y + 5.0
        );
        let name = shorten(&site_words(site), 24);
        let (anchor, tx) = match (px - f.left) / (f.right - f.left) {
            t if t < 0.15 => ("start", px - 5.0),
            t if t > 0.85 => ("end", px + 5.0),
            _ => ("middle", px),
        };
        let _ = write!(
            out,
            "<text class=\"chosen-label {class}\" text-anchor=\"{anchor}\" x=\"{tx:.1}\" y=\"{y:.1}\">chosen: {}</text>",
            esc(&name)
        );
    }
}

/// The best depth on the test data: hollow, so that nobody takes it for the answer.
pub(crate) fn oracle(series: &Series, f: &Frame, out: &mut String) {
    let site = series.summary.and_then(|s| s.oracle_site.as_deref());
    let Some(p) = site.and_then(|s| series.at_site(s)) else { return };
    let beside = series.extra.iter().any(|e| std::ptr::eq(e, p)) && p.depth >= 1.0;
    let (x, y) = (f.x(p.depth) + if beside { BESIDE } else { 0.0 }, f.y(p.value));
    let _ = write!(
        out,
        "<path class=\"oracle\" d=\"{}\"/><text class=\"oracle-label\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">oracle</text>",
        diamond(x, y, 9.0),
        y + 24.0
    );
}
