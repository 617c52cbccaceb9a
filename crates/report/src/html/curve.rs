//! The layer curve: score by depth with its intervals, baselines, controls and the chosen depth.

use std::fmt::Write;

use microtome_core::Role;

use super::choice::{oracle, strips};
use super::escape::{esc, shorten};
use super::frame::{BESIDE, Frame};
use super::labels::spread;
use super::marks::{CONTROL_DASH, DASHES, marker};
use super::palette::{BASELINES, MODELS};
use crate::number::{decimal, interval};
use crate::panel::{Level, Panel, Point, Series, site_words};

/// Distance between labels at the right edge.
const GAP: f64 = 15.0;

/// Class that carries the colour, marker number and whether the marker is hollow.
pub(crate) fn look(panel: &Panel, at: usize) -> (String, usize, bool) {
    let role = panel.series[at].role;
    let nth = panel.series[..at].iter().filter(|s| s.role == role).count();
    if role == Role::Model { (format!("m{}", nth % MODELS), nth, false) } else { ("ctl".into(), nth, true) }
}

/// Class and dash of a level.
pub(crate) fn level_look(panel: &Panel, at: usize) -> (String, &'static str) {
    let role = panel.levels[at].role;
    let nth = panel.levels[..at].iter().filter(|l| l.role == role).count();
    match role {
        Role::Baseline => (format!("b{}", nth % BASELINES), DASHES[nth % DASHES.len()]),
        _ => ("ctl".into(), CONTROL_DASH),
    }
}

/// Letter by which a level is known where there is no room for its name.
pub(crate) fn letter(at: usize) -> String {
    let first = char::from(b'a' + (at % 26) as u8);
    if at < 26 { first.to_string() } else { format!("{first}{}", at / 26) }
}

/// The figure as SVG. `id` makes the ids of its title and description unique.
pub(crate) fn svg(panel: &Panel, id: &str, narrow: bool) -> String {
    let frame = Frame::new(panel, narrow);
    let mut out = format!(
        "<svg class=\"chart {}\" viewBox=\"0 0 {:.0} {:.0}\" role=\"img\" aria-labelledby=\"{id}t {id}d\"><title id=\"{id}t\">{}: score by depth</title><desc id=\"{id}d\">{}</desc>",
        if narrow { "only-narrow" } else { "only-wide" },
        frame.width,
        frame.height,
        esc(&panel.title),
        esc(&description(panel))
    );
    frame.axes(panel, &mut out);
    levels(panel, &frame, &mut out);
    for (at, series) in panel.series.iter().enumerate() {
        band(series, &look(panel, at).0, &frame, &mut out);
    }
    strips(panel, &frame, &mut out);
    // Controls first, so that models lie on top.
    for (at, series) in panel.series.iter().enumerate().rev() {
        line(series, &look(panel, at), &frame, &mut out);
    }
    for series in panel.series.iter().filter(|s| s.role == Role::Model) {
        oracle(series, &frame, &mut out);
    }
    edge_labels(panel, &frame, &mut out);
    out + "</svg>"
}

fn levels(panel: &Panel, f: &Frame, out: &mut String) {
    // Many bands on top of each other must not become a solid bar.
    let faint = (0.36 / panel.levels.len().max(1) as f64).clamp(0.005, 0.08);
    for (at, level) in panel.levels.iter().enumerate() {
        let (class, dash) = level_look(panel, at);
        if let Some((low, high)) = level.interval {
            let (top, bottom) = (f.y(high), f.y(low));
            let _ = write!(
                out,
                "<path class=\"level-band {class}\" fill-opacity=\"{faint:.3}\" d=\"M{:.1} {top:.1}H{:.1}V{bottom:.1}H{:.1}z\"/>",
                f.left, f.right, f.left
            );
        }
        let y = f.y(level.value);
        let _ = write!(
            out,
            "<g class=\"pt\"><title>{}</title><path class=\"hit\" d=\"M{:.1} {y:.1}H{:.1}\"/><path class=\"level {class}\" stroke-dasharray=\"{dash}\" d=\"M{:.1} {y:.1}H{:.1}\"/></g>",
            esc(&level_words(level)),
            f.left,
            f.right,
            f.left,
            f.right
        );
    }
}

fn level_words(level: &Level) -> String {
    let range = interval(level.interval.map(|i| i.0), level.interval.map(|i| i.1));
    format!("{}: {} {}", level.name, decimal(level.value), range.unwrap_or_default())
}

/// Stretches of neighbouring points without a missing depth between them.
fn runs<'p, 'a>(series: &'p Series<'a>) -> Vec<Vec<&'p Point<'a>>> {
    let mut runs: Vec<Vec<&Point>> = vec![];
    for p in &series.points {
        let joined = runs
            .last()
            .and_then(|r| r.last())
            .is_some_and(|previous| !series.missing.iter().any(|&m| m > previous.depth && m < p.depth));
        match runs.last_mut() {
            Some(run) if joined => run.push(p),
            _ => runs.push(vec![p]),
        }
    }
    runs
}

fn band(series: &Series, class: &str, f: &Frame, out: &mut String) {
    for run in runs(series) {
        for part in run.split(|p| p.interval.is_none()).filter(|p| p.len() > 1) {
            let ends = |high: bool| {
                part.iter().filter_map(move |p| p.interval.map(|i| (p.depth, if high { i.1 } else { i.0 })))
            };
            let mut d = String::new();
            for (k, (depth, value)) in
                ends(true).chain(ends(false).collect::<Vec<_>>().into_iter().rev()).enumerate()
            {
                let _ = write!(d, "{}{:.1} {:.1}", if k == 0 { "M" } else { "L" }, f.x(depth), f.y(value));
            }
            let _ = write!(out, "<path class=\"band {class}\" d=\"{d}z\"/>");
        }
    }
}

fn line(series: &Series, (class, shape, hollow): &(String, usize, bool), f: &Frame, out: &mut String) {
    let dash = if *hollow { format!(" stroke-dasharray=\"{CONTROL_DASH}\"") } else { String::new() };
    for run in runs(series) {
        let mut d = String::new();
        for (k, p) in run.iter().enumerate() {
            let _ = write!(d, "{}{:.1} {:.1}", if k == 0 { "M" } else { "L" }, f.x(p.depth), f.y(p.value));
        }
        let _ = write!(out, "<path class=\"line {class}\"{dash} d=\"{d}\"/>");
        if let ([p], Some((low, high))) = (&run[..], run[0].interval) {
            whisker(class, f.x(p.depth), f.y(low), f.y(high), out);
        }
    }
    let radius = match (f.narrow, series.points.len()) {
        (true, 0..=14) => 3.2,
        (true, _) => 2.2,
        (false, 0..=26) => 4.2,
        (false, _) => 3.2,
    };
    for p in &series.units {
        let unit = p.record.split.trim_start_matches("unit:");
        let _ = write!(
            out,
            "<g class=\"pt\"><title>{}, {}</title><path class=\"mk {class} hollow\" d=\"{}\"/></g>",
            esc(unit),
            esc(&point_words(series, p)),
            marker(*shape, f.x(p.depth), f.y(p.value), 2.0)
        );
    }
    let beside = series.extra.iter().map(|p| (p, BESIDE));
    for (p, shift) in series.points.iter().map(|p| (p, 0.0)).chain(beside) {
        let (x, y) = (f.x(p.depth) + if p.depth >= 1.0 { shift } else { 0.0 }, f.y(p.value));
        if let (true, Some((low, high))) = (shift > 0.0, p.interval) {
            whisker(class, x, f.y(low), f.y(high), out);
        }
        let open = if *hollow || shift > 0.0 { " hollow" } else { "" };
        let _ = write!(
            out,
            "<g class=\"pt\"><title>{}</title><path class=\"hit\" d=\"{}\"/><path class=\"mk {class}{open}\" d=\"{}\"/></g>",
            esc(&point_words(series, p)),
            marker(0, x, y, 8.0),
            marker(*shape, x, y, radius)
        );
    }
}

fn whisker(class: &str, x: f64, low: f64, high: f64, out: &mut String) {
    let _ = write!(out, "<path class=\"whisker {class}\" d=\"M{x:.1} {low:.1}V{high:.1}\"/>");
}

fn point_words(series: &Series, p: &Point) -> String {
    let site = p.record.site.as_deref().map(site_words).unwrap_or_default();
    let range = interval(p.interval.map(|i| i.0), p.interval.map(|i| i.1));
    format!(
        "{}, {site} (depth {:.2}): {} {}",
        series.name,
        p.depth,
        decimal(p.value),
        range.unwrap_or_else(|| "no interval".into())
    )
}

/// Names at the right edge: of every line in the wide figure, letters of the levels in the narrow one.
fn edge_labels(panel: &Panel, f: &Frame, out: &mut String) {
    let room = ((f.bottom - f.top + 2.0 * GAP) / GAP) as usize;
    let mut labels: Vec<(f64, f64, String, String)> = vec![];
    if !f.narrow {
        for (at, s) in panel.series.iter().enumerate() {
            if let Some(p) = s.points.last().or(s.extra.last()) {
                labels.push((f.x(p.depth) + 7.0, f.y(p.value), s.name.clone(), look(panel, at).0));
            }
        }
    }
    for (at, l) in panel.levels.iter().enumerate() {
        let text = if f.narrow { letter(at) } else { l.name.clone() };
        labels.push((f.right, f.y(l.value), text, level_look(panel, at).0));
    }
    let hidden = labels.len().saturating_sub(room);
    labels.truncate(room);
    let wanted: Vec<f64> = labels.iter().map(|l| l.1).collect();
    let places = spread(&wanted, GAP, f.top - GAP, f.bottom + GAP);
    for ((x, y, text, class), at) in labels.iter().zip(places) {
        if !f.narrow {
            let _ = write!(
                out,
                "<path class=\"leader {class}\" d=\"M{x:.1} {y:.1}L{:.1} {y:.1}L{:.1} {at:.1}h4\"/>",
                f.right + 2.0,
                f.right + 14.0
            );
        }
        let _ = write!(
            out,
            "<text class=\"edge {class}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            f.right + if f.narrow { 6.0 } else { 22.0 },
            at + 4.0,
            esc(&shorten(text, 25))
        );
    }
    if hidden > 0 {
        let _ = write!(
            out,
            "<text class=\"edge quiet\" x=\"{:.1}\" y=\"{:.1}\">+ {hidden}{}</text>",
            f.right + if f.narrow { 2.0 } else { 22.0 },
            f.bottom + 2.0 * GAP + 4.0,
            if f.narrow { "" } else { " more below" }
        );
    }
}

/// What the figure shows, in words.
fn description(panel: &Panel) -> String {
    let mut out = format!("Line chart of {} against depth.", panel.metric);
    for s in &panel.series {
        let best = s.points.iter().min_by(|a, b| {
            let order = a.value.total_cmp(&b.value);
            if panel.higher_is_better { order.reverse() } else { order }
        });
        if let (Some(first), Some(best), Some(last)) = (s.points.first(), best, s.points.last()) {
            let _ = write!(
                out,
                " {}: {} at depth {:.2}, best {} at depth {:.2}, {} at depth {:.2}.",
                s.name,
                decimal(first.value),
                first.depth,
                decimal(best.value),
                best.depth,
                decimal(last.value),
                last.depth
            );
        }
    }
    for l in &panel.levels {
        let _ = write!(
            out,
            " {} {}.",
            if l.role == Role::Baseline { "Baseline" } else { "Control" },
            level_words(l)
        );
    }
    out
}
