//! What a masked-gene model expects in hidden places.

use microtome_core::{Error, Result, Site};

use super::Edit;
use crate::model::{CellRule, Model};
use crate::tap::{SiteData, Tap};
use crate::{Tokens, minibatches};

/// Readout of masked-gene models: one score per vocabulary entry and token.
const LOGITS: &str = "readout.mlm_logits";
/// Name of the token that stands for a hidden gene.
const MASK: &str = "<mask>";
/// Scores that are held at a time, at most (numbers).
const HELD: usize = 1 << 24;

/// A cell with some of its genes hidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// Tokens, the mask in hidden places.
    pub ids: Vec<u32>,
    /// Hidden places, ascending.
    pub places: Vec<usize>,
}

/// The masked-gene readout of a model.
pub struct MaskedReadout<'m> {
    model: &'m dyn Model,
    mask: u32,
    site: Site,
}

impl<'m> MaskedReadout<'m> {
    /// Errors when the model has no such readout, no mask, or takes a value with every token.
    pub fn of(model: &'m dyn Model) -> Result<Self> {
        let site: Site = LOGITS.parse()?;
        let mask = (0..model.info().d_vocab as u32).find(|&t| model.token_name(t) == Some(MASK));
        let offered = model.sites().iter().any(|s| s.site == site) && model.cell_rule().0 != CellRule::Marked;
        match mask {
            Some(mask) if offered => Ok(Self { model, mask, site }),
            _ => Err(Error::unsupported("the model has no masked-gene readout over lists of genes")
                .at_key(model.family().id)
                .expected(format!("the site {LOGITS} and a token {MASK}"))
                .remedy("measure how far genes move instead: --readout embedding")),
        }
    }

    /// Both sides of an edit with the same genes hidden: `places` of the original, none of them perturbed.
    pub fn hide(&self, edit: &Edit, places: &[usize]) -> (Hidden, Hidden) {
        let before = self.masked(&edit.original, places.to_vec());
        let moved = |&p: &usize| {
            let gene = edit.original[p];
            edit.perturbed.iter().position(|&t| t == gene)
        };
        let after = places.iter().filter_map(moved).collect();
        (before, self.masked(&edit.perturbed, after))
    }

    fn masked(&self, ids: &[u32], mut places: Vec<usize>) -> Hidden {
        places.sort_unstable();
        let mut ids = ids.to_vec();
        places.iter().for_each(|&p| ids[p] = self.mask);
        Hidden { ids, places }
    }

    /// Expected number of the hidden places of these cells that each vocabulary entry takes, summed over the cells, `[vocab]`: the sum
    /// of the softmax of the scores over hidden places. `budget` is the number of tokens run together.
    ///
    /// # Errors
    /// When the model cannot be run.
    pub fn expected(&self, cells: &[Hidden], budget: usize) -> Result<Vec<f64>> {
        let n_vocab = self.model.info().d_vocab;
        let mut tokens = Tokens::new();
        for cell in cells {
            tokens.push(&cell.ids, &vec![0.0; cell.ids.len()], 0, 0);
        }
        let budget = budget.min(HELD / n_vocab.max(1)).max(1);
        let mut sum = vec![0.0; n_vocab];
        for batch in minibatches(&tokens, budget) {
            let mut reader =
                Reader { site: &self.site, cells: batch.iter().map(|&c| &cells[c]).collect(), sum: &mut sum };
            self.model.forward(&tokens.select(&batch), &mut reader)?;
        }
        Ok(sum)
    }
}

struct Reader<'a> {
    site: &'a Site,
    cells: Vec<&'a Hidden>,
    sum: &'a mut [f64],
}

impl Tap for Reader<'_> {
    fn wants(&self, site: &Site) -> bool {
        site == self.site
    }

    fn offer(&mut self, site: &Site, tokens: &Tokens, data: SiteData<'_>) -> Result<()> {
        let SiteData::Tokens { data, width } = data else {
            return Err(Error::unsupported("the readout is not offered per token").at_key(site.to_string()));
        };
        for (cell, start) in self.cells.iter().zip(&tokens.offsets) {
            for place in &cell.places {
                let at = (start + place) * width;
                add_softmax(&data[at..at + width], self.sum);
            }
        }
        Ok(())
    }
}

fn add_softmax(scores: &[f32], sum: &mut [f64]) {
    let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp = |s: f32| f64::from((s - top).exp());
    let total: f64 = scores.iter().map(|&s| exp(s)).sum();
    sum.iter_mut().zip(scores).for_each(|(o, &s)| *o += exp(s) / total);
}

#[cfg(test)]
mod tests {
    use super::add_softmax;

    #[test]
    fn shares_of_a_place_add_up_to_it() {
        let mut sum = vec![0.0; 3];
        add_softmax(&[0.0, 2f32.ln(), 0.0], &mut sum);
        add_softmax(&[900.0, 0.0, -900.0], &mut sum);
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
        near(sum[0], 1.25);
        near(sum[1], 0.5);
        near(sum[2], 0.25);
    }
}
