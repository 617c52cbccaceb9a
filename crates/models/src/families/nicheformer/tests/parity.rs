//! Every tensor of the kits.

use super::kit::{Cells, kits};
use crate::parity::run_kit;

#[test]
fn every_tensor_of_every_kit_is_within_tolerance() {
    for kit in kits() {
        let report = run_kit(&kit, &Cells::read(&kit).as_kit()).unwrap();
        for t in &report.tensors {
            let allowed = t.worst.as_ref().map_or(0.0, |w| w.allowed);
            println!(
                "{} {} {:.2e} (allowed {allowed:.2e}) {}",
                report.case, t.name, t.max_abs_error, t.n_elements
            );
        }
        assert!(report.passed, "{}: {:?}", report.case, report.tensors.iter().find(|t| !t.passed));
        assert_eq!(report.not_compared, [], "nothing is left out");
        assert!(report.tensors.len() >= 23 && report.tensors.iter().all(|t| t.n_elements > 0));
        let open_sites = ["resid_pre", "attn.scores", "attn.z"];
        assert!(report.without_expectation.iter().all(|s| open_sites.iter().any(|o| s.ends_with(o))));
    }
}
