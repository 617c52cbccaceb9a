//! Heat maps: numbers in the fields where there is room, groups parted by lines, colours of one diverging scale.

use std::fmt::Write;

use super::escape::{esc, shorten};
use super::figures::frame;
use super::labels::text_width;
use crate::HeatMap;
use crate::number::decimal;

/// Colours on either side of the middle.
const SIDE: i64 = 6;
/// Up to this many columns the fields hold their numbers.
const WITH_NUMBERS: usize = 18;
/// Up to this many columns two maps stand side by side.
const BESIDE: usize = 13;
/// Size of the text beside the fields.
const SIZE: f64 = 11.0;

pub(super) fn figure(f: &HeatMap, out: &mut String) {
    let mut body = String::new();
    if f.rows.is_empty() || f.columns.is_empty() || f.values.len() != f.rows.len() * f.columns.len() {
        body.push_str("<p class=\"note\">There is nothing to draw.</p>");
    } else {
        let _ = write!(
            body,
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">",
            esc(&f.title)
        );
        svg(f, &mut body);
        body.push_str("</div>");
        legend(f, &mut body);
    }
    let class = if f.columns.len() > BESIDE || !f.groups.is_empty() { "wide" } else { "half" };
    frame(&f.title, &f.note, f.table.as_deref(), class, &body, out);
}

/// Step of the colour scale, from `-SIDE` to `SIDE`.
fn step(f: &HeatMap, value: f64) -> i64 {
    let [low, middle, high] = f.scale;
    let (from, span) = if value < middle { (middle, middle - low) } else { (middle, high - middle) };
    if span <= 0.0 {
        return 0;
    }
    (((value - from) / span).clamp(-1.0, 1.0) * SIDE as f64).round() as i64
}

fn class(step: i64) -> String {
    if step < 0 { format!("n{}", -step) } else { format!("p{step}") }
}

fn svg(f: &HeatMap, out: &mut String) {
    let (n, m) = (f.rows.len(), f.columns.len());
    let numbers = m <= WITH_NUMBERS;
    let field =
        if numbers { (366.0 / m as f64).clamp(28.0, 34.0) } else { (880.0 / m as f64).clamp(7.0, 18.0) };
    let height = if numbers { 26.0 } else { field };
    let grouped = !f.groups.is_empty();
    let every = if numbers { 1 } else { (SIZE * 1.15 / field).ceil() as usize };
    let longest = f.rows.iter().map(|r| text_width(&shorten(r, 22), SIZE)).fold(0.0, f64::max);
    let left = longest + 18.0 + if grouped { 18.0 } else { 0.0 };
    let top = if grouped { 22.0 } else { 4.0 };
    let under = f.columns.iter().map(|c| text_width(&shorten(c, 22), SIZE)).fold(0.0, f64::max) * 0.75 + 16.0;
    let (width, tall) = (left + m as f64 * field + 8.0, top + n as f64 * height + under);
    let _ = write!(
        out,
        "<svg class=\"heat\" width=\"{width:.0}\" height=\"{tall:.0}\" viewBox=\"0 0 {width:.0} {tall:.0}\" role=\"img\" aria-label=\"{}\">",
        esc(&f.title)
    );
    for i in 0..n {
        for j in 0..m {
            if f.lower_triangle && j > i {
                continue;
            }
            let (x, y) = (left + j as f64 * field, top + i as f64 * height);
            let value = f.values[i * m + j].filter(|v| v.is_finite());
            let words = value.map_or_else(|| "missing".into(), decimal);
            let kind = value.map_or_else(|| "none".into(), |v| class(step(f, v)));
            let _ = write!(
                out,
                "<g class=\"f {kind}\"><title>{} \u{d7} {}: {words}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
                esc(&f.rows[i]),
                esc(&f.columns[j]),
                field - if numbers { 1.0 } else { 0.3 },
                height - if numbers { 1.0 } else { 0.3 }
            );
            if let (true, Some(v)) = (numbers, value) {
                let _ = write!(
                    out,
                    "<text text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                    x + field / 2.0,
                    y + height / 2.0 + 3.5,
                    short(v)
                );
            }
            out.push_str("</g>");
        }
    }
    for (i, name) in f.rows.iter().enumerate().filter(|(i, _)| shown(f, *i, every)) {
        let y = top + (i as f64 + 0.5) * height + 4.0;
        let _ = write!(
            out,
            "<text class=\"tick\" text-anchor=\"end\" x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
            left - 6.0,
            esc(&shorten(name, 22))
        );
    }
    for (j, name) in f.columns.iter().enumerate().filter(|(j, _)| shown(f, *j, every)) {
        let (x, y) = (left + (j as f64 + 0.5) * field + 3.0, top + n as f64 * height + 12.0);
        let _ = write!(
            out,
            "<text class=\"tick\" text-anchor=\"end\" transform=\"rotate(-45 {x:.1} {y:.1})\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>",
            esc(&shorten(name, 22))
        );
    }
    groups(f, [left, top], [field, height], out);
    out.push_str("</svg>");
}

/// Which labels have room: every so many, counted anew in every group.
fn shown(f: &HeatMap, at: usize, every: usize) -> bool {
    let mut first = 0;
    for (_, count) in &f.groups {
        if at < first + count {
            return (at - first).is_multiple_of(every);
        }
        first += count;
    }
    at.is_multiple_of(every)
}

fn groups(f: &HeatMap, [left, top]: [f64; 2], [field, height]: [f64; 2], out: &mut String) {
    let (n, m) = (f.rows.len() as f64, f.columns.len() as f64);
    let (right, bottom) = (left + m * field, top + n * height);
    let mut first = 0.0;
    for (k, (name, count)) in f.groups.iter().enumerate() {
        let count = *count as f64;
        if k > 0 {
            let (x, y) = (left + first * field, top + first * height);
            let _ = write!(
                out,
                "<path class=\"part\" d=\"M{x:.1} {top:.1}V{bottom:.1}M{left:.1} {y:.1}H{right:.1}\"/>"
            );
        }
        let most = (count * field / (SIZE * 0.56)) as usize;
        if most >= 3 {
            let _ = write!(
                out,
                "<text class=\"axis-title\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                left + (first + count / 2.0) * field,
                top - 8.0,
                esc(&shorten(name, most))
            );
        }
        let most = (count * height / (SIZE * 0.56)) as usize;
        if most >= 3 {
            let (x, y) = (10.0, top + (first + count / 2.0) * height);
            let _ = write!(
                out,
                "<text class=\"axis-title\" text-anchor=\"middle\" transform=\"rotate(-90 {x:.1} {y:.1})\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>",
                esc(&shorten(name, most))
            );
        }
        first += count;
    }
}

fn legend(f: &HeatMap, out: &mut String) {
    let [low, middle, high] = f.scale;
    out.push_str("<p class=\"ramp\" aria-hidden=\"true\">");
    let _ = write!(out, "<span>{}</span>", short(low));
    if middle > low {
        (1..=SIDE).rev().for_each(|i| {
            let _ = write!(out, "<i class=\"n{i}\"></i>");
        });
    }
    let _ = write!(out, "<i class=\"p0\"></i>");
    if middle > low && middle < high {
        let _ = write!(out, "<span>{}</span><i class=\"p0\"></i>", short(middle));
    }
    (1..=SIDE).for_each(|i| {
        let _ = write!(out, "<i class=\"p{i}\"></i>");
    });
    let _ = write!(out, "<span>{}</span></p>", short(high));
}

/// Two digits behind the point, no more than a field holds.
fn short(v: f64) -> String {
    let text = format!("{v:.2}");
    match text.as_str() {
        "-0.00" | "0.00" => "0".into(),
        "1.00" => "1".into(),
        "-1.00" => "\u{2212}1".into(),
        other => {
            other.replacen("-0.", "\u{2212}.", 1).replacen("0.", ".", usize::from(v.abs() < 1.0 && v >= 0.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fit_their_fields() {
        let got: Vec<String> = [0.0, -0.001, 1.0, 0.256, -0.25, -1.0, 12.3].map(short).to_vec();
        assert_eq!(got, ["0", "0", "1", ".26", "\u{2212}.25", "\u{2212}1", "12.30"]);
    }

    #[test]
    fn the_middle_has_no_colour_and_ends_are_clipped() {
        let f = HeatMap { scale: [0.0, 0.5, 1.0], ..HeatMap::default() };
        assert_eq!([0.5, 1.0, 7.0, 0.0, -3.0].map(|v| step(&f, v)), [0, 6, 6, -6, -6]);
        let f = HeatMap { scale: [0.0, 0.0, 1.0], ..HeatMap::default() };
        assert_eq!([-1.0, 0.0, 1.0].map(|v| step(&f, v)), [0, 0, 6]);
    }
}
