//! From scores per batch to one list of genes.

use super::Flavour;

/// Dispersions of the genes that one batch expresses.
pub(super) struct BatchScores {
    /// Gene of every score.
    pub(super) genes: Vec<usize>,
    pub(super) scores: Vec<Option<f64>>,
    /// Positions that the batch by itself would choose.
    pub(super) chosen: Vec<usize>,
}

/// Genes chosen by most batches, ties by the mean dispersion over the batches where it is defined, undefined last.
pub(super) fn by_batches_then_dispersion(
    batches: &[BatchScores],
    n_genes: usize,
    n_top: usize,
) -> Vec<usize> {
    let (mut votes, mut sum, mut n) = (vec![0usize; n_genes], vec![0.0f64; n_genes], vec![0usize; n_genes]);
    for b in batches {
        b.chosen.iter().for_each(|&i| votes[b.genes[i]] += 1);
        for (&g, s) in b.genes.iter().zip(&b.scores) {
            if let Some(s) = s {
                sum[g] += s;
                n[g] += 1;
            }
        }
    }
    let mean = |g: usize| if n[g] == 0 { f64::NEG_INFINITY } else { sum[g] / n[g] as f64 };
    let mut order: Vec<usize> = (0..n_genes).filter(|&g| n[g] > 0).collect();
    order.sort_by(|&a, &b| votes[b].cmp(&votes[a]).then(mean(b).total_cmp(&mean(a))).then(a.cmp(&b)));
    ascending(order, n_top)
}

/// The rules on counts: rank genes within every batch, forget ranks from `n_top` on, combine by median rank and by the
/// number of batches. Genes without variance everywhere are never chosen.
pub(super) fn choose(variances: &[Vec<f64>], n_top: usize, flavour: Flavour) -> Vec<usize> {
    let n_genes = variances.first().map_or(0, Vec::len);
    let mut ranks: Vec<Vec<usize>> = vec![vec![]; n_genes];
    for v in variances {
        let mut order: Vec<usize> = (0..n_genes).collect();
        order.sort_by(|&a, &b| v[b].total_cmp(&v[a]).then(a.cmp(&b)));
        for (rank, &g) in order.iter().take(n_top).enumerate() {
            ranks[g].push(rank);
        }
    }
    let median = |g: usize| {
        let mut r = ranks[g].clone();
        r.sort_unstable();
        match r.len() {
            0 => f64::INFINITY,
            n if n % 2 == 1 => r[n / 2] as f64,
            n => (r[n / 2 - 1] + r[n / 2]) as f64 / 2.0,
        }
    };
    let varies = |g: usize| variances.iter().any(|v| v[g] > 0.0);
    let mut order: Vec<usize> = (0..n_genes).filter(|&g| varies(g) && !ranks[g].is_empty()).collect();
    order.sort_by(|&a, &b| {
        let by_median = median(a).total_cmp(&median(b));
        let by_batches = ranks[b].len().cmp(&ranks[a].len());
        let order = if flavour == Flavour::SeuratV3 {
            by_median.then(by_batches)
        } else {
            by_batches.then(by_median)
        };
        order.then(a.cmp(&b))
    });
    ascending(order, n_top)
}

fn ascending(mut order: Vec<usize>, n_top: usize) -> Vec<usize> {
    order.truncate(n_top);
    order.sort_unstable();
    order
}
