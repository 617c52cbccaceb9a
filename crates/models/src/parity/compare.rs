//! Element-wise comparison.

use super::actual::{Array, Values};
use super::manifest::Tolerance;
use super::{TensorReport, Worst, problem};

/// Floats within `abs + rel * |expected|`, whole numbers exactly. Two NaN agree; one does not agree with anything else.
pub(super) fn compare(name: &str, expected: &Array, found: &Array, tolerance: Tolerance) -> TensorReport {
    if expected.shape != found.shape {
        return problem(name, &format!("expected shape {:?}, found {:?}", expected.shape, found.shape));
    }
    let whole = |v: &Values| matches!(v, Values::Int(_));
    if whole(&expected.values) != whole(&found.values) {
        return problem(name, "the kit and this version disagree on floats or whole numbers");
    }
    let pairs = numbers(&expected.values).zip(numbers(&found.values));
    let exact = matches!(expected.values, Values::Int(_));
    let mut max_abs_error = 0.0f64;
    let mut worst: Option<(f64, Worst)> = None;
    let mut n_elements = 0;
    for (i, (expected_value, found_value)) in pairs.enumerate() {
        n_elements = i + 1;
        let error = distance(expected_value, found_value);
        if error == 0.0 {
            continue;
        }
        max_abs_error = max_abs_error.max(error);
        let allowed = if exact { 0.0 } else { tolerance.abs + tolerance.rel * expected_value.abs() };
        // An infinite expectation allows nothing but itself, where the relative tolerance would allow anything.
        let used = if error.is_finite() { error / allowed } else { f64::INFINITY };
        if worst.as_ref().is_none_or(|(w, _)| used > *w) {
            let index = unravel(i, &expected.shape);
            let at = Worst { index, expected: expected_value, found: found_value, allowed };
            worst = Some((used, at));
        }
    }
    TensorReport {
        name: name.to_string(),
        passed: worst.as_ref().is_none_or(|(used, _)| *used <= 1.0),
        n_elements,
        max_abs_error,
        times_allowed: worst.as_ref().map_or(0.0, |(used, _)| *used),
        worst: worst.map(|(_, w)| w),
        problem: None,
    }
}

/// Token ids, lengths and indices are far below 2^53, so `f64` holds them.
fn numbers(values: &Values) -> Box<dyn Iterator<Item = f64> + '_> {
    match values {
        Values::Float(v) => Box::new(v.iter().map(|&v| f64::from(v))),
        Values::Double(v) => Box::new(v.iter().copied()),
        Values::Int(v) => Box::new(v.iter().map(|&v| v as f64)),
    }
}

fn distance(a: f64, b: f64) -> f64 {
    if a == b || (a.is_nan() && b.is_nan()) {
        return 0.0;
    }
    let d = (a - b).abs();
    if d.is_nan() { f64::INFINITY } else { d }
}

fn unravel(mut flat: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (i, &n) in index.iter_mut().zip(shape).rev() {
        *i = flat % n.max(1);
        flat /= n.max(1);
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Tolerance = Tolerance { abs: 0.1, rel: 0.01 };

    fn float(values: &[f32]) -> Array {
        Array { shape: vec![values.len() / 2, 2], values: Values::Float(values.to_vec()) }
    }

    #[test]
    fn the_worst_element_is_the_one_that_uses_most_of_its_tolerance() {
        let r = compare("x", &float(&[100.0, 0.0, 1.0, 2.0]), &float(&[100.9, 0.05, 1.0, 2.11]), TOLERANCE);
        assert!(r.passed);
        assert!((r.max_abs_error - 0.9).abs() < 1e-4);
        assert_eq!(r.worst.unwrap().index, [1, 1]);
        assert!(!compare("x", &float(&[0.0, 0.0]), &float(&[0.0, 0.11]), TOLERANCE).passed);
    }

    #[test]
    fn nan_shape_and_type_do_not_slip_through() {
        assert!(!compare("x", &float(&[0.0, 0.0]), &float(&[0.0, f32::NAN]), TOLERANCE).passed);
        assert!(!compare("x", &float(&[f32::NAN, 0.0]), &float(&[0.0, 0.0]), TOLERANCE).passed);
        assert!(compare("x", &float(&[f32::NAN, 0.0]), &float(&[f32::NAN, 0.0]), TOLERANCE).passed);
        assert!(!compare("x", &float(&[f32::INFINITY, 0.0]), &float(&[1.0, 0.0]), TOLERANCE).passed);
        // Neither do they behind an element that is merely off a little.
        for odd in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            let r = compare("x", &float(&[0.0, odd]), &float(&[0.05, 1.0]), TOLERANCE);
            assert!(!r.passed && r.worst.unwrap().index == [0, 1], "{odd}");
        }
        assert!(!compare("x", &float(&[0.0, 0.0]), &float(&[0.0, 0.0, 0.0, 0.0]), TOLERANCE).passed);
        let int = |v: Vec<i64>| Array { shape: vec![1, 2], values: Values::Int(v) };
        assert!(!compare("x", &int(vec![1, 2]), &float(&[1.0, 2.0]), TOLERANCE).passed);
        assert!(!compare("x", &int(vec![1, 200]), &int(vec![1, 201]), TOLERANCE).passed, "ids are exact");
    }
}
