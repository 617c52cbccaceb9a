//! What a network is asked for.

use microtome_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::net::{Architecture, NamedTensor, Params, Tensor, failed, ops};

/// Shares of masked training (Devlin et al. 2019, section 3.1). Values have no third way: every hidden one becomes the mask.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Masking {
    /// Share of a cell's genes that are asked for; at least one is.
    pub share: f64,
    /// Of these, the share that becomes the mask.
    pub masked: f64,
    /// Of these, the share that becomes another gene drawn from the vocabulary. The rest stays as it is.
    pub replaced: f64,
}

impl Default for Masking {
    fn default() -> Self {
        Self { share: 0.15, masked: 0.8, replaced: 0.1 }
    }
}

impl Masking {
    /// A share of the values, all of which become the mask.
    pub fn of_values(share: f64) -> Self {
        Self { share, masked: 1.0, replaced: 0.0 }
    }
}

/// What training must know of a vocabulary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    /// Entries, special ones included.
    pub size: usize,
    /// Token of the mask.
    pub mask: u32,
    genes: Vec<u32>,
}

impl Vocabulary {
    /// Of `size` entries, those of `genes`. Errors when there are fewer than two genes, or a token is out of range.
    pub fn new(size: usize, mask: u32, genes: Vec<u32>) -> Result<Self> {
        if let Some(g) = genes.iter().find(|g| **g as usize >= size || **g == mask) {
            return Err(Error::unreadable("a gene's token is out of range")
                .expected(format!("below {size}, other than the mask {mask}"))
                .found(g.to_string()));
        }
        if mask as usize >= size || genes.len() < 2 {
            return Err(Error::mismatch("a vocabulary needs a mask and at least two genes to be trained on")
                .found(format!("{} genes", genes.len())));
        }
        Ok(Self { size, mask, genes })
    }

    /// Tokens of all genes.
    pub fn genes(&self) -> &[u32] {
        &self.genes
    }
}

/// What is asked of the network about a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Objective {
    /// Which genes were hidden: cross entropy over the vocabulary.
    MaskedGenes(Vocabulary),
    /// Which token follows, for causal networks: cross entropy over a vocabulary of so many entries.
    NextGene(usize),
    /// Which value was hidden: squared error.
    MaskedValues {
        /// What stands in its place.
        mask: f32,
    },
    /// Which bin was hidden: cross entropy over the bins, by a readout of its own beside the network's.
    MaskedBins {
        /// What stands in its place.
        mask: f32,
        /// Bins, the first of which is 0.
        n: usize,
    },
}

impl Objective {
    /// What losses are measured in.
    pub fn unit(&self) -> &'static str {
        match self {
            Self::MaskedValues { .. } => "squared error",
            _ => "nats",
        }
    }

    /// What is asked for, in the plural.
    pub fn asked(&self) -> &'static str {
        match self {
            Self::MaskedGenes(_) => "hidden genes",
            Self::NextGene(_) => "next genes",
            Self::MaskedValues { .. } => "hidden values",
            Self::MaskedBins { .. } => "hidden bins",
        }
    }
}

/// Supervision by a label of the cell, read off the pooled vector of the cell by a linear map.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Annotation {
    /// Classes.
    pub n_classes: usize,
    /// Weight of its mean cross entropy beside the mean loss of the objective.
    pub weight: f64,
}

/// A network and what it is trained for.
pub struct Task<'a> {
    /// The network.
    pub architecture: &'a dyn Architecture,
    /// What it is asked.
    pub objective: Objective,
    /// Supervision besides.
    pub annotation: Option<Annotation>,
}

/// Names of the readouts that are trained beside the network's own, and have no place in its checkpoint.
pub const BINS_HEAD: &str = "heads.bins";
/// As [`BINS_HEAD`]: the classes of the annotation.
pub const ANNOTATION_HEAD: &str = "heads.annotation";

impl Task<'_> {
    /// The readouts beside the network, before training: zeros, so that no class is likelier than another.
    pub fn heads(&self) -> Vec<NamedTensor> {
        let d = self.architecture.width();
        let mut out = vec![];
        let mut add = |name: &str, n: usize| {
            let tensor = |part: &str, shape: Vec<usize>| NamedTensor {
                name: format!("{name}.{part}"),
                values: vec![0.0; shape.iter().product()],
                shape,
            };
            out.extend([tensor("weight", vec![n, d]), tensor("bias", vec![n])]);
        };
        if let Objective::MaskedBins { n, .. } = self.objective {
            add(BINS_HEAD, n);
        }
        if let Some(a) = self.annotation {
            add(ANNOTATION_HEAD, a.n_classes);
        }
        out
    }

    /// Scores of the classes of a readout beside the network.
    pub(super) fn read(&self, params: &Params, name: &str, n: usize, x: &Tensor) -> Result<Tensor> {
        let head = crate::net::Linear::of(params, name, n, self.architecture.width())?;
        head.apply(x, ops::Activation::None).map_err(failed)
    }
}
