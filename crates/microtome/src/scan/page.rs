//! From results to the page: tables, maps, warnings. No number is made here.

use microtome_core::{Column, RunCard};
use microtome_eval::{Groups, TaskOutcome};
use microtome_report::{Colour, Page, Scatter, TableBlock};

use super::map::Map;
use super::subject::Subject;
use super::{ScanOptions, Time};
use crate::card;
use crate::data::Data;

/// Everything that goes on the page.
pub(super) struct Parts<'a> {
    pub(super) options: &'a ScanOptions,
    pub(super) data: &'a Data,
    pub(super) subjects: &'a [Subject],
    pub(super) outcome: &'a TaskOutcome,
    pub(super) map: Option<&'a Map>,
    pub(super) label: Option<(String, Column)>,
    pub(super) time: &'a Time,
    pub(super) card: RunCard,
    pub(super) seconds: f64,
}

pub(super) fn build(parts: Parts<'_>) -> Page {
    let mut warnings = parts.data.notes.clone();
    warnings.extend(parts.outcome.notes.iter().cloned());
    for subject in parts.subjects {
        warnings.extend(subject_warnings(subject));
    }
    let names: Vec<&str> = parts.subjects.iter().map(Subject::name).collect();
    Page {
        title: format!(
            "{}: which depth of {} orders cells by {}?",
            parts.data.name(),
            names.join(", "),
            parts.time.name
        ),
        command: card::shell(&parts.options.command),
        summaries: parts.outcome.summaries.clone(),
        records: parts.outcome.records.clone(),
        tables: tables(&parts),
        scatters: parts.map.map(|m| scatters(m, &parts)).unwrap_or_default(),
        warnings,
        run_card: parts.card,
        ..Page::default()
    }
}

fn subject_warnings(subject: &Subject) -> Vec<String> {
    let (name, cells) = (subject.name(), subject.cells());
    let mut out = Vec::new();
    let licence = &subject.opened().model.family().licence;
    if licence.non_commercial {
        out.push(format!(
            "{name}: the licence does not allow commercial use (code {}, weights {})",
            licence.code, licence.weights
        ));
    }
    if cells.n_empty > 0 {
        out.push(format!("{name}: {} cells express no gene of the vocabulary", cells.n_empty));
    }
    out
}

fn scatters(map: &Map, parts: &Parts<'_>) -> Vec<Scatter> {
    let axis = |i: usize| (0..map.xy.rows()).map(|r| map.xy.row(r)[i]).collect::<Vec<f32>>();
    let draw = |colour: Colour, by: &str| Scatter {
        title: format!("{} of {}, coloured by {by}", map.site, map.model),
        note: "UMAP, 15 nearest neighbours. Distances between far groups and sizes of groups mean nothing."
            .into(),
        x: axis(0),
        y: axis(1),
        colour,
    };
    let time = Colour::Continuous { name: parts.time.name.clone(), values: parts.time.values.clone() };
    let mut out = vec![draw(time, &parts.time.name)];
    let pseudotime = parts
        .outcome
        .pseudotimes
        .iter()
        .find(|p| p.model == map.model && p.site.as_deref() == Some(&map.site));
    if let Some(p) = pseudotime {
        let colour = Colour::Continuous { name: "diffusion pseudotime".into(), values: p.values.clone() };
        out.push(draw(colour, "diffusion pseudotime"));
    }
    if let Some((name, column)) = &parts.label {
        let groups = Groups::from_column(name.clone(), column);
        let codes = groups.codes.iter().map(|&c| (c != Groups::MISSING).then_some(c)).collect();
        out.push(draw(Colour::Categories { name: name.clone(), names: groups.names, codes }, name));
    }
    out
}

fn tables(parts: &Parts<'_>) -> Vec<TableBlock> {
    let mut out = vec![genes(parts), cells(parts), files_read(parts)];
    out.extend(parts.subjects.iter().map(audit));
    if !parts.outcome.unit_scores.is_empty() {
        out.push(units(parts.outcome));
    }
    out
}

fn table(title: &str, note: &str, header: &[&str], rows: Vec<Vec<String>>) -> TableBlock {
    TableBlock {
        title: title.into(),
        note: note.into(),
        header: header.iter().map(ToString::to_string).collect(),
        rows,
    }
}

fn genes(parts: &Parts<'_>) -> TableBlock {
    let rows = parts
        .subjects
        .iter()
        .map(|s| {
            let o = s.overlap();
            vec![
                s.name().into(),
                o.source.clone(),
                o.n_genes.to_string(),
                o.n_matched.to_string(),
                format!("{:.1} %", 100.0 * o.n_matched as f64 / o.n_genes.max(1) as f64),
                format!("{:.1} %", 100.0 * s.cells().matched_counts),
                o.n_vocabulary.to_string(),
                o.n_renamed.to_string(),
                format!("{} ({})", o.n_duplicates, o.duplicate_rule),
                o.examples_missing.join(", "),
            ]
        })
        .collect();
    table(
        "Gene overlap",
        "Genes of the data that the model knows. What it does not know it cannot see.",
        &[
            "model",
            "names from",
            "genes",
            "known",
            "of genes",
            "of counts",
            "vocabulary",
            "renamed",
            "duplicates",
            "unknown, for example",
        ],
        rows,
    )
}

fn cells(parts: &Parts<'_>) -> TableBlock {
    let rows = parts
        .subjects
        .iter()
        .map(|s| {
            let c = s.cells();
            vec![
                s.name().into(),
                c.n_cells.to_string(),
                format!("{:.0}", c.mean_tokens),
                c.max_tokens.to_string(),
                c.n_cut_cells.to_string(),
                c.n_tied_cells.to_string(),
                c.n_empty.to_string(),
                format!("{:.1}", c.forward_seconds),
            ]
        })
        .collect();
    table(
        "Cells through the model",
        &format!(
            "The whole run took {:.0} s. Ties are broken by the order of genes in the file.",
            parts.seconds
        ),
        &[
            "model",
            "cells",
            "tokens, mean",
            "tokens, most",
            "cells cut to length",
            "cells with ties",
            "empty cells",
            "seconds in the model",
        ],
        rows,
    )
}

fn files_read(parts: &Parts<'_>) -> TableBlock {
    let rows = parts
        .card
        .inputs
        .iter()
        .map(|f| vec![f.role.clone(), f.path.clone(), f.bytes.to_string(), f.sha256.clone()])
        .collect();
    table("Files", "", &["role", "file", "bytes", "SHA-256"], rows)
}

fn audit(subject: &Subject) -> TableBlock {
    let audit = subject.opened().model.audit();
    let mut rows = Vec::new();
    for t in &audit.used {
        rows.push(vec![
            t.name.clone(),
            "used".into(),
            format!("{:?}", t.shape),
            t.dtype.clone(),
            String::new(),
        ]);
    }
    for t in &audit.ignored {
        rows.push(vec![t.name.clone(), "ignored".into(), String::new(), String::new(), t.reason.clone()]);
    }
    for (names, what) in [(&audit.missing, "missing"), (&audit.unexpected, "unexpected")] {
        for name in names {
            rows.push(vec![name.clone(), what.into(), String::new(), String::new(), String::new()]);
        }
    }
    let licence = &subject.opened().model.family().licence;
    table(
        &format!("Tensors of {}", subject.name()),
        &format!(
            "{} used, {} ignored with a reason, {} missing, {} unexpected. Licence of the code: {}; of the weights: {}.",
            audit.used.len(),
            audit.ignored.len(),
            audit.missing.len(),
            audit.unexpected.len(),
            licence.code,
            licence.weights
        ),
        &["tensor", "fate", "shape", "type", "reason"],
        rows,
    )
}

fn units(outcome: &TaskOutcome) -> TableBlock {
    let rows = outcome
        .unit_scores
        .iter()
        .map(|u| {
            vec![
                u.model.clone(),
                u.site.clone().unwrap_or_default(),
                u.unit.clone(),
                u.n_cells.to_string(),
                u.metric.clone(),
                u.value.map_or_else(|| "undefined".into(), |v| format!("{v:.3}")),
            ]
        })
        .collect();
    table(
        "Scores per unit",
        "The headline score on the cells of each independent unit alone.",
        &["model", "site", "unit", "cells", "metric", "value"],
        rows,
    )
}
