//! Running the program as a user would, over small simulated cells.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs the program quietly.
pub(crate) fn microtome(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_microtome")).args(args).output().expect("the program starts")
}

/// Runs it and expects success; the error text is shown otherwise.
pub(crate) fn succeeds(args: &[&str]) -> String {
    let out = microtome(args);
    assert!(out.status.success(), "{args:?} failed: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("output is text")
}

/// Runs it, expects this exit code, and returns what it said on stderr.
pub(crate) fn fails(args: &[&str], code: i32) -> String {
    let out = microtome(args);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(code), "{args:?} said: {said}");
    said
}

/// A folder with `cells.h5ad` (simulated) and `model` (the small bundled Geneformer over its genes).
#[allow(dead_code, reason = "not every test file needs a model")]
pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
}

#[allow(dead_code, reason = "not every test file needs a model")]
impl Bench {
    /// Makes both through the program itself.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let demo = dir.path().join("demo");
        succeeds(&["demo", "--cells", "120", "--out", text(&demo), "--quiet"]);
        std::fs::rename(demo.join("simulated_cells.h5ad"), dir.path().join("cells.h5ad")).expect("moved");
        std::fs::rename(demo.join("demo_model"), dir.path().join("model")).expect("moved");
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// A little more than the least memory with which a command can run, in words for `--memory`: chunks become small.
#[allow(dead_code, reason = "not every test file limits memory")]
pub(crate) fn little_memory(args: &[&str], out: &Path) -> String {
    let said = fails(&[args, &["--memory", "20MB", "--out", text(out)]].concat(), 2);
    assert!(said.contains("--memory") && said.contains("at least") && said.contains("20 MB"), "{said}");
    let least = said.split("pass --memory ").nth(1).and_then(|s| s.split("MB").next()?.parse::<u64>().ok());
    format!("{}MB", least.expect("a remedy") + 6)
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("path is text")
}
