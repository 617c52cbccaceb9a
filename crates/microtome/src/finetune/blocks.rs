//! Blocks out of a checkpoint by the names of their tensors.

use std::path::PathBuf;

use microtome_core::{Error, Result};
use microtome_models::{BlockLayout, Model, NormPlace, StoredMap, StoredNorm, no_block_layout};
use microtome_train::finetune::{BlockWeights, Map, NormWeights};
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
    /// Errors when the model is not offered, or its weights are neither in one file nor listed by one index.
    pub(super) fn open(model: &dyn Model) -> Result<Self> {
        let info = model.info();
        let layouts: Option<Vec<BlockLayout>> = (0..info.n_blocks).map(|i| model.block_layout(i)).collect();
        let layouts = layouts.filter(|l| !l.is_empty()).ok_or_else(|| no_block_layout(model.family().id))?;
        let path = weights_file(model)?;
        let used = model.audit().used.iter().map(|t| t.name.clone()).collect();
        Ok(Self { checkpoint: Checkpoint::open(&path)?, layouts, path, used })
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
        let r = m.rows.clone();
        let cut = |values: &[f32], width: usize| {
            let rows = values.get(r.start * width..r.end * width).map(<[f32]>::to_vec);
            rows.ok_or_else(|| {
                Error::unreadable("a tensor has fewer rows than its maps")
                    .in_file(&self.path)
                    .at_key(m.weight.clone())
            })
        };
        let bias = m.bias.as_ref().map(|name| cut(&self.read(name, all)?, 1)).transpose()?;
        Ok(Map { weight: cut(&weight, m.n_in)?, bias, n_out: r.len(), n_in: m.n_in })
    }

    /// The blocks from `first` on.
    pub(super) fn blocks(&self, first: usize) -> Result<Vec<BlockWeights>> {
        self.layouts.iter().skip(first).map(|l| self.block(l)).collect()
    }

    fn block(&self, l: &BlockLayout) -> Result<BlockWeights> {
        let d = l.maps.first().map_or(0, |queries| queries.n_in);
        let norm = |n: &StoredNorm| {
            let bias = n.bias.as_ref().map(|b| self.read(b, d)).transpose()?;
            Ok::<_, Error>(NormWeights { weight: self.read(&n.weight, d)?, bias })
        };
        Ok(BlockWeights {
            attention: AttentionShape {
                n_kv_heads: l.n_kv_heads,
                soft_cap: l.soft_cap,
                causal: l.causal,
                ..AttentionShape::new(l.n_heads, d / l.n_heads.max(1))
            },
            maps: l.maps.iter().map(|m| self.map(m)).collect::<Result<_>>()?,
            norms: [norm(&l.norms[0])?, norm(&l.norms[1])?],
            eps: l.eps,
            centres: l.centres,
            activation: match l.activation {
                "relu" => Activation::Relu,
                "gelu" => Activation::GeluErf,
                "silu" => Activation::Silu,
                _ => Activation::GeluTanh,
            },
            placement: match (l.norm_place, l.adds_to_normed) {
                (NormPlace::AfterAttention, _) => NormPlacement::Post,
                (NormPlace::BeforeAttention, false) => NormPlacement::Pre,
                (NormPlace::BeforeAttention, true) => NormPlacement::PreNormed,
            },
        })
    }
}

/// `[rows, columns]` the other way round.
pub(super) fn transposed(matrix: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| matrix[r * columns + c])).collect()
}

/// The file of weights, or the index of its shards.
fn weights_file(model: &dyn Model) -> Result<PathBuf> {
    let files: Vec<&PathBuf> =
        model.info().files.iter().filter(|(role, _)| role == "weights").map(|(_, f)| f).collect();
    match files[..] {
        [one] => Ok(one.clone()),
        _ => Err(Error::unsupported(
            "the weights of this model are neither in one file nor listed by one index",
        )
        .at_key(model.family().id)
        .found(format!("{} files", files.len()))
        .remedy("probe its frozen representations instead: --method mlp")),
    }
}
