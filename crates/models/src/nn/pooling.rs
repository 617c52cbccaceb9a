//! From token vectors to a cell vector.

use std::ops::Range;

use crate::CellRule;

/// Pools the `[token, width]` rows of one cell into `out`; means are summed in `f64`.
/// Without a token to pool, `out` becomes NaN and the answer is false.
pub(crate) fn pool_cell(
    rows: &[f32],
    width: usize,
    rule: CellRule,
    gene_tokens: Range<usize>,
    out: &mut [f32],
) -> bool {
    let n_tokens = rows.len() / width.max(1);
    let span = match rule {
        CellRule::Mean => gene_tokens,
        CellRule::Token(i) => i..i + 1,
    };
    if span.is_empty() || span.end > n_tokens {
        out.fill(f32::NAN);
        return false;
    }
    let mut sums = vec![0.0f64; width];
    for row in rows[span.start * width..span.end * width].chunks_exact(width) {
        for (s, &v) in sums.iter_mut().zip(row) {
            *s += f64::from(v);
        }
    }
    for (o, s) in out.iter_mut().zip(&sums) {
        *o = (s / span.len() as f64) as f32;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_token_and_nothing() {
        let rows = [1.0, 2.0, 3.0, 4.0, 5.0, 9.0];
        let mut out = [0.0; 2];
        assert!(pool_cell(&rows, 2, CellRule::Mean, 1..3, &mut out));
        assert_eq!(out, [4.0, 6.5]);
        assert!(pool_cell(&rows, 2, CellRule::Token(0), 1..3, &mut out));
        assert_eq!(out, [1.0, 2.0]);
        assert!(!pool_cell(&rows, 2, CellRule::Token(3), 1..3, &mut out));
        assert!(out[0].is_nan());
        assert!(!pool_cell(&rows, 2, CellRule::Mean, 1..1, &mut out));
    }
}
