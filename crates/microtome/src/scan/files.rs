//! The files of a result folder. `summary.json` comes last: its presence says that the run is finished.

use std::path::Path;

use microtome_core::{Column, Error, Matrix, Progress, Result};
use microtome_eval::Representation;
use microtome_h5ad::{ColumnKind, Writer};
use microtome_report::Page;

use super::FINISHED;
use super::parts::{Done, answered};
use crate::data::Data;
use crate::embed::obsm_key;
use crate::output::write_atomic;

/// File that holds the page's contents, from which `report` draws it again.
pub(crate) const PAGE: &str = "page.json";

pub(super) fn write(
    out: &Path,
    page: &Page,
    data: &Data,
    done: &[Done],
    models: &[Representation],
    progress: &dyn Progress,
) -> Result<()> {
    progress.begin("writing the result", 1, "folder");
    let json = |e: serde_json::Error| Error::output("cannot write JSON").in_file(out).caused_by(e);
    let mut lines = Vec::new();
    for record in &page.records {
        serde_json::to_writer(&mut lines, record).map_err(json)?;
        lines.push(b'\n');
    }
    write_atomic(&out.join("records.jsonl"), &lines)?;
    write_atomic(&out.join("records.csv"), microtome_report::csv(&page.records).as_bytes())?;
    write_atomic(&out.join("run_card.json"), &serde_json::to_vec_pretty(&page.run_card).map_err(json)?)?;
    write_atomic(&out.join(PAGE), &serde_json::to_vec(page).map_err(json)?)?;
    write_embeddings(&out.join("embeddings.h5ad"), page, data, done, models)?;
    write_atomic(&out.join("report.html"), microtome_report::html(page).as_bytes())?;
    write_atomic(&out.join(FINISHED), &serde_json::to_vec_pretty(&page.summaries).map_err(json)?)?;
    progress.advance(1);
    progress.end();
    Ok(())
}

fn write_embeddings(
    path: &Path,
    page: &Page,
    data: &Data,
    done: &[Done],
    models: &[Representation],
) -> Result<()> {
    let n = data.cells.len();
    let mut obs = data.obs();
    for d in done {
        let Some(map) = &d.map else { continue };
        let found =
            d.outcome.columns.iter().filter(|c| c.model == map.model && c.site.as_deref() == Some(&map.site));
        for c in found {
            let name = format!("microtome_{}", c.id);
            let column = spread(&c.values, &d.part.positions, n);
            obs.add(&name, ColumnKind::of(&column), move |rows| Ok(column.select(&rows.collect::<Vec<_>>())));
        }
    }
    let mut writer = Writer::create(path, &obs, &data.dataset.var(&data.slot)?)?;
    let answered = answered(done);
    for r in models {
        let (Some(family), Some(site)) = (&r.family, &r.site) else { continue };
        if !answered.contains(r.model.as_str()) {
            continue;
        }
        let mut key = obsm_key(family, &site.to_string());
        if answered.len() > 1 {
            key = format!("{key}@{}", r.model.replace('/', "_"));
        }
        writer.set_obsm(&key, &r.matrix)?;
    }
    for (i, (d, map)) in done.iter().filter_map(|d| Some((d, d.map.as_ref()?))).enumerate() {
        let mut xy = Matrix::new(n, 2, vec![f32::NAN; 2 * n])?;
        for (at, &cell) in d.part.positions.iter().enumerate() {
            xy.row_mut(cell).copy_from_slice(map.xy.row(at));
        }
        // The first task's map has the name that other tools look for.
        let key = if i == 0 { "X_umap".into() } else { format!("X_umap_{}", d.part.adapter.task.id) };
        writer.set_obsm(&key, &xy)?;
    }
    let card = serde_json::to_value(&page.run_card)
        .map_err(|e| Error::output("cannot write the run card").caused_by(e))?;
    writer.set_uns(&serde_json::json!({ "microtome": card }))?;
    writer.finish()
}

/// A column of some cells as a column of all `n`, missing elsewhere.
fn spread(column: &Column, positions: &[usize], n: usize) -> Column {
    if positions.len() == n {
        return column.clone();
    }
    match column {
        Column::Float(values) => {
            let mut out = vec![f64::NAN; n];
            positions.iter().zip(values).for_each(|(&cell, &v)| out[cell] = v);
            Column::Float(out)
        }
        other => {
            let mut out = vec![None; n];
            positions.iter().enumerate().for_each(|(at, &cell)| out[cell] = other.text(at));
            Column::Text(out)
        }
    }
}
