//! Output folders and text files, written whole or not at all.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use microtome_core::{Error, ErrorKind, Result};

/// Writes `text` beside `path` and renames it into place.
pub(crate) fn write_atomic(path: &Path, text: &[u8]) -> Result<()> {
    atomically(path, |f| f.write_all(text))
}

/// Copies a file beside `path` and renames it into place; a few bytes at a time, however large it is.
pub(crate) fn copy_atomic(from: &Path, path: &Path) -> Result<()> {
    let mut source = fs::File::open(from)
        .map_err(|e| Error::unreadable("cannot read the file").in_file(from).caused_by(e))?;
    atomically(path, |f| std::io::copy(&mut source, f).map(drop))
}

fn atomically(path: &Path, write: impl FnOnce(&mut fs::File) -> std::io::Result<()>) -> Result<()> {
    let bad = |e: std::io::Error| {
        Error::output("cannot write the file")
            .in_file(path)
            .caused_by(e)
            .remedy("check that the folder exists, is writable and has space left")
    };
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("out");
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = fs::File::create(&temporary).and_then(|mut f| {
        write(&mut f)?;
        f.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&temporary, path));
    renamed.map_err(|e| {
        let _ = fs::remove_file(&temporary);
        bad(e)
    })
}

/// What to do about output that cannot be written in the middle of a run that can be resumed.
pub(crate) fn or_make_room(e: Error) -> Error {
    match e.kind() {
        ErrorKind::Output => e.remedy(
            "make sure that the disk has space and the folder is writable, then repeat the command with --resume: finished chunks are kept",
        ),
        _ => e,
    }
}

/// Makes sure the folder of an output file can be written to before any long work starts.
pub(crate) fn check_writable(path: &Path) -> Result<()> {
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
        _ => PathBuf::from("."),
    };
    if path.is_dir() {
        return Err(Error::output("the output is a folder, a file is wanted").in_file(path));
    }
    let probe = folder.join(format!(".microtome-probe-{}", std::process::id()));
    let outcome = fs::File::create(&probe);
    let _ = fs::remove_file(&probe);
    outcome.map(drop).map_err(|e| {
        Error::output("cannot write into this folder")
            .in_file(&folder)
            .caused_by(e)
            .remedy("name an output in an existing folder that you may write to")
    })
}

/// Whether a run may write into this output folder; nothing is made yet. One that already holds a finished run is
/// refused unless `overwrite`; one that holds an unfinished run is refused unless `resume` or `overwrite`.
pub(crate) fn check_folder(dir: &Path, finished_mark: &str, resume: bool, overwrite: bool) -> Result<()> {
    if dir.is_file() {
        return Err(Error::output("the output is a file, a folder is wanted").in_file(dir));
    }
    // The folder itself, or the first one above it that is there.
    let there = dir.ancestors().find(|d| d.is_dir()).unwrap_or(Path::new("."));
    check_writable(&there.join(finished_mark))?;
    // Killed between the last file and the removal of the work folder: it is done once more from what is there.
    let nearly_done = resume && dir.join(WORK).exists();
    if dir.join(finished_mark).exists() && !overwrite && !nearly_done {
        return Err(Error::output("the output folder already holds a finished run")
            .in_file(dir)
            .found(finished_mark)
            .remedy("name another folder, or pass --overwrite"));
    }
    if dir.join(WORK).exists() && !overwrite && !resume {
        return Err(Error::output("the output folder holds an unfinished run")
            .in_file(dir)
            .remedy("pass --resume to go on with it, or --overwrite to begin again"));
    }
    Ok(())
}

/// Makes an output folder that [`check_folder`] has allowed, without what an earlier run left when `overwrite`.
pub(crate) fn make_folder(dir: &Path, finished_mark: &str, overwrite: bool) -> Result<()> {
    let bad = |what: &str, e: std::io::Error| Error::output(what.to_owned()).in_file(dir).caused_by(e);
    fs::create_dir_all(dir).map_err(|e| bad("cannot make the output folder", e))?;
    sweep(dir)?;
    if overwrite {
        if dir.join(WORK).exists() {
            fs::remove_dir_all(dir.join(WORK))
                .map_err(|e| bad("cannot clear an earlier run's work folder", e))?;
        }
        if dir.join(finished_mark).exists() {
            fs::remove_file(dir.join(finished_mark))
                .map_err(|e| bad("cannot replace an earlier result", e))?;
        }
    }
    Ok(())
}

/// Removes the half-written files that a killed run left in a folder of ours.
pub(crate) fn sweep(dir: &Path) -> Result<()> {
    let bad = |e| Error::output("cannot tidy up after an unfinished run").in_file(dir).caused_by(e);
    for entry in fs::read_dir(dir).map_err(bad)? {
        let entry = entry.map_err(bad)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && (name.ends_with(".tmp") || name.ends_with(".part")) {
            fs::remove_file(entry.path()).map_err(bad)?;
        }
    }
    Ok(())
}

/// Folder inside an output folder for what is not finished yet.
pub(crate) const WORK: &str = ".work";
