//! Sharded checkpoints: an index file that says which file holds which tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use microtome_core::{Error, Result};

use crate::checkpoint::Checkpoint;

/// Longest index accepted, in bytes.
const MAX_INDEX: usize = 100 << 20;

/// Opens the shards an index (`model.safetensors.index.json`) names.
pub(crate) fn open(path: &Path, index: &[u8]) -> Result<Vec<Checkpoint>> {
    let damaged = |what: &str| Error::unreadable(format!("the shard index {what}")).in_file(path);
    if index.len() > MAX_INDEX {
        return Err(damaged("is too long"));
    }
    let json: serde_json::Value =
        serde_json::from_slice(index).map_err(|e| damaged("is not JSON").caused_by(e))?;
    let map = json.get("weight_map").and_then(serde_json::Value::as_object).ok_or_else(|| {
        damaged("has no weight_map").expected("{\"weight_map\": {\"tensor name\": \"shard file\"}}")
    })?;
    let mut shards: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, file) in map {
        let file = file
            .as_str()
            .ok_or_else(|| damaged("maps a tensor to something other than a file").at_key(name))?;
        let plain = Path::new(file).components().eq([Component::Normal(file.as_ref())])
            && !file.contains(['/', '\\']);
        if !plain {
            return Err(damaged("leads outside of its folder")
                .at_key(name)
                .expected("a plain file name")
                .found(file));
        }
        shards.entry(file).or_default().insert(name);
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut opened = Vec::new();
    for (file, names) in shards {
        let shard = Checkpoint::open_single(&folder.join(file))?;
        let present: BTreeSet<&str> = shard.names().into_iter().collect();
        let promised = names
            .difference(&present)
            .next()
            .map(|n| (n, "the tensor the index promises", "none of that name"));
        let extra =
            || present.difference(&names).next().map(|n| (n, "only tensors the index lists", "one more"));
        if let Some((name, expected, found)) = promised.or_else(extra) {
            return Err(Error::unreadable("a shard does not match its index")
                .in_file(shard.path())
                .at_key(*name)
                .expected(expected)
                .found(found));
        }
        opened.push(shard);
    }
    Ok(opened)
}
