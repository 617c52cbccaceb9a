//! Every tensor of the kit.

use super::kit::{Cells, dir, open, run};
use crate::parity::run_kit;

#[test]
fn every_tensor_is_within_tolerance() {
    let report = run_kit(&dir(), &Cells::read().as_kit()).unwrap();
    for t in &report.tensors {
        let allowed = t.worst.as_ref().map_or(0.0, |w| w.allowed);
        println!("{} {:.2e} (allowed {allowed:.2e}) {}", t.name, t.max_abs_error, t.n_elements);
    }
    assert!(report.passed, "{:?}", report.tensors.iter().find(|t| !t.passed));
    assert_eq!(report.not_compared, [], "nothing is left out");
    assert!(report.tensors.len() >= 28 && report.tensors.iter().all(|t| t.n_elements > 0));
    let open_sites = ["resid_pre", "attn.z"];
    assert!(report.without_expectation.iter().all(|s| open_sites.iter().any(|o| s.ends_with(o))));
    assert!(run(&open()).passed);
}
