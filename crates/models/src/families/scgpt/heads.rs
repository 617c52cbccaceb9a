//! Readouts; a checkpoint may have any of them.

use microtome_core::Result;
use microtome_kernels::{Activation, LayerNorm, Linear, Lookup, gather_sum};
use microtome_weights::Loader;

use super::network::EPS;
use crate::nn::stored::{layer_norm, linear, linear_without_bias};
use crate::nn::{CellQueryReadout, LayeredReadout, QueryActivation, ReadoutActivation};

/// Slope below zero of the expression decoder and the batch discriminator.
const SLOPE: f32 = 0.01;

/// Vectors of batch labels: `norm(E[batch])`, joined to what the decoders read.
pub(super) struct BatchEncoder {
    table: Vec<f32>,
    pub(super) n: usize,
    pub(super) norm: LayerNorm,
}

impl BatchEncoder {
    /// `[cell, d]`.
    pub(super) fn vectors(&self, batches: &[usize]) -> Vec<f32> {
        let d = self.norm.width();
        let ids: Vec<u32> = batches.iter().map(|&b| b as u32).collect();
        let mut rows = vec![0.0; ids.len() * d];
        gather_sum(&[Lookup { table: &self.table, ids: &ids }], d, &mut rows);
        let mut out = vec![0.0; rows.len()];
        self.norm.apply(&rows, ids.len(), &mut out);
        out
    }
}

#[derive(Default)]
pub(super) struct Heads {
    pub(super) batch_encoder: Option<BatchEncoder>,
    pub(super) expression: Option<LayeredReadout>,
    pub(super) expression_zero: Option<LayeredReadout>,
    pub(super) cell_query: Option<CellQueryReadout>,
    pub(super) cell_query_zero: Option<CellQueryReadout>,
    pub(super) classes: Option<LayeredReadout>,
    pub(super) batches: Option<LayeredReadout>,
}

impl Heads {
    pub(super) fn load(loader: &Loader<'_>, d: usize) -> Result<Self> {
        let batch_encoder = match loader.shape("batch_encoder.embedding.weight") {
            Some(&[n, _]) => Some(BatchEncoder {
                table: loader.f32("batch_encoder.embedding.weight", &[n, d])?,
                n,
                norm: layer_norm(loader, "batch_encoder.enc_norm", d, EPS)?,
            }),
            _ => None,
        };
        let width = if batch_encoder.is_some() { 2 * d } else { d };
        let query = loader.has("mvc_decoder.gene2query.weight");
        let query = query.then(|| linear(loader, "mvc_decoder.gene2query", d, d)).transpose()?;
        let leaky = ReadoutActivation::LeakyRelu(SLOPE);
        let relu = ReadoutActivation::Kernel(Activation::Relu);
        Ok(Self {
            batch_encoder,
            expression: decoder(loader, "decoder.fc", width, d)?,
            expression_zero: decoder(loader, "decoder.zero_logit", width, d)?,
            cell_query: cell_query(loader, "W", query.as_ref(), width, d)?,
            cell_query_zero: cell_query(loader, "W_zero_logit", query.as_ref(), width, d)?,
            classes: classifier(loader, "cls_decoder", d, relu)?,
            batches: classifier(loader, "grad_reverse_discriminator", d, leaky)?,
        })
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        let all = [
            (self.expression.is_some(), "masked expression"),
            (self.expression_zero.is_some(), "zero probability of masked expression"),
            (self.cell_query.is_some(), "expression asked of the cell vector"),
            (self.cell_query_zero.is_some(), "zero probability asked of the cell vector"),
            (self.classes.is_some(), "classes"),
            (self.batches.is_some(), "batch discriminator"),
        ];
        all.into_iter().filter(|(there, _)| *there).map(|(_, name)| name).collect()
    }
}

/// `NAME.0`, `NAME.2`, `NAME.4` with leaky ReLU between them.
fn decoder(loader: &Loader<'_>, name: &str, width: usize, d: usize) -> Result<Option<LayeredReadout>> {
    if !loader.has(&format!("{name}.0.weight")) {
        return Ok(None);
    }
    Ok(Some(LayeredReadout {
        layers: vec![
            (linear(loader, &format!("{name}.0"), d, width)?, None),
            (linear(loader, &format!("{name}.2"), d, d)?, None),
        ],
        activation: ReadoutActivation::LeakyRelu(SLOPE),
        out: linear(loader, &format!("{name}.4"), 1, d)?,
    }))
}

fn cell_query(
    loader: &Loader<'_>,
    part: &str,
    query: Option<&Linear>,
    width: usize,
    d: usize,
) -> Result<Option<CellQueryReadout>> {
    let name = format!("mvc_decoder.{part}");
    let (Some(query), true) = (query, loader.has(&format!("{name}.weight"))) else { return Ok(None) };
    let weight: Linear = if loader.has(&format!("{name}.bias")) {
        linear(loader, &name, width, d)?
    } else {
        linear_without_bias(loader, &name, width, d)?
    };
    Ok(Some(CellQueryReadout { query: query.clone(), activation: QueryActivation::Sigmoid, weight, scaled: false }))
}

/// `NAME._decoder.{0, 3, ...}` linear, `{2, 5, ...}` norm after the activation, then `NAME.out_layer`.
fn classifier(
    loader: &Loader<'_>,
    name: &str,
    d: usize,
    activation: ReadoutActivation,
) -> Result<Option<LayeredReadout>> {
    let out = format!("{name}.out_layer");
    let Some(&[n_classes, _]) = loader.shape(&format!("{out}.weight")) else { return Ok(None) };
    let mut layers = vec![];
    for i in (0..).step_by(3).take_while(|i| loader.has(&format!("{name}._decoder.{i}.weight"))) {
        let norm = layer_norm(loader, &format!("{name}._decoder.{}", i + 2), d, EPS)?;
        layers.push((linear(loader, &format!("{name}._decoder.{i}"), d, d)?, Some(norm)));
    }
    Ok(Some(LayeredReadout { layers, activation, out: linear(loader, &out, n_classes, d)? }))
}
