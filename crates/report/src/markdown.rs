//! The same page, short, as Markdown.

use crate::Page;

/// The verdict and short tables in the order of the HTML page.
pub fn markdown(page: &Page) -> String {
    let mut out = format!("# {}\n", page.title);
    for s in &page.summaries {
        out += &format!("\n{}\n", s.sentences.join(" "));
    }
    out
}
