//! Labels that do not overlap.

/// Moves labels apart along a line so that neighbours are at least `gap` apart and all lie within `low..=high`;
/// order is kept, and labels that do not collide stay where they are. Returns the places in the order of the input.
pub(crate) fn spread(wanted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]).then(a.cmp(&b)));
    // Clusters of touching labels share one offset: the mean of what their members want.
    let mut clusters: Vec<(f64, usize)> = vec![];
    for &i in &order {
        clusters.push((wanted[i], 1));
        while let [.., (upper, n), (lower, m)] = clusters[..] {
            let reach = (n + m) as f64 / 2.0 * gap;
            if lower - upper >= reach {
                break;
            }
            let (n_all, centre_upper) = (n + m, (upper * n as f64 + lower * m as f64) / (n + m) as f64);
            clusters.truncate(clusters.len() - 2);
            clusters.push((centre_upper, n_all));
        }
    }
    let mut places = vec![0.0; wanted.len()];
    let mut members = order.iter();
    let mut floor = low;
    for (centre, n) in clusters {
        let first = centre - (n - 1) as f64 / 2.0 * gap;
        for (k, &i) in members.by_ref().take(n).enumerate() {
            let place = (first + k as f64 * gap).max(floor);
            places[i] = place;
            floor = place + gap;
        }
    }
    let mut ceiling = high;
    for &i in order.iter().rev() {
        places[i] = places[i].min(ceiling);
        ceiling = places[i] - gap;
    }
    places
}

/// Which of the labels along an axis have room: the first and the last always, the others at a regular stride.
/// `at` are the centres in ascending order, `widths` the widths in the same unit.
pub(crate) fn thin(at: &[f64], widths: &[f64]) -> Vec<bool> {
    let n = at.len().min(widths.len());
    if n < 3 {
        return vec![true; n];
    }
    let clear = |a: usize, b: usize| at[b] - at[a] >= (widths[a] + widths[b]) / 2.0;
    for stride in [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128] {
        let kept: Vec<usize> =
            (1..n - 1).filter(|i| (i - 1) % stride == 0).filter(|&i| clear(0, i)).collect();
        if kept.windows(2).all(|w| clear(w[0], w[1])) {
            let mut show = vec![false; n];
            (show[0], show[n - 1]) = (true, true);
            kept.into_iter().filter(|&i| clear(i, n - 1)).for_each(|i| show[i] = true);
            return show;
        }
    }
    (0..n).map(|i| i == 0 || i == n - 1).collect()
}

/// Estimated width of text in the page's sans-serif at a font size.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    text.chars().map(|c| if c.is_ascii() { 0.56 } else { 0.75 }).sum::<f64>() * size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_labels_keep_their_distance_and_order() {
        let got = spread(&[50.0, 51.0, 52.0, 200.0], 14.0, 0.0, 300.0);
        assert_eq!(got, [37.0, 51.0, 65.0, 200.0]);
        let tight = spread(&[299.0, 300.0, 1.0, 0.0], 14.0, 0.0, 300.0);
        assert_eq!(tight, [286.0, 300.0, 14.0, 0.0]);
        let mut chain = spread(&[10.0, 10.0, 30.0, 38.0, 60.0], 15.0, 0.0, 300.0);
        chain.sort_by(f64::total_cmp);
        assert!(chain.windows(2).all(|w| w[1] - w[0] >= 15.0 - 1e-9), "{chain:?}");
    }

    #[test]
    fn thinned_labels_never_touch_and_ends_stay() {
        let at: Vec<f64> = (0..49).map(|i| f64::from(i) * 13.0).collect();
        let widths = vec![24.0; 49];
        let show = thin(&at, &widths);
        assert!(show[0] && show[48]);
        let shown: Vec<f64> = at.iter().zip(&show).filter(|(_, s)| **s).map(|(a, _)| *a).collect();
        assert!(shown.windows(2).all(|w| w[1] - w[0] >= 24.0));
        assert!(shown.len() > 15);
    }
}
