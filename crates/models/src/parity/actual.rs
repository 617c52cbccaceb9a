//! What this version computes, in the shape of the kit's tensors (padded with zeros per cell).

use std::collections::BTreeMap;

use microtome_core::{Error, Result, Site};
use microtome_weights::{Checkpoint, DType};

use super::run::{Kept, Run};
use super::site_of;
use crate::model::Model;
use crate::taps::{Averaged, GeneMeanTap};
use crate::{Tap, Tokens};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    Float(Vec<f32>),
    Double(Vec<f64>),
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
        } else if info.dtype == DType::F64 {
            Values::Double(file.read_f64(name)?)
        } else {
            Values::Float(file.read_f32(name)?)
        };
        Ok(Self { shape: info.shape.clone(), values })
    }
}

/// Everything computed for a kit.
pub(super) struct Computed<'a> {
    plain: Run<'a>,
    /// Further runs by prefix.
    runs: BTreeMap<String, Run<'a>>,
    kept: Kept,
    ready: BTreeMap<String, Array>,
    reasons: BTreeMap<String, String>,
}

impl<'a> Computed<'a> {
    /// Runs all cells once with everything recorded that the kit has a tensor for.
    pub(super) fn new(model: &'a dyn Model, tokens: &Tokens, names: &[String], kept: Kept) -> Result<Self> {
        let sites: Vec<Site> = names.iter().filter_map(|n| site_of(model, n)).collect();
        let mut genes = GeneMeanTap::new(model, &[model.cell_rule().1], Averaged::All);
        let wants_genes = names.iter().any(|n| n == "gene_embedding");
        let also: Option<&mut dyn Tap> = if wants_genes { Some(&mut genes) } else { None };
        let plain = Run::new(model, tokens.clone(), &sites, &kept, also)?;
        let mut out =
            Self { plain, runs: BTreeMap::new(), kept, ready: BTreeMap::new(), reasons: BTreeMap::new() };
        // Static gene vectors are a table over the vocabulary; contextual ones say which tokens they are of.
        let is_static = !names.iter().any(|n| n == "gene_embedding.token_ids");
        if let (true, true, Some(table)) = (wants_genes, is_static, model.gene_table()) {
            out.put("gene_embedding", Array::floats(vec![table.rows(), table.cols()], table.into_data()));
        } else if wants_genes {
            let genes = genes.finish_one()?;
            let n = genes.tokens.len();
            out.put("gene_embedding.token_ids", Array::ints(vec![n], widen(&genes.tokens)));
            let width = genes.means.cols();
            out.put("gene_embedding", Array::floats(vec![n, width], genes.means.into_data()));
        }
        Ok(out)
    }

    /// Adds a further run, of which the kit holds these tensors under a prefix.
    pub(super) fn run(
        &mut self,
        model: &'a dyn Model,
        prefix: &str,
        tokens: Tokens,
        names: &[String],
    ) -> Result<()> {
        let site = |n: &String| site_of(model, n).or_else(|| site_of(model, &format!("readout.{n}")));
        let names: Vec<String> = names.iter().map(|n| plain_name(model, n)).collect();
        let sites: Vec<Site> = names.iter().filter_map(site).collect();
        self.runs.insert(prefix.to_string(), Run::new(model, tokens, &sites, &self.kept, None)?);
        Ok(())
    }

    /// Whether there is a run of this prefix already.
    pub(super) fn has_run(&self, prefix: &str) -> bool {
        self.runs.contains_key(prefix)
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

    /// The tensor of this name in the shape of `like`.
    pub(super) fn get(&self, name: &str, like: &Array) -> Option<Array> {
        if let Some(ready) = self.ready.get(name) {
            return Some(ready.clone());
        }
        // The longest prefix counts: `chem.batch1.` before `chem.`.
        let dots = name.rmatch_indices('.').map(|(at, _)| (&name[..at], &name[at + 1..]));
        let run = dots.filter_map(|(prefix, rest)| Some((self.runs.get(prefix)?, rest))).next();
        let (run, name) = run.unwrap_or((&self.plain, name));
        // A further run may name a readout without its `readout.`.
        let name = plain_name(run.model, name);
        run.get(&name, like).or_else(|| run.get(&format!("readout.{name}"), like))
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

/// `resid_final` is the output of the last block.
fn plain_name(model: &dyn Model, name: &str) -> String {
    match (name, model.info().n_blocks) {
        ("resid_final", n) if n > 0 => Site::resid_post(n - 1).to_string(),
        _ => name.to_string(),
    }
}
