//! What this version computes, in the shape of the kit's tensors (padded with zeros per cell).

use std::collections::BTreeMap;

use microtome_core::{Error, Result, Site};
use microtome_weights::Checkpoint;

use super::site_of;
use crate::Tokens;
use crate::model::Model;
use crate::taps::{GeneMeanTap, Recorded, Recorder, Tee};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    Float(Vec<f32>),
    Int(Vec<i64>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Values,
}

impl Array {
    pub(super) fn floats(shape: Vec<usize>, values: Vec<f32>) -> Self {
        Self { shape, values: Values::Float(values) }
    }

    pub(super) fn ints(shape: Vec<usize>, values: Vec<i64>) -> Self {
        Self { shape, values: Values::Int(values) }
    }

    pub(super) fn read(file: &Checkpoint, name: &str) -> Result<Self> {
        let info = file.info(name).ok_or_else(|| {
            Error::unreadable("the kit lacks a tensor").in_file(file.path()).at_key(name.to_string())
        })?;
        let values = if info.dtype.is_integer() {
            Values::Int(file.read_i64(name)?)
        } else {
            Values::Float(file.read_f32(name)?)
        };
        Ok(Self { shape: info.shape.clone(), values })
    }
}

/// Everything computed for a kit.
pub(super) struct Computed<'a> {
    tokens: &'a Tokens,
    sites: BTreeMap<String, Recorded>,
    ready: BTreeMap<String, Array>,
    reasons: BTreeMap<String, String>,
}

impl<'a> Computed<'a> {
    /// Runs all cells once with everything recorded that the kit has a tensor for.
    pub(super) fn new(model: &dyn Model, tokens: &'a Tokens, names: &[String]) -> Result<Self> {
        let sites: Vec<Site> = names.iter().filter_map(|n| site_of(model, n)).collect();
        let mut recorder = Recorder::new(sites.iter().cloned());
        let mut genes = GeneMeanTap::new(model.cell_rule().1);
        if names.iter().any(|n| n == "gene_embedding") {
            model.forward(tokens, &mut Tee(vec![&mut recorder, &mut genes]))?;
        } else {
            model.forward(tokens, &mut recorder)?;
        }
        let recorded = sites.iter().filter_map(|s| recorder.take(s).map(|r| (s.to_string(), r))).collect();
        let mut out = Self { tokens, sites: recorded, ready: BTreeMap::new(), reasons: BTreeMap::new() };
        let genes = genes.finish()?;
        let n = genes.tokens.len();
        out.put("gene_embedding.token_ids", Array::ints(vec![n], widen(&genes.tokens)));
        let width = genes.means.cols();
        out.put("gene_embedding", Array::floats(vec![n, width], genes.means.into_data()));
        let lengths = (0..tokens.n_cells()).map(|c| tokens.len_of(c) as i64).collect();
        out.put("tokens.len", Array::ints(vec![tokens.n_cells()], lengths));
        Ok(out)
    }

    pub(super) fn put(&mut self, name: &str, array: Array) {
        self.ready.insert(name.to_string(), array);
    }

    /// States that a tensor of the kit cannot be compared, and why.
    pub(super) fn skip(&mut self, name: &str, reason: &str) {
        self.reasons.insert(name.to_string(), reason.to_string());
    }

    pub(super) fn reason(&self, name: &str) -> Option<&str> {
        self.reasons.get(name).map(String::as_str)
    }

    /// The tensor of this name, padded to the length of `like`.
    pub(super) fn get(&self, name: &str, like: &Array) -> Result<Option<Array>> {
        if let Some(ready) = self.ready.get(name) {
            return Ok(Some(ready.clone()));
        }
        let n_cells = self.tokens.n_cells();
        let longest = (0..n_cells).map(|c| self.tokens.len_of(c)).max().unwrap_or(0);
        // The kit's padded length is its own business, as long as every cell fits into it.
        let pad = like.shape.last().filter(|_| name.starts_with("tokens."));
        let pad = pad.or(like.shape.get(match self.sites.get(name) {
            Some(Recorded::Tokens { .. }) => 1,
            Some(_) => 2,
            None => usize::MAX,
        }));
        let pad = pad.copied().unwrap_or(longest).max(longest);
        let spans = || (0..n_cells).map(|c| self.tokens.offsets[c]..self.tokens.offsets[c + 1]);
        Ok(match (name, self.sites.get(name)) {
            ("tokens.ids", _) => {
                let rows = spans().map(|s| widen(&self.tokens.ids[s])).collect::<Vec<_>>();
                Some(Array::ints(vec![n_cells, pad], padded(&rows, pad)))
            }
            ("tokens.values", _) => {
                let rows = spans().map(|s| self.tokens.values[s].to_vec()).collect::<Vec<_>>();
                Some(Array::floats(vec![n_cells, pad], padded(&rows, pad)))
            }
            (_, Some(Recorded::Tokens { data, width })) => {
                let rows = spans().map(|s| data[s.start * width..s.end * width].to_vec()).collect::<Vec<_>>();
                Some(Array::floats(vec![n_cells, pad, *width], padded(&rows, pad * width)))
            }
            (_, Some(Recorded::Cells { data, width })) => {
                Some(Array::floats(vec![n_cells, *width], data.clone()))
            }
            (_, Some(Recorded::Heads { data, n_heads, d_head })) => {
                let (h, w) = (*n_heads, *d_head);
                let mut out = vec![0.0; n_cells * h * pad * w];
                for (cell, span) in spans().enumerate() {
                    for (t, row) in data[span.start * h * w..span.end * h * w].chunks_exact(h * w).enumerate()
                    {
                        for (head, values) in row.chunks_exact(w).enumerate() {
                            let at = ((cell * h + head) * pad + t) * w;
                            out[at..at + w].copy_from_slice(values);
                        }
                    }
                }
                Some(Array::floats(vec![n_cells, h, pad, w], out))
            }
            (_, Some(Recorded::Maps { cells, n_heads, .. })) => {
                let mut out = vec![0.0; n_cells * n_heads * pad * pad];
                for (cell, map) in cells.iter().enumerate() {
                    let n = self.tokens.len_of(cell);
                    for (row, values) in map.chunks_exact(n.max(1)).enumerate() {
                        let (head, query) = (row / n.max(1), row % n.max(1));
                        let at = ((cell * n_heads + head) * pad + query) * pad;
                        out[at..at + n].copy_from_slice(values);
                    }
                }
                Some(Array::floats(vec![n_cells, *n_heads, pad, pad], out))
            }
            (_, None) => None,
        })
    }
}

pub(super) fn widen(ids: &[u32]) -> Vec<i64> {
    ids.iter().map(|&i| i64::from(i)).collect()
}

/// Rows one after the other, each filled up with zeros to `width`.
pub(super) fn padded<T: Copy + Default>(rows: &[Vec<T>], width: usize) -> Vec<T> {
    let mut out = vec![T::default(); rows.len() * width];
    for (target, row) in out.chunks_mut(width.max(1)).zip(rows) {
        target[..row.len()].copy_from_slice(row);
    }
    out
}
