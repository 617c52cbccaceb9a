//! Keeps whole sites; for small inputs.

use std::collections::BTreeMap;

use microtome_core::{Error, Result, Site};

use crate::{MapKind, SiteData, Tap, Tokens};

/// A site as it was offered, minibatches one after the other.
#[derive(Clone, Debug, PartialEq)]
pub enum Recorded {
    /// `[token, width]`.
    Tokens {
        /// Row-major values.
        data: Vec<f32>,
        /// Width of a row.
        width: usize,
    },
    /// `[token, head, d_head]`.
    Heads {
        /// Row-major values.
        data: Vec<f32>,
        /// Attention heads.
        n_heads: usize,
        /// Width of a head.
        d_head: usize,
    },
    /// `[head, query, key]`, one per cell.
    Maps {
        /// Row-major values per cell.
        cells: Vec<Vec<f32>>,
        /// Attention heads.
        n_heads: usize,
        /// Meaning of the values.
        kind: MapKind,
    },
    /// `[cell, width]`.
    Cells {
        /// Row-major values.
        data: Vec<f32>,
        /// Width of a row.
        width: usize,
    },
}

/// Records the sites it was told to, in full. Memory grows with everything that is recorded.
#[derive(Debug, Default)]
pub struct Recorder {
    wanted: Vec<Site>,
    sites: BTreeMap<Site, Recorded>,
}

impl Recorder {
    /// Listens to these sites.
    pub fn new(wanted: impl IntoIterator<Item = Site>) -> Self {
        Self { wanted: wanted.into_iter().collect(), sites: BTreeMap::new() }
    }

    /// What was recorded at a site.
    pub fn get(&self, site: &Site) -> Option<&Recorded> {
        self.sites.get(site)
    }

    /// What was recorded at a site, leaving nothing behind.
    pub fn take(&mut self, site: &Site) -> Option<Recorded> {
        self.sites.remove(site)
    }

    /// Sites that were recorded.
    pub fn sites(&self) -> impl Iterator<Item = &Site> {
        self.sites.keys()
    }
}

impl Tap for Recorder {
    fn wants(&self, site: &Site) -> bool {
        self.wanted.contains(site)
    }

    fn offer(&mut self, site: &Site, _tokens: &Tokens, data: SiteData<'_>) -> Result<()> {
        match (self.sites.get_mut(site), data) {
            (Some(Recorded::Tokens { data: all, .. }), SiteData::Tokens { data, .. })
            | (Some(Recorded::Heads { data: all, .. }), SiteData::Heads { data, .. })
            | (Some(Recorded::Cells { data: all, .. }), SiteData::Cells { data, .. }) => {
                all.extend_from_slice(data);
            }
            (Some(Recorded::Maps { cells, .. }), SiteData::Map { data, .. }) => cells.push(data.to_vec()),
            (_, first) => {
                let first = Recorded::of(first).ok_or_else(|| {
                    Error::usage("a view of the attention cannot be recorded").at_key(site.to_string())
                })?;
                self.sites.insert(site.clone(), first);
            }
        }
        Ok(())
    }
}

impl Recorded {
    /// A copy of what is a tensor.
    fn of(data: SiteData<'_>) -> Option<Self> {
        Some(match data {
            SiteData::Tokens { data, width } => Self::Tokens { data: data.to_vec(), width },
            SiteData::Heads { data, n_heads, d_head } => Self::Heads { data: data.to_vec(), n_heads, d_head },
            SiteData::Map { data, n_heads, kind, .. } => {
                Self::Maps { cells: vec![data.to_vec()], n_heads, kind }
            }
            SiteData::Cells { data, width } => Self::Cells { data: data.to_vec(), width },
            SiteData::Attention(_) => return None,
        })
    }
}
