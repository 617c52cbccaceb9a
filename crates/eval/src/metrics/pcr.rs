//! Principal component regression: how much of the variance batches explain.
//!
//! With all components the weighted mean of R^2 is the share of the total sum of squares that lies between batches,
//! whatever the axes, because both sums are traces: no decomposition is needed, `O(n d)`.

use super::definition::{Definition, Need};
use super::groups::{Grouping, Usable};
use super::score::Score;
use microtome_core::{Direction, Matrix, Result};
use microtome_numerics::pca;

/// Variance explained by batch.
pub static PCR: Definition = Definition {
    id: "pcr",
    version: 1,
    direction: Direction::Lower,
    range: (0.0, 1.0),
    needs: &[Need::Embedding, Need::Batches],
    words: "Share of variance explained by batch: R^2 of every principal component on batch, weighted by its variance",
    citation: "Buettner et al. 2019, Nat. Methods 16:43",
    deviations: "",
};

/// Drop of the variance explained by batch.
pub static PCR_COMPARISON: Definition = Definition {
    id: "pcr_comparison",
    version: 1,
    direction: Direction::Higher,
    range: (0.0, 1.0),
    needs: &[Need::Embedding, Need::Reference, Need::Batches],
    words: "Relative drop of the share of variance explained by batch from before to after integration, at least 0",
    citation: "Luecken et al. 2022, Nat. Methods 19:41",
    deviations: "no number when batch explains less than 1 % before, where the ratio is noise",
};

pub(super) static DEFINITIONS: &[&Definition] = &[&PCR, &PCR_COMPARISON];

/// Share that batch must explain before integration for a ratio to mean something.
const LEAST_BEFORE: f64 = 0.01;

/// Sum of squares between groups and in total, per column.
fn sums_of_squares(x: &Matrix, groups: &Grouping) -> (Vec<f64>, Vec<f64>) {
    let d = x.cols();
    let n = x.rows() as f64;
    let mut mean = vec![0.0; d];
    for i in 0..x.rows() {
        mean.iter_mut().zip(x.row(i)).for_each(|(m, &v)| *m += f64::from(v) / n);
    }
    let (mut between, mut total) = (vec![0.0; d], vec![0.0; d]);
    let mut sums = vec![0.0; d];
    for members in &groups.members {
        sums.fill(0.0);
        for &i in members {
            for c in 0..d {
                let v = f64::from(x.row(i)[c]) - mean[c];
                sums[c] += v;
                total[c] += v * v;
            }
        }
        for c in 0..d {
            between[c] += sums[c] * sums[c] / members.len() as f64;
        }
    }
    (between, total)
}

fn prepare<'a>(
    usable: &Usable,
    x: &'a Matrix,
    batches: &[u32],
) -> Result<(std::borrow::Cow<'a, Matrix>, Grouping), Score> {
    let groups = Grouping::new(&usable.codes(batches));
    match groups.n() {
        0 => Err(Score::undefined("no cells")),
        1 => Err(Score::undefined("all cells are of one batch")),
        _ => Ok((usable.rows(x), groups)),
    }
}

fn share(usable: &Usable, x: &Matrix, batches: &[u32]) -> Score {
    let (rows, groups) = match prepare(usable, x, batches) {
        Ok(parts) => parts,
        Err(score) => return score,
    };
    let (between, total) = sums_of_squares(&rows, &groups);
    let total: f64 = total.iter().sum();
    if total <= 0.0 || super::silhouette::constant(&rows) {
        return Score::undefined("every cell is at the same place");
    }
    Score::new((between.iter().sum::<f64>() / total).min(1.0), rows.rows())
}

/// Share of variance explained by batch over all components. Errors when lengths differ.
pub fn pcr(x: &Matrix, batches: &[u32]) -> Result<Score> {
    let usable = Usable::of(batches.len(), &[x], &[batches])?;
    Ok(usable.note(share(&usable, x, batches)))
}

/// The same over the first `n_components` principal components only (scib: 50). Errors when lengths differ or there are
/// not that many components.
pub fn pcr_of_components(x: &Matrix, batches: &[u32], n_components: usize, seed: u64) -> Result<Score> {
    let usable = Usable::of(batches.len(), &[x], &[batches])?;
    let (rows, groups) = match prepare(&usable, x, batches) {
        Ok(parts) => parts,
        Err(score) => return Ok(usable.note(score)),
    };
    if super::silhouette::constant(&rows) {
        return Ok(usable.note(Score::undefined("every cell is at the same place")));
    }
    let (between, total) = sums_of_squares(&pca(&rows, n_components, seed)?.scores, &groups);
    let score = Score::new((between.iter().sum::<f64>() / total.iter().sum::<f64>()).min(1.0), rows.rows());
    Ok(usable.note(score))
}

/// Relative drop from `before` to `after`, cut off at 0. Only cells usable in both count. Errors when lengths differ.
pub fn pcr_comparison(before: &Matrix, after: &Matrix, batches: &[u32]) -> Result<Score> {
    let usable = Usable::of(batches.len(), &[before, after], &[batches])?;
    let (pre, post) = (share(&usable, before, batches), share(&usable, after, batches));
    let score = match (pre.value, post.value) {
        (Some(pre), _) if pre < LEAST_BEFORE => {
            Score::undefined(format!("batch explains only {:.2} % of the variance before", 100.0 * pre))
        }
        (Some(pre), Some(post)) => Score::new(((pre - post) / pre).max(0.0), usable.cells.len()),
        (None, _) => pre,
        (_, None) => post,
    };
    Ok(usable.note(score))
}

#[cfg(test)]
mod tests {
    use super::*;
    use microtome_numerics::resample::Rng;

    #[test]
    fn golden_g10() {
        let x = Matrix::new(4, 2, vec![1.0, 0.0, 3.0, 0.0, 5.0, 1.0, 7.0, -1.0]).unwrap();
        let batches = [0, 0, 1, 1];
        assert!((pcr(&x, &batches).unwrap().value.unwrap() - 0.727_273).abs() < 1e-6);
        let all = pcr_of_components(&x, &batches, 2, 0).unwrap().value.unwrap();
        assert!((all - 0.727_273).abs() < 1e-6);
        let fit = pca(&x, 2, 0).unwrap();
        let (between, total) = sums_of_squares(&fit.scores, &Grouping::new(&batches));
        for (c, (r2, variance)) in [(0.781_892, 6.739_848), (0.106_997, 0.593_485)].into_iter().enumerate() {
            assert!((between[c] / total[c] - r2).abs() < 1e-6 && (fit.explained_variance[c] - variance).abs() < 1e-6);
        }
    }

    fn random(n: usize, shift: f32) -> (Matrix, Vec<u32>) {
        let mut rng = Rng::new(1);
        let batches: Vec<u32> = (0..n as u32).map(|i| i % 3).collect();
        let mut x = Matrix::zeros(n, 6);
        for (i, &b) in batches.iter().enumerate() {
            x.row_mut(i).iter_mut().for_each(|v| *v = rng.normal() as f32 + shift * b as f32);
        }
        (x, batches)
    }

    #[test]
    fn extremes_and_invariance() {
        let (x, batches) = random(2000, 0.0);
        assert!(pcr(&x, &batches).unwrap().value.unwrap() < 0.01);
        let (shifted, _) = random(2000, 50.0);
        let before = pcr(&shifted, &batches).unwrap().value.unwrap();
        assert!(before > 0.99);
        let drop = pcr_comparison(&shifted, &x, &batches).unwrap().value.unwrap();
        assert!(drop > 0.99);
        assert_eq!(pcr_comparison(&shifted, &shifted, &batches).unwrap().value, Some(0.0));
        let order = Rng::new(2).permutation(2000);
        let mut moved = shifted.select_rows(&order);
        moved.data_mut().iter_mut().for_each(|v| *v = *v * 2.0 + 8.0);
        let renamed: Vec<u32> = order.iter().map(|&i| 77 - batches[i]).collect();
        assert!((pcr(&moved, &renamed).unwrap().value.unwrap() - before).abs() < 1e-6);
    }

    #[test]
    fn edges_have_reasons() {
        let (mut x, batches) = random(30, 3.0);
        assert!(pcr(&x, &[1; 30]).unwrap().value.is_none());
        assert!(pcr(&Matrix::zeros(30, 6), &batches).unwrap().value.is_none());
        assert!(pcr(&Matrix::zeros(0, 6), &[]).unwrap().value.is_none());
        assert!(pcr(&x, &[1; 3]).is_err());
        let (flat, _) = random(3000, 0.0);
        let many: Vec<u32> = (0..3000).map(|i| i % 3).collect();
        let noise = pcr_comparison(&flat, &flat, &many).unwrap();
        assert!(noise.value.is_none() && noise.reason.unwrap().contains("before"));
        x.row_mut(3)[0] = f32::NAN;
        let score = pcr(&x, &batches).unwrap();
        assert_eq!((score.n_used, score.n_excluded), (29, 1));
    }
}
