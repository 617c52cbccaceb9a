//! One panel: the curve with its legend and caption, its numbers as a table, and the comparison below.

use std::fmt::Write;

use microtome_core::Role;

use super::curve::{letter, level_look, look, svg};
use super::dots::dots;
use super::escape::{esc, shorten};
use super::frame::has_strip;
use super::marks::{CONTROL_DASH, diamond, marker};
use super::table::{Cell, table};
use crate::number::{count, decimal, interval};
use crate::panel::{Panel, site_words};

/// Panels that are drawn in one section; the headline's comes first, and the records hold what the others would show.
const MOST: usize = 12;

/// All panels; several of them become tabs made of radio buttons, so that they work without scripts. `first` is the
/// number of the first panel on the page: names of elements are counted on from it.
pub(crate) fn section(panels: &[Panel], first: usize, out: &mut String) {
    if panels.is_empty() {
        return;
    }
    let (panels, more) = panels.split_at(panels.len().min(MOST));
    out.push_str("<section class=\"curves\"><h2>Score by depth</h2>");
    let tabs = panels.len() > 1;
    if tabs {
        style(first..first + panels.len(), out);
        for (i, p) in (first..).zip(panels) {
            let checked = if i == first { " checked" } else { "" };
            let _ = write!(
                out,
                "<input class=\"tab unseen\" type=\"radio\" name=\"panel{first}\" id=\"tab{i}\" aria-label=\"{}\"{checked}>",
                esc(&p.title)
            );
        }
        out.push_str("<div class=\"tablist\">");
        for (i, p) in (first..).zip(panels) {
            let _ = write!(out, "<label for=\"tab{i}\">{}</label>", esc(&shorten(&p.title, 70)));
        }
        out.push_str("</div>");
    }
    out.push_str("<div class=\"panels\">");
    for (i, p) in (first..).zip(panels) {
        let _ = write!(out, "<div class=\"panel{}\" id=\"panel{i}\">", if tabs { " tabbed" } else { "" });
        if tabs {
            let _ = write!(out, "<h3 class=\"panel-title\">{}</h3>", esc(&p.title));
        }
        curve(p, i, out);
        dots(p, out);
        out.push_str("</div>");
    }
    out.push_str("</div>");
    if !more.is_empty() {
        let named: Vec<String> = more.iter().map(|p| shorten(&p.title, 60)).collect();
        let _ = write!(
            out,
            "<p class=\"note\">Not drawn, but in the table of records: {}.</p>",
            esc(&named.join(", "))
        );
    }
    out.push_str("</section>");
}

/// Which panel a checked tab shows.
fn style(panels: std::ops::Range<usize>, out: &mut String) {
    out.push_str("<style>@media screen{");
    for i in panels {
        let _ = write!(
            out,
            "#tab{i}:checked~.panels>#panel{i}{{display:block}}#tab{i}:checked~.tablist>[for=tab{i}]{{color:var(--ink);border-color:var(--ink)}}#tab{i}:focus-visible~.tablist>[for=tab{i}]{{outline:2px solid var(--link);outline-offset:2px}}"
        );
    }
    out.push_str("}</style>");
}

fn curve(panel: &Panel, at: usize, out: &mut String) {
    if panel.series.is_empty() {
        return;
    }
    out.push_str("<figure class=\"curve\">");
    legend(panel, out);
    for narrow in [false, true] {
        out.push_str(&svg(panel, &format!("c{at}{}", if narrow { "n" } else { "w" }), narrow));
    }
    let _ = write!(out, "<figcaption>{}</figcaption>", esc(&caption(panel)));
    out.push_str("<details class=\"twin\"><summary>Numbers of this figure</summary>");
    numbers(panel, out);
    out.push_str("</details></figure>");
}

fn swatch(inner: &str) -> String {
    format!(
        "<svg class=\"swatch\" width=\"30\" height=\"14\" viewBox=\"0 0 30 14\" aria-hidden=\"true\">{inner}</svg>"
    )
}

fn legend(panel: &Panel, out: &mut String) {
    out.push_str("<ul class=\"legend\">");
    for (at, s) in panel.series.iter().enumerate() {
        let (class, shape, hollow) = look(panel, at);
        let dash = if hollow { format!(" stroke-dasharray=\"{CONTROL_DASH}\"") } else { String::new() };
        let open = if hollow { " hollow" } else { "" };
        let mark = format!(
            "<path class=\"line {class}\"{dash} d=\"M1 7h28\"/><path class=\"mk {class}{open}\" d=\"{}\"/>",
            marker(shape, 15.0, 7.0, 4.0)
        );
        let role = if s.role == Role::Control { " <span class=\"quiet\">(control)</span>" } else { "" };
        let _ = write!(out, "<li>{}<span>{}{role}</span></li>", swatch(&mark), esc(&shorten(&s.name, 60)));
    }
    for (at, l) in panel.levels.iter().enumerate() {
        let (class, dash) = level_look(panel, at);
        let mark =
            swatch(&format!("<path class=\"level {class}\" stroke-dasharray=\"{dash}\" d=\"M1 7h28\"/>"));
        let _ = write!(
            out,
            "<li class=\"only-narrow-item\">{mark}<span><b class=\"key\">{}</b> {}</span></li>",
            letter(at),
            esc(&shorten(&l.name, 60))
        );
    }
    let shown: Vec<_> = panel.series.iter().filter(|s| has_strip(s)).filter_map(|s| s.summary).collect();
    if shown.iter().any(|s| !s.confidence_set.is_empty()) {
        let mark = swatch("<path class=\"set\" d=\"M1 7h28\"/>");
        let _ = write!(out, "<li>{mark}<span>cannot be told from the best depth</span></li>");
    }
    if shown.iter().any(|s| s.chosen_site.is_some()) {
        let mark = swatch(
            "<path class=\"chosen\" d=\"M15 4v10\"/><path class=\"chosen-tip\" d=\"M10 1h10l-5 7z\"/>",
        );
        let _ = write!(out, "<li>{mark}<span>depth chosen by nested selection</span></li>");
    }
    if panel.series.iter().any(|s| s.summary.is_some_and(|m| m.oracle_site.is_some())) {
        let mark = swatch(&format!("<path class=\"oracle\" d=\"{}\"/>", diamond(15.0, 7.0, 6.0)));
        let _ = write!(out, "<li>{mark}<span>oracle: best on the test data, never a headline</span></li>");
    }
    out.push_str("</ul>");
}

fn caption(panel: &Panel) -> String {
    let mut out = String::from("Each point is one depth, scored on the same cells. ");
    let records = || panel.series.iter().flat_map(|s| s.points.iter().chain(&s.extra)).map(|p| p.record);
    if records().any(|r| r.ci_low.is_some()) {
        out.push_str("Shaded: interval");
        if let Some(method) = records().find_map(|r| r.ci_method.as_deref()) {
            let _ = write!(out, " ({method}");
            if let Some((n, unit)) = records().find_map(|r| Some((r.n_units?, r.unit.as_deref()?))) {
                let _ = write!(out, ", {} units: {unit}", count(n as u64));
            }
            out.push(')');
        }
        out.push_str(". ");
    }
    if panel.levels.iter().any(|l| l.role == Role::Baseline) {
        out.push_str("Horizontal lines: baselines, which use no model. ");
    }
    if panel.series.iter().any(|s| s.role == Role::Control) {
        out.push_str("Dashed grey with hollow marks: controls. ");
    }
    if panel.series.iter().any(|s| !s.units.is_empty()) {
        out.push_str("Small hollow marks: single units, shown instead of an interval. ");
    }
    if panel.series.iter().any(|s| !s.extra.is_empty()) {
        out.push_str("Hollow marks beside the last block: sites after it. ");
    }
    let missing: usize = panel.series.iter().map(|s| s.missing.len()).sum();
    if missing > 0 {
        let _ = write!(
            out,
            "{} without a value; see the reasons in the table of records. ",
            plural(missing, "depth")
        );
    }
    out.trim_end().to_string()
}

/// `1 depth`, `3 depths`.
pub(crate) fn plural(n: usize, word: &str) -> String {
    format!("{} {word}{}", count(n as u64), if n == 1 { "" } else { "s" })
}

fn numbers(panel: &Panel, out: &mut String) {
    let head = [("line", false), ("site", false), ("depth", true), ("score", true), ("interval", true)];
    let cells = |name: &str, site: String, depth: Option<f64>, value: f64, range: Option<(f64, f64)>| {
        let range = interval(range.map(|i| i.0), range.map(|i| i.1));
        vec![
            Cell::text(name),
            Cell::text(site),
            Cell { text: depth.map(|d| format!("{d:.3}")).unwrap_or_default(), sort: depth, quiet: false },
            Cell::number(Some(value), decimal),
            Cell { quiet: range.is_none(), ..Cell::text(range.unwrap_or_else(|| "no interval".into())) },
        ]
    };
    let series = panel.series.iter().flat_map(|s| {
        s.points.iter().chain(&s.extra).map(move |p| {
            let site = p.record.site.as_deref().map(site_words).unwrap_or_default();
            cells(&s.name, site, Some(p.depth), p.value, p.interval)
        })
    });
    let levels = panel.levels.iter().map(|l| cells(&l.name, String::new(), None, l.value, l.interval));
    table(&format!("Numbers of the figure {}", panel.title), &head, series.chain(levels), out);
}
