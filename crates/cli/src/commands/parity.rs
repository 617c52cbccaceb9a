//! `parity`.

use microtome::{KitReport, TensorReport};
use microtome_core::{Progress, Result};

use crate::args;
use crate::print;

pub(super) fn parity(a: &args::Parity, progress: &dyn Progress) -> Result<u8> {
    let mut reports = Vec::new();
    for kit in &a.kits {
        progress.check()?;
        let report = microtome::parity(kit, super::precision(a.precision))?;
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
    print::table(
        &["  tensor", "elements", "max abs error", "allowed there", "of allowed", "worst element", ""],
        &rows,
    );
    for (name, reason) in &report.not_compared {
        print::line(format!("  {name}: not compared: {reason}"));
    }
    if !report.without_expectation.is_empty() {
        print::line(format!(
            "  sites without an expectation in the kit: {}",
            report.without_expectation.join(", ")
        ));
    }
    let failed: Vec<&TensorReport> = report.tensors.iter().filter(|t| !t.passed).collect();
    if let Some(farthest) = failed.iter().max_by(|a, b| a.times_allowed.total_cmp(&b.times_allowed)) {
        print::line(format!(
            "  {} of {} tensors are out of tolerance, the farthest {} at {} what is allowed",
            failed.len(),
            report.tensors.len(),
            farthest.name,
            times(farthest)
        ));
    }
    match &report.first_divergence {
        Some(name) => print::line(format!("  DIVERGES first at {name}")),
        None => print::line(format!("  all {} tensors hold", report.tensors.len())),
    }
}

/// How many times the tolerance the worst element is off.
fn times(t: &TensorReport) -> String {
    match t.times_allowed {
        x if !x.is_finite() => "-".into(),
        x if x < 10.0 => format!("{x:.2}x"),
        x => format!("{x:.0}x"),
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
        times(t),
        at,
        if t.passed { "ok".into() } else { "FAIL".into() },
    ]
}
