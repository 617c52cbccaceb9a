//! Shared nearest neighbours, and the intrinsic dimension that they imply.

use crate::input::Blocks;
use crate::outcome::{Estimated, Pairwise};
use microtome_core::{Error, Matrix, Progress, Result};
use microtome_numerics::knn::{Knn, Metric, exact_knn, knn_between};
use microtome_numerics::resample::Rng;

/// Mean share of the `k` nearest rows that two blocks have in common (mutual kNN, Huh et al. 2024, arXiv 2405.07987), for
/// every pair of blocks. `n` counts the rows asked: all, or `sample` of them drawn with `seed`. Neighbours are always sought
/// among all rows and are exact; ties go to the smaller row. Chance is `k / (rows - 1)`.
///
/// Errors when `k` is 0 or not below the number of rows, or when stopped.
pub fn neighbour_overlap(
    blocks: &Blocks<'_>,
    k: usize,
    metric: Metric,
    sample: Option<usize>,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Pairwise> {
    let n = blocks.n_rows();
    if k == 0 || k >= n {
        return Err(Error::usage("this number of neighbours does not exist")
            .expected(format!("k from 1 to {}", n.saturating_sub(1)))
            .found(format!("k = {k}")));
    }
    let asked = match sample.filter(|&s| s < n) {
        Some(s) => {
            let mut rows = Rng::new(seed).choose(n, s);
            rows.sort_unstable();
            Some(rows)
        }
        None => None,
    };
    progress.begin("nearest neighbours", blocks.len() as u64, "blocks");
    let lists: Result<Vec<Vec<u32>>> = blocks
        .values()
        .iter()
        .map(|x| {
            progress.check()?;
            let lists = neighbours(x, k, metric, asked.as_deref());
            progress.advance(1);
            lists
        })
        .collect();
    progress.end();
    let lists = lists?;
    let count = lists.first().map_or(0, |l| l.len() / k);
    Pairwise::from_upper("mutual_knn", blocks.names(), |a, b| {
        let shared: usize = lists[a]
            .chunks_exact(k)
            .zip(lists[b].chunks_exact(k))
            .map(|(x, y)| x.iter().filter(|i| y.binary_search(i).is_ok()).count())
            .sum();
        let value = (count > 0).then(|| shared as f64 / (count * k) as f64);
        Ok(Estimated::or_reason(value, count as u64, "no row was asked"))
    })
}

/// Neighbours of every asked row, each list rising by row number.
fn neighbours(x: &Matrix, k: usize, metric: Metric, asked: Option<&[usize]>) -> Result<Vec<u32>> {
    let (found, own): (Knn, Option<&[usize]>) = match asked {
        None => (exact_knn(x, k, metric)?, None),
        // One more, since a row that asks among all rows finds itself.
        Some(rows) => (knn_between(&x.select_rows(rows), x, k + 1, metric)?, Some(rows)),
    };
    let mut out = Vec::with_capacity(found.n * k);
    for i in 0..found.n {
        let list = found.row(i).0.iter().copied();
        let mut list: Vec<u32> = match own {
            None => list.collect(),
            Some(rows) => list.filter(|&j| j as usize != rows[i]).take(k).collect(),
        };
        list.sort_unstable();
        out.extend(list);
    }
    Ok(out)
}

/// Intrinsic dimension from the ratio of the distances to the second and first neighbour.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct IntrinsicDimension {
    /// Maximum likelihood over all ratios: `(n - 1) / sum ln(r2 / r1)`, the unbiased form. `n` counts rows with a ratio.
    pub maximum_likelihood: Estimated,
    /// Slope of the line through the origin after the largest tenth of ratios is left out (Facco et al. 2017, Sci Rep
    /// 7:12140).
    pub fit: Estimated,
    /// Rows left out because they repeat another row.
    pub duplicates: u64,
}

/// TwoNN intrinsic dimension. Rows that repeat an earlier one are left out, since their nearest distance is 0.
/// Depends on the number of rows: compare only at the same number.
///
/// Errors when a value is not finite.
pub fn intrinsic_dimension(x: &Matrix) -> Result<IntrinsicDimension> {
    let bits = |i: usize| x.row(i).iter().map(|v| (v + 0.0).to_bits());
    let mut order: Vec<usize> = (0..x.rows()).collect();
    order.sort_by(|&a, &b| bits(a).cmp(bits(b)).then(a.cmp(&b)));
    order.dedup_by(|a, b| bits(*a).eq(bits(*b)));
    order.sort_unstable();
    let duplicates = (x.rows() - order.len()) as u64;
    if order.len() < 3 {
        let few = Estimated::missing(order.len() as u64, "fewer than three different rows");
        return Ok(IntrinsicDimension { maximum_likelihood: few.clone(), fit: few, duplicates });
    }
    let found = exact_knn(&x.select_rows(&order), 2, Metric::Euclidean)?;
    let mut ratios: Vec<f64> = (0..found.n)
        .map(|i| found.row(i).1)
        .filter(|d| d[0] > 0.0)
        .map(|d| (f64::from(d[1]) / f64::from(d[0])).ln())
        .collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let n = ratios.len();
    let total: f64 = ratios.iter().sum();
    let likely = (total > 0.0).then(|| (n as f64 - 1.0) / total);
    // -ln(1 - F(mu)) = d ln mu, F the empirical distribution.
    let kept = n - n / 10;
    let (mut xy, mut xx) = (0.0, 0.0);
    for (i, x) in ratios[..kept].iter().enumerate() {
        let share = (i + 1) as f64 / n as f64;
        if share < 1.0 {
            xy -= x * (1.0 - share).ln();
            xx += x * x;
        }
    }
    let reason = "all rows have two neighbours at the same distance";
    Ok(IntrinsicDimension {
        maximum_likelihood: Estimated::or_reason(likely, n as u64, reason),
        fit: Estimated::or_reason((xx > 0.0).then(|| xy / xx), kept as u64, reason),
        duplicates,
    })
}
