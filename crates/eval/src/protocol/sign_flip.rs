//! The exact sign-flip test on per-unit differences, for when there are too few units for an interval.

/// Two-sided p value of the mean of `differences` under random signs, over all `2^m` sign patterns. `None` with no
/// difference or with more than 20. With `m` units it cannot fall below `2 / 2^m`.
pub fn sign_flip(differences: &[f64]) -> Option<f64> {
    let m = differences.len();
    if m == 0 || m > 20 || differences.iter().any(|d| !d.is_finite()) {
        return None;
    }
    let sum: f64 = differences.iter().sum();
    let tolerance = 1e-12 * differences.iter().map(|d| d.abs()).sum::<f64>();
    let reach = (0u32..1 << m)
        .filter(|signs| {
            let flipped: f64 =
                differences.iter().enumerate().map(|(i, d)| if signs >> i & 1 == 1 { -d } else { *d }).sum();
            flipped.abs() >= sum.abs() - tolerance
        })
        .count();
    Some(reach as f64 / f64::from(1u32 << m))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_all_patterns() {
        assert_eq!(sign_flip(&[1.0, 2.0, 3.0]), Some(0.25));
        assert_eq!(sign_flip(&[1.0, -1.0]), Some(1.0));
        assert_eq!(sign_flip(&[1.0; 5]), Some(2.0 / 32.0));
        assert_eq!(sign_flip(&[]), None);
    }
}
