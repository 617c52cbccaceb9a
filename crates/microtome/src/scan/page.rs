//! From results to the page: answers, maps, tables, warnings. No number is made here.

use microtome_core::{Column, RunCard};
use microtome_eval::{Groups, Representation, TaskOutcome};
use microtome_report::{Colour, Page, Question, Scatter, TableBlock};

use super::ScanOptions;
use super::map::Map;
use super::parts::Done;
use super::subject::Subject;
use super::tables::tables;
use crate::card;
use crate::data::Data;
use crate::drift;

/// Everything that goes on the page.
pub(super) struct Contents<'a> {
    pub(super) options: &'a ScanOptions,
    pub(super) data: &'a Data,
    pub(super) subjects: &'a [Subject],
    /// Embeddings that others made.
    pub(super) imported: &'a [Representation],
    pub(super) done: &'a [Done],
    /// The `--label` column, every row of the file.
    pub(super) label: Option<&'a Column>,
    pub(super) card: RunCard,
    pub(super) seconds: f64,
}

pub(super) fn build(contents: Contents<'_>) -> Page {
    let mut warnings = contents.data.notes.clone();
    for subject in contents.subjects {
        warnings.extend(subject_warnings(subject));
    }
    let imported = contents.imported.iter().map(|r| r.model.as_str());
    let names: Vec<&str> = contents.subjects.iter().map(Subject::name).chain(imported).collect();
    let asked: Vec<String> = contents.done.iter().map(|d| d.part.ready.question()).collect();
    let questions = contents.done.iter().zip(&asked).map(|(d, words)| Question {
        task: d.part.adapter.task.id.into(),
        words: format!("{}: which depth {words}?", d.part.adapter.task.id),
    });
    let mut page = Page {
        title: format!(
            "{}: which depth of {} {}?",
            contents.data.name(),
            names.join(", "),
            asked.join("; which ")
        ),
        command: card::shell(&contents.options.command),
        questions: questions.collect(),
        tables: tables(&contents),
        ..Page::default()
    };
    for done in contents.done {
        let outcome = &done.outcome;
        page.summaries.extend(outcome.summaries.iter().cloned());
        page.records.extend(outcome.records.iter().cloned());
        page.scatters.extend(done.map.as_ref().map(|m| scatters(m, done, &contents)).unwrap_or_default());
        page.tables.extend(task_tables(done));
        // A note that is a warning of a summary is shown with its task.
        let told = |note: &&String| !outcome.summaries.iter().any(|s| s.warnings.contains(note));
        warnings.extend(outcome.notes.iter().filter(told).map(|note| {
            if contents.done.len() > 1 {
                format!("{}: {note}", done.part.adapter.task.id)
            } else {
                note.clone()
            }
        }));
    }
    page.warnings = warnings;
    page.run_card = contents.card;
    page
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
    out.extend(drift::sentence(subject.opened().precision, &cells.drift).map(|s| format!("{name}: {s}")));
    if cells.n_empty > 0 {
        out.push(format!("{name}: {} cells express no gene of the vocabulary", cells.n_empty));
    }
    out
}

/// The map of a task, coloured by the truth, by what the task found at this depth, and by the label.
fn scatters(map: &Map, done: &Done, contents: &Contents<'_>) -> Vec<Scatter> {
    let axis = |i: usize| (0..map.xy.rows()).map(|r| map.xy.row(r)[i]).collect::<Vec<f32>>();
    let mut colours = done.part.ready.colours(&done.part.rows);
    let found =
        done.outcome.columns.iter().filter(|c| c.model == map.model && c.site.as_deref() == Some(&map.site));
    let truth = colours.first().cloned();
    colours.extend(found.map(|c| alike(colour(c.words, &c.values), truth.as_ref())));
    if let (Some(name), Some(column)) = (&contents.options.task.label, contents.label)
        && !colours.iter().any(|c| name_of(c) == name)
    {
        let column = column.select(&done.part.rows);
        colours.push(categories(name, &column));
    }
    let draw = |colour: Colour| Scatter {
        task: done.part.adapter.task.id.into(),
        title: format!("{} of {}, coloured by {}", map.site, map.model, name_of(&colour)),
        note: "UMAP, 15 nearest neighbours. Distances between far groups and sizes of groups mean nothing."
            .into(),
        x: axis(0),
        y: axis(1),
        colour,
    };
    colours.into_iter().map(draw).collect()
}

/// The same colours with the categories of another, where all of theirs are among them: predicted labels as true ones.
fn alike(colour: Colour, other: Option<&Colour>) -> Colour {
    let (Colour::Categories { name, names, codes }, Some(Colour::Categories { names: all, .. })) =
        (&colour, other)
    else {
        return colour;
    };
    let place: Option<Vec<u32>> =
        names.iter().map(|n| all.iter().position(|a| a == n).map(|p| p as u32)).collect();
    match place {
        None => colour,
        Some(place) => Colour::Categories {
            name: name.clone(),
            names: all.clone(),
            codes: codes.iter().map(|c| c.and_then(|c| place.get(c as usize).copied())).collect(),
        },
    }
}

fn name_of(colour: &Colour) -> &str {
    match colour {
        Colour::Continuous { name, .. } | Colour::Categories { name, .. } => name,
    }
}

fn colour(name: &str, column: &Column) -> Colour {
    match column {
        Column::Float(values) => Colour::Continuous { name: name.into(), values: values.clone() },
        other => categories(name, other),
    }
}

/// Groups of a column as colours.
pub(super) fn categories(name: &str, column: &Column) -> Colour {
    let groups = Groups::from_column(name, column);
    let codes = groups.codes.iter().map(|&c| (c != Groups::MISSING).then_some(c)).collect();
    Colour::Categories { name: name.into(), names: groups.names, codes }
}

fn task_tables(done: &Done) -> Vec<TableBlock> {
    let task = done.part.adapter.task.id;
    let mut out: Vec<TableBlock> = done
        .outcome
        .tables
        .iter()
        .cloned()
        .map(|t| TableBlock {
            task: task.into(),
            title: t.title,
            note: t.note,
            header: t.header,
            rows: t.rows,
        })
        .collect();
    if !done.outcome.unit_scores.is_empty() {
        out.push(units(task, &done.outcome));
    }
    out
}

fn units(task: &str, outcome: &TaskOutcome) -> TableBlock {
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
    TableBlock {
        task: task.into(),
        title: "Scores per unit".into(),
        note: "The headline score on the cells of each independent unit alone.".into(),
        header: ["model", "site", "unit", "cells", "metric", "value"].map(String::from).to_vec(),
        rows,
    }
}
