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
    let (span, greatest, marks) = match rule {
        CellRule::Parts(parts) => return pool_parts(rows, width, parts, gene_tokens, marks, out),
        CellRule::Mean => (gene_tokens, false, None),
        CellRule::Max => (gene_tokens, true, None),
        CellRule::MaxOfAll => (0..n_tokens, true, None),
        CellRule::Token(i) => (i..i + 1, false, None),
        CellRule::FromEnd(i) => match n_tokens.checked_sub(i + 1) {
            Some(t) => (t..t + 1, false, None),
            None => (0..0, false, None),
        },
        CellRule::Marked => (0..n_tokens, false, Some(marks.unwrap_or_default())),
    };
    let pooled = |i: usize| marks.is_none_or(|m| m.get(i).is_some_and(|&m| m != 0.0));
    let n = span.clone().filter(|&i| pooled(i)).count();
    if n == 0 || span.end > n_tokens {
        out.fill(f32::NAN);
        return false;
    }
    if greatest {
        out.fill(f32::NEG_INFINITY);
        for row in rows[span.start * width..span.end * width].chunks_exact(width) {
            // A NaN stays, as in numpy and torch.
            out.iter_mut().zip(row).for_each(|(o, &v)| *o = if *o >= v || o.is_nan() { *o } else { v });
        }
        return true;
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

/// One part after the other; all of `out` is NaN when a part has nothing to pool.
fn pool_parts(
    rows: &[f32],
    width: usize,
    parts: &[CellRule],
    gene_tokens: Range<usize>,
    marks: Option<&[f32]>,
    out: &mut [f32],
) -> bool {
    let mut rest = &mut *out;
    for part in parts {
        let (head, tail) = rest.split_at_mut(part.width(width));
        rest = tail;
        if !pool_cell(rows, width, *part, gene_tokens.clone(), marks, head) {
            out.fill(f32::NAN);
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_one_after_the_other_or_not_at_all() {
        const RULE: CellRule = CellRule::Parts(&[CellRule::FromEnd(0), CellRule::Max, CellRule::Mean]);
        let rows = [1.0, 4.0, 3.0, 2.0, 7.0, 9.0];
        let mut out = [0.0; 6];
        assert_eq!(RULE.width(2), 6);
        assert!(pool_cell(&rows, 2, RULE, 0..2, None, &mut out));
        assert_eq!(out, [7.0, 9.0, 3.0, 4.0, 2.0, 3.0]);
        assert!(!pool_cell(&rows, 2, RULE, 0..0, None, &mut out));
        assert!(out.iter().all(|v| v.is_nan()));
    }

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
        assert!(pool_cell(&rows, 2, CellRule::Max, 0..2, None, &mut out));
        assert_eq!(out, [3.0, 4.0]);
        assert!(pool_cell(&rows, 2, CellRule::MaxOfAll, 0..1, None, &mut out));
        assert_eq!(out, [5.0, 9.0]);
        assert!(pool_cell(&rows, 2, CellRule::FromEnd(1), 0..1, None, &mut out));
        assert_eq!(out, [3.0, 4.0]);
        assert!(!pool_cell(&rows, 2, CellRule::FromEnd(3), 0..1, None, &mut out));
        let nan = [1.0, f32::NAN, 2.0];
        assert!(pool_cell(&nan, 1, CellRule::MaxOfAll, 0..3, None, &mut out[..1]));
        assert!(out[0].is_nan(), "a NaN is not lost");
        for nothing in [None, Some(&[0.0; 3][..])] {
            assert!(!pool_cell(&rows, 2, CellRule::Marked, 0..3, nothing, &mut out));
            assert!(out[0].is_nan());
        }
    }
}
