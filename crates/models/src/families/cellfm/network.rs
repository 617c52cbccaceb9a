//! The network: genes and soft-binned values, blocks, and two readouts of expression.

use microtome_core::{Result, Site};
use microtome_kernels::{Activation, Linear};
use microtome_weights::{Audit, Checkpoint, Loader};
use rayon::prelude::*;

use super::config::{Config, LEAKY_SLOPE};
use super::model::{CELL_WISE, CellFm, GENE_WISE};
use super::retention::{self, Block};
use crate::nn::{SoftBins, Wanted, sigmoid, stored};
use crate::{SiteData, Tap, Tokens};

pub(super) struct Network {
    pub(super) d: usize,
    /// Gene vectors, then that of the cell token.
    pub(super) words: Vec<f32>,
    pub(super) values: SoftBins,
    pub(super) blocks: Vec<Block>,
    /// `w2 leaky_relu(w1 h)` per gene.
    pub(super) gene_wise: [Linear; 2],
    /// `cls . sigmoid(map gene)` per gene.
    pub(super) cell_wise: Linear,
    pub(super) slope: f32,
    pub(super) n_parameters: u64,
}

impl Network {
    pub(super) fn load(checkpoint: &Checkpoint, config: &Config) -> Result<(Self, Audit)> {
        let (d, n) = (config.d_model, config.n_bins);
        let loader = Loader::new(checkpoint);
        let mut words = loader.f32("gene_emb", &[config.n_rows, d])?;
        words.extend(loader.f32("cls_token", &[1, 1, d])?);
        let v = "value_enc.value_enc";
        let values = SoftBins {
            weight1: loader.f32(&format!("{v}.w1.weight"), &[n, 1])?,
            bias1: vec![0.0; n],
            slope: LEAKY_SLOPE,
            mix: stored::linear_without_bias(&loader, &format!("{v}.w3"), n, n)?,
            alpha: loader.f32(&format!("{v}.a"), &[1, 1])?[0],
            table: stored::linear_without_bias(&loader, &format!("{v}.table"), d, n)?,
        };
        let blocks = (0..config.n_blocks).map(|i| Block::load(&loader, i, config)).collect::<Result<_>>()?;
        let gene_wise = [
            stored::linear_without_bias(&loader, "value_dec.w1", d, d)?,
            stored::linear_without_bias(&loader, "value_dec.w2", 1, d)?,
        ];
        let cell_wise = stored::linear_without_bias(&loader, "cellwise_dec.map", d, d)?;
        loader.ignore("zero_emb", "stands for zeros in a training mode that is not published");
        loader.ignore("value_enc.mask_emb", "stands for masked values in training");
        for moments in ["moment1.*", "moment2.*"] {
            loader.ignore(moments, "state of the optimiser");
        }
        for scalar in [
            "global_step",
            "learning_rate",
            "beta1_power",
            "beta2_power",
            "scale_sense",
            "current_iterator_step",
            "last_overflow_iterator_step",
            "epoch_num",
            "step_num",
        ] {
            loader.ignore(scalar, "state of the trainer");
        }
        let audit = loader.finish(true)?;
        let n_parameters =
            audit.used.iter().map(|t| t.shape.iter().map(|&n| n as u64).product::<u64>()).sum();
        Ok((Self { d, words, values, blocks, gene_wise, cell_wise, slope: LEAKY_SLOPE, n_parameters }, audit))
    }

    fn word(&self, token: u32) -> &[f32] {
        &self.words[token as usize * self.d..(token as usize + 1) * self.d]
    }

    /// `gene[id] + bins(value)`; the cell token has no value.
    fn embed(&self, tokens: &Tokens, cls: u32) -> Vec<f32> {
        let mut out = vec![0.0; tokens.ids.len() * self.d];
        self.values.apply(&tokens.values, &mut out);
        out.par_chunks_exact_mut(self.d).zip(&tokens.ids).for_each(|(row, &id)| {
            if id == cls {
                row.fill(0.0);
            }
            row.iter_mut().zip(self.word(id)).for_each(|(o, w)| *o += w);
        });
        out
    }
}

impl CellFm {
    /// The forward pass up to the last block in which something is wanted.
    pub(super) fn run(&self, tokens: &Tokens, wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let (network, d) = (&self.network, self.network.d);
        let mut x = network.embed(tokens, self.cls());
        if wanted.has(&Site::Embed) {
            tap.offer(&Site::Embed, tokens, SiteData::Tokens { data: &x, width: d })?;
        }
        let inside = |i: usize| retention::sites(i).iter().any(|(s, _)| wanted.has(s));
        let beyond = [Site::CellEmbedding, Site::Extra(GENE_WISE.into()), Site::Extra(CELL_WISE.into())];
        let needed = if beyond.iter().any(|s| wanted.has(s)) {
            network.blocks.len()
        } else {
            (0..network.blocks.len()).rev().find(|&i| inside(i)).map_or(0, |i| i + 1)
        };
        for (i, block) in network.blocks.iter().enumerate().take(needed) {
            block.run(i, &mut x, tokens, wanted, tap)?;
        }
        let [cell, gene_wise, cell_wise] = beyond;
        if wanted.has(&cell) {
            let data: Vec<f32> =
                (0..tokens.n_cells()).flat_map(|c| self.cell_vector(tokens, &x, c)).collect();
            tap.offer(&cell, tokens, SiteData::Cells { data: &data, width: d })?;
        }
        if wanted.has(&gene_wise) {
            let rows = tokens.ids.len();
            let [w1, w2] = &network.gene_wise;
            let (mut hidden, mut data) = (vec![0.0; rows * d], vec![0.0; rows]);
            w1.apply(&x, rows, Activation::None, &mut hidden);
            hidden.par_iter_mut().for_each(|h| *h = if *h < 0.0 { *h * network.slope } else { *h });
            w2.apply(&hidden, rows, Activation::None, &mut data);
            tap.offer(&gene_wise, tokens, SiteData::Tokens { data: &data, width: 1 })?;
        }
        if wanted.has(&cell_wise) {
            let data = self.read_cell_wise(tokens, &x);
            tap.offer(&cell_wise, tokens, SiteData::Tokens { data: &data, width: 1 })?;
        }
        Ok(())
    }

    /// The cell token's vector; NaN for a cell without tokens.
    fn cell_vector(&self, tokens: &Tokens, x: &[f32], cell: usize) -> Vec<f32> {
        let (d, first) = (self.network.d, tokens.offsets[cell]);
        if tokens.len_of(cell) == 0 { vec![f32::NAN; d] } else { x[first * d..(first + 1) * d].to_vec() }
    }

    fn read_cell_wise(&self, tokens: &Tokens, x: &[f32]) -> Vec<f32> {
        let (network, d) = (&self.network, self.network.d);
        let rows = tokens.ids.len();
        let words: Vec<f32> = tokens.ids.iter().flat_map(|&id| network.word(id)).copied().collect();
        let mut mapped = vec![0.0; rows * d];
        network.cell_wise.apply(&words, rows, Activation::None, &mut mapped);
        let cells = (0..tokens.n_cells()).flat_map(|c| std::iter::repeat_n(c, tokens.len_of(c)));
        let cells: Vec<usize> = cells.collect();
        mapped
            .par_chunks_exact(d)
            .zip(&cells)
            .map(|(row, &cell)| {
                let cls = &x[tokens.offsets[cell] * d..(tokens.offsets[cell] + 1) * d];
                row.iter().zip(cls).map(|(m, c)| f64::from(sigmoid(*m)) * f64::from(*c)).sum::<f64>() as f32
            })
            .collect()
    }
}
