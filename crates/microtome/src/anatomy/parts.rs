//! Finished parts of the analysis, kept in the work folder with a checksum until the whole run is done.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Progress, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::hash;
use crate::output::write_atomic;

/// Largest part that is read back.
const MAX_BYTES: u64 = 4 << 30;

/// Where parts lie, and a hash over everything that decides their numbers.
pub(super) struct Parts<'a> {
    pub(super) folder: PathBuf,
    pub(super) inputs: String,
    pub(super) progress: &'a dyn Progress,
}

impl Parts<'_> {
    /// The part of this name as an equal run left it, or made now and kept. A part that was made of other inputs or is damaged is made
    /// again, and said so.
    pub(super) fn get<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let path = self.folder.join(format!("{name}.json"));
        match self.read(&path) {
            Some(part) => return Ok(part),
            None if path.exists() => {
                self.progress
                    .note(&format!("{name}: what was kept is not whole or not of this run; made again"));
            }
            None => {}
        }
        let part = make()?;
        let body = serde_json::to_vec(&part)
            .map_err(|e| Error::output("cannot write a part as JSON").in_file(&path).caused_by(e))?;
        let mut text = format!("{} {}\n", self.inputs, hash::of_bytes(&body)).into_bytes();
        text.extend(body);
        write_atomic(&path, &text)?;
        Ok(part)
    }

    fn read<T: DeserializeOwned>(&self, path: &Path) -> Option<T> {
        if std::fs::metadata(path).ok()?.len() > MAX_BYTES {
            return None;
        }
        let text = std::fs::read(path).ok()?;
        let end = text.iter().position(|&b| b == b'\n')?;
        let body = &text[end + 1..];
        let expected = format!("{} {}", self.inputs, hash::of_bytes(body));
        (text[..end] == *expected.as_bytes()).then(|| serde_json::from_slice(body).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use microtome_core::Silent;
    use std::cell::Cell;

    #[test]
    fn parts_are_kept_until_inputs_or_bytes_change() {
        let dir = tempfile::tempdir().unwrap();
        let made = Cell::new(0);
        let get = |inputs: &str| {
            let parts = Parts { folder: dir.path().into(), inputs: inputs.into(), progress: &Silent };
            parts
                .get("x", || {
                    made.set(made.get() + 1);
                    Ok(vec![0.1f64 + 0.2, f64::MIN_POSITIVE])
                })
                .unwrap()
        };
        let first = get("a");
        assert_eq!((get("a"), made.get()), (first.clone(), 1));
        get("b");
        assert_eq!(made.get(), 2);
        let path = dir.path().join("x.json");
        let mut text = std::fs::read(&path).unwrap();
        let at = text.len() - 3;
        text[at] ^= 1;
        std::fs::write(&path, text).unwrap();
        assert_eq!((get("b"), made.get()), (first, 3));
    }
}
