//! The network: where it begins, what training sees of it, how it is exported.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Progress, Result};
use microtome_models::families::geneformer::{
    GeneformerShape, Generation, write_untrained, write_untrained_over,
};
use microtome_models::{Model, ModelInfo, find_family};
use microtome_train::net::{Activation, BertShape, NamedTensor, Params};
use microtome_train::pretrain::Vocabulary;
use microtome_weights::{Checkpoint, TensorData, write_safetensors};
use serde_json::json;

use super::vocabulary;
use crate::data::Data;
use crate::open::{open_model, provide_readers};
use microtome_models::Precision;

const WEIGHTS: &str = "model.safetensors";

/// Dimensions of a new network over the genes of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Blocks.
    pub layers: usize,
    /// Residual width.
    pub width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Feed-forward width.
    pub feed_forward: usize,
    /// Longest input in tokens.
    pub max_tokens: usize,
}

impl Shape {
    /// Own sizes by name. Published sizes go over published dictionaries ([`Begin::Published`]).
    pub fn preset(name: &str) -> Result<Self> {
        let of = |layers, width, heads, feed_forward, max_tokens| Self {
            layers,
            width,
            heads,
            feed_forward,
            max_tokens,
        };
        Ok(match name {
            "tiny" => of(4, 128, 4, 256, 512),
            "small" => of(6, 256, 4, 512, 1024),
            "base" => of(8, 384, 6, 768, 2048),
            _ => {
                return Err(Error::usage("no such preset without published dictionaries")
                    .at_key("--preset")
                    .expected("tiny, small or base; or a published size together with --like DIR")
                    .found(name));
            }
        })
    }
}

/// Where the network and its vocabulary come from.
#[derive(Clone, Debug)]
pub enum Begin {
    /// A new network; the vocabulary is made of the data.
    New(Shape),
    /// A new network of a published size over the dictionaries of a folder.
    Published {
        /// Preset of the family.
        preset: String,
        /// Folder with the dictionaries.
        like: PathBuf,
    },
    /// A new network of an own size over the dictionaries of a folder.
    Over {
        /// Its dimensions.
        shape: Shape,
        /// Folder with the dictionaries.
        like: PathBuf,
    },
    /// The weights and dictionaries of a checkpoint: training goes on.
    From(PathBuf),
}

impl Begin {
    pub(super) fn describe(&self) -> serde_json::Value {
        let new = |s: &Shape, vocabulary: serde_json::Value| {
            json!({"new": {
                "layers": s.layers, "width": s.width, "heads": s.heads, "feed_forward": s.feed_forward,
                "max_tokens": s.max_tokens, "vocabulary": vocabulary
            }})
        };
        match self {
            Self::New(s) => new(s, "genes of the data, with their non-zero medians".into()),
            Self::Over { shape, like } => new(shape, json!({ "like": like })),
            Self::Published { preset, like } => json!({"published": {"preset": preset, "like": like}}),
            Self::From(path) => json!({"from": path}),
        }
    }
}

fn geneformer(s: &Shape) -> GeneformerShape {
    GeneformerShape {
        layers: s.layers,
        d: s.width,
        heads: s.heads,
        ffn: s.feed_forward,
        max_tokens: s.max_tokens,
    }
}

/// Writes the checkpoint that training begins with, unless it is there: beside its place first.
pub(super) fn prepare(
    begin: &Begin,
    data: &[Data],
    seed: u64,
    folder: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    if folder.exists() {
        return Ok(());
    }
    provide_readers();
    let begun = folder.with_extension("begun");
    let failed =
        |e: std::io::Error| Error::output("cannot write the first checkpoint").in_file(folder).caused_by(e);
    if begun.exists() {
        std::fs::remove_dir_all(&begun).map_err(failed)?;
    }
    match begin {
        Begin::New(s) => {
            progress.note("making the vocabulary of the genes of the data");
            write_untrained(Generation::V1, geneformer(s), &vocabulary(data)?, seed, &begun)?;
        }
        Begin::Over { shape, like } => write_untrained_over(like, geneformer(shape), seed, &begun)?,
        Begin::Published { preset, like } => (find_family("geneformer")?.init)(preset, like, seed, &begun)?,
        Begin::From(path) => {
            let model = open_model(path, Precision::F32)?;
            if model.family().id != "geneformer" {
                return Err(Error::unsupported("training goes on only from a checkpoint of this family")
                    .in_file(path)
                    .expected("geneformer")
                    .found(model.family().id));
            }
            (model.family().init_twin)(path, seed, &begun)?;
            let (shape, _) = network(&begun, model.info())?;
            let files = &model.info().files;
            let weights =
                files.iter().find(|(role, _)| role == "weights").map_or(path.clone(), |(_, f)| f.clone());
            write_weights(&read(&weights, &shape)?, &begun.join(WEIGHTS))?;
        }
    }
    std::fs::rename(&begun, folder).map_err(failed)
}

/// Shape and weights of the checkpoint in a folder of ours.
pub(super) fn network(folder: &Path, info: &ModelInfo) -> Result<(BertShape, Params)> {
    let weights = folder.join(WEIGHTS);
    let checkpoint = Checkpoint::open(&weights)?;
    let types = checkpoint
        .info("bert.embeddings.token_type_embeddings.weight")
        .and_then(|t| t.shape.first().copied());
    let choice = |name: &str| info.choices.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    let unknown = |name: &str| {
        Error::unsupported("this choice of the model cannot be trained")
            .at_key(name.to_owned())
            .found(choice(name).to_owned())
    };
    let shape = BertShape {
        n_blocks: info.n_blocks,
        d_model: info.d_model,
        n_heads: info.n_heads,
        d_mlp: info.d_mlp,
        max_positions: info.max_tokens,
        vocab_size: info.d_vocab,
        type_vocab_size: types.unwrap_or(0),
        eps: choice("layer_norm_eps").parse().map_err(|_| unknown("layer_norm_eps"))?,
        activation: match choice("activation") {
            "relu" => Activation::Relu,
            _ => return Err(unknown("activation")),
        },
    };
    Ok((shape, Params::new(read(&weights, &shape)?)?))
}

/// The tensors that the network has, from a file that may hold others besides.
fn read(weights: &Path, shape: &BertShape) -> Result<Vec<NamedTensor>> {
    let checkpoint = Checkpoint::open(weights)?;
    shape
        .tensors()
        .into_iter()
        .map(|(name, shape)| {
            let values = checkpoint.read_f32(&name)?;
            Ok(NamedTensor { name, shape, values })
        })
        .collect()
}

fn write_weights(tensors: &[NamedTensor], path: &Path) -> Result<()> {
    let all: Vec<_> =
        tensors.iter().map(|t| (t.name.clone(), t.shape.clone(), TensorData::F32(&t.values))).collect();
    write_safetensors(path, &all, &[("format".into(), "pt".into())])
}

/// Which entries of the vocabulary are genes, and which one is the mask.
pub(super) fn tokens(model: &dyn Model) -> Result<Vocabulary> {
    let n = model.info().d_vocab;
    let mut mask = None;
    let mut genes = vec![];
    for token in 0..n as u32 {
        match model.token_name(token) {
            Some("<mask>") => mask = Some(token),
            Some(name) if name.starts_with('<') && name.ends_with('>') => {}
            Some(_) => genes.push(token),
            None => {}
        }
    }
    let mask = mask.ok_or_else(|| Error::unsupported("the vocabulary has no <mask> token"))?;
    Vocabulary::new(n, mask, genes)
}

/// Puts the trained weights into the folder of the result. `config.json` comes last: a folder without it is not taken for a checkpoint.
pub(super) fn export(folder: &Path, weights: &[NamedTensor], out: &Path) -> Result<()> {
    write_weights(weights, &out.join(WEIGHTS))?;
    let bad = |e: std::io::Error| Error::output("cannot write the checkpoint").in_file(out).caused_by(e);
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .map_err(bad)?
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(bad)?
        .into_iter()
        .map(|e| e.file_name())
        .filter(|n| n != WEIGHTS)
        .collect();
    names.sort_by_key(|n| (n == "config.json", n.clone()));
    for name in names {
        let bytes = std::fs::read(folder.join(&name)).map_err(bad)?;
        crate::output::write_atomic(&out.join(&name), &bytes)?;
    }
    Ok(())
}
