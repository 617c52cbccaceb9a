//! One forward pass over cells of a kit, and its tensors in the shape of the kit's (padded with zeros per cell).

use std::collections::BTreeMap;
use std::ops::Range;

use microtome_core::{Axis, BlockSite, Result, Site};

use super::actual::{Array, Values};
use crate::model::Model;
use crate::taps::{Recorded, Recorder, Tee};
use crate::{Tap, Tokens};

/// What a kit leaves out of its tensors to stay small.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// Token rows that token-indexed tensors hold; all when `None`.
    pub(super) rows: Option<Vec<usize>>,
    /// Cells that attention maps hold; all when `None`.
    pub(super) map_cells: Option<Vec<usize>>,
}

/// Everything recorded of one pass.
pub(super) struct Run<'a> {
    pub(super) model: &'a dyn Model,
    pub(super) tokens: Tokens,
    sites: BTreeMap<String, Recorded>,
    kept: Kept,
    /// Lengths of the cells that maps were recorded of.
    map_lengths: Vec<usize>,
}

impl<'a> Run<'a> {
    /// Runs the cells with these sites recorded; `also` listens to the same pass.
    pub(super) fn new(
        model: &'a dyn Model,
        tokens: Tokens,
        sites: &[Site],
        kept: &Kept,
        also: Option<&mut dyn Tap>,
    ) -> Result<Self> {
        let (maps, others): (Vec<&Site>, Vec<&Site>) = sites.iter().partition(|s| is_map(model, s));
        let mut recorder = Recorder::new(others.iter().map(|s| (*s).clone()));
        match also {
            Some(tap) => model.forward(&tokens, &mut Tee(vec![&mut recorder, tap]))?,
            None => model.forward(&tokens, &mut recorder)?,
        }
        let n_cells = tokens.n_cells();
        let cells: Vec<usize> = match &kept.map_cells {
            Some(cells) => cells.iter().copied().filter(|&c| c < n_cells).collect(),
            None => (0..n_cells).collect(),
        };
        let mut of_maps = Recorder::new(maps.iter().map(|s| (*s).clone()));
        if !maps.is_empty() {
            model.forward(&tokens.select(&cells), &mut of_maps)?;
        }
        let map_lengths = cells.iter().map(|&c| tokens.len_of(c)).collect();
        let taken = others.into_iter().map(|s| (s, recorder.take(s)));
        let recorded = taken.chain(maps.into_iter().map(|s| (s, of_maps.take(s))));
        let sites = recorded.filter_map(|(s, r)| r.map(|r| (s.to_string(), r))).collect();
        Ok(Self { model, tokens, sites, kept: kept.clone(), map_lengths })
    }

    /// The tensor of this name in the shape of `like`.
    pub(super) fn get(&self, name: &str, like: &Array) -> Option<Array> {
        if let Some(column) = name.strip_prefix("tokens.") {
            return self.tokens_array(column, like);
        }
        Some(match self.sites.get(name)? {
            Recorded::Tokens { data, width } => self.token_site(name, data, *width, like),
            Recorded::Heads { data, n_heads, d_head } => self.heads(data, *n_heads, *d_head, like),
            Recorded::Maps { cells, n_heads, .. } => self.maps(cells, *n_heads, like),
            Recorded::Cells { data, width } => self.cells(data, *width, like),
        })
    }

    fn n_cells(&self) -> usize {
        self.tokens.n_cells()
    }

    /// Positions within a cell that the kit's tensors hold.
    fn kept_rows(&self, cell: usize) -> Vec<usize> {
        let n = self.tokens.len_of(cell);
        match &self.kept.rows {
            Some(rows) => rows.iter().copied().filter(|&r| r < n).collect(),
            None => (0..n).collect(),
        }
    }

    fn tokens_array(&self, column: &str, like: &Array) -> Option<Array> {
        let t = &self.tokens;
        let all = |cell: usize| (0..t.len_of(cell)).collect::<Vec<_>>();
        let kept = |cell: usize| self.kept_rows(cell);
        Some(match column {
            "len" => {
                Array::ints(vec![self.n_cells()], (0..self.n_cells()).map(|c| t.len_of(c) as i64).collect())
            }
            "ids" => {
                let coded: Vec<i64> = t.ids.iter().map(|&id| self.model.kit_token(id)).collect();
                let (shape, values) = self.padded(&coded, 1, kept, like);
                Array::ints(shape[..2].to_vec(), values)
            }
            "values" => self.column(&t.values, kept, like),
            "values_full" => self.column(&t.values, all, like),
            other => match (t.per_token.get(other), t.per_cell.get(other)) {
                (Some(values), _) => self.column(values, kept, like),
                (None, Some(values)) => Array::floats(vec![values.len()], values.clone()),
                (None, None) => return None,
            },
        })
    }

    fn column(&self, values: &[f32], rows: impl Fn(usize) -> Vec<usize>, like: &Array) -> Array {
        let (shape, values) = self.padded(values, 1, rows, like);
        Array::floats(shape[..2].to_vec(), values)
    }

    /// `[cell, row, width]` of the given rows of every cell, padded to the second axis of `like` or to the longest cell.
    fn padded<T: Copy + Default>(
        &self,
        data: &[T],
        width: usize,
        rows: impl Fn(usize) -> Vec<usize>,
        like: &Array,
    ) -> ([usize; 3], Vec<T>) {
        let picked: Vec<Vec<usize>> = (0..self.n_cells()).map(rows).collect();
        let longest = picked.iter().map(Vec::len).max().unwrap_or(0);
        // The kit's padded length is its own business, as long as every cell fits into it.
        let pad = like.shape.get(1).copied().unwrap_or(longest).max(longest);
        let mut out = vec![T::default(); picked.len() * pad * width];
        for (cell, rows) in picked.iter().enumerate() {
            for (at, &row) in rows.iter().enumerate() {
                let from = (self.tokens.offsets[cell] + row) * width;
                let to = (cell * pad + at) * width;
                out[to..to + width].copy_from_slice(&data[from..from + width]);
            }
        }
        ([picked.len(), pad, width], out)
    }

    /// Sites over genes leave out the special tokens.
    fn token_site(&self, name: &str, data: &[f32], width: usize, like: &Array) -> Array {
        let sites = self.model.sites();
        let genes_only = sites.iter().any(|s| s.site.to_string() == name && s.axes.contains(&Axis::Gene));
        let rows = |cell: usize| -> Vec<usize> {
            let genes: Range<usize> = self.model.gene_tokens(self.tokens.len_of(cell));
            self.kept_rows(cell).into_iter().filter(|r| !genes_only || genes.contains(r)).collect()
        };
        let (shape, values) = self.padded(data, width, rows, like);
        let n_axes = if width == 1 && like.shape.len() == 2 { 2 } else { 3 };
        Array::floats(shape[..n_axes].to_vec(), values)
    }

    /// `[cell, head, token, d_head]`. Kits of grouped-query models may hold every key and value head once per query head.
    fn heads(&self, data: &[f32], n_heads: usize, d_head: usize, like: &Array) -> Array {
        let shown =
            like.shape.get(1).copied().filter(|n| n.is_multiple_of(n_heads.max(1))).unwrap_or(n_heads);
        let shown = if shown > 64 * n_heads { n_heads } else { shown };
        let group = (shown / n_heads.max(1)).max(1);
        let picked: Vec<Vec<usize>> = (0..self.n_cells()).map(|c| self.kept_rows(c)).collect();
        let longest = picked.iter().map(Vec::len).max().unwrap_or(0);
        let pad = like.shape.get(2).copied().unwrap_or(longest).max(longest);
        let mut out = vec![0.0; picked.len() * shown * pad * d_head];
        for (cell, rows) in picked.iter().enumerate() {
            for (at, &row) in rows.iter().enumerate() {
                let token = self.tokens.offsets[cell] + row;
                for head in 0..shown {
                    let from = (token * n_heads + head / group) * d_head;
                    let to = ((cell * shown + head) * pad + at) * d_head;
                    out[to..to + d_head].copy_from_slice(&data[from..from + d_head]);
                }
            }
        }
        Array::floats(vec![picked.len(), shown, pad, d_head], out)
    }

    /// `[cell, head, query, key]` of the cells that have maps.
    fn maps(&self, cells: &[Vec<f32>], n_heads: usize, like: &Array) -> Array {
        let longest = self.map_lengths.iter().copied().max().unwrap_or(0);
        let pad = like.shape.last().copied().unwrap_or(longest).max(longest);
        // A kit may hold the first heads only.
        let shown =
            like.shape.get(1).copied().filter(|&n| like.shape.len() == 4 && (1..n_heads).contains(&n));
        let n_heads = shown.unwrap_or(n_heads);
        let mut out = vec![0.0; cells.len() * n_heads * pad * pad];
        for (cell, (map, &n)) in cells.iter().zip(&self.map_lengths).enumerate() {
            for (row, values) in map.chunks_exact(n.max(1)).enumerate().take(n_heads * n) {
                let (head, query) = (row / n.max(1), row % n.max(1));
                let at = ((cell * n_heads + head) * pad + query) * pad;
                out[at..at + n].copy_from_slice(values);
            }
        }
        let shape = vec![cells.len(), n_heads, pad, pad];
        // A map over all heads together may come without its axis of one head.
        let without = n_heads == 1 && like.shape.len() == 3;
        Array::floats(if without { vec![cells.len(), pad, pad] } else { shape }, out)
    }

    /// `[cell, width]`, or the same numbers under the kit's own axes; whole numbers where the kit holds whole numbers.
    fn cells(&self, data: &[f32], width: usize, like: &Array) -> Array {
        let same = like.shape.first() == Some(&self.n_cells())
            && like.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) == Some(data.len());
        let shape = if same { like.shape.clone() } else { vec![self.n_cells(), width] };
        let whole = data.iter().all(|v| v.fract() == 0.0 && v.abs() < 16_777_216.0);
        match like.values {
            Values::Int(_) if whole => Array::ints(shape, data.iter().map(|&v| v as i64).collect()),
            _ => Array::floats(shape, data.to_vec()),
        }
    }
}

fn is_map(model: &dyn Model, site: &Site) -> bool {
    match site {
        Site::Block(_, place) => matches!(place, BlockSite::Scores | BlockSite::Pattern),
        other => model.sites().iter().any(|s| s.site == *other && s.axes.contains(&Axis::Query)),
    }
}
