//! What a family adds to the comparison of a kit: how its cells become tokens, further runs, and tensors that are not sites.

use microtome_core::{Error, Result, Table};
use microtome_weights::Checkpoint;
use serde_json::Value;

use super::KitCells;
use super::actual::{Array, Values};
use crate::{GeneMatch, Tokens};

/// A kit as a family sees it.
pub struct KitCase<'a> {
    /// `MANIFEST.json`.
    pub manifest: &'a Value,
    /// Its cells.
    pub cells: KitCells<'a>,
    /// Genes of the cells matched to the model's vocabulary.
    pub genes: &'a GeneMatch,
    pub(super) expected: &'a Checkpoint,
}

/// What a family computes for a kit.
pub struct KitPlan {
    /// Tokens of the plain run.
    pub tokens: Tokens,
    /// Further runs: tensors `PREFIX.name` are those of these tokens.
    pub runs: Vec<(String, Tokens)>,
    pub(super) arrays: Vec<(String, Array)>,
    pub(super) not_compared: Vec<(String, String)>,
}

impl KitPlan {
    /// A plain run and nothing else.
    pub fn new(tokens: Tokens) -> Self {
        Self { tokens, runs: vec![], arrays: vec![], not_compared: vec![] }
    }

    /// Adds a tensor of floats.
    pub fn floats(&mut self, name: &str, shape: Vec<usize>, values: Vec<f32>) {
        self.arrays.push((name.into(), Array::floats(shape, values)));
    }

    /// Adds a tensor of double precision.
    pub fn doubles(&mut self, name: &str, shape: Vec<usize>, values: Vec<f64>) {
        self.arrays.push((name.into(), Array { shape, values: Values::Double(values) }));
    }

    /// Adds a tensor of whole numbers.
    pub fn ints(&mut self, name: &str, shape: Vec<usize>, values: Vec<i64>) {
        self.arrays.push((name.into(), Array::ints(shape, values)));
    }

    /// States that a tensor is read from the kit rather than compared, and why.
    pub fn skip(&mut self, name: &str, reason: &str) {
        self.not_compared.push((name.into(), reason.into()));
    }
}

impl KitCase<'_> {
    /// Names of all tensors of the kit.
    pub fn names(&self) -> Vec<&str> {
        self.expected.names()
    }

    /// Whether the kit holds a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.expected.info(name).is_some()
    }

    /// Shape and values of a tensor of floats.
    pub fn read_floats(&self, name: &str) -> Result<(Vec<usize>, Vec<f64>)> {
        let array = Array::read(self.expected, name)?;
        let values = match array.values {
            Values::Float(v) => v.into_iter().map(f64::from).collect(),
            Values::Double(v) => v,
            Values::Int(_) => return Err(wrong(name, "floats")),
        };
        Ok((array.shape, values))
    }

    /// Shape and values of a tensor of whole numbers.
    pub fn read_ints(&self, name: &str) -> Result<(Vec<usize>, Vec<i64>)> {
        let array = Array::read(self.expected, name)?;
        match array.values {
            Values::Int(v) => Ok((array.shape, v)),
            _ => Err(wrong(name, "whole numbers")),
        }
    }

    /// A column of the cells' `obs` as texts.
    pub fn obs_texts(&self, name: &str) -> Result<Vec<String>> {
        texts(self.cells.obs, name)
    }
}

fn texts(obs: &Table, name: &str) -> Result<Vec<String>> {
    let column = obs.column("obs", name)?;
    Ok((0..column.len()).map(|i| column.text(i).unwrap_or_default()).collect())
}

fn wrong(name: &str, expected: &str) -> Error {
    Error::unreadable("a tensor of the kit is of another type").at_key(name.to_string()).expected(expected)
}

/// Values per token laid out as `[cell, token]`, padded with zeros to `pad` tokens.
pub fn padded_per_token<T: Copy + Default>(
    tokens: &Tokens,
    values: &[T],
    pad: usize,
) -> (Vec<usize>, Vec<T>) {
    let longest = (0..tokens.n_cells()).map(|c| tokens.len_of(c)).max().unwrap_or(0);
    let pad = pad.max(longest);
    let rows: Vec<Vec<T>> = tokens.offsets.windows(2).map(|w| values[w[0]..w[1]].to_vec()).collect();
    (vec![rows.len(), pad], super::actual::padded(&rows, pad))
}
