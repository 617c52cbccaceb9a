//! Regulation scores by attention, as in the authors' `Tutorial_Attention_GRN`: products of queries and keys of the last block, neither
//! scaled nor normalised, turned into ranks within each row, those into ranks within each column, then the mean over heads. A row is a
//! query and a column a key: the column of a factor is what it influences.

use rayon::prelude::*;

/// Mean over heads of double ranks: `scores` is `[head, query, key]` of one cell, the result `[query, key]` in 0 to 1.
/// Equal scores keep the order of the tokens.
pub(super) fn rank_mean(scores: &[f32], n_heads: usize, n: usize) -> Vec<f32> {
    let heads: Vec<Vec<f32>> = scores
        .par_chunks_exact((n * n).max(1))
        .map(|head| {
            let by_row: Vec<f32> = head.chunks_exact(n).flat_map(|row| ranks(row.iter().copied(), n)).collect();
            let mut both = vec![0.0; n * n];
            for key in 0..n {
                let column = by_row.iter().skip(key).step_by(n).copied();
                for (query, rank) in ranks(column, n).into_iter().enumerate() {
                    both[query * n + key] = rank;
                }
            }
            both
        })
        .collect();
    (0..n * n).map(|i| heads.iter().map(|h| h[i]).sum::<f32>() / n_heads as f32).collect()
}

/// Place of every value in ascending order, divided by `n`.
fn ranks(values: impl Iterator<Item = f32>, n: usize) -> Vec<f32> {
    let values: Vec<f32> = values.collect();
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut out = vec![0.0; values.len()];
    for (rank, place) in order.into_iter().enumerate() {
        out[place] = rank as f32 / n as f32;
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
}
