//! Sums of rows of embedding tables.

use rayon::prelude::*;

/// A table of `width` columns and the row each token takes from it.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    /// `[n_rows, width]`, row-major.
    pub table: &'a [f32],
    /// One row index per token.
    pub ids: &'a [u32],
}

/// `out[t] = sum_i table_i[ids_i[t]]`, added in the order given; `out` is `[token, width]`.
///
/// # Panics
/// When a lookup does not have one id per token, a table is not whole rows of `width`, or an id is beyond its table.
pub fn gather_sum(lookups: &[Lookup<'_>], width: usize, out: &mut [f32]) {
    if out.is_empty() {
        return;
    }
    assert!(width > 0 && out.len().is_multiple_of(width), "gather_sum: out is not whole rows of {width}");
    let n_tokens = out.len() / width;
    for (i, lookup) in lookups.iter().enumerate() {
        let n_ids = lookup.ids.len();
        assert!(n_ids == n_tokens, "gather_sum: lookup {i} has {n_ids} ids for {n_tokens} tokens");
        assert!(
            lookup.table.len().is_multiple_of(width),
            "gather_sum: table {i} is not whole rows of {width}"
        );
    }
    out.par_chunks_mut(width).enumerate().with_min_len(32).for_each(|(t, out)| {
        out.fill(0.0);
        for lookup in lookups {
            let start = lookup.ids[t] as usize * width;
            let Some(row) = lookup.table.get(start..start + width) else {
                panic!(
                    "gather_sum: id {} is beyond a table of {} rows",
                    lookup.ids[t],
                    lookup.table.len() / width
                );
            };
            for (o, x) in out.iter_mut().zip(row) {
                *o += x;
            }
        }
    });
}
