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
        let failed: Vec<_> = report.tensors.iter().filter(|t| !t.passed).collect();
        assert!(report.passed, "{}: {failed:#?}", report.case);
        // Nothing is left out but the list of genes that the readouts are asked for.
        for (name, reason) in &report.not_compared {
            assert_eq!(name, "readout.query_rows", "{reason}");
        }
        assert!(report.tensors.len() >= 43 && report.tensors.iter().all(|t| t.n_elements > 0));
    }
}
