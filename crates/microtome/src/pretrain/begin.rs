//! Where a network begins.

use std::path::PathBuf;

use microtome_core::{Error, Result};
use microtome_models::Dimensions;
use serde_json::json;

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

    pub(super) fn dimensions(&self) -> Dimensions {
        Dimensions {
            layers: self.layers,
            d: self.width,
            heads: self.heads,
            ffn: self.feed_forward,
            max_tokens: self.max_tokens,
        }
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
            Self::New(s) => new(s, "genes of the data".into()),
            Self::Over { shape, like } => new(shape, json!({ "like": like })),
            Self::Published { preset, like } => json!({"published": {"preset": preset, "like": like}}),
            Self::From(path) => json!({"from": path}),
        }
    }
}
