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

use crate::Page;
use crate::panel::panels;
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
    verdict::section(page, &mut out);
    figure::section(&panels(&page.records, &page.summaries), &mut out);
    figures::section(&page.figures, &mut out);
    scatter::section(&page.scatters, &mut out);
    if !page.tables.is_empty() {
        out.push_str("\n<section class=\"tables\"><h2>Details</h2>");
        page.tables.iter().for_each(|t| table::block(t, &mut out));
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
