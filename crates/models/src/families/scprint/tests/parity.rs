//! Every tensor of the kits.

use super::kit::{Cells, altered, kits, open, run};
use crate::Model;
use crate::families::scprint::model::ScPrint;
use crate::parity::run_kit;

#[test]
fn every_tensor_of_every_kit_is_within_tolerance() {
    for kit in kits() {
        let report = run_kit(&kit, &Cells::read(&kit).as_kit()).unwrap();
        for t in &report.tensors {
            let allowed = t.worst.as_ref().map_or(0.0, |w| w.allowed);
            println!("{} {} {:.2e} (allowed {allowed:.2e}) {}", report.case, t.name, t.max_abs_error, t.n_elements);
        }
        let failed: Vec<_> = report.tensors.iter().filter(|t| !t.passed).collect();
        assert!(report.passed, "{}: {failed:#?}", report.case);
        // Nothing is left out but what says what to run, and where genes without counts were drawn, which they were.
        let read = ["pattern.cells", "masked.mask", "grn.genes", "tokens.ids"];
        for (name, reason) in &report.not_compared {
            assert!(read.contains(&name.as_str()), "{name}: {reason}");
        }
        let drawn = report.not_compared.iter().any(|(n, _)| n == "tokens.ids");
        assert_eq!(drawn, report.case == "v15_classlist_mouse", "only that kit holds genes drawn at random");
        assert!(report.tensors.len() >= 45 && report.tensors.iter().all(|t| t.n_elements > 0));
    }
}

/// The container of untrained models gives the very same model.
#[test]
fn the_other_container_changes_nothing() {
    for kit in kits() {
        let copy = altered(&kit, |_, _| {});
        let model = ScPrint::open(copy.path()).unwrap();
        assert!(run(&kit, &model).passed);
        assert_eq!(model.info().choices, open(&kit).info().choices);
    }
}
