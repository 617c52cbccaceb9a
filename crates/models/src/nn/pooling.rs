//! From token vectors to a cell vector.

use std::ops::Range;

use crate::CellRule;

/// Pools the `[token, width]` rows of one cell into `out`; means are summed in `f64`.
/// `marks` is the cell's column of marked tokens, read by [`CellRule::Marked`] only.
/// Without a token to pool, `out` becomes NaN and the answer is false.
pub(crate) fn pool_cell(
    rows: &[f32],
    width: usize,
    rule: CellRule,
    gene_tokens: Range<usize>,
    marks: Option<&[f32]>,
    out: &mut [f32],
) -> bool {
    let n_tokens = rows.len() / width.max(1);
    let (span, marks) = match rule {
        CellRule::Mean => (gene_tokens, None),
        CellRule::Token(i) => (i..i + 1, None),
        CellRule::Marked => (0..n_tokens, Some(marks.unwrap_or_default())),
    };
    let pooled = |i: usize| marks.is_none_or(|m| m.get(i).is_some_and(|&m| m != 0.0));
    let n = span.clone().filter(|&i| pooled(i)).count();
    if n == 0 || span.end > n_tokens {
        out.fill(f32::NAN);
        return false;
    }
    let mut sums = vec![0.0f64; width];
    for i in span.filter(|&i| pooled(i)) {
        for (s, &v) in sums.iter_mut().zip(&rows[i * width..(i + 1) * width]) {
            *s += f64::from(v);
        }
    }
    for (o, s) in out.iter_mut().zip(&sums) {
        *o = (s / n as f64) as f32;
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
        assert!(pool_cell(&rows, 2, CellRule::Mean, 1..3, None, &mut out));
        assert_eq!(out, [4.0, 6.5]);
        assert!(pool_cell(&rows, 2, CellRule::Token(0), 1..3, None, &mut out));
        assert_eq!(out, [1.0, 2.0]);
        assert!(!pool_cell(&rows, 2, CellRule::Token(3), 1..3, None, &mut out));
        assert!(out[0].is_nan());
        assert!(!pool_cell(&rows, 2, CellRule::Mean, 1..1, None, &mut out));
        assert!(pool_cell(&rows, 2, CellRule::Marked, 1..3, Some(&[1.0, 0.0, 1.0]), &mut out));
        assert_eq!(out, [3.0, 5.5]);
        for nothing in [None, Some(&[0.0; 3][..])] {
            assert!(!pool_cell(&rows, 2, CellRule::Marked, 0..3, nothing, &mut out));
            assert!(out[0].is_nan());
        }
    }
}
