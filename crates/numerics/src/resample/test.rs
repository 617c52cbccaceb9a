//! Resampling tests and correction for many of them.

use super::Rng;
use microtome_core::{Error, Result};

/// One-sided permutation p, `(1 + #{null >= observed}) / (1 + #null)`; never 0. Errors on NaN.
pub fn permutation_p(observed: f64, null: &[f64]) -> Result<f64> {
    if observed.is_nan() || null.iter().any(|v| v.is_nan()) {
        return Err(Error::mismatch("cannot rank NaN against a null distribution")
            .expected("numbers")
            .found("NaN"));
    }
    let at_least = null.iter().filter(|&&v| v >= observed).count();
    Ok((1 + at_least) as f64 / (1 + null.len()) as f64)
}

/// Two-sided sign-flip test that the mean of paired differences is 0: exact over all `2^n` sign patterns up to 16
/// units, otherwise `n_random` random patterns. `None` without units or when all differences are 0.
pub fn sign_flip(differences: &[f64], n_random: usize, rng: &mut Rng) -> Result<Option<f64>> {
    if differences.iter().any(|v| !v.is_finite()) {
        return Err(Error::mismatch("paired differences must be finite")
            .expected("numbers")
            .found("NaN or infinity"));
    }
    let scale = differences.iter().fold(0.0f64, |a, v| a.max(v.abs()));
    if scale == 0.0 {
        return Ok(None);
    }
    // A pattern equal to the observed one must count in spite of the order of summation.
    let observed = differences.iter().sum::<f64>().abs() - 1e-12 * scale * differences.len() as f64;
    let n = differences.len();
    let reaches = |sign: &dyn Fn(usize) -> bool| {
        let sum: f64 = differences.iter().enumerate().map(|(i, d)| if sign(i) { *d } else { -d }).sum();
        sum.abs() >= observed
    };
    Ok(Some(if n <= 16 {
        let hits = (0..1u32 << n).filter(|pattern| reaches(&|i| pattern >> i & 1 == 1)).count();
        hits as f64 / f64::from(1u32 << n)
    } else {
        let hits = (0..n_random)
            .filter(|_| {
                let signs: Vec<bool> = (0..n).map(|_| rng.next_u64() >> 63 == 1).collect();
                reaches(&|i| signs[i])
            })
            .count();
        (1 + hits) as f64 / (1 + n_random) as f64
    }))
}

/// Holm's step-down adjusted p values, in the order given. Errors on values outside [0, 1].
pub fn holm(p: &[f64]) -> Result<Vec<f64>> {
    if let Some(bad) = p.iter().find(|v| !(0.0..=1.0).contains(*v)) {
        return Err(Error::mismatch("not a p value").expected("0 to 1").found(bad.to_string()));
    }
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut out = vec![0.0; p.len()];
    let mut reached: f64 = 0.0;
    for (rank, &i) in order.iter().enumerate() {
        reached = reached.max((p.len() - rank) as f64 * p[i]).min(1.0);
        out[i] = reached;
    }
    Ok(out)
}

/// P values adjusted to control the false discovery rate (Benjamini and Hochberg 1995), in the order given.
///
/// Errors when a value is not within 0..1.
pub fn benjamini_hochberg(p: &[f64]) -> Result<Vec<f64>> {
    if let Some(bad) = p.iter().find(|p| !(0.0..=1.0).contains(*p)) {
        return Err(Error::usage("p values lie between 0 and 1").found(bad.to_string()));
    }
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[b].total_cmp(&p[a]));
    let mut out = vec![1.0; p.len()];
    let mut least = 1.0f64;
    for (from_end, &i) in order.iter().enumerate() {
        least = least.min(p[i] * p.len() as f64 / (p.len() - from_end) as f64);
        out[i] = least;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values() {
        assert_eq!(permutation_p(2.0, &[1.0, 2.0, 3.0]).unwrap(), 0.75);
        assert_eq!(permutation_p(9.0, &[1.0, 2.0, 3.0]).unwrap(), 0.25);
        assert!(permutation_p(f64::NAN, &[]).is_err());
        let mut rng = Rng::new(0);
        assert_eq!(sign_flip(&[1.0, 2.0, 3.0], 0, &mut rng).unwrap(), Some(0.25));
        assert_eq!(sign_flip(&[0.0, 0.0], 0, &mut rng).unwrap(), None);
        assert_eq!(sign_flip(&[], 0, &mut rng).unwrap(), None);
        let many = [0.1; 20];
        assert!(sign_flip(&many, 999, &mut rng).unwrap().unwrap() < 0.01);
        // statsmodels multipletests(method="holm")
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]).unwrap();
        for (a, e) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((a - e).abs() < 1e-15);
        }
        assert!(holm(&[1.5]).is_err());
        // R p.adjust(method = "BH")
        let adjusted = benjamini_hochberg(&[0.01, 0.04, 0.03, 0.005]).unwrap();
        for (a, e) in adjusted.iter().zip([0.02, 0.04, 0.04, 0.02]) {
            assert!((a - e).abs() < 1e-15);
        }
        assert!(benjamini_hochberg(&[f64::NAN]).is_err());
    }
}
