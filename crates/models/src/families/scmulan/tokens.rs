//! From counts to `genes <PCT>`: expressed genes from the end of the list of genes to its beginning, with their bins of expression.

use microtome_core::{Counts, Error, Result};

use super::model::ScMulan;
use crate::tokenize::falling::added_up;
use crate::tokenize::rank::require_raw;
use crate::tokenize::subset::kept;
use crate::{GeneMatch, TokenizeOptions, Tokens};

/// Counts per cell to which every cell is scaled before the logarithm.
const TARGET_SUM: f64 = 10_000.0;

impl ScMulan {
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
        let window = options.max_tokens.unwrap_or(usize::MAX);
        if window < 2 {
            return Err(Error::usage("the cap on tokens per cell leaves no room for genes")
                .expected("at least 2 (a gene and <PCT>)")
                .found(window.to_string()));
        }
        require_raw(counts)?;
        let mut out = Tokens::new();
        for cell in 0..counts.n_cells() {
            let (columns, row) = counts.row(cell);
            let expressed = columns.iter().zip(row).filter(|(_, v)| **v > 0.0);
            let found = expressed.filter_map(|(&g, &v)| Some((genes.token_of_gene[g as usize]?, v))).collect();
            let mut found = added_up(found);
            found.sort_by_key(|(token, _)| std::cmp::Reverse(self.meta.place.get(token).copied()));
            let total = counts.total(cell);
            let values: Vec<f32> =
                found.iter().map(|(_, n)| (f64::from(*n) / total * TARGET_SUM).ln_1p() as f32).collect();
            let bins = levels(&values, self.config.n_levels);
            let ids: Vec<u32> = found.iter().map(|(token, _)| *token).collect();
            let kept = kept(&ids, &bins, window - 1, options);
            let n_cut = ids.len() - kept.len();
            let ids: Vec<u32> = kept.iter().map(|&p| ids[p]).chain([self.meta.task]).collect();
            let bins: Vec<f32> = kept.iter().map(|&p| bins[p]).chain([0.0]).collect();
            out.push(&ids, &bins, 0, n_cut as u32);
        }
        Ok(out)
    }
}

/// Bins `1..=n` of equal width between 0 and the greatest value, each closed on the right: numpy's
/// `digitize(values, linspace(0, max, n + 1), right=True)`.
fn levels(values: &[f32], n: usize) -> Vec<f32> {
    let max = values.iter().copied().fold(0.0f32, f32::max);
    let step = f64::from(max) / n as f64;
    let edges: Vec<f64> = (0..n).map(|i| i as f64 * step).chain([f64::from(max)]).collect();
    values.iter().map(|v| edges.partition_point(|e| *e < f64::from(*v)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::levels;

    #[test]
    fn bins_are_closed_on_the_right_and_the_greatest_value_has_the_last() {
        assert_eq!(levels(&[1.0, 2.0, 0.5, 0.1, 0.500_001], 4), [2.0, 4.0, 1.0, 1.0, 2.0]);
        assert_eq!(levels(&[0.3], 10), [10.0]);
        assert!(levels(&[], 10).is_empty());
    }
}
