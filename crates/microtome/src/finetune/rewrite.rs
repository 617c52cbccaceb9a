//! A checkpoint written again with other blocks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};
use microtome_models::{Model, StoredMap};
use microtome_train::finetune::{BlockWeights, Map};
use microtome_weights::{TensorData, write_safetensors};

use super::blocks::{Stored, transposed};
use crate::output::{copy_atomic, write_atomic};
use crate::pretrain::HEADS;

/// Tensors that are no longer those of the file, by their names there.
type Changed = BTreeMap<String, Vec<f32>>;

impl Stored {
    /// Writes the checkpoint again as safetensors with other blocks from `first` on, beside the other files of the model. Tensors that
    /// are not of these blocks keep their numbers bit by bit (those in half precision become `f32`, which holds them exactly).
    pub(super) fn write_merged(
        &self,
        model: &dyn Model,
        first: usize,
        blocks: &[BlockWeights],
        out: &Path,
    ) -> Result<()> {
        let changed = self.changed(first, blocks)?;
        let rewritten = model.rewritten();
        let mut files: Vec<PathBuf> = model.info().files.iter().map(|(_, f)| f.clone()).collect();
        let root = root_of(&self.path, rewritten.folder);
        files.retain(|f| *f != self.path);
        // Files from elsewhere (dictionaries that were found beside the model) go under their own names.
        let name_of = |file: &Path| PathBuf::from(file.file_name().unwrap_or_default());
        let place =
            |file: &Path| out.join(file.strip_prefix(root).map_or_else(|_| name_of(file), Path::to_path_buf));
        let weights = place(&self.path).with_file_name(rewritten.file);
        let folder = weights.parent().unwrap_or(out);
        make(folder)?;
        self.write_tensors(changed, &weights, &rewritten.metadata)?;
        // Readouts beside the network stay as they are.
        let heads = self.path.with_file_name(HEADS);
        if heads.exists() {
            copy_atomic(&heads, &weights.with_file_name(HEADS))?;
        }
        // The configuration comes last: a folder without it is not taken for a checkpoint.
        files.sort_by_key(|f| f.file_name().is_some_and(|n| n == "config.json"));
        for from in files {
            let to = place(&from);
            make(to.parent().unwrap_or(out))?;
            copy_atomic(&from, &to)?;
        }
        for (name, text) in &rewritten.texts {
            write_atomic(&folder.join(name), text.as_bytes())?;
        }
        Ok(())
    }

    fn changed(&self, first: usize, blocks: &[BlockWeights]) -> Result<Changed> {
        let mut changed = Changed::new();
        for (l, b) in self.layouts.iter().skip(first).zip(blocks) {
            for (stored, map) in l.maps.iter().zip(&b.maps) {
                self.put_map(&mut changed, stored, map)?;
            }
            for (stored, norm) in l.norms.iter().zip(&b.norms) {
                self.put(&mut changed, &stored.weight, 0, &norm.weight)?;
                if let (Some(name), Some(bias)) = (&stored.bias, &norm.bias) {
                    self.put(&mut changed, name, 0, bias)?;
                }
            }
        }
        Ok(changed)
    }

    fn put_map(&self, changed: &mut Changed, stored: &StoredMap, map: &Map) -> Result<()> {
        if let (Some(name), Some(bias)) = (&stored.bias, &map.bias) {
            self.put(changed, name, stored.rows.start, bias)?;
        }
        if !stored.transposed {
            return self.put(changed, &stored.weight, stored.rows.start * stored.n_in, &map.weight);
        }
        let own = transposed(&map.weight, map.n_out, map.n_in);
        let width =
            self.checkpoint.info(self.full_name(&stored.weight)?).and_then(|t| t.shape.get(1).copied());
        let width = width.unwrap_or(map.n_out);
        for (row, values) in own.chunks_exact(map.n_out.max(1)).enumerate() {
            self.put(changed, &stored.weight, row * width + stored.rows.start, values)?;
        }
        Ok(())
    }

    fn put(&self, changed: &mut Changed, name: &str, at: usize, values: &[f32]) -> Result<()> {
        let name = self.full_name(name)?;
        if !changed.contains_key(name) {
            changed.insert(name.to_owned(), self.checkpoint.read_f32(name)?);
        }
        match changed.get_mut(name).and_then(|all| all.get_mut(at..at + values.len())) {
            Some(place) => place.copy_from_slice(values),
            None => {
                return Err(Error::unreadable("a tensor has fewer rows than its maps")
                    .in_file(&self.path)
                    .at_key(name.to_owned()));
            }
        }
        Ok(())
    }

    fn write_tensors(&self, mut changed: Changed, path: &Path, notes: &[(String, String)]) -> Result<()> {
        let (mut floats, mut whole) = (vec![], vec![]);
        for name in self.checkpoint.names() {
            let shape = self.checkpoint.info(name).map(|t| t.shape.clone()).unwrap_or_default();
            match changed.remove(name) {
                Some(values) => floats.push((name.to_string(), shape, values)),
                None => match self.checkpoint.read_f32(name) {
                    Ok(values) => floats.push((name.to_string(), shape, values)),
                    Err(_) => whole.push((name.to_string(), shape, self.checkpoint.read_i64(name)?)),
                },
            }
        }
        let tensors: Vec<_> = floats
            .iter()
            .map(|(n, s, v)| (n.clone(), s.clone(), TensorData::F32(v)))
            .chain(whole.iter().map(|(n, s, v)| (n.clone(), s.clone(), TensorData::I64(v))))
            .collect();
        write_safetensors(path, &tensors, notes)
    }
}

fn make(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)
        .map_err(|e| Error::output("cannot make the folder").in_file(folder).caused_by(e))
}

/// The folder of a model whose weights lie in a folder below it, or in itself.
fn root_of<'p>(weights: &'p Path, below: &str) -> &'p Path {
    let own = weights.parent().unwrap_or(Path::new(""));
    if !below.is_empty() && own.ends_with(below) { own.parent().unwrap_or(own) } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_may_lie_in_a_folder_of_their_own() {
        assert_eq!(root_of(Path::new("/a/tower/w"), "tower"), Path::new("/a"));
        assert_eq!(root_of(Path::new("tower/w"), "tower"), Path::new(""));
        assert_eq!(root_of(Path::new("/a/tower/w"), ""), Path::new("/a/tower"));
        assert_eq!(root_of(Path::new("/a/w"), "tower"), Path::new("/a"));
        assert_eq!(root_of(Path::new("w"), ""), Path::new(""));
    }
}
