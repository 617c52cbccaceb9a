//! The decoder: a Performer over every gene of the list, T and S.
//!
//! Rows that the encoder saw enter as its output, all others as the vector of the value zero (or of the mask), and the position is
//! added to every row, for encoded rows a second time. Memory is proportional to the rows, [`crate::Model::rows`] of a cell.

use microtome_core::{BlockSite, Error, Result, Site};
use microtome_kernels::{Activation, KeyMaximum, LayerNorm, Linear};
use microtome_weights::Loader;
use rayon::prelude::*;

use super::config::Config;
use super::model::{EXPRESSION, SHARED_MAXIMUM, ScFoundation};
use super::network::{layer_norm, linear};
use crate::nn::{Performer, PerformerShape, Wanted, block_extras};
use crate::{SiteData, Tap, Tokens};

/// What stands before the names of the decoder's sites.
pub(super) const PREFIX: &str = "decoder.";

pub(super) struct Decoder {
    pub(super) embed: Linear,
    pub(super) performer: Performer,
    /// Norm after the Performer.
    pub(super) norm: LayerNorm,
    /// Norm before the readout; its output is the gene embedding.
    pub(super) last_norm: LayerNorm,
    pub(super) read_out: Linear,
}

impl Decoder {
    pub(super) fn load(loader: &Loader<'_>, c: &Config) -> Result<Self> {
        let d = c.decoder.d_model;
        let shape = PerformerShape {
            n_blocks: c.decoder.n_blocks,
            d_model: d,
            n_heads: c.decoder.n_heads,
            d_head: c.decoder.d_head,
            qkv_bias: true,
        };
        Ok(Self {
            embed: linear(loader, "decoder_embed", d, c.d_model)?,
            performer: Performer::load(loader, "decoder.performer", shape)?,
            norm: layer_norm(loader, "decoder.norm", d)?,
            last_norm: layer_norm(loader, "norm", d)?,
            read_out: linear(loader, "to_final", 1, d)?,
        })
    }
}

/// Sites before, inside and after the blocks, by the names they have within the decoder.
fn outer(name: &str) -> Site {
    Site::Extra(format!("{PREFIX}{name}"))
}

/// Names of the decoder's sites in the order of the forward pass, with the axes of the site of the same name in an encoder.
pub(super) fn sites(n_blocks: usize) -> Vec<(Site, BlockSite)> {
    let mut out = vec![(outer("input"), BlockSite::ResidPre), (outer("embed"), BlockSite::ResidPre)];
    for i in 0..n_blocks {
        for place in BlockSite::ALL.into_iter().filter(|p| *p != BlockSite::Scores) {
            for (site, _) in block_extras(i).into_iter().filter(|(_, before)| *before == place) {
                let like = if place == BlockSite::Pattern { BlockSite::Q } else { BlockSite::ResidPre };
                out.push((outer(&site.to_string()), like));
            }
            out.push((outer(&Site::Block(i, place).to_string()), place));
        }
    }
    out.push((outer("final_norm"), BlockSite::ResidPost));
    out
}

/// Passes the sites of the Performer on under the decoder's names.
struct Renamed<'a>(&'a mut dyn Tap);

impl Tap for Renamed<'_> {
    fn wants(&self, site: &Site) -> bool {
        self.0.wants(&outer(&site.to_string()))
    }

    fn offer(&mut self, site: &Site, tokens: &Tokens, data: SiteData<'_>) -> Result<()> {
        self.0.offer(&outer(&site.to_string()), tokens, data)
    }
}

impl ScFoundation {
    /// Whether anything of the decoder is wanted.
    pub(super) fn decodes(&self, wanted: &Wanted) -> bool {
        let n_blocks = self.network.decoder.performer.blocks.len();
        sites(n_blocks).iter().any(|(s, _)| wanted.has(s))
            || [Site::GeneEmbedding, Site::Extra(EXPRESSION.into())].iter().any(|s| wanted.has(s))
    }

    /// Runs the decoder over cells whose encoder output is `encoded`, one row per token of `seen`.
    pub(super) fn decode(
        &self,
        tokens: &Tokens,
        seen: &Tokens,
        encoded: Vec<f32>,
        wanted: &Wanted,
        tap: &mut dyn Tap,
    ) -> Result<()> {
        let decoder = &self.network.decoder;
        let rows = self.all_rows(tokens);
        let n = rows.ids.len();
        let offer = |tap: &mut dyn Tap, site: Site, data: &[f32], width: usize| {
            if wanted.has(&site) {
                tap.offer(&site, &rows, SiteData::Tokens { data, width })?;
            }
            Ok::<(), Error>(())
        };
        let input = self.decoder_input(&rows, seen, &encoded);
        drop(encoded);
        offer(tap, outer("input"), &input, self.network.d)?;
        let d = decoder.embed.n_out();
        let mut x = vec![0.0; n * d];
        decoder.embed.apply(&input, n, Activation::None, &mut x);
        drop(input);
        offer(tap, outer("embed"), &x, d)?;

        let expression = Site::Extra(EXPRESSION.into());
        let beyond = [outer("final_norm"), Site::GeneEmbedding, expression.clone()].iter().any(|s| wanted.has(s));
        let over = match tokens.per_cell.get(SHARED_MAXIMUM) {
            Some(shared) if shared.iter().any(|&s| s != 0.0) => KeyMaximum::Minibatch,
            _ => KeyMaximum::Cell,
        };
        let mut inner = Renamed(&mut *tap);
        let n_blocks = decoder.performer.blocks.len();
        let inside = (0..n_blocks).flat_map(|i| {
            BlockSite::ALL.map(|p| Site::Block(i, p)).into_iter().chain(block_extras(i).map(|(s, _)| s))
        });
        let wanted_inside = Wanted::ask(&inner, inside);
        if !decoder.performer.run(&mut x, &rows, over, &wanted_inside, beyond, &mut inner)? {
            return Ok(());
        }
        let mut normed = vec![0.0; x.len()];
        decoder.norm.apply(&x, n, &mut normed);
        offer(tap, outer("final_norm"), &normed, d)?;
        decoder.last_norm.apply(&normed, n, &mut x);
        drop(normed);
        offer(tap, Site::GeneEmbedding, &x, d)?;
        if wanted.has(&expression) {
            let mut read = vec![0.0; n];
            decoder.read_out.apply(&x, n, Activation::None, &mut read);
            let data = self.per_cell(&rows, &read);
            tap.offer(&expression, tokens, SiteData::Cells { data: &data, width: self.genes.len() })?;
        }
        Ok(())
    }

    /// Every row of every cell with its value, zero where the cell has no token. A cell without tokens has no rows.
    fn all_rows(&self, tokens: &Tokens) -> Tokens {
        let n_rows = self.info.d_vocab;
        let ids: Vec<u32> = (0..n_rows as u32).collect();
        let mut out = Tokens::new();
        let mut values = vec![0.0; n_rows];
        for cell in 0..tokens.n_cells() {
            let (of_cell, given) = tokens.cell(cell);
            let n = if of_cell.is_empty() { 0 } else { n_rows };
            values.fill(0.0);
            for (&id, &value) in of_cell.iter().zip(given) {
                values[id as usize] = value;
            }
            out.push(&ids[..n], &values[..n], tokens.n_ties[cell], tokens.n_cut[cell]);
        }
        out
    }

    /// `[row, d]`: encoder output or value vector, plus the position.
    fn decoder_input(&self, rows: &Tokens, seen: &Tokens, encoded: &[f32]) -> Vec<f32> {
        let (network, d) = (&self.network, self.network.d);
        // All genes without expression share one vector.
        let zero = network.value_embedding(&[0.0]);
        let mut out = vec![0.0; rows.ids.len() * d];
        out.par_chunks_exact_mut(d).zip(&rows.values).for_each(|(row, &v)| {
            row.copy_from_slice(if v == 0.0 { &zero } else { &network.mask });
        });
        for cell in 0..seen.n_cells() {
            for (&id, t) in seen.cell(cell).0.iter().zip(seen.offsets[cell]..) {
                let at = (rows.offsets[cell] + id as usize) * d;
                out[at..at + d].copy_from_slice(&encoded[t * d..(t + 1) * d]);
            }
        }
        out.par_chunks_exact_mut(d).zip(&rows.ids).for_each(|(row, &id)| {
            let position = &network.positions[id as usize * d..(id as usize + 1) * d];
            row.iter_mut().zip(position).for_each(|(x, p)| *x += p);
        });
        out
    }

    /// `[cell, gene]` of one number per row; NaN for a cell without rows.
    fn per_cell(&self, rows: &Tokens, read: &[f32]) -> Vec<f32> {
        let n = self.genes.len();
        let mut out = vec![f32::NAN; rows.n_cells() * n];
        for (cell, out) in out.chunks_exact_mut(n).enumerate().filter(|(c, _)| rows.len_of(*c) > 0) {
            out.copy_from_slice(&read[rows.offsets[cell]..][..n]);
        }
        out
    }
}
