//! `metrics`.

use microtome::MetricEntry;
use microtome_core::Result;

use crate::args;
use crate::print;

pub(super) fn metrics(a: &args::Metrics) -> Result<u8> {
    let found = microtome::catalogue(a.id.as_deref())?;
    if a.json {
        print::json(&found)?;
        return Ok(0);
    }
    for task in &found.tasks {
        print::line(format!("task {}: {}", task.id, task.words));
        print::line(format!("  compared with at least {}", task.baselines.join(", ")));
        task.metrics.iter().for_each(entry);
        print::line("");
    }
    if !found.metrics.is_empty() {
        print::line("metrics of the library");
        found.metrics.iter().for_each(entry);
        print::line("");
    }
    if !found.controls.is_empty() {
        print::line("baselines and controls");
        for c in &found.controls {
            print::line(format!("  {} ({}): {}", c.id, c.role, c.words));
        }
    }
    Ok(0)
}

fn entry(m: &MetricEntry) {
    let end = |v: Option<f64>| v.map_or_else(|| "inf".into(), |v| v.to_string());
    let range = m.range.map_or_else(String::new, |[low, high]| format!(", {} to {}", end(low), end(high)));
    print::line(format!("  {} ({} is better{range})", m.id, m.better));
    print::line(format!("      {}", m.words));
    if !m.citation.is_empty() {
        print::line(format!("      {}", m.citation));
    }
    if !m.deviations.is_empty() {
        print::line(format!("      differs: {}", m.deviations));
    }
}
