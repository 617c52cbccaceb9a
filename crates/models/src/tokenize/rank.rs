//! Rank-value encoding: genes of a cell ordered by expression relative to a per-gene divisor.
//!
//! Arithmetic and order of operations follow the published Geneformer tokeniser
//! (haroonshakeel/Geneformer@e534f69, `tokenizer.py`), which divides sparse matrices and so multiplies by reciprocals:
//! `x * (1 / n_counts) * 10000 * (1 / median)`.

use microtome_core::{Counts, Error, Result};
use rayon::prelude::*;

use crate::model::CellTotals;
use crate::{GeneMatch, Tokens};

/// Counts per cell to which every cell is scaled.
const TARGET_SUM: f32 = 10_000.0;

/// What a count is scaled by before it is divided by the gene's median.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// To 10,000 counts per cell over all genes of the data, matched or not (Geneformer, LangCell).
    AllGenes,
    /// To 10,000 counts per cell over the genes of the vocabulary (scCello, whose code keeps no others): `x * (10000 / total)` in `f32`.
    KnownGenes,
    /// Not at all; the quotient is ranked and kept as `log2(1 + x / median)` (GeneCompass).
    Log2,
}

/// How a family ranks.
pub struct RankRule<'a> {
    /// Divisor (non-zero median expression) per token; read for the tokens of matched genes only.
    pub divisor: &'a [f64],
    /// What comes before the division.
    pub scaling: Scaling,
    /// Token put in front of every cell.
    pub first: Option<u32>,
    /// Token put behind every cell.
    pub last: Option<u32>,
    /// Longest cell in tokens, special tokens included.
    pub max_tokens: usize,
}

impl RankRule<'_> {
    /// Tokens of every cell. The order of exactly equal values is that of the genes in the data.
    pub fn tokenize(
        &self,
        counts: &Counts,
        totals: Option<CellTotals<'_>>,
        genes: &GeneMatch,
    ) -> Result<Tokens> {
        self.check(counts, totals, genes)?;
        let places = places(genes);
        let cells: Vec<Ranked> = (0..counts.n_cells())
            .into_par_iter()
            .map(|cell| self.cell(counts, cell, totals, genes, &places))
            .collect::<Result<_>>()?;
        let mut tokens = Tokens::new();
        for c in &cells {
            tokens.push(&c.ids, &c.values, c.n_ties, c.n_cut);
        }
        Ok(tokens)
    }

    fn check(&self, counts: &Counts, totals: Option<CellTotals<'_>>, genes: &GeneMatch) -> Result<()> {
        let n_special = usize::from(self.first.is_some()) + usize::from(self.last.is_some());
        if self.max_tokens <= n_special {
            return Err(Error::usage("the cap on tokens per cell leaves no room for genes")
                .expected(format!("more than {n_special} (this model adds {n_special} special tokens)"))
                .found(self.max_tokens.to_string()));
        }
        if genes.token_of_gene.len() != counts.n_genes() {
            return Err(Error::mismatch("the gene match belongs to another matrix")
                .expected(format!("{} genes", counts.n_genes()))
                .found(format!("{} genes", genes.token_of_gene.len())));
        }
        if let Some(t) = totals
            && t.values.len() != counts.n_cells()
        {
            return Err(Error::mismatch("one total per cell is needed")
                .expected(format!("{} totals", counts.n_cells()))
                .found(format!("{} totals", t.values.len())));
        }
        require_raw(counts)
    }

    fn cell(
        &self,
        counts: &Counts,
        cell: usize,
        totals: Option<CellTotals<'_>>,
        genes: &GeneMatch,
        places: &[u32],
    ) -> Result<Ranked> {
        let (columns, values) = counts.row(cell);
        let mut found: Vec<Entry> = columns
            .iter()
            .zip(values)
            .filter(|(_, v)| **v != 0.0)
            .filter_map(|(&g, &count)| {
                genes.token_of_gene[g as usize].map(|token| Entry {
                    token,
                    place: places[g as usize],
                    count,
                    value: 0.0,
                })
            })
            .collect();
        if genes.sum_duplicates {
            found = merge(found);
        }
        let divide = |e: &Entry, scaled: f64| scaled * (1.0 / self.divisor[e.token as usize]);
        if self.scaling == Scaling::Log2 {
            for e in &mut found {
                let quotient = f64::from(e.count) / self.divisor[e.token as usize];
                e.value = quotient.ln_1p() / std::f64::consts::LN_2;
            }
        } else if self.scaling == Scaling::KnownGenes {
            let total: f64 = found.iter().map(|e| f64::from(e.count)).sum();
            let factor = TARGET_SUM / total as f32;
            for e in &mut found {
                e.value = divide(e, f64::from(e.count * factor));
            }
        } else if !found.is_empty() {
            let total = totals.map_or_else(|| counts.total(cell), |t| t.values[cell]);
            if !(total.is_finite() && total > 0.0) {
                return Err(Error::mismatch("a cell with counts has no usable total")
                    .at_key(format!("obs[\"n_counts\"], cell {cell} of this part"))
                    .expected("a positive number, the cell's total counts over all genes")
                    .found(total.to_string()));
            }
            let scale = Scale::new(total, totals.is_some_and(|t| t.single_precision));
            for e in &mut found {
                e.value = divide(e, scale.apply(e.count));
            }
        }
        found.sort_unstable_by(|a, b| b.value.total_cmp(&a.value).then(a.place.cmp(&b.place)));
        Ok(self.finish(&found))
    }

    fn finish(&self, found: &[Entry]) -> Ranked {
        let n_special = usize::from(self.first.is_some()) + usize::from(self.last.is_some());
        let kept = found.len().min(self.max_tokens - n_special);
        // The pair across the cut counts as well: its order decides which gene is kept.
        let n_ties = found.windows(2).take(kept).filter(|w| w[0].value == w[1].value).count();
        let special = |token: Option<u32>| token.map(|t| (t, 0.0));
        let (ids, values) = special(self.first)
            .into_iter()
            .chain(found[..kept].iter().map(|e| (e.token, e.value as f32)))
            .chain(special(self.last))
            .unzip();
        Ranked { ids, values, n_ties: n_ties as u32, n_cut: (found.len() - kept) as u32 }
    }
}

struct Ranked {
    ids: Vec<u32>,
    values: Vec<f32>,
    n_ties: u32,
    n_cut: u32,
}

#[derive(Clone, Copy)]
struct Entry {
    token: u32,
    /// First gene of the data that stands for this entry; decides ties.
    place: u32,
    count: f32,
    value: f64,
}

/// Division by the cell's total, in the precision that the dtype of `n_counts` leads to in the original:
/// `f32` counts times an `f32` reciprocal stay `f32` until the medians come in; anything else is `f64` throughout.
enum Scale {
    Single(f32),
    Double(f64),
}

impl Scale {
    fn new(total: f64, single: bool) -> Self {
        if single { Self::Single(1.0 / total as f32) } else { Self::Double(1.0 / total) }
    }

    fn apply(&self, count: f32) -> f64 {
        match self {
            Self::Single(r) => f64::from(count * r * TARGET_SUM),
            Self::Double(r) => f64::from(count) * r * f64::from(TARGET_SUM),
        }
    }
}

/// Place of every gene among ties: itself, or the first gene with the same token where duplicates are added up.
fn places(genes: &GeneMatch) -> Vec<u32> {
    let mut first = std::collections::HashMap::new();
    genes
        .token_of_gene
        .iter()
        .enumerate()
        .map(|(g, token)| match token {
            Some(t) if genes.sum_duplicates => *first.entry(*t).or_insert(g as u32),
            _ => g as u32,
        })
        .collect()
}

/// Adds up entries of one token.
fn merge(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_unstable_by_key(|e| e.place);
    let mut out: Vec<Entry> = Vec::with_capacity(entries.len());
    for e in entries {
        match out.last_mut() {
            Some(last) if last.place == e.place => last.count += e.count,
            _ => out.push(e),
        }
    }
    out
}

/// Error unless every stored value is a non-negative whole number.
pub fn require_raw(counts: &Counts) -> Result<()> {
    let check = counts.check_raw();
    if check.is_raw() {
        return Ok(());
    }
    let bad = |v: f32| !v.is_finite() || v < 0.0 || v.fract() != 0.0;
    let at = counts.values().iter().position(|&v| bad(v)).unwrap_or(0);
    let cell = counts.indptr().partition_point(|&p| p <= at).saturating_sub(1);
    let percent = |n: usize| 100.0 * n as f64 / check.n_values as f64;
    let mut found = vec![];
    for (n, word) in [
        (check.n_fractional, "not whole numbers"),
        (check.n_negative, "negative"),
        (check.n_non_finite, "NaN or infinite"),
    ] {
        if n > 0 {
            found.push(format!("{:.1} % of the stored values {word}", percent(n)));
        }
    }
    Err(Error::mismatch("the values are not raw counts; were they log-normalised or scaled?")
        .expected("non-negative whole numbers, as the sequencer counted them")
        .found(format!(
            "{}; for example {} in cell {cell} of this part, gene {}",
            found.join(", "),
            counts.values()[at],
            counts.indices()[at]
        ))
        .remedy("name the slot that holds raw counts, such as layers/counts or raw"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Overlap;

    fn genes(tokens: &[Option<u32>], sum: bool) -> GeneMatch {
        GeneMatch {
            token_of_gene: tokens.to_vec(),
            sum_duplicates: sum,
            counted: None,
            overlap: Overlap::default(),
        }
    }

    fn rule(divisor: &[f64], max_tokens: usize) -> RankRule<'_> {
        RankRule { divisor, scaling: Scaling::AllGenes, first: None, last: None, max_tokens }
    }

    fn one_cell(values: &[f32]) -> Counts {
        let indices = (0..values.len() as u32).collect();
        Counts::new(values.len(), vec![0, values.len()], indices, values.to_vec()).unwrap()
    }

    #[test]
    fn orders_by_value_over_divisor_and_breaks_ties_by_column() {
        let m = genes(&[Some(3), Some(1), None, Some(2), Some(0)], false);
        // Relative values: token 3: 4/4, token 1: 2/1, token 2: 2/2 (tie with token 3), token 0: stored zero.
        let t = rule(&[1.0, 1.0, 2.0, 4.0], 10)
            .tokenize(&one_cell(&[4.0, 2.0, 9.0, 2.0, 0.0]), None, &m)
            .unwrap();
        assert_eq!(t.ids, [1, 3, 2]);
        assert_eq!((t.n_ties[0], t.n_cut[0]), (1, 0));
        // The total is over all genes, matched or not: 17.
        assert!((t.values[0] - 2.0 / 17.0 * 1e4).abs() < 1e-3);
    }

    #[test]
    fn sums_duplicates_only_when_told_to() {
        let counts = one_cell(&[2.0, 3.0, 4.0]);
        let tokens = [Some(0), Some(1), Some(0)];
        let divisor = [1.0, 1.0];
        let apart = rule(&divisor, 10).tokenize(&counts, None, &genes(&tokens, false)).unwrap();
        assert_eq!(apart.ids, [0, 1, 0]);
        let summed = rule(&divisor, 10).tokenize(&counts, None, &genes(&tokens, true)).unwrap();
        assert_eq!(summed.ids, [0, 1]);
        assert!((summed.values[0] - 6.0 / 9.0 * 1e4).abs() < 1e-2);
    }

    #[test]
    fn specials_surround_and_the_cut_leaves_room() {
        let divisor = [1.0; 4];
        let r = RankRule {
            divisor: &divisor,
            scaling: Scaling::AllGenes,
            first: Some(8),
            last: Some(9),
            max_tokens: 4,
        };
        let m = genes(&[Some(0), Some(1), Some(2)], false);
        let t = r.tokenize(&one_cell(&[1.0, 5.0, 1.0]), None, &m).unwrap();
        assert_eq!(t.ids, [8, 1, 0, 9]);
        assert_eq!((t.n_cut[0], t.n_ties[0]), (1, 1), "the tie across the cut is reported");
        let empty = r.tokenize(&one_cell(&[0.0, 0.0, 0.0]), None, &m).unwrap();
        assert_eq!(empty.ids, [8, 9], "a cell without known genes keeps its special tokens");
        assert!(RankRule { max_tokens: 2, ..r }.tokenize(&one_cell(&[1.0, 1.0, 1.0]), None, &m).is_err());
    }

    #[test]
    fn precision_follows_the_type_of_the_totals() {
        // 49 does not divide evenly: the reciprocal differs between f32 and f64.
        let m = genes(&[Some(0)], false);
        let counts = one_cell(&[7.0]);
        let values = [49.0];
        let run = |single_precision| {
            let totals = CellTotals { values: &values, single_precision };
            rule(&[0.3], 10).cell(&counts, 0, Some(totals), &m, &[0]).map(|c| c.values[0])
        };
        let single = f64::from(7.0f32 * (1.0f32 / 49.0) * 10_000.0) * (1.0 / 0.3);
        let double = 7.0 * (1.0 / 49.0) * 10_000.0 * (1.0 / 0.3);
        assert_ne!(single, double);
        assert_eq!(run(true).unwrap(), single as f32);
        assert_eq!(run(false).unwrap(), double as f32);
    }

    #[test]
    fn refuses_what_is_not_raw_counts() {
        let m = genes(&[Some(0), Some(1)], false);
        for bad in [[1.5, 1.0], [-1.0, 1.0], [f32::NAN, 1.0], [f32::INFINITY, 1.0]] {
            let e = rule(&[1.0, 1.0], 10).tokenize(&one_cell(&bad), None, &m).unwrap_err();
            assert!(e.to_string().contains("50.0 %"), "{e}");
        }
        let totals = CellTotals { values: &[0.0], single_precision: false };
        let e = rule(&[1.0, 1.0], 10).tokenize(&one_cell(&[1.0, 1.0]), Some(totals), &m).unwrap_err();
        assert!(e.to_string().contains("n_counts"), "{e}");
    }

    #[test]
    fn other_scalings_follow_their_formulas() {
        let m = genes(&[Some(0), None, Some(1)], false);
        let counts = one_cell(&[3.0, 90.0, 5.0]);
        let divisor = [0.5, 4.0];
        let known = RankRule { scaling: Scaling::KnownGenes, ..rule(&divisor, 10) };
        let t = known.tokenize(&counts, None, &m).unwrap();
        assert_eq!(t.ids, [0, 1]);
        assert_eq!(t.values, [3.0 * 1250.0 / 0.5, 5.0 * 1250.0 / 4.0], "the total is 8, not 98");
        let log = RankRule { scaling: Scaling::Log2, ..rule(&divisor, 10) };
        let t = log.tokenize(&counts, None, &m).unwrap();
        assert_eq!(t.ids, [0, 1]);
        assert!((t.values[0] - 7f32.log2()).abs() < 1e-6 && (t.values[1] - 2.25f32.log2()).abs() < 1e-6);
        for scaling in [Scaling::KnownGenes, Scaling::Log2] {
            let empty =
                RankRule { scaling, ..rule(&divisor, 10) }.tokenize(&one_cell(&[0.0, 7.0, 0.0]), None, &m);
            assert!(empty.unwrap().ids.is_empty());
        }
    }
}
