//! The honest comparison: the nested score beside the fixed rules, baselines and controls it competes with.

use microtome_core::{Record, Role};

use crate::number::finite;
use crate::panel::{Panel, Series, bounds, site_words};

/// One line of the comparison.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) value: Option<f64>,
    pub(crate) interval: Option<(f64, f64)>,
    /// Why there is no value, or what to keep in mind.
    pub(crate) note: Option<String>,
    /// The headline of its group.
    pub(crate) headline: bool,
}

/// Lines that belong together.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) heading: String,
    pub(crate) role: Role,
    pub(crate) rows: Vec<Row>,
}

/// Rules for choosing a depth and the words that name them in a record.
const RULES: [(&str, &str); 8] = [
    ("nested", "Chosen depth, nested"),
    ("mean_of_blocks", "Mean of all blocks"),
    ("mean_blocks", "Mean of all blocks"),
    ("depth_60", "60% depth"),
    ("depth_0.6", "60% depth"),
    ("final", "Final block"),
    ("embed", "Embedding"),
    ("other_dataset", "Depth chosen on another data set"),
];

/// Models first, then baselines from best to worst, then controls.
pub(crate) fn comparison(panel: &Panel) -> Vec<Group> {
    let mut groups = vec![];
    let mut models: Vec<&str> = vec![];
    let named = panel.series.iter().filter(|s| s.role == Role::Model).map(|s| s.model);
    for model in named.chain(panel.rules.iter().map(|r| r.model.as_str())) {
        if !models.contains(&model) {
            models.push(model);
        }
    }
    for model in models {
        groups.push(Group { heading: model.to_string(), role: Role::Model, rows: model_rows(panel, model) });
    }
    groups.push(Group { heading: "Baselines".into(), role: Role::Baseline, rows: baseline_rows(panel) });
    groups.push(Group { heading: "Controls".into(), role: Role::Control, rows: control_rows(panel) });
    groups.retain(|g| !g.rows.is_empty());
    groups
}

fn model_rows(panel: &Panel, model: &str) -> Vec<Row> {
    let mut rows = vec![];
    let summary = panel.summaries.iter().find(|s| s.model == model);
    let nested = summary.and_then(|s| s.nested_score.as_ref());
    if let Some(e) = nested {
        rows.push(Row {
            label: RULES[0].1.into(),
            value: finite(Some(e.value)),
            interval: finite(e.low).zip(finite(e.high)),
            note: None,
            headline: true,
        });
    }
    let mut named: Vec<&str> = vec![];
    let own: Vec<&Record> =
        panel.rules.iter().copied().filter(|r| r.model == model && !r.split.starts_with("unit:")).collect();
    // What is scored on outer folds competes with the nested choice; the same on all cells does not.
    let on_folds = |r: &Record| {
        let same = |o: &&&Record| o.split == "outer" && (&o.site, &o.pooling) == (&r.site, &r.pooling);
        own.iter().find(same).is_some()
    };
    let pooling = own.iter().find(|r| r.depth.is_some()).and_then(|r| r.pooling.as_deref());
    for r in own.iter().copied().filter(|r| r.split != "all" || !on_folds(r)) {
        match rule(r) {
            Some("nested") if nested.is_some() => {}
            Some(id) => {
                let label = RULES.iter().find(|(i, _)| *i == id).map_or(id, |(_, label)| label);
                if !named.contains(&label) {
                    named.push(label);
                    rows.push(of_record(label.to_string(), r, id == "nested"));
                }
            }
            None => {
                let split = Some(r.split.clone()).filter(|s| s != "all" && s != "outer");
                // A pooling that is named by the site, or is that of all depths, need not be said.
                let usual = |p: &String| Some(p.as_str()) == pooling || p == "published";
                let words =
                    [r.site.as_deref().map(site_words), r.pooling.clone().filter(|p| !usual(p)), split];
                rows.push(of_record(words.into_iter().flatten().collect::<Vec<_>>().join(", "), r, false));
            }
        }
    }
    let several = panel.series.iter().filter(|s| s.model == model && s.role == Role::Model).count() > 1;
    for series in panel.series.iter().filter(|s| s.model == model && s.role == Role::Model) {
        for (depth, label) in [(1.0, "Final block"), (0.6, "60% depth"), (0.0, "Embedding")] {
            if named.contains(&label) {
                continue;
            }
            if let Some(record) = nearest(series, depth) {
                // On outer folds like its rivals, where it was scored on them.
                let on_outer = own
                    .iter()
                    .copied()
                    .find(|o| o.split == "outer" && (&o.site, &o.pooling) == (&record.site, &record.pooling));
                let record = on_outer.unwrap_or(record);
                let place = record.site.as_deref().map(site_words).unwrap_or_default();
                let pooling = record.pooling.as_deref().filter(|_| several);
                let label = match pooling {
                    Some(pooling) => format!("{label} ({place}, {pooling})"),
                    None if depth > 0.0 => format!("{label} ({place})"),
                    None => label.to_string(),
                };
                rows.push(of_record(label, record, false));
            }
        }
    }
    rows
}

/// The stream's point closest to a depth; the ends only when they are really there.
fn nearest<'a>(series: &Series<'a>, depth: f64) -> Option<&'a Record> {
    let point =
        series.points.iter().min_by(|a, b| (a.depth - depth).abs().total_cmp(&(b.depth - depth).abs()))?;
    let inner = depth > 0.0 && depth < 1.0;
    (inner || (point.depth - depth).abs() < 1e-9).then_some(point.record)
}

fn baseline_rows(panel: &Panel) -> Vec<Row> {
    let best: Vec<&str> = panel
        .summaries
        .iter()
        .filter_map(|s| s.gain_over_best_baseline.as_ref())
        .map(|g| g.against.as_str())
        .collect();
    let mut levels: Vec<_> = panel.levels.iter().filter(|l| l.role == Role::Baseline).collect();
    levels.sort_by(|a, b| {
        let order = b.value.total_cmp(&a.value);
        if panel.higher_is_better { order } else { order.reverse() }
    });
    levels.into_iter().map(|l| of_record(l.name.clone(), l.record, best.contains(&l.name.as_str()))).collect()
}

/// A control with blocks is shown at the depth that was chosen for the first model, else at its last block.
fn control_rows(panel: &Panel) -> Vec<Row> {
    let chosen = panel.summaries.iter().find_map(|s| s.chosen_site.as_deref());
    let mut rows = vec![];
    for s in panel.series.iter().filter(|s| s.role == Role::Control) {
        let point = chosen.and_then(|site| s.at_site(site)).or(s.points.last()).or(s.extra.last());
        if let Some(p) = point {
            let place = p.record.site.as_deref().map(site_words).unwrap_or_default();
            rows.push(of_record(format!("{} ({place})", s.name), p.record, false));
        }
    }
    let levels = panel.levels.iter().filter(|l| l.role == Role::Control);
    rows.extend(levels.map(|l| of_record(l.name.clone(), l.record, false)));
    rows
}

fn of_record(label: String, r: &Record, headline: bool) -> Row {
    Row { label, value: finite(r.value), interval: bounds(r), note: r.reason.clone(), headline }
}

fn rule(r: &Record) -> Option<&'static str> {
    let places =
        [r.site.as_deref(), r.pooling.as_deref(), Some(r.transform.as_str()), Some(r.split.as_str())];
    places
        .into_iter()
        .flatten()
        .find_map(|word| RULES.iter().map(|(id, _)| *id).find(|id| *id == word))
        .or_else(|| {
            // A site scored on outer folds is a fixed rule as well when it is one of the ends.
            let depth = finite(r.depth)?;
            [(1.0, "final"), (0.0, "embed")].into_iter().find(|(d, _)| *d == depth).map(|(_, id)| id)
        })
}
