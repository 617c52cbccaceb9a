//! Every tensor of the kits.

use super::kit::{Cells, KITS, checkpoint, dir, open, run};
use crate::parity::run_kit;

#[test]
fn every_tensor_of_both_kits_is_within_tolerance() {
    for kit in KITS {
        let report = run_kit(&dir(kit), &Cells::read(kit).as_kit()).unwrap();
        for t in &report.tensors {
            let allowed = t.worst.as_ref().map_or(0.0, |w| w.allowed);
            println!("{kit} {} {:.2e} (allowed {allowed:.2e}) {}", t.name, t.max_abs_error, t.n_elements);
        }
        assert!(report.passed, "{kit}: {:?}", report.tensors.iter().find(|t| !t.passed));
        assert_eq!(report.first_divergence, None);
        // Nothing is left out but the tensor that says which cell to run.
        assert_eq!(report.not_compared.len(), 1, "{:?}", report.not_compared);
        assert!(report.tensors.len() > 60, "{}", report.tensors.len());
        assert!(report.tensors.iter().all(|t| t.n_elements > 0));
        let open_sites = ["resid_pre", "attn.scores", "attn.z"];
        assert!(
            report.without_expectation.iter().all(|s| open_sites.iter().any(|o| s.ends_with(o))),
            "{:?}",
            report.without_expectation
        );
    }
}

#[test]
fn an_unknown_tensor_fails_the_kit() {
    let kit = KITS[1];
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(dir(kit).join("MANIFEST.json"), copy.path().join("MANIFEST.json")).unwrap();
    let list = [("embed.other".to_string(), vec![1], microtome_weights::TensorData::F32(&[0.0]))];
    microtome_weights::write_safetensors(&copy.path().join("expected.safetensors"), &list, &[]).unwrap();
    let cells = Cells::read(kit);
    let report = crate::parity::run_kit_with(copy.path(), &open(kit), &cells.as_kit()).unwrap();
    assert!(!report.passed);
    assert_eq!(report.first_divergence.as_deref(), Some("embed.other"));
}

#[test]
fn the_wrong_model_diverges_at_its_tokens() {
    let cells = Cells::read(KITS[0]);
    let other = crate::open(&checkpoint(KITS[1])).unwrap();
    // Either the genes do not overlap at all, or the tokens differ; never a pass.
    match crate::parity::run_kit_with(&dir(KITS[0]), other.as_ref(), &cells.as_kit()) {
        Ok(report) => assert_eq!(report.first_divergence.as_deref(), Some("tokens.ids")),
        Err(e) => assert!(e.to_string().contains("too few genes"), "{e}"),
    }
    assert!(run(KITS[0], &open(KITS[0])).passed);
}
