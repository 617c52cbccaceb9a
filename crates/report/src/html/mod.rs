//! One self-contained page.

mod choice;
mod curve;
mod dots;
mod escape;
mod figure;
mod figures;
mod frame;
mod heat_map;
mod labels;
mod lines;
mod marks;
mod palette;
mod records;
mod repeat;
mod scatter;
mod script;
mod table;
mod verdict;

use std::fmt::Write;

pub(crate) use escape::is_disguise;
pub(crate) use verdict::{all_warnings, key_numbers};

use crate::panel::panels;
use crate::{Page, Question, TableBlock};
use escape::esc;

const STYLE: &str = include_str!("assets/report.css");

/// The page as one HTML file that needs nothing else: no network, no fonts, no scripts from elsewhere. It can be read
/// without scripts, on paper, on a telephone and without colours; the same page gives the same bytes.
pub fn html(page: &Page) -> String {
    let title = if page.title.trim().is_empty() { "Microtome report" } else { &page.title };
    let mut out = String::with_capacity(64 * 1024);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>\n{STYLE}{}</style>\n</head>\n<body>\n",
        script::policy(),
        esc(title),
        palette::css()
    );
    header(page, title, &mut out);
    out.push_str("<main>\n");
    let tasks = page.tasks();
    let whole: Vec<&TableBlock> = if tasks.len() > 1 {
        sections(page, &tasks, &mut out);
        page.tables.iter().filter(|t| !tasks.iter().any(|q| q.task == t.task)).collect()
    } else {
        verdict::section(page, &mut out);
        figure::section(&panels(&page.records, &page.summaries), 0, &mut out);
        scatter::section(&page.scatters, 0, &mut out);
        page.tables.iter().collect()
    };
    figures::section(&page.figures, &mut out);
    if !whole.is_empty() {
        out.push_str("\n<section class=\"tables\"><h2>Details</h2>");
        whole.iter().for_each(|t| table::block(t, &mut out));
        out.push_str("</section>\n");
    }
    // A page of figures alone has no records to list.
    if !page.records.is_empty() || page.figures.is_empty() {
        records::section(&page.records, &mut out);
    }
    repeat::section(page, &mut out);
    let _ = write!(out, "</main>\n<script>{}</script>\n</body>\n</html>\n", script::SCRIPT);
    out
}

/// All answers in brief, then one section per task: its verdict first.
fn sections(page: &Page, tasks: &[Question], out: &mut String) {
    verdict::overview(page, tasks, out);
    let (mut n_panels, mut n_scatters) = (0, 0);
    for (i, task) in tasks.iter().enumerate() {
        let own = page.of_task(&task.task);
        let _ = write!(
            out,
            "\n<section class=\"task\" id=\"task{i}\"><h2 class=\"question\">{}</h2>",
            esc(&task.words)
        );
        verdict::section(&own, out);
        let panels = panels(&own.records, &own.summaries);
        figure::section(&panels, n_panels, out);
        scatter::section(&own.scatters, n_scatters, out);
        n_panels += panels.len();
        n_scatters += own.scatters.len();
        if !own.tables.is_empty() {
            out.push_str("<section class=\"tables\">");
            own.tables.iter().for_each(|t| table::block(t, out));
            out.push_str("</section>");
        }
        out.push_str("</section>\n");
    }
}

fn header(page: &Page, title: &str, out: &mut String) {
    let mut datasets: Vec<&str> = vec![];
    let named = page.summaries.iter().map(|s| &s.dataset).chain(page.records.iter().map(|r| &r.dataset));
    for name in named.filter(|n| !n.is_empty()) {
        if !datasets.contains(&name.as_str()) {
            datasets.push(name);
        }
    }
    let mut facts = datasets.join(", ");
    if !page.run_card.microtome.is_empty() {
        let gap = if facts.is_empty() { "" } else { " \u{b7} " };
        let _ = write!(facts, "{gap}Microtome {}", page.run_card.microtome);
    }
    let _ = writeln!(
        out,
        "<header><div><h1>{}</h1><p class=\"quiet\">{}</p></div></header>",
        esc(title),
        esc(&facts)
    );
}
