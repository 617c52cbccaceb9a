//! Edited token lists.

use std::ops::Range;

/// How the original cell is shortened when putting genes in front pushes others out of a full cell, so that both sides
/// of the comparison hold the same genes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Truncation {
    /// As published: computed from the length *after* insertion and cut, which counts the inserted genes twice. A cell
    /// that comes within that number of the maximum is shortened although it lost nothing.
    #[default]
    AsPublished,
    /// Only by as many tokens as the perturbed cell really lost.
    Exact,
}

/// One comparison: a cell before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Tokens that serve as the comparison.
    pub original: Vec<u32>,
    /// Tokens after the perturbation.
    pub perturbed: Vec<u32>,
    /// Tokens that were perturbed; left out when remaining genes are compared.
    pub tokens: Vec<u32>,
    /// Positions in `original` of perturbed genes, ascending.
    pub original_positions: Vec<usize>,
    /// Where `perturbed` holds the perturbed genes; empty after a deletion.
    pub perturbed_span: Range<usize>,
}

/// Takes all of `tokens` out of the cell. `None` when the cell lacks any of them: as published, such cells are skipped.
/// `genes` is the range of gene tokens within `ids`.
pub fn delete(ids: &[u32], genes: Range<usize>, tokens: &[u32]) -> Option<Edit> {
    let positions = positions(ids, &genes, tokens);
    if tokens.is_empty() || positions.len() != tokens.len() {
        return None;
    }
    Some(delete_at(ids, genes.start, positions))
}

/// Every gene of the cell deleted alone, one edit per gene in rank order.
pub fn delete_each(ids: &[u32], genes: Range<usize>) -> impl Iterator<Item = Edit> {
    let start = genes.start;
    genes.map(move |i| delete_at(ids, start, vec![i]))
}

/// Puts `tokens` in front in the order given, whether or not the cell expresses them, and cuts the cell to `max_tokens`
/// (special tokens behind the genes are kept).
pub fn overexpress(
    ids: &[u32],
    genes: Range<usize>,
    tokens: &[u32],
    max_tokens: usize,
    truncation: Truncation,
) -> Edit {
    let present = positions(ids, &genes, tokens);
    let behind = &ids[genes.end..];
    let rest = genes.clone().filter(|i| !present.contains(i)).map(|i| ids[i]);
    let mut perturbed: Vec<u32> = ids[..genes.start].iter().chain(tokens).copied().chain(rest).collect();
    let room = max_tokens.saturating_sub(behind.len());
    let n_added = tokens.len() - present.len();
    let n_lost = perturbed.len().saturating_sub(room);
    perturbed.truncate(room);
    let span_end = (genes.start + tokens.len()).min(perturbed.len()).max(genes.start);
    perturbed.extend_from_slice(behind);

    let overflow = match truncation {
        Truncation::AsPublished => (perturbed.len() + n_added).saturating_sub(max_tokens),
        Truncation::Exact => n_lost,
    };
    let kept = genes.end.saturating_sub(overflow).max(genes.start);
    let mut original = ids[..kept].to_vec();
    original.extend_from_slice(behind);
    Edit {
        original,
        perturbed_span: genes.start..span_end,
        perturbed,
        tokens: tokens.to_vec(),
        original_positions: present.into_iter().filter(|&i| i < kept).collect(),
    }
}

/// Every gene but the first moved to the front alone, one edit per gene in rank order.
pub fn overexpress_each(ids: &[u32], genes: Range<usize>) -> impl Iterator<Item = Edit> {
    let start = genes.start;
    genes.skip(1).map(move |i| {
        let mut perturbed = ids.to_vec();
        perturbed[start..=i].rotate_right(1);
        Edit {
            original: ids.to_vec(),
            perturbed,
            tokens: vec![ids[i]],
            original_positions: vec![i],
            perturbed_span: start..start + 1,
        }
    })
}

fn delete_at(ids: &[u32], start: usize, positions: Vec<usize>) -> Edit {
    let perturbed = ids.iter().enumerate().filter(|(i, _)| !positions.contains(i)).map(|(_, &t)| t).collect();
    Edit {
        original: ids.to_vec(),
        perturbed,
        tokens: positions.iter().map(|&i| ids[i]).collect(),
        original_positions: positions,
        perturbed_span: start..start,
    }
}

/// First position of each token that the cell holds, ascending.
fn positions(ids: &[u32], genes: &Range<usize>, tokens: &[u32]) -> Vec<usize> {
    let mut out: Vec<usize> = tokens.iter().filter_map(|t| genes.clone().find(|&i| ids[i] == *t)).collect();
    out.sort_unstable();
    out.dedup();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletes_only_where_all_are_present() {
        let e = delete(&[1, 5, 6, 7, 2], 1..4, &[7, 5]).unwrap();
        assert_eq!(e.perturbed, [1, 6, 2]);
        assert_eq!(e.original_positions, [1, 3]);
        assert!(delete(&[5, 6], 0..2, &[5, 9]).is_none());
        assert!(delete(&[1, 5, 2], 1..2, &[1]).is_none(), "special tokens are not genes");
        assert_eq!(
            delete_each(&[1, 5, 6, 2], 1..3).map(|e| e.perturbed).collect::<Vec<_>>(),
            [[1, 6, 2], [1, 5, 2]]
        );
    }

    #[test]
    fn overexpression_moves_inserts_and_cuts() {
        let e = overexpress(&[1, 5, 6, 7, 2], 1..4, &[7], 5, Truncation::AsPublished);
        assert_eq!(e.perturbed, [1, 7, 5, 6, 2]);
        assert_eq!(e.original, [1, 5, 6, 7, 2]);
        assert_eq!((e.original_positions, e.perturbed_span), (vec![3], 1..2));
        // A full cell loses its last gene on both sides; <eos> stays.
        let e = overexpress(&[1, 5, 6, 7, 2], 1..4, &[9], 5, Truncation::AsPublished);
        assert_eq!(e.perturbed, [1, 9, 5, 6, 2]);
        assert_eq!(e.original, [1, 5, 6, 2]);
        let ranks: Vec<_> = overexpress_each(&[1, 5, 6, 7, 2], 1..4).map(|e| e.perturbed).collect();
        assert_eq!(ranks, [[1, 6, 5, 7, 2], [1, 7, 5, 6, 2]]);
    }

    #[test]
    fn off_by_one_is_published_and_can_be_left_out() {
        // One free place: nothing is lost, but the published rule shortens the original all the same.
        let cell = [5, 6, 7];
        let published = overexpress(&cell, 0..3, &[9], 4, Truncation::AsPublished);
        assert_eq!(published.perturbed, [9, 5, 6, 7]);
        assert_eq!(published.original, [5, 6]);
        assert_eq!(overexpress(&cell, 0..3, &[9], 4, Truncation::Exact).original, cell);
        let full = overexpress(&[5, 6, 7, 8], 0..4, &[9], 4, Truncation::Exact);
        assert_eq!((full.original, full.perturbed), (vec![5, 6, 7], vec![9, 5, 6, 7]));
    }
}
