//! Differential expression against pydeseq2 (`golden/numerics/make_pseudobulk.py`).

use crate::support::{json, numbers};
use microtome_core::Matrix;
use microtome_numerics::negative_binomial::fit_pseudobulk;

fn relative(found: f64, want: f64) -> f64 {
    (found - want).abs() / want.abs().max(1e-12)
}

#[test]
fn dispersions_and_changes_match_pydeseq2() {
    let golden = json("pseudobulk.json");
    let genes = golden["genes"].as_u64().unwrap() as usize;
    let data: Vec<f32> = numbers(&golden["counts"]).iter().map(|&v| v as f32).collect();
    let counts = Matrix::new(data.len() / genes, genes, data).unwrap();
    let groups: Vec<u32> = numbers(&golden["groups"]).iter().map(|&v| v as u32).collect();
    let fit = fit_pseudobulk(&counts, &groups, 3).unwrap();
    for (a, b) in fit.size_factors.iter().zip(numbers(&golden["size_factors"])) {
        assert!(relative(*a, b) < 1e-10, "{a} {b}");
    }
    assert!(fit.parametric_trend);
    let mut worst = [0.0f64; 3];
    for (which, (name, found)) in [
        ("genewise_dispersions", &fit.genewise),
        ("fitted_dispersions", &fit.trend),
        ("dispersions", &fit.dispersions),
    ]
    .into_iter()
    .enumerate()
    {
        for (g, (a, b)) in found.iter().zip(golden[name].as_array().unwrap()).enumerate() {
            let Some(b) = b.as_f64() else {
                assert!(a.is_nan(), "{name} of {g}");
                continue;
            };
            // On the flat side near the lower bound any small dispersion is as likely as another.
            if b > 1e-4 || *a > 1e-4 {
                worst[which] = worst[which].max(relative(*a, b));
            }
        }
    }
    println!(
        "worst relative difference: gene by gene {:.1e}, trend {:.1e}, used {:.1e}",
        worst[0], worst[1], worst[2]
    );
    assert!(worst[0] < 2e-3 && worst[1] < 2e-3 && worst[2] < 2e-3, "{worst:?}");
    for (name, a, b) in [("b_a", 1, 0), ("c_b", 2, 1)] {
        let want = |key: &str| golden[name][key].as_array().unwrap().clone();
        let keys = ["log2FoldChange", "lfcSE", "stat", "pvalue", "padj"].map(want);
        for (g, change) in fit.contrast(a, b).unwrap().iter().enumerate() {
            if keys[0][g].is_null() {
                assert!(change.is_none());
                continue;
            }
            let c = change.unwrap();
            let values = [c.log2_fold, c.se, c.z, c.p, c.q];
            for (k, found) in values.iter().enumerate() {
                let want = keys[k][g].as_f64().unwrap();
                assert!(
                    (found - want).abs() < 2e-3 * (1.0 + want.abs()),
                    "{name} gene {g} value {k}: {found} {want}"
                );
            }
        }
    }
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let counts = Matrix::new(3, 2, vec![5.0, 1.0, 7.0, 2.0, 3.0, 9.0]).unwrap();
    assert!(fit_pseudobulk(&counts, &[0, 1, 2], 3).unwrap_err().to_string().contains("replicates"));
    assert!(fit_pseudobulk(&counts, &[0, 0, 2], 3).is_err());
    assert!(fit_pseudobulk(&counts, &[0, 0, 7], 2).is_err());
    let fraction = Matrix::new(3, 1, vec![0.5, 1.0, 2.0]).unwrap();
    assert!(fit_pseudobulk(&fraction, &[0, 0, 1], 2).unwrap_err().to_string().contains("raw counts"));
    let empty = Matrix::new(3, 1, vec![0.0, 1.0, 2.0]).unwrap();
    assert!(fit_pseudobulk(&empty, &[0, 0, 1], 2).is_err());
    assert!(fit_pseudobulk(&counts, &[0, 0, 1], 2).unwrap().contrast(0, 2).is_err());
}
