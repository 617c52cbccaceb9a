//! Softmax attention over ragged minibatches, blockwise: no `tokens x tokens` matrix ever exists.
//!
//! One task is one cell, one key/value head and some query blocks. It packs the keys and values of the head once; then for
//! [`BLOCK_ROWS`] queries at a time and up to 512 keys at a time it computes scores, exponentials with a running maximum and sum
//! (Milakov and Gimelshein 2018; Dao et al. 2022) and their product with the values, and normalises at the end.

mod input;
mod map;
mod softmax;
mod statistics;

use std::cell::RefCell;

use rayon::prelude::*;

pub use input::{AttentionShape, Mask, Rows};
pub use map::{attention_map, attention_rows};
pub use statistics::{AttentionStatistics, attention_statistics};

use crate::buffer::with_buffers;
use crate::gemm::{
    BLOCK_ROWS, Epilogue, Format, Out, PANEL, Packed, Product, STRIDE, Shared, copy_rows, gemm, left_len,
    left_of, rows_to_left, spare_len, strided_len,
};
use crate::isa::Isa;
use input::{Scoring, check_input};
use softmax::{RowState, finish_rows, softmax_step};

/// Query rows per task where there are few cells and heads: enough that packing keys and values is a small part, few enough that
/// tasks spread over threads.
const TASK_ROWS: usize = 8 * BLOCK_ROWS;

/// Queries `first..last` of one cell (counted within it) for one key/value head.
struct Task {
    cell: usize,
    kv_head: usize,
    first: usize,
    last: usize,
}

#[derive(Default)]
struct HeadPack {
    keys: Packed,
    values: Packed,
}

thread_local! {
    static PACK: RefCell<HeadPack> = RefCell::default();
}

/// `out = softmax(scores) v` for every cell and head, where `scores = mask(cap(scale q k^T + key_bias))`.
///
/// `q` has `n_heads * d_head` columns, `k` and `v` have `n_kv_heads * d_head` (query head `h` uses key/value head
/// `h / (n_heads / n_kv_heads)`), `out` is `[token, n_heads * d_head]`. Cell `c` is tokens `offsets[c]..offsets[c + 1]`; a cell's
/// result does not depend on the other cells, nor on the number of threads. A query that may see no key gets zeros.
/// Memory beyond the output: for each thread the packed keys and values of one head.
///
/// # Panics
/// When `offsets` is not `0 = o[0] <= o[1] <= ...`, or an array is too short for the last offset.
pub fn attention(
    q: Rows<'_>,
    k: Rows<'_>,
    v: Rows<'_>,
    offsets: &[usize],
    shape: &AttentionShape,
    mask: Mask<'_>,
    out: &mut [f32],
) {
    let n_tokens = check_input(
        &[("q", q, shape.n_heads), ("k", k, shape.n_kv_heads), ("v", v, shape.n_kv_heads)],
        offsets,
        shape,
        &mask,
    );
    let (d, width) = (shape.d_head, shape.n_heads * shape.d_head);
    assert!(
        out.len() == n_tokens * width,
        "attention: out has {} numbers, expected {n_tokens} x {width}",
        out.len()
    );
    if out.is_empty() {
        return;
    }
    let isa = Isa::current();
    let format = |k: usize| Format::best(isa, shape.precision, k);
    let shared = Shared::new(out);
    tasks(offsets, shape.n_kv_heads, mask.causal).into_par_iter().for_each(|task| {
        let (start, end) = (offsets[task.cell], offsets[task.cell + 1]);
        let scoring = Scoring::of_cell(&mask, shape.soft_cap, start..end);
        let n_keys = if mask.causal { task.last } else { end - start };
        PACK.with_borrow_mut(|pack| {
            let (keys, values) = (k.at(start, task.kv_head * d), v.at(start, task.kv_head * d));
            pack.keys.pack_transposed(isa, keys, k.stride(), n_keys, d, format(d));
            pack.values.pack(isa, values, v.stride(), n_keys, d, format(n_keys));
            let group = shape.n_heads / shape.n_kv_heads;
            for head in task.kv_head * group..(task.kv_head + 1) * group {
                for first in (task.first..task.last).step_by(BLOCK_ROWS) {
                    let block =
                        QueryBlock { first, rows: BLOCK_ROWS.min(task.last - first), scale: shape.scale };
                    // SAFETY: each task has its own queries or its own heads.
                    let part = unsafe { shared.part((start + first) * width + head * d, width) };
                    block.run(isa, q.at(start + first, head * d), q.stride(), pack, &scoring, part);
                }
            }
        });
    });
}

fn tasks(offsets: &[usize], n_kv_heads: usize, causal: bool) -> Vec<Task> {
    // With many cells and heads, whole ones keep all threads busy, and keys and values are packed once. Not where the keys of a task end
    // with its last query: their number decides how sums are cut, which must not depend on threads or on other cells.
    let many = (offsets.len() - 1) * n_kv_heads >= 4 * rayon::current_num_threads();
    let rows = if many && !causal { usize::MAX } else { TASK_ROWS };
    let mut tasks = Vec::new();
    for (cell, bounds) in offsets.windows(2).enumerate() {
        let len = bounds[1] - bounds[0];
        for kv_head in 0..n_kv_heads {
            for first in (0..len).step_by(rows) {
                tasks.push(Task { cell, kv_head, first, last: first.saturating_add(rows).min(len) });
            }
        }
    }
    tasks
}

/// Up to [`BLOCK_ROWS`] queries of one head, the first of which is number `first` of its cell.
struct QueryBlock {
    first: usize,
    rows: usize,
    scale: f32,
}

impl QueryBlock {
    fn run(
        &self,
        isa: Isa,
        q: &[f32],
        stride: usize,
        pack: &HeadPack,
        scoring: &Scoring<'_>,
        mut out: Out<'_>,
    ) {
        let (keys, values, rows) = (&pack.keys, &pack.values, self.rows);
        let d = keys.k();
        let lens = [left_len(isa, rows, keys), strided_len(rows), spare_len(isa, rows, values), rows * d];
        with_buffers(lens, |[a, scores, spare, acc]| {
            copy_rows(isa, q, stride, rows, keys, self.scale, a);
            let mut state = [RowState::EMPTY; BLOCK_ROWS];
            let state = &mut state[..rows];
            for block in 0..values.n_blocks() {
                let range = values.depth(block);
                if scoring.causal && range.start >= self.first + rows {
                    break;
                }
                let panels = range.start / PANEL..range.end.div_ceil(PANEL);
                let product = Product { panels, ..Product::whole(rows, keys, Epilogue::STORE) };
                gemm(isa, &product, a, &mut Out::new(scores, STRIDE));
                let rescale = if block == 0 { None } else { Some(&mut *acc) };
                softmax_step(isa, scores, range, scoring, self.first, state, rescale);
                rows_to_left(isa, values, block, rows, scores, spare);
                let epilogue = if block == 0 { Epilogue::STORE } else { Epilogue::ADD };
                let product = Product { blocks: block..block + 1, ..Product::whole(rows, values, epilogue) };
                gemm(isa, &product, left_of(isa, values, scores, spare), &mut Out::new(acc, d));
            }
            finish_rows(isa, acc, state, &mut out);
        });
    }
}
