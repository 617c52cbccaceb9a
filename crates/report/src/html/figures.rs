//! Sections of heat maps and lines.

use std::fmt::Write;

use super::escape::esc;
use super::{heat_map, lines};
use crate::Figure;

/// Figures in order, those of one heading together.
pub(crate) fn section(figures: &[Figure], out: &mut String) {
    let mut open: Option<&str> = None;
    for (i, figure) in figures.iter().enumerate() {
        if open != Some(figure.section()) {
            if open.is_some() {
                out.push_str("</div></section>");
            }
            let _ = write!(
                out,
                "<section class=\"more\"><h2>{}</h2><div class=\"pieces\">",
                esc(figure.section())
            );
            open = Some(figure.section());
        }
        match figure {
            Figure::HeatMap(f) => heat_map::figure(f, out),
            Figure::Lines(f) => lines::figure(f, i, out),
        }
    }
    if open.is_some() {
        out.push_str("</div></section>\n");
    }
}

/// Heading, then what is drawn by `body`, then note and file.
pub(super) fn frame(title: &str, note: &str, table: Option<&str>, class: &str, body: &str, out: &mut String) {
    let _ = write!(out, "<figure class=\"piece {class}\"><h3>{}</h3>{body}", esc(title));
    out.push_str("<figcaption>");
    let _ = write!(out, "{}", esc(note));
    if let Some(file) = table {
        let _ = write!(out, " <span class=\"file\">Numbers: {}.</span>", esc(file));
    }
    out.push_str("</figcaption></figure>");
}
