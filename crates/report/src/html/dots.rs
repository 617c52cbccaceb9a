//! The honest comparison as a table with a dot and an interval per line: figure and numbers in one.

use std::fmt::Write;

use microtome_core::Role;

use super::escape::{esc, shorten};
use crate::axis::Axis;
use crate::comparison::{Group, Row, comparison};
use crate::number::{MISSING, decimal, interval, tick};
use crate::panel::Panel;

/// Height of one line.
const HEIGHT: u32 = 28;

pub(crate) fn dots(panel: &Panel, out: &mut String) {
    let groups = comparison(panel);
    if groups.is_empty() {
        return;
    }
    let rows = || groups.iter().flat_map(|g| &g.rows);
    let values = rows().flat_map(|r| [r.value, r.interval.map(|i| i.0), r.interval.map(|i| i.1)]).flatten();
    let axis = Axis::around(values, 4);
    let reference = rows().find(|r| r.headline).and_then(|r| r.value);
    let _ = write!(
        out,
        "<figure class=\"dots\"><h3>Honest comparison</h3><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Honest comparison of {0}\"><table><caption class=\"unseen\">{0}: nested score, fixed rules, baselines and controls</caption><thead><tr><th scope=\"col\">Representation</th><th scope=\"col\" class=\"plot\">{1}</th><th scope=\"col\" class=\"num\">Score</th><th scope=\"col\" class=\"num\">Interval</th></tr></thead>",
        esc(&panel.title),
        if panel.higher_is_better { "better \u{2192}" } else { "\u{2190} better" }
    );
    let common = shared_note(rows());
    let mut counts = [0usize; 2];
    for group in &groups {
        let _ = write!(
            out,
            "<tbody><tr class=\"group\"><th scope=\"rowgroup\" colspan=\"4\">{}</th></tr>",
            esc(&shorten(&group.heading, 100))
        );
        let class = look(group, &mut counts);
        for row in &group.rows {
            line(row, common, &axis, reference, &class, out);
        }
        out.push_str("</tbody>");
    }
    let _ = write!(
        out,
        "<tfoot><tr><td></td><td class=\"plot\"><svg class=\"strip\" width=\"100%\" height=\"{HEIGHT}\" aria-hidden=\"true\">"
    );
    for &t in &axis.ticks {
        let x = 100.0 * axis.place(t);
        let _ = write!(
            out,
            "<text class=\"tick\" text-anchor=\"middle\" x=\"{x:.2}%\" y=\"14\">{}</text>",
            tick(t, axis.step)
        );
    }
    out.push_str("</svg></td><td></td><td></td></tr></tfoot></table></div>");
    caption(panel, reference.is_some(), common, out);
    out.push_str("</figure>");
}

/// A note that most rows carry is said once, below the figure.
fn shared_note<'a>(rows: impl Iterator<Item = &'a Row> + Clone) -> Option<&'a str> {
    let n_rows = rows.clone().count();
    let notes = || rows.clone().filter_map(|r| r.note.as_deref());
    notes().find(|note| n_rows > 2 && 2 * notes().filter(|n| n == note).count() > n_rows)
}

fn look(group: &Group, counts: &mut [usize; 2]) -> String {
    match group.role {
        Role::Model => {
            counts[0] += 1;
            format!("m{}", (counts[0] - 1) % super::palette::MODELS)
        }
        Role::Baseline => "b0".into(),
        Role::Control => "ctl".into(),
    }
}

fn line(row: &Row, common: Option<&str>, axis: &Axis, reference: Option<f64>, class: &str, out: &mut String) {
    let _ = write!(
        out,
        "<tr{}><th scope=\"row\">{}{}</th><td class=\"plot\"><svg class=\"strip\" width=\"100%\" height=\"{HEIGHT}\" aria-hidden=\"true\">",
        if row.headline { " class=\"headline\"" } else { "" },
        esc(&row.label),
        match row.note.as_deref().filter(|n| Some(*n) != common) {
            Some(note) => format!("<span class=\"why\">{}</span>", esc(note)),
            None => String::new(),
        }
    );
    for &t in &axis.ticks {
        let x = 100.0 * axis.place(t);
        let _ = write!(out, "<line class=\"grid\" x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"0\" y2=\"100%\"/>");
    }
    if let Some(r) = reference {
        let x = 100.0 * axis.place(r);
        let _ = write!(out, "<line class=\"ref\" x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"0\" y2=\"100%\"/>");
    }
    let middle = HEIGHT / 2;
    if let Some((low, high)) = row.interval {
        let (a, b) = (100.0 * axis.place(low), 100.0 * axis.place(high));
        let _ = write!(
            out,
            "<line class=\"range {class}\" x1=\"{a:.2}%\" x2=\"{b:.2}%\" y1=\"{middle}\" y2=\"{middle}\"/>"
        );
    }
    if let Some(v) = row.value {
        let x = 100.0 * axis.place(v);
        let (r, hollow) = if row.headline { ("6", "") } else { ("4.5", " hollow") };
        let _ =
            write!(out, "<circle class=\"mk {class}{hollow}\" cx=\"{x:.2}%\" cy=\"{middle}\" r=\"{r}\"/>");
    }
    let quiet = if row.value.is_some() { "" } else { " quiet" };
    let _ = write!(
        out,
        "</svg></td><td class=\"num{quiet}\">{}</td><td class=\"num quiet\">{}</td></tr>",
        row.value.map_or(MISSING.into(), decimal),
        interval(row.interval.map(|i| i.0), row.interval.map(|i| i.1))
            .unwrap_or_else(|| "no interval".into())
    );
}

fn caption(panel: &Panel, reference: bool, common: Option<&str>, out: &mut String) {
    let _ = write!(
        out,
        "<figcaption>{} Lines are intervals; filled dots are headlines.{} A baseline uses no model; a control is a model \
         that cannot know the biology.{}</figcaption>",
        esc(&format!("Scores in {}.", panel.metric)),
        if reference { " The dashed line continues the nested score." } else { "" },
        common.map_or_else(String::new, |note| format!(" Most lines: {}.", esc(note)))
    );
}
