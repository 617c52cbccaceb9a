//! The same page, short, as Markdown.

use std::fmt::Write;

use crate::Page;
use crate::comparison::comparison;
use crate::html::{all_warnings, key_numbers};
use crate::number::{MISSING, count, decimal, interval};
use crate::panel::{Panel, panels, site_words};

/// Rows of a table that are written out; the HTML page and the CSV file hold the rest.
const MOST: usize = 40;

/// The verdict and short tables in the order of the HTML page, as GitHub flavoured Markdown. Text from data is escaped.
pub fn markdown(page: &Page) -> String {
    let title = if page.title.trim().is_empty() { "Microtome report" } else { &page.title };
    let mut out = format!("# {}\n", inline(title));
    for s in &page.summaries {
        let _ = write!(out, "\n## {}: {}, {}\n\n", inline(&s.model), inline(&s.task), inline(&s.metric));
        let _ =
            writeln!(out, "**Depth: {}. Model: {}.**\n", s.depth_verdict.words(), s.model_verdict.words());
        let sentences: Vec<String> = s.sentences.iter().map(|t| inline(t)).collect();
        if !sentences.is_empty() {
            let _ = writeln!(out, "{}\n", sentences.join(" "));
        }
        let rows = key_numbers(s)
            .into_iter()
            .map(|(name, value, detail)| vec![name, value, detail.unwrap_or_default()]);
        table(&["number", "value", "detail"], rows, &mut out);
    }
    let warnings = all_warnings(page);
    if !warnings.is_empty() {
        out.push_str("\n## Keep in mind\n\n");
        warnings.iter().for_each(|w| {
            let _ = writeln!(out, "- {}", inline(w));
        });
    }
    for p in panels(&page.records, &page.summaries) {
        panel(&p, &mut out);
    }
    for t in &page.tables {
        let _ = write!(out, "\n## {}\n\n", inline(&t.title));
        if !t.note.is_empty() {
            let _ = writeln!(out, "{}\n", inline(&t.note));
        }
        let header: Vec<&str> = t.header.iter().map(String::as_str).collect();
        table(&header, t.rows.iter().cloned(), &mut out);
    }
    repeat(page, &mut out);
    out
}

fn panel(p: &Panel, out: &mut String) {
    let better = if p.higher_is_better { "higher is better" } else { "lower is better" };
    let _ = write!(out, "\n## {} ({better})\n", inline(&p.title));
    let range = |i: Option<(f64, f64)>| {
        interval(i.map(|i| i.0), i.map(|i| i.1)).unwrap_or_else(|| "no interval".into())
    };
    for s in &p.series {
        let _ = write!(out, "\n### {}\n\n", inline(&s.name));
        let rows = s.points.iter().chain(&s.extra).map(|point| {
            let site = point.record.site.as_deref().unwrap_or_default();
            let summary = s.summary;
            let chosen = summary.is_some_and(|m| m.chosen_site.as_deref() == Some(site));
            let tied = summary.is_some_and(|m| m.confidence_set.iter().any(|c| c == site));
            let note = match (chosen, tied) {
                (true, _) => "chosen",
                (false, true) => "cannot be told from the best",
                (false, false) => "",
            };
            vec![
                site_words(site),
                format!("{:.3}", point.depth),
                decimal(point.value),
                range(point.interval),
                note.to_string(),
            ]
        });
        table(&["site", "depth", "score", "interval", "note"], rows, out);
    }
    let groups = comparison(p);
    if groups.is_empty() {
        return;
    }
    out.push_str("\n### Honest comparison\n\n");
    let rows = groups.iter().flat_map(|g| {
        g.rows.iter().map(|r| {
            let value = r.value.map_or(MISSING.into(), decimal);
            vec![
                g.heading.clone(),
                r.label.clone(),
                value,
                range(r.interval),
                r.note.clone().unwrap_or_default(),
            ]
        })
    });
    table(&["group", "representation", "score", "interval", "note"], rows, out);
}

fn repeat(page: &Page, out: &mut String) {
    let card = &page.run_card;
    out.push_str("\n## How to repeat this\n\n");
    if !page.command.is_empty() {
        // A fence longer than any run of backticks inside cannot be closed from inside.
        let longest = page.command.split(|c| c != '`').map(str::len).max().unwrap_or(0);
        let fence = "`".repeat(longest.max(2) + 1);
        let _ = writeln!(out, "{fence}sh\n{}\n{fence}\n", page.command);
    }
    let _ = writeln!(
        out,
        "Microtome {}, seed {}, precision {}.",
        inline(&card.microtome),
        card.seed,
        inline(&card.precision)
    );
    if !card.inputs.is_empty() {
        out.push('\n');
        let rows = card
            .inputs
            .iter()
            .map(|f| vec![f.role.clone(), f.path.clone(), count(f.bytes), f.sha256.clone()]);
        table(&["role", "file", "bytes", "SHA-256"], rows, out);
    }
}

fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>, out: &mut String) {
    if header.is_empty() {
        return;
    }
    let cells = |row: &mut dyn Iterator<Item = String>| -> String {
        let mut line = String::from("|");
        for cell in row {
            let _ = write!(line, " {cell} |");
        }
        line
    };
    let _ = writeln!(out, "{}", cells(&mut header.iter().map(|h| inline(h))));
    let _ = writeln!(out, "{}", cells(&mut header.iter().map(|_| "---".to_string())));
    let mut left = 0usize;
    for (i, row) in rows.enumerate() {
        if i >= MOST {
            left += 1;
            continue;
        }
        let padded = (0..header.len()).map(|k| row.get(k).map_or(String::new(), |c| inline(c)));
        let _ = writeln!(out, "{}", cells(&mut padded.into_iter()));
    }
    if left > 0 {
        let _ = writeln!(out, "\n{} more in the HTML page.", count(left as u64));
    }
}

/// Text on one line in which no character means anything to Markdown or HTML.
fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.trim().chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '|' | '`' | '*' | '[' | ']' | '#' | '~' => {
                out.push('\\');
                out.push(c);
            }
            // Inside a word an underscore is just that; at an edge it could start emphasis.
            '_' if out.ends_with(|p: char| p.is_alphanumeric()) => out.push('_'),
            '_' => out.push_str("\\_"),
            c if crate::html::is_disguise(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
