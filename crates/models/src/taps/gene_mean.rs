//! Contextual gene vectors averaged over cells.

use std::collections::BTreeMap;

use microtome_core::{Error, Matrix, Result, Site};

use crate::{SiteData, Tap, Tokens};

/// Mean contextual vector per token.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneMeans {
    /// Tokens that occurred, ascending; special tokens included, as in the original.
    pub tokens: Vec<u32>,
    /// Occurrences of each.
    pub counts: Vec<u64>,
    /// `[token, width]` mean over all occurrences in all cells.
    pub means: Matrix,
}

/// Accumulates, for every token of the vocabulary that occurs, the mean of its vectors over cells, in `f64`.
/// Memory grows with the number of distinct tokens, never with the number of cells.
#[derive(Debug)]
pub struct GeneMeanTap {
    site: Site,
    width: usize,
    sums: BTreeMap<u32, (u64, Vec<f64>)>,
}

impl GeneMeanTap {
    /// Listens to one token site (the published choice is the site of [`crate::Model::cell_rule`]).
    pub fn new(site: Site) -> Self {
        Self { site, width: 0, sums: BTreeMap::new() }
    }

    /// The means so far.
    pub fn finish(self) -> Result<GeneMeans> {
        let mut data = Vec::with_capacity(self.sums.len() * self.width);
        let (mut tokens, mut counts) = (vec![], vec![]);
        for (token, (n, sum)) in self.sums {
            tokens.push(token);
            counts.push(n);
            data.extend(sum.iter().map(|s| (s / n as f64) as f32));
        }
        Ok(GeneMeans { means: Matrix::new(tokens.len(), self.width, data)?, tokens, counts })
    }
}

impl Tap for GeneMeanTap {
    fn wants(&self, site: &Site) -> bool {
        *site == self.site
    }

    fn offer(&mut self, site: &Site, tokens: &Tokens, data: SiteData<'_>) -> Result<()> {
        let SiteData::Tokens { data, width } = data else {
            return Err(
                Error::usage("gene vectors are averaged at token sites only").at_key(site.to_string())
            );
        };
        self.width = width;
        for (&token, row) in tokens.ids.iter().zip(data.chunks_exact(width)) {
            let (n, sum) = self.sums.entry(token).or_insert_with(|| (0, vec![0.0; width]));
            *n += 1;
            for (s, &v) in sum.iter_mut().zip(row) {
                *s += f64::from(v);
            }
        }
        Ok(())
    }
}
