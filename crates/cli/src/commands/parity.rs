//! `parity`.

use microtome::{KitReport, TensorReport};
use microtome_core::{Progress, Result};

use crate::args;
use crate::print;

pub(super) fn parity(a: &args::Parity, progress: &dyn Progress) -> Result<u8> {
    let mut reports = Vec::new();
    for kit in &a.kits {
        progress.check()?;
        let report = microtome::parity(kit)?;
        if !a.json {
            show(&report);
        }
        reports.push(report);
    }
    let failed = reports.iter().filter(|r| !r.passed).count();
    if a.json {
        print::json(&reports)?;
    } else {
        print::line(format!("{} of {} kits hold", reports.len() - failed, reports.len()));
    }
    Ok(u8::from(failed > 0))
}

fn show(report: &KitReport) {
    print::line(format!("{}/{}", report.family, report.case));
    let rows: Vec<Vec<String>> = report.tensors.iter().map(row).collect();
    print::table(&["  tensor", "elements", "max abs error", "allowed there", "worst element", ""], &rows);
    for (name, reason) in &report.not_compared {
        print::line(format!("  {name}: not compared: {reason}"));
    }
    if !report.without_expectation.is_empty() {
        print::line(format!(
            "  sites without an expectation in the kit: {}",
            report.without_expectation.join(", ")
        ));
    }
    match &report.first_divergence {
        Some(name) => print::line(format!("  DIVERGES first at {name}")),
        None => print::line(format!("  all {} tensors hold", report.tensors.len())),
    }
}

fn row(t: &TensorReport) -> Vec<String> {
    let (allowed, at) = match (&t.worst, &t.problem) {
        (_, Some(problem)) => (String::new(), problem.clone()),
        (Some(w), _) => (
            format!("{:.1e}", w.allowed),
            format!("{:?}: expected {}, found {}", w.index, w.expected, w.found),
        ),
        (None, None) => (String::new(), "all equal".into()),
    };
    vec![
        format!("  {}", t.name),
        t.n_elements.to_string(),
        if t.max_abs_error.is_finite() { format!("{:.1e}", t.max_abs_error) } else { "-".into() },
        allowed,
        at,
        if t.passed { "ok".into() } else { "FAIL".into() },
    ]
}
