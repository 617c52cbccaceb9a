//! Lines over a numeric axis, with intervals; models in colour, their controls grey with the same marker.

use std::fmt::Write;

use microtome_core::Role;

use super::escape::{esc, shorten};
use super::figures::frame;
use super::marks::{CONTROL_DASH, DASHES, marker};
use super::palette::{BASELINES, MODELS};
use crate::axis::Axis;
use crate::number::{decimal, tick};
use crate::{LinePoint, LineSeries, Lines};

pub(super) fn figure(f: &Lines, id: usize, out: &mut String) {
    let mut body = String::new();
    if points(f).next().is_none() {
        body.push_str("<p class=\"note\">There is nothing to draw.</p>");
    } else {
        legend(f, &mut body);
        for narrow in [false, true] {
            svg(f, id, narrow, &mut body);
        }
    }
    frame(&f.title, &f.note, f.table.as_deref(), "wide", &body, out);
}

fn points(f: &Lines) -> impl Iterator<Item = &LinePoint> {
    f.series.iter().flat_map(|s| &s.points).filter(|p| p.y.is_some_and(f64::is_finite) && p.x.is_finite())
}

/// Class, marker, dash and whether the marker is hollow.
fn look(f: &Lines, at: usize) -> (String, usize, Option<&'static str>, bool) {
    let s = &f.series[at];
    let nth = f.series[..at].iter().filter(|o| o.role == s.role).count();
    match s.role {
        Role::Model => (format!("m{}", nth % MODELS), nth, None, false),
        Role::Control => ("ctl".into(), s.of.unwrap_or(nth), Some(CONTROL_DASH), true),
        Role::Baseline => (format!("b{}", nth % BASELINES), nth, Some(DASHES[nth % DASHES.len()]), true),
    }
}

fn legend(f: &Lines, out: &mut String) {
    out.push_str("<ul class=\"legend\">");
    for (at, s) in f.series.iter().enumerate() {
        let (class, nth, dash, hollow) = look(f, at);
        let dash = dash.map_or(String::new(), |d| format!(" stroke-dasharray=\"{d}\""));
        let _ = write!(
            out,
            "<li><svg class=\"swatch\" width=\"30\" height=\"14\" aria-hidden=\"true\"><path class=\"line {class}\"{dash} d=\"M0 7H30\"/><path class=\"mk {class}{}\" d=\"{}\"/></svg>{}</li>",
            if hollow { " hollow" } else { "" },
            marker(nth, 15.0, 7.0, 4.0),
            esc(&shorten(&s.name, 60))
        );
    }
    out.push_str("</ul>");
}

struct Frame {
    x: Axis,
    y: Axis,
    log: bool,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Frame {
    fn at_x(&self, v: f64) -> f64 {
        let v = if self.log { v.max(f64::MIN_POSITIVE).log10() } else { v };
        self.left + self.x.place(v) * (self.right - self.left)
    }

    fn at_y(&self, v: f64) -> f64 {
        self.bottom - self.y.place(v) * (self.bottom - self.top)
    }
}

fn svg(f: &Lines, id: usize, narrow: bool, out: &mut String) {
    let (width, height) = if narrow { (358.0, 300.0) } else { (920.0, 360.0) };
    let scaled = |v: f64| if f.x_log { v.max(f64::MIN_POSITIVE).log10() } else { v };
    let ends = |p: &LinePoint| [p.y, p.low, p.high].into_iter().flatten();
    let x = Axis::around(points(f).map(|p| scaled(p.x)), if narrow { 4 } else { 8 });
    let counted = !f.x_log && points(f).all(|p| p.x.fract() == 0.0);
    let frame = Frame {
        x: if counted { x.of_counts() } else { x },
        y: Axis::around(points(f).flat_map(ends), 5),
        log: f.x_log,
        left: 58.0,
        right: width - 14.0,
        top: 26.0,
        bottom: height - 44.0,
    };
    let _ = write!(
        out,
        "<svg class=\"chart {}\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-labelledby=\"l{id}{narrow}\"><title id=\"l{id}{narrow}\">{}</title>",
        if narrow { "only-narrow" } else { "only-wide" },
        esc(&f.title)
    );
    axes(f, &frame, height, narrow, out);
    for at in (0..f.series.len()).rev() {
        series(f, at, &frame, out);
    }
    out.push_str("</svg>");
}

fn axes(f: &Lines, frame: &Frame, height: f64, narrow: bool, out: &mut String) {
    let _ = write!(
        out,
        "<text class=\"axis-title\" x=\"0\" y=\"13\">{}</text>",
        esc(&shorten(&f.y, if narrow { 44 } else { 110 }))
    );
    for &t in &frame.y.ticks {
        let y = frame.at_y(t);
        let zero = if t == 0.0 { " zero" } else { "" };
        let _ = write!(
            out,
            "<path class=\"grid{zero}\" d=\"M{:.1} {y:.1}H{:.1}\"/><text class=\"tick\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            frame.left,
            frame.right,
            frame.left - 8.0,
            y + 4.0,
            tick(t, frame.y.step)
        );
    }
    let _ =
        write!(out, "<path class=\"base\" d=\"M{:.1} {:.1}H{:.1}\"/>", frame.left, frame.bottom, frame.right);
    let mut label = |x: f64, text: &str| {
        let _ = write!(
            out,
            "<path class=\"base\" d=\"M{x:.1} {:.1}v5\"/><text class=\"tick\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{text}</text>",
            frame.bottom,
            frame.bottom + 18.0
        );
    };
    if f.x_log {
        // The values that were asked for are the labels.
        let mut xs: Vec<f64> = points(f).map(|p| p.x).collect();
        xs.sort_by(f64::total_cmp);
        xs.dedup();
        xs.iter().for_each(|&v| label(frame.at_x(v), &crate::number::count(v as u64)));
    } else {
        frame.x.ticks.iter().for_each(|&t| label(frame.at_x(t), &tick(t, frame.x.step)));
    }
    let _ = write!(
        out,
        "<text class=\"axis-title\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        (frame.left + frame.right) / 2.0,
        height - 6.0,
        esc(&shorten(&f.x, if narrow { 40 } else { 100 }))
    );
}

fn series(f: &Lines, at: usize, frame: &Frame, out: &mut String) {
    let s = &f.series[at];
    let (class, nth, dash, hollow) = look(f, at);
    for run in runs(s) {
        let line: Vec<String> =
            run.iter().map(|(p, y)| format!("{:.1} {:.1}", frame.at_x(p.x), frame.at_y(*y))).collect();
        let dash = dash.map_or(String::new(), |d| format!(" stroke-dasharray=\"{d}\""));
        let _ = write!(out, "<path class=\"line {class}\"{dash} d=\"M{}\"/>", line.join("L"));
    }
    for p in &s.points {
        let Some(y) = p.y.filter(|y| y.is_finite()) else { continue };
        let (x, at) = (frame.at_x(p.x), frame.at_y(y));
        let range = match (p.low, p.high) {
            (Some(low), Some(high)) => format!(" ({} to {})", decimal(low), decimal(high)),
            _ => String::new(),
        };
        let _ = write!(
            out,
            "<g class=\"pt\"><title>{}: {} at {}{range}</title>",
            esc(&s.name),
            decimal(y),
            decimal(p.x)
        );
        if let (Some(low), Some(high)) = (p.low, p.high) {
            let _ = write!(
                out,
                "<path class=\"whisker {class}\" d=\"M{x:.1} {:.1}V{:.1}\"/>",
                frame.at_y(low),
                frame.at_y(high)
            );
        }
        let _ = write!(
            out,
            "<path class=\"mk {class}{}\" d=\"{}\"/></g>",
            if hollow { " hollow" } else { "" },
            marker(nth, x, at, 3.6)
        );
    }
}

/// Stretches without a missing value.
fn runs(s: &LineSeries) -> Vec<Vec<(&LinePoint, f64)>> {
    let mut out = vec![vec![]];
    for p in &s.points {
        match p.y.filter(|y| y.is_finite()) {
            Some(y) => {
                if let Some(run) = out.last_mut() {
                    run.push((p, y));
                }
            }
            None => out.push(vec![]),
        }
    }
    out.retain(|r| r.len() > 1);
    out
}
