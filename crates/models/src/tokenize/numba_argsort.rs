//! The order in which numba's `argsort` leaves equal values, which decides token ids where scores tie.
//!
//! Described from numba 0.68.1 (`kind="quicksort"`): quicksort around the median of three, insertion sort below 16 elements.

/// Ranges shorter than this are sorted by insertion.
const SMALL: isize = 15;

/// Indices that sort `values` ascending, NaN last, with ties where numba leaves them.
pub fn numba_argsort(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    let mut ranges = vec![(0, values.len() as isize - 1)];
    while let Some((mut low, mut high)) = ranges.pop() {
        while high - low >= SMALL {
            let middle = partition(values, &mut order, low, high);
            if high - middle > middle - low {
                ranges.push((middle + 1, high));
                high = middle - 1;
            } else {
                ranges.push((low, middle - 1));
                low = middle + 1;
            }
        }
        insertion_sort(values, &mut order, low, high);
    }
    order
}

/// NaN is greater than everything, and not less than itself.
fn less(a: f64, b: f64) -> bool {
    a < b || (b.is_nan() && !a.is_nan())
}

fn partition(values: &[f64], order: &mut [usize], low: isize, high: isize) -> isize {
    let mid = (low + high) >> 1;
    let (l, m, h) = (low as usize, mid as usize, high as usize);
    for (a, b) in [(m, l), (h, m), (m, l)] {
        if less(values[order[a]], values[order[b]]) {
            order.swap(a, b);
        }
    }
    let pivot = values[order[m]];
    order.swap(m, h);
    let (mut i, mut j) = (low, high - 1);
    loop {
        while i < high && less(values[order[i as usize]], pivot) {
            i += 1;
        }
        while j >= low && less(pivot, values[order[j as usize]]) {
            j -= 1;
        }
        if i >= j {
            break;
        }
        order.swap(i as usize, j as usize);
        i += 1;
        j -= 1;
    }
    order.swap(i as usize, h);
    i
}

fn insertion_sort(values: &[f64], order: &mut [usize], low: isize, high: isize) {
    for i in low + 1..=high {
        let moved = order[i as usize];
        let mut j = i;
        while j > low && less(values[moved], values[order[j as usize - 1]]) {
            order[j as usize] = order[j as usize - 1];
            j -= 1;
        }
        order[j as usize] = moved;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stable(values: &[f64]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..values.len()).collect();
        let key = |i: usize| if values[i].is_nan() { f64::INFINITY } else { values[i] };
        order.sort_by(|&a, &b| key(a).total_cmp(&key(b)));
        order
    }

    #[test]
    fn distinct_values_come_in_their_one_order() {
        for n in [0usize, 1, 2, 15, 16, 17, 40, 1000] {
            let mut values: Vec<f64> = (0..n).map(|i| ((i * 7919) % 1009) as f64 + i as f64 * 1e-6).collect();
            if n > 4 {
                values[3] = f64::NAN;
            }
            assert_eq!(numba_argsort(&values), stable(&values), "{n}");
        }
    }

    #[test]
    fn short_ranges_keep_ties_and_long_ones_do_not() {
        assert_eq!(numba_argsort(&[1.0; 15]), (0..15).collect::<Vec<_>>());
        let n = 16;
        let order = numba_argsort(&vec![1.0; n]);
        assert_ne!(order, (0..n).collect::<Vec<_>>());
        let mut sorted = order;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..n).collect::<Vec<_>>(), "a permutation all the same");
    }

    #[test]
    fn several_nan_stay_at_the_end() {
        let values: Vec<f64> =
            (0..60).map(|i| if i % 3 == 0 { f64::NAN } else { f64::from(i % 7) }).collect();
        let order = numba_argsort(&values);
        assert!(order[..40].windows(2).all(|w| values[w[0]] <= values[w[1]]));
        assert!(order[40..].iter().all(|&i| values[i].is_nan()));
    }
}
