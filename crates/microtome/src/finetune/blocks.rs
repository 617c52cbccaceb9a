//! Blocks out of a checkpoint by the names of their tensors.

use std::path::PathBuf;

use microtome_core::{Error, Result};
use microtome_models::{BlockLayout, Model, NormPlace, StoredMap, StoredNorm, no_block_layout};
use microtome_train::finetune::{BlockWeights, Map};
use microtome_train::net::NormPlacement;
use microtome_train::net::ops::{Activation, AttentionShape};
use microtome_weights::Checkpoint;

/// The checkpoint file of a model and the layout of its blocks.
pub(super) struct Stored {
    pub(super) checkpoint: Checkpoint,
    pub(super) layouts: Vec<BlockLayout>,
    pub(super) path: PathBuf,
    /// Names in the file of all tensors that the model uses.
    used: Vec<String>,
}

impl Stored {
    /// Errors when the family is not offered, or the weights are not in one file.
    pub(super) fn open(model: &dyn Model) -> Result<Self> {
        let info = model.info();
        let layouts: Option<Vec<BlockLayout>> = (0..info.n_blocks).map(|i| model.block_layout(i)).collect();
        let layouts = layouts.filter(|l| !l.is_empty()).ok_or_else(|| no_block_layout(model.family().id))?;
        let path = weights_file(model)?;
        let used = model.audit().used.iter().map(|t| t.name.clone()).collect();
        Ok(Self { checkpoint: Checkpoint::open(&path)?, layouts, path, used })
    }

    /// Whether all maps and norms have biases, as full fine-tuning trains them.
    pub(super) fn has_all_biases(&self) -> bool {
        let full = |l: &BlockLayout| {
            l.maps.iter().all(|m| m.bias.is_some()) && l.norm1.bias.is_some() && l.norm2.bias.is_some()
        };
        self.layouts.iter().all(full)
    }

    /// Name in the file of what the family asks for as `name`: what it uses under that name, with or without something in front.
    pub(super) fn full_name(&self, name: &str) -> Result<&str> {
        let ends = |full: &&String| {
            full.strip_suffix(name).is_some_and(|front| front.is_empty() || front.ends_with('.'))
        };
        let found: Vec<&String> = self.used.iter().filter(ends).collect();
        match found[..] {
            [one] => Ok(one),
            _ => Err(Error::unreadable(
                "a tensor of a block is not in the file under its own name, or more than once",
            )
            .in_file(&self.path)
            .at_key(name.to_owned())
            .found(format!("{} such tensors", found.len()))),
        }
    }

    fn read(&self, name: &str, n: usize) -> Result<Vec<f32>> {
        let values = self.checkpoint.read_f32(self.full_name(name)?)?;
        if values.len() == n {
            return Ok(values);
        }
        Err(Error::unreadable("a tensor has another size than the model says")
            .in_file(&self.path)
            .at_key(name.to_owned())
            .expected(n.to_string())
            .found(values.len().to_string()))
    }

    fn map(&self, m: &StoredMap) -> Result<Map> {
        let shape =
            self.checkpoint.info(self.full_name(&m.weight)?).map(|t| t.shape.clone()).unwrap_or_default();
        let all = shape.get(usize::from(m.transposed)).copied().unwrap_or(m.rows.end);
        let stored = self.read(&m.weight, all * m.n_in)?;
        let weight = if m.transposed { transposed(&stored, m.n_in, all) } else { stored };
        let bias = match &m.bias {
            Some(name) => self.read(name, all)?,
            None => vec![0.0; all],
        };
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
        let maps = l.maps.iter().map(|m| self.map(m)).collect::<Result<Vec<_>>>()?;
        let maps: [Map; 6] = maps.try_into().map_err(|_| Error::unreadable("a block has six maps"))?;
        let norm = |n: &StoredNorm| {
            let bias = n.bias.as_ref().map_or_else(|| Ok(vec![0.0; d]), |b| self.read(b, d));
            Ok::<_, Error>([self.read(&n.weight, d)?, bias?])
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
}

/// `[rows, columns]` the other way round.
pub(super) fn transposed(matrix: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| matrix[r * columns + c])).collect()
}

/// The file of weights, where it is one.
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
