//! Values of every gene of a fixed list, as soft-binning models take them: absent genes are zeros, nothing is left out.
//!
//! Arithmetic of AIDO.Cell: genbio-ai/ModelGenerator@c4d0121, `huggingface/aido.cell`, in `f32` throughout.

use microtome_core::Counts;

use crate::GeneMatch;

/// Counts per cell to which every cell is scaled.
const TARGET_SUM: f32 = 10_000.0;
/// The published clamp of all values; `ln(1 + 1e4) = 9.21` never reaches it.
const LARGEST: f32 = 20.0;

/// Puts the counts of one cell in the order of the model's list: `out[token]` for every matched gene, zero elsewhere.
/// Genes that share a token are added up.
pub fn align(counts: &Counts, cell: usize, genes: &GeneMatch, out: &mut [f32]) {
    out.fill(0.0);
    let (columns, values) = counts.row(cell);
    for (&g, &v) in columns.iter().zip(values) {
        if let Some(token) = genes.token_of_gene[g as usize] {
            out[token as usize] += v;
        }
    }
}

/// `ln(1 + 1e4 count / total)` in place, division first, with the total over the aligned genes. Returns the total.
/// A total of zero is `0 / 0`: NaN as published, or zeros when `empty_is_zero`.
pub fn log1p_cp10k(counts: &mut [f32], empty_is_zero: bool) -> f32 {
    // Whole numbers below 2^24 add up exactly in f32 in any order; larger totals are rounded once.
    let total = counts.iter().map(|&c| f64::from(c)).sum::<f64>() as f32;
    if total == 0.0 && empty_is_zero {
        return total;
    }
    for c in counts.iter_mut() {
        let value = (*c / total * TARGET_SUM).ln_1p();
        // Not `min`, which would turn NaN into a number.
        *c = if value > LARGEST { LARGEST } else { value };
    }
    total
}

/// The number in both depth tokens: `log10` of the total, at least 5.
pub fn depth_value(total: f32) -> f32 {
    total.log10().clamp(5.0, LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Overlap;

    #[test]
    fn aligns_by_token_with_zeros_for_absent_genes() {
        let counts = Counts::new(4, vec![0, 0, 3], vec![3, 0, 1], vec![2.0, 5.0, 7.0]).unwrap();
        let token_of_gene = vec![Some(2), None, Some(1), Some(0)];
        let genes =
            GeneMatch { token_of_gene, sum_duplicates: true, counted: None, overlap: Overlap::default() };
        let mut out = [9.0; 4];
        align(&counts, 1, &genes, &mut out);
        assert_eq!(out, [2.0, 0.0, 5.0, 0.0]);
        align(&counts, 0, &genes, &mut out);
        assert_eq!(out, [0.0; 4]);
    }

    #[test]
    fn scales_by_the_aligned_total() {
        let mut c = [3.0, 0.0, 1.0];
        assert_eq!(log1p_cp10k(&mut c, false), 4.0);
        assert!((f64::from(c[0]) - 7501f64.ln()).abs() < 1e-6);
        assert_eq!(c[1], 0.0);
        let mut one = [5.0];
        log1p_cp10k(&mut one, false);
        assert!((f64::from(one[0]) - 10001f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn an_empty_cell_is_nan_as_published_and_zeros_otherwise() {
        let mut c = [0.0, 0.0];
        assert_eq!(log1p_cp10k(&mut c, true), 0.0);
        assert_eq!(c, [0.0, 0.0]);
        log1p_cp10k(&mut c, false);
        assert!(c.iter().all(|v| v.is_nan()));
    }

    #[test]
    fn depth_leaves_five_only_above_a_hundred_thousand_counts() {
        assert_eq!(depth_value(0.0), 5.0);
        assert_eq!(depth_value(99_999.0), 5.0);
        assert!((depth_value(1e6) - 6.0).abs() < 1e-6);
    }
}
