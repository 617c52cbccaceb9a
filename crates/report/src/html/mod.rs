//! One self-contained page.

mod escape;

use crate::Page;
use escape::esc;

/// The page as one HTML file that needs nothing else: no network, no fonts, no scripts from elsewhere.
pub fn html(page: &Page) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title></head><body><h1>{0}</h1>",
        esc(&page.title)
    );
    for s in &page.summaries {
        for sentence in &s.sentences {
            out += &format!("<p>{}</p>", esc(sentence));
        }
    }
    out + "</body></html>\n"
}
