//! The similarity curve `1 / (1 + a x^(2b))` that stands for `min_dist` and `spread`.

/// Least-squares fit of the curve to 1 below `min_dist` and `exp(-(x - min_dist) / spread)` above, at 300 points up
/// to `3 spread`; Levenberg-Marquardt from a = b = 1, as umap-learn's fit.
pub(super) fn fit(min_dist: f64, spread: f64) -> (f64, f64) {
    let points: Vec<(f64, f64)> = (0..300)
        .map(|i| {
            let x = 3.0 * spread * f64::from(i) / 299.0;
            (x, if x < min_dist { 1.0 } else { (-(x - min_dist) / spread).exp() })
        })
        .collect();
    let loss = |a: f64, b: f64| -> f64 {
        points.iter().map(|&(x, y)| (1.0 / (1.0 + a * x.powf(2.0 * b)) - y).powi(2)).sum()
    };
    let (mut a, mut b) = (1.0, 1.0);
    let mut damping = 1e-3;
    let mut current = loss(a, b);
    for _ in 0..500 {
        let (mut haa, mut hab, mut hbb, mut ga, mut gb) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for &(x, y) in points.iter().filter(|p| p.0 > 0.0) {
            let power = x.powf(2.0 * b);
            let f = 1.0 / (1.0 + a * power);
            let (da, db) = (-f * f * power, -f * f * a * power * 2.0 * x.ln());
            haa += da * da;
            hab += da * db;
            hbb += db * db;
            ga += da * (f - y);
            gb += db * (f - y);
        }
        let (daa, dbb) = (haa * (1.0 + damping), hbb * (1.0 + damping));
        let determinant = daa * dbb - hab * hab;
        let step = ((dbb * ga - hab * gb) / determinant, (daa * gb - hab * ga) / determinant);
        let (na, nb) = (a - step.0, b - step.1);
        let next = if na > 0.0 && nb > 0.0 { loss(na, nb) } else { f64::INFINITY };
        if next < current {
            let gain = current - next;
            (a, b, current) = (na, nb, next);
            damping *= 0.3;
            if gain < 1e-16 * current.max(1e-16) {
                break;
            }
        } else {
            damping *= 4.0;
            if damping > 1e12 {
                break;
            }
        }
    }
    (a, b)
}

#[cfg(test)]
mod tests {
    #[test]
    fn matches_umap_learn() {
        // umap-learn 0.5.12, find_ab_params(spread, min_dist)
        for (min_dist, spread, a, b) in [
            (0.1, 1.0, 1.576943460405378, 0.8950608781227859),
            (0.5, 1.0, 0.5830300203414425, 1.3341669930821384),
        ] {
            let found = super::fit(min_dist, spread);
            assert!((found.0 - a).abs() < 1e-4 && (found.1 - b).abs() < 1e-4, "{found:?}");
        }
    }
}
