//! Regulation scores by attention, as in the authors' `Tutorial_Attention_GRN`: products of queries and keys of the last block, neither
//! scaled nor normalised, turned into ranks within each row, those into ranks within each column, then the mean over heads. A row is a
//! query and a column a key: the column of a factor is what it influences.
//!
//! Ranks within a row tie all the time within a column, and the original sorts them by an algorithm that leaves their order open. Here
//! ties share the mean of their ranks, so that the order of genes in the data does not matter.

use rayon::prelude::*;

/// Mean over heads of double ranks: `scores` is `[head, query, key]` of one cell, the result `[query, key]` in 0 to 1.
pub(super) fn rank_mean(scores: &[f32], n_heads: usize, n: usize) -> Vec<f32> {
    let (lower, upper) = rank_intervals(scores, n_heads, n);
    lower.iter().zip(&upper).map(|(l, u)| 0.5 * (l + u)).collect()
}

/// Lowest and highest value that [`rank_mean`] takes over all orders of ties within columns.
pub(super) fn rank_intervals(scores: &[f32], n_heads: usize, n: usize) -> (Vec<f32>, Vec<f32>) {
    let heads: Vec<(Vec<f32>, Vec<f32>)> = scores
        .par_chunks_exact((n * n).max(1))
        .map(|head| {
            let middle = |(low, high): (f32, f32)| 0.5 * (low + high);
            let by_row: Vec<f32> = head.chunks_exact(n).flat_map(|r| ranks(r).into_iter().map(middle)).collect();
            let (mut lower, mut upper) = (vec![0.0; n * n], vec![0.0; n * n]);
            for key in 0..n {
                let column: Vec<f32> = by_row.iter().skip(key).step_by(n).copied().collect();
                for (query, (low, high)) in ranks(&column).into_iter().enumerate() {
                    lower[query * n + key] = low;
                    upper[query * n + key] = high;
                }
            }
            (lower, upper)
        })
        .collect();
    let n_heads = n_heads as f32;
    let lower = (0..n * n).map(|i| heads.iter().map(|h| h.0[i]).sum::<f32>() / n_heads).collect();
    let upper = (0..n * n).map(|i| heads.iter().map(|h| h.1[i]).sum::<f32>() / n_heads).collect();
    (lower, upper)
}

/// First and last place of every value in ascending order, divided by the number of values.
fn ranks(values: &[f32]) -> Vec<(f32, f32)> {
    let n = values.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut out = vec![(0.0, 0.0); n];
    let mut first = 0;
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let last = first + tied.len() - 1;
        for &place in tied {
            out[place] = (first as f32 / n as f32, last as f32 / n as f32);
        }
        first = last + 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_go_by_rows_then_columns_then_heads() {
        // Rows rank to [1, 0] / 2 and [0, 1] / 2; columns then to [1, 0] and [0, 1].
        let one = [5.0, 1.0, -3.0, 2.0];
        assert_eq!(rank_mean(&one, 1, 2), [0.5, 0.0, 0.0, 0.5]);
        let both: Vec<f32> = one.iter().copied().chain([1.0, 5.0, 2.0, -3.0]).collect();
        assert_eq!(rank_mean(&both, 2, 2), [0.25; 4]);
    }

    #[test]
    fn ties_share_the_mean_of_their_ranks() {
        assert_eq!(ranks(&[2.0, 1.0, 2.0, 2.0]), [(0.25, 0.75), (0.0, 0.0), (0.25, 0.75), (0.25, 0.75)]);
        // Both rows rank the same way, so both columns tie throughout.
        let (low, high) = rank_intervals(&[1.0, 2.0, 3.0, 4.0], 1, 2);
        assert_eq!((low, high), (vec![0.0; 4], vec![0.5; 4]));
    }
}
