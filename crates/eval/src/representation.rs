//! What is scored: one matrix with a row per cell, and what it is.

use microtome_core::{BlockSite, Matrix, Role, Site};

/// End of the name of a model that was run with gene identities exchanged.
pub const GENES_PERMUTED: &str = "(genes permuted)";
/// End of the name of a model whose weights were exchanged within every tensor.
pub const WEIGHTS_SHUFFLED: &str = "(weights shuffled)";

/// What was taken from a model to make a control of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twin {
    /// Its training: the same shape with random weights. Any control that does not say otherwise.
    Untrained,
    /// The place of every weight within its tensor; the distribution of the weights is as trained.
    WeightsShuffled,
    /// What each gene is; the network is as trained.
    GenesPermuted,
}

impl Twin {
    pub(crate) const ALL: [Self; 3] = [Self::Untrained, Self::WeightsShuffled, Self::GenesPermuted];

    /// The kind of a control, by its name.
    pub(crate) fn of(model: &str) -> Self {
        if model.ends_with(WEIGHTS_SHUFFLED) {
            Self::WeightsShuffled
        } else if model.ends_with(GENES_PERMUTED) {
            Self::GenesPermuted
        } else {
            Self::Untrained
        }
    }

    /// End of the metric that records the difference from it.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Untrained => "minus_control",
            Self::WeightsShuffled => "minus_weights_shuffled",
            Self::GenesPermuted => "minus_genes_permuted",
        }
    }
}

/// A representation of cells in one slot of a comparison: a model's site under one pooling, a baseline, or a
/// control. All representations of a run hold the same cells in the same order.
#[derive(Clone, Debug)]
pub struct Representation {
    /// Name of the model, baseline or control.
    pub model: String,
    /// Family id, for a network.
    pub family: Option<String>,
    /// Role in the comparison. An untrained or shuffled twin of a model is a [`Role::Control`] with the same
    /// site and pooling as the model's representation it stands against.
    pub role: Role,
    /// Site in the network, or `None` for something that is not a network's.
    pub site: Option<Site>,
    /// Block index.
    pub block: Option<usize>,
    /// Depth 0..1. A model's representations with a depth are the candidates among which a depth is chosen.
    pub depth: Option<f64>,
    /// How tokens became one vector per cell.
    pub pooling: Option<String>,
    /// `[cell, feature]`.
    pub matrix: Matrix,
}

impl Representation {
    /// A representation that is not a network's.
    pub fn simple(model: impl Into<String>, role: Role, matrix: Matrix) -> Self {
        Self {
            model: model.into(),
            family: None,
            role,
            site: None,
            block: None,
            depth: None,
            pooling: None,
            matrix,
        }
    }

    /// Name of the slot for a reader: the site where there is one, otherwise the model.
    pub fn label(&self) -> String {
        self.site.as_ref().map_or_else(|| self.model.clone(), ToString::to_string)
    }

    /// Whether it is the output of a block (`resid_post`).
    pub(crate) fn is_block_output(&self) -> bool {
        matches!(self.site, Some(Site::Block(_, BlockSite::ResidPost)))
    }

    /// Why this matrix cannot be scored at all, if so: non-finite values, or every cell alike.
    pub(crate) fn defect(&self) -> Option<String> {
        let m = &self.matrix;
        let bad = m.data().iter().filter(|v| !v.is_finite()).count();
        if bad > 0 {
            return Some(format!("the representation holds {bad} values that are not finite"));
        }
        if m.cols() == 0 {
            return Some("the representation has no features".into());
        }
        let alike = (1..m.rows()).all(|i| m.row(i) == m.row(0));
        alike.then(|| "the representation is the same for every cell".into())
    }
}
