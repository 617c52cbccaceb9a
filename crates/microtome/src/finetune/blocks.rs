//! Blocks out of a checkpoint by the names of their tensors, and back into a new one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};
use microtome_models::{BlockLayout, Model, NormPlace, StoredMap, no_block_layout};
use microtome_train::finetune::{BlockWeights, Map};
use microtome_train::net::NormPlacement;
use microtome_train::net::ops::{Activation, AttentionShape};
use microtome_weights::{Checkpoint, TensorData, write_safetensors};

use crate::output::write_atomic;

/// Prefixes that files put before the names that a family asks for.
const PREFIXES: [&str; 3] = ["", "bert.", "module."];
/// File of a merged checkpoint.
const WEIGHTS: &str = "model.safetensors";

/// The checkpoint file of a model and the layout of its blocks.
pub(super) struct Stored {
    checkpoint: Checkpoint,
    layouts: Vec<BlockLayout>,
    path: PathBuf,
    prefix: &'static str,
}

impl Stored {
    /// Errors when the family is not offered, or the file does not have the tensors.
    pub(super) fn open(model: &dyn Model) -> Result<Self> {
        let info = model.info();
        let layouts: Option<Vec<BlockLayout>> = (0..info.n_blocks).map(|i| model.block_layout(i)).collect();
        let layouts = layouts.filter(|l| !l.is_empty()).ok_or_else(|| no_block_layout(model.family().id))?;
        let path = weights_file(model)?;
        let checkpoint = Checkpoint::open(&path)?;
        let first = &layouts[0].maps[0].weight;
        let prefix = PREFIXES.into_iter().find(|p| checkpoint.info(&format!("{p}{first}")).is_some());
        let prefix = prefix.ok_or_else(|| {
            Error::unreadable("the blocks are not under the family's own names")
                .in_file(&path)
                .at_key(first.clone())
        })?;
        Ok(Self { checkpoint, layouts, path, prefix })
    }

    fn read(&self, name: &str, n: usize) -> Result<Vec<f32>> {
        let values = self.checkpoint.read_f32(&format!("{}{name}", self.prefix))?;
        if values.len() == n {
            return Ok(values);
        }
        Err(Error::unreadable("a tensor has another size than the model says")
            .in_file(&self.path)
            .at_key(name.to_owned())
            .expected(n.to_string())
            .found(values.len().to_string()))
    }

    fn map(&self, m: &StoredMap, d_out: usize) -> Result<Map> {
        let all = self
            .checkpoint
            .info(&format!("{}{}", self.prefix, m.weight))
            .and_then(|t| t.shape.first().copied());
        let rows = all.unwrap_or(d_out);
        let weight = self.read(&m.weight, rows * m.n_in)?;
        let bias = self.read(&m.bias, rows)?;
        let r = m.rows.clone();
        let cut = weight.get(r.start * m.n_in..r.end * m.n_in).zip(bias.get(r.clone()));
        let (weight, bias) = cut.ok_or_else(|| {
            Error::unreadable("a tensor has fewer rows than its maps")
                .in_file(&self.path)
                .at_key(m.weight.clone())
        })?;
        Ok(Map { weight: weight.to_vec(), bias: bias.to_vec(), n_out: r.len(), n_in: m.n_in })
    }

    /// The blocks from `first` on.
    pub(super) fn blocks(&self, first: usize) -> Result<Vec<BlockWeights>> {
        self.layouts.iter().skip(first).map(|l| self.block(l)).collect()
    }

    fn block(&self, l: &BlockLayout) -> Result<BlockWeights> {
        let d = l.maps[0].n_in;
        let maps = l.maps.iter().map(|m| self.map(m, m.rows.len())).collect::<Result<Vec<_>>>()?;
        let maps: [Map; 6] = maps.try_into().map_err(|_| Error::unreadable("a block has six maps"))?;
        let norm = |name: &str| {
            Ok::<_, Error>([self.read(&format!("{name}.weight"), d)?, self.read(&format!("{name}.bias"), d)?])
        };
        Ok(BlockWeights {
            attention: AttentionShape { n_heads: l.n_heads, d_head: d / l.n_heads.max(1), causal: l.causal },
            maps,
            norm1: norm(&l.norm1)?,
            norm2: norm(&l.norm2)?,
            eps: l.eps,
            activation: match l.activation {
                "relu" => Activation::Relu,
                "gelu" => Activation::GeluErf,
                _ => Activation::GeluTanh,
            },
            placement: match l.norm_place {
                NormPlace::AfterAttention => NormPlacement::Post,
                NormPlace::BeforeAttention => NormPlacement::Pre,
            },
        })
    }

    /// Writes the checkpoint again with other blocks from `first` on, as `model.safetensors` beside the other files of the model.
    pub(super) fn write_merged(
        &self,
        model: &dyn Model,
        first: usize,
        blocks: &[BlockWeights],
        out: &Path,
    ) -> Result<()> {
        let mut changed: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for (l, b) in self.layouts.iter().skip(first).zip(blocks) {
            for (stored, map) in l.maps.iter().zip(&b.maps) {
                self.put(&mut changed, &stored.weight, stored.rows.start * stored.n_in, &map.weight)?;
                self.put(&mut changed, &stored.bias, stored.rows.start, &map.bias)?;
            }
            for (name, [weight, bias]) in [(&l.norm1, &b.norm1), (&l.norm2, &b.norm2)] {
                self.put(&mut changed, &format!("{name}.weight"), 0, weight)?;
                self.put(&mut changed, &format!("{name}.bias"), 0, bias)?;
            }
        }
        std::fs::create_dir_all(out)
            .map_err(|e| Error::output("cannot make the folder").in_file(out).caused_by(e))?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut names = vec![];
        for (_, file) in model.info().files.iter().filter(|(role, _)| role != "weights") {
            let name =
                file.strip_prefix(folder).unwrap_or_else(|_| Path::new(file.file_name().unwrap_or_default()));
            names.push((file.clone(), out.join(name)));
        }
        let mut floats = vec![];
        let mut whole = vec![];
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
        write_safetensors(&out.join(WEIGHTS), &tensors, &[])?;
        // The configuration comes last: a folder without it is not taken for a checkpoint.
        names.sort_by_key(|(_, to)| to.file_name().is_some_and(|n| n == "config.json"));
        for (from, to) in names {
            let bytes = std::fs::read(&from).map_err(|e| {
                Error::unreadable("cannot read a file of the model").in_file(&from).caused_by(e)
            })?;
            if let Some(parent) = to.parent() {
                std::fs::create_dir_all(parent)
                    .map_err(|e| Error::output("cannot make the folder").in_file(parent).caused_by(e))?;
            }
            write_atomic(&to, &bytes)?;
        }
        Ok(())
    }

    fn put(
        &self,
        changed: &mut BTreeMap<String, Vec<f32>>,
        name: &str,
        at: usize,
        values: &[f32],
    ) -> Result<()> {
        let name = format!("{}{name}", self.prefix);
        if !changed.contains_key(&name) {
            changed.insert(name.clone(), self.checkpoint.read_f32(&name)?);
        }
        if let Some(place) = changed.get_mut(&name).and_then(|all| all.get_mut(at..at + values.len())) {
            place.copy_from_slice(values);
        }
        Ok(())
    }
}

/// The file of weights, where it is one that can be written again.
fn weights_file(model: &dyn Model) -> Result<PathBuf> {
    let files: Vec<&PathBuf> =
        model.info().files.iter().filter(|(role, _)| role == "weights").map(|(_, f)| f).collect();
    match files[..] {
        [one] => Ok(one.clone()),
        _ => {
            Err(Error::unsupported("the weights of this model are not in one file").at_key(model.family().id))
        }
    }
}

/// Whether a merged checkpoint of this family is found under the name that is written.
pub(super) fn can_merge(model: &dyn Model) -> Result<()> {
    if model.family().id == "geneformer" || model.family().id == "sccello" {
        return Ok(());
    }
    Err(Error::unsupported("a merged checkpoint cannot be written for this family")
        .at_key("--merge")
        .expected("geneformer or sccello")
        .found(model.family().id)
        .remedy("leave out --merge: the adapter itself is kept"))
}
