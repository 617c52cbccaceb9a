//! A new model of any size over genes of one's own.

use std::collections::HashSet;
use std::path::Path;

use microtome_core::{Error, Result};

/// Dimensions of a model that is not of a published size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimensions {
    /// Blocks.
    pub layers: usize,
    /// Residual width.
    pub d: usize,
    /// Attention heads; must divide `d`.
    pub heads: usize,
    /// Feed-forward width.
    pub ffn: usize,
    /// Longest input in tokens, special tokens included.
    pub max_tokens: usize,
}

impl Dimensions {
    /// Errors when no model can have this size.
    pub(crate) fn check(&self) -> Result<()> {
        let dims = [self.layers, self.d, self.heads, self.ffn];
        if dims.contains(&0) || self.max_tokens < 3 || !self.d.is_multiple_of(self.heads) {
            return Err(Error::usage("not a possible shape of a model")
                .expected("positive dimensions, at least 3 tokens, heads that divide the width")
                .found(format!(
                    "{dims:?} (blocks, width, heads, feed-forward), {} tokens",
                    self.max_tokens
                )));
        }
        Ok(())
    }
}

/// Errors when there are no genes, or one is named twice, not at all, or like a special token.
pub(crate) fn check_names<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<()> {
    let mut seen = HashSet::new();
    for name in names {
        if name.is_empty() || name.starts_with('<') || !seen.insert(name) {
            return Err(Error::usage("the genes of a vocabulary need distinct names").found(name.to_string()));
        }
    }
    if seen.is_empty() { Err(Error::usage("a vocabulary needs genes")) } else { Ok(()) }
}

/// Writes a small text file of a new model.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text)
        .map_err(|e| Error::output("cannot write a file of the model").in_file(path).caused_by(e))
}
