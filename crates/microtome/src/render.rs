//! `report`: draws the page of a finished scan again.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};
use microtome_report::Page;

use crate::output::write_atomic;
use crate::scan::PAGE;

/// Reads `DIR/page.json` and writes the report; the ending of `out` chooses the format (`.html`, `.md`, `.csv`).
pub fn report(dir: &Path, out: Option<&Path>) -> Result<PathBuf> {
    let path = dir.join(PAGE);
    let text = std::fs::read(&path).map_err(|e| {
        Error::unreadable("no finished scan in this folder")
            .in_file(&path)
            .caused_by(e)
            .remedy("name the --out folder of a scan; an unfinished one goes on with scan --resume")
    })?;
    let page: Page = serde_json::from_slice(&text)
        .map_err(|e| Error::unreadable("the stored page is damaged").in_file(&path).caused_by(e))?;
    let out = out.map_or_else(|| dir.join("report.html"), Path::to_path_buf);
    write(&page, &out)?;
    Ok(out)
}

/// Writes a page in the format that the ending of `out` names.
pub(crate) fn write(page: &Page, out: &Path) -> Result<()> {
    let ending = out.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    let text = match ending.as_str() {
        "html" | "htm" => microtome_report::html(page),
        "md" | "markdown" => microtome_report::markdown(page),
        "csv" => microtome_report::csv(&page.records),
        _ => {
            return Err(Error::usage("the output's ending names no report format")
                .in_file(out)
                .expected(".html, .md or .csv")
                .found(format!("\".{ending}\"")));
        }
    };
    write_atomic(out, text.as_bytes())
}
