//! Every tensor of the kits.

use super::kit::{Cells, kits, provide};
use crate::parity::run_kit;

#[test]
fn every_tensor_of_every_kit_is_within_tolerance() {
    provide();
    for kit in kits() {
        let report = run_kit(&kit, &Cells::read(&kit).as_kit()).unwrap();
        for t in &report.tensors {
            let allowed = t.worst.as_ref().map_or(0.0, |w| w.allowed);
            println!(
                "{} {} {:.2e} (allowed {allowed:.2e}) {}",
                report.case, t.name, t.max_abs_error, t.n_elements
            );
        }
        let failed: Vec<_> = report.tensors.iter().filter(|t| !t.passed).collect();
        assert!(report.passed, "{}: {failed:#?}", report.case);
        assert!(report.not_compared.is_empty(), "{:?}", report.not_compared);
        assert!(report.tensors.len() >= 30 && report.tensors.iter().all(|t| t.n_elements > 0));
    }
}
