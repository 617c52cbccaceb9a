//! Writes a sample report from synthetic numbers: `cargo run -p microtome-report --example sample -- sample.html`.
//! The format follows the extension: `.html`, `.md` or `.csv`.

mod page;

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let path: PathBuf = std::env::args_os().nth(1).unwrap_or("sample.html".into()).into();
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("html");
    let format = microtome_report::find_format(extension).ok_or("the name must end in .html, .md or .csv")?;
    std::fs::write(&path, (format.render)(&page::sample()))?;
    Ok(())
}
