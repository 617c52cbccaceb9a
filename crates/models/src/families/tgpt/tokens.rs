//! From counts to `</b> genes </s>`, genes by falling count.

use microtome_core::{Counts, Error, Result};

use super::model::Tgpt;
use crate::tokenize::falling::{Ties, added_up, falling};
use crate::tokenize::rank::require_raw;
use crate::{GeneMatch, TokenizeOptions, Tokens};

/// Tokens of a cell as published, both markers included.
pub(super) const WINDOW: usize = 64;

impl Tgpt {
    pub(super) fn sequences(
        &self,
        counts: &Counts,
        genes: &GeneMatch,
        options: &TokenizeOptions,
    ) -> Result<Tokens> {
        if genes.token_of_gene.len() != counts.n_genes() {
            return Err(Error::mismatch("the gene match belongs to another matrix")
                .expected(format!("{} genes", counts.n_genes()))
                .found(format!("{} genes", genes.token_of_gene.len())));
        }
        let window = options.max_tokens.unwrap_or(WINDOW).min(self.config.n_positions);
        if window < 3 {
            return Err(Error::usage("the cap on tokens per cell leaves no room for genes")
                .expected("at least 3 (</b>, a gene, </s>)")
                .found(window.to_string()));
        }
        require_raw(counts)?;
        let ties = if options.as_published { Ties::AsTheyCome } else { Ties::ByToken };
        let mut out = Tokens::new();
        for cell in 0..counts.n_cells() {
            let (columns, row) = counts.row(cell);
            let expressed = columns.iter().zip(row).filter(|(_, v)| **v > 0.0);
            let found = expressed.filter_map(|(&g, &v)| Some((genes.token_of_gene[g as usize]?, v))).collect();
            let cell = falling(added_up(found), ties, window - 2);
            let ids = [&[self.vocabulary.begin][..], &cell.ids, &[self.vocabulary.end]].concat();
            let values = [&[0.0][..], &cell.values, &[0.0]].concat();
            out.push(&ids, &values, cell.n_ties, cell.n_cut);
        }
        Ok(out)
    }
}
