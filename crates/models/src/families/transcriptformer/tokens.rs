//! From counts to `[assay] [START] genes`, shifted right by one against the genes that are predicted.

use microtome_core::{Counts, Error, Result};

use super::model::TranscriptFormer;
use crate::tokenize::rank::require_raw;
use crate::tokenize::subset::kept;
use crate::{GeneMatch, POOL_MASK, TokenizeOptions, Tokens};

/// Column of the gene that a position predicts, [`NO_TARGET`] where it predicts none.
pub(super) const TARGET: &str = "target";
/// Column of that gene's count.
pub(super) const TARGET_COUNT: &str = "target_count";
pub(super) const NO_TARGET: f32 = -1.0;

impl TranscriptFormer {
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
        if options.assays.as_ref().is_some_and(|a| a.len() != counts.n_cells()) {
            return Err(Error::mismatch("one assay per cell is needed")
                .expected(format!("{} assays", counts.n_cells())));
        }
        require_raw(counts)?;
        let window =
            options.max_tokens.map_or(self.config.seq_len, |n| n.saturating_sub(1)).min(self.config.seq_len);
        if window < 2 {
            return Err(Error::usage("the cap on tokens per cell leaves no room for genes")
                .expected("at least 3 (assay, [START], a gene)")
                .found((window + 1).to_string()));
        }
        let mut out = Tokens::new();
        let (mut targets, mut target_counts) = (vec![], vec![]);
        for cell in 0..counts.n_cells() {
            let (columns, row) = counts.row(cell);
            let known = columns.iter().zip(row).filter(|(_, v)| **v > 0.0);
            let mut found: Vec<(u32, f32)> = known
                .filter_map(|(&g, &v)| Some((genes.token_of_gene[g as usize]?, v.min(self.config.clip))))
                .collect();
            let n_all = found.len();
            if options.as_published {
                found.truncate(window);
            } else {
                found.sort_by_key(|(t, _)| *t);
                let (ids, values): (Vec<u32>, Vec<f32>) = found.iter().copied().unzip();
                found = kept(&ids, &values, window, options).into_iter().map(|p| found[p]).collect();
            }
            let assay = options
                .assays
                .as_ref()
                .map_or(self.vocabulary.unknown_assay, |a| self.vocabulary.assay(&a[cell]));
            // The window holds [START] and as many genes less one; what comes last is predicted only.
            let n_input = found.len().min(window - 1);
            let mut ids = vec![self.vocabulary.len() as u32 + assay, self.vocabulary.start];
            let mut values = vec![1.0, 1.0];
            ids.extend(found[..n_input].iter().map(|(t, _)| *t));
            values.extend(found[..n_input].iter().map(|(_, v)| *v));
            targets.push(NO_TARGET);
            target_counts.push(0.0);
            for i in 1..ids.len() {
                let (target, count) = found.get(i - 1).map_or((NO_TARGET, 0.0), |(t, v)| (*t as f32, *v));
                targets.push(target);
                target_counts.push(count);
            }
            out.push(&ids, &values, 0, (n_all - found.len()) as u32);
        }
        // The published vector leaves out the assay only.
        let pooled =
            (0..out.n_cells()).flat_map(|c| (0..out.len_of(c)).map(|i| f32::from(u8::from(i > 0)))).collect();
        out.per_token.insert(POOL_MASK, pooled);
        out.per_token.insert(TARGET, targets);
        out.per_token.insert(TARGET_COUNT, target_counts);
        Ok(out)
    }
}
