//! From counts to genes by falling bin.

use microtome_core::{Counts, Error, GeneTable, Result};

use super::bins::{N_BINS, Reference, bin, expression};
use super::model::GeneRain;
use crate::tokenize::falling::{Ties, falling};
use crate::tokenize::rank::require_raw;
use crate::tokenize::symbols::{Duplicates, match_symbols};
use crate::{GeneMatch, Overlap, TokenizeOptions, Tokens};

impl GeneRain {
    /// Symbols of the data that are in the vocabulary; where the reference is at hand, in the reference too.
    pub(super) fn match_symbols(&self, genes: &GeneTable) -> Result<GeneMatch> {
        let found = match_symbols(&self.names, genes, Duplicates::First)?;
        let reference = self.reference.as_ref();
        let known = |token: &Option<u32>| {
            token.filter(|&t| reference.is_none_or(|r| r.get(&self.names[t as usize]).is_some()))
        };
        let token_of_gene: Vec<Option<u32>> = found.token_of_gene.iter().map(known).collect();
        let n_matched = token_of_gene.iter().flatten().count();
        let source = found.overlap.source.split(',').next().unwrap_or_default();
        let left = found.overlap.n_matched - n_matched;
        let overlap = Overlap {
            n_matched,
            source: format!("{source}, matched exactly; {left} of the vocabulary are left out because the reference of the bins lacks them"),
            ..found.overlap
        };
        Ok(GeneMatch { token_of_gene, overlap, ..found })
    }

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
        if options.as_published {
            return Err(Error::unsupported("as published a cell's bins depend on up to four cells beside it in the file")
                .found("cells in parts, whose beginnings this version does not see")
                .remedy("bin every cell alone, as is done by default"));
        }
        let window = options.max_tokens.unwrap_or(usize::MAX).min(self.config.n_positions);
        if window == 0 {
            return Err(Error::usage("the cap on tokens per cell leaves no room for genes").expected("at least 1"));
        }
        let reference = self.require_reference()?;
        require_raw(counts)?;
        let mut out = Tokens::new();
        for cell in 0..counts.n_cells() {
            let (columns, row) = counts.row(cell);
            let total = counts.total(cell);
            let mut found = vec![];
            for (&g, &n) in columns.iter().zip(row).filter(|(_, n)| **n > 0.0) {
                let Some(token) = genes.token_of_gene[g as usize] else { continue };
                let Some(of_gene) = self.names.get(token as usize).and_then(|n| reference.get(n)) else { continue };
                found.push((token, bin(expression(n, total), of_gene, N_BINS) as f32));
            }
            let cell = falling(found, Ties::ByToken, window);
            out.push(&cell.ids, &cell.values, cell.n_ties, cell.n_cut);
        }
        Ok(out)
    }

    fn require_reference(&self) -> Result<&Reference> {
        self.reference.as_ref().ok_or_else(|| {
            Error::unreadable("the reference of the bins is missing, without which cells cannot be tokenised")
                .in_file(&self.folder)
                .expected("*_subsampled.npy and *_subsampled.gene_symbols.txt")
                .remedy("copy both files of the model's vocabulary from the authors' data")
        })
    }
}
