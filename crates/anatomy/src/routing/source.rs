//! Where scores come from: the blocks of one model, or of several over shared genes.

use super::scores::{ScoreOptions, Scores};
use crate::input::{AttentionWeights, Blocks};
use microtome_core::{Error, Result};

/// Something that has scores between the same genes at several named places (the blocks of one model, or of several
/// over shared genes). Scores are made when asked for, so that only one place is held at a time.
pub trait ScoreSource: Sync {
    /// Names, in order of depth.
    fn names(&self) -> Vec<String>;
    /// Number of genes at every place.
    fn n_genes(&self) -> usize;
    /// Scores at place `index`, below the number of names.
    fn scores(&self, index: usize) -> Result<Scores>;
}

/// Attention of the mean stream: the real projections of every block applied to the stream that enters it.
///
/// This is not the mean of the attention of cells: softmax and norms are not linear.
#[derive(Clone, Debug)]
pub struct MeanStream<'a> {
    streams: Blocks<'a>,
    weights: Vec<&'a AttentionWeights>,
    options: ScoreOptions,
}

impl<'a> MeanStream<'a> {
    /// `streams` enter the blocks whose projections are `weights`.
    ///
    /// Errors when the numbers differ or a shape does not fit.
    pub fn new(
        streams: Blocks<'a>,
        weights: Vec<&'a AttentionWeights>,
        options: ScoreOptions,
    ) -> Result<Self> {
        if streams.len() != weights.len() {
            return Err(Error::mismatch("streams and attention blocks differ in number")
                .expected(format!("{} streams that enter a block", weights.len()))
                .found(streams.len().to_string())
                .remedy("leave out the output of the last block, which enters none"));
        }
        for ((name, x), w) in streams.names().iter().zip(streams.values()).zip(&weights) {
            w.check(x.cols()).map_err(|e| e.at_key(name.clone()))?;
        }
        Ok(Self { streams, weights, options })
    }

    /// The same with weights in the order of [`string_sorted_blocks`]: Napistu-Torch's defect, on request.
    #[must_use]
    pub fn with_string_sorted_weights(mut self) -> Self {
        let order = string_sorted_blocks(self.weights.len());
        self.weights = order.into_iter().map(|i| self.weights[i]).collect();
        self
    }
}

impl ScoreSource for MeanStream<'_> {
    fn names(&self) -> Vec<String> {
        self.streams.names().to_vec()
    }

    fn n_genes(&self) -> usize {
        self.streams.n_rows()
    }

    fn scores(&self, index: usize) -> Result<Scores> {
        Scores::new(self.streams.values()[index], self.weights[index], &self.options)
            .map_err(|e| e.at_key(self.streams.names()[index].clone()))
    }
}

/// Several sources over the same genes seen as one: blocks of several models side by side.
pub struct Overlay<'a> {
    parts: Vec<(String, &'a dyn ScoreSource)>,
}

impl<'a> Overlay<'a> {
    /// `parts` are models by name; places are called `model/place`.
    ///
    /// Errors without parts or when the numbers of genes differ.
    pub fn new(parts: Vec<(String, &'a dyn ScoreSource)>) -> Result<Self> {
        let Some((_, first)) = parts.first() else {
            return Err(Error::usage("there is no model to compare").expected("at least one"));
        };
        if let Some((name, other)) = parts.iter().find(|(_, p)| p.n_genes() != first.n_genes()) {
            return Err(Error::mismatch("models hold different numbers of genes")
                .at_key(name.clone())
                .expected(first.n_genes().to_string())
                .found(other.n_genes().to_string())
                .remedy("align the models over their shared genes first"));
        }
        Ok(Self { parts })
    }

    /// The model of every place, by its position among the parts.
    pub fn model_of(&self) -> Vec<usize> {
        let sizes = self.parts.iter().map(|(_, p)| p.names().len()).enumerate();
        sizes.flat_map(|(i, n)| std::iter::repeat_n(i, n)).collect()
    }
}

impl ScoreSource for Overlay<'_> {
    fn names(&self) -> Vec<String> {
        let named = self.parts.iter().map(|(m, p)| (m, p.names()));
        named.flat_map(|(m, names)| names.into_iter().map(move |n| format!("{m}/{n}"))).collect()
    }

    fn n_genes(&self) -> usize {
        self.parts[0].1.n_genes()
    }

    fn scores(&self, index: usize) -> Result<Scores> {
        let mut left = index;
        for (_, part) in &self.parts {
            let count = part.names().len();
            if left < count {
                return part.scores(left);
            }
            left -= count;
        }
        Err(Error::usage("no such place").found(index.to_string()))
    }
}

/// Order in which Napistu-Torch 0.4.0 reads `n` attention blocks back from its store: sorted by the text of the number
/// (0, 1, 10, 11, 2, ...) although streams are taken by number. Position `i` gets the weights of block `order[i]`.
pub fn string_sorted_blocks(n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(usize::to_string);
    order
}
