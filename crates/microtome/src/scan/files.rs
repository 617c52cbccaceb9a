//! The files of a result folder. `summary.json` comes last: its presence says that the run is finished.

use std::path::Path;

use microtome_core::{Column, Error, Progress, Result};
use microtome_eval::{Representation, TaskOutcome};
use microtome_h5ad::Writer;
use microtome_report::Page;

use super::FINISHED;
use super::map::Map;
use crate::data::Data;
use crate::embed::obsm_key;
use crate::output::write_atomic;

/// File that holds the page's contents, from which `report` draws it again.
pub(crate) const PAGE: &str = "page.json";

pub(super) fn write(
    out: &Path,
    page: &Page,
    data: &Data,
    outcome: &TaskOutcome,
    representations: &[Representation],
    map: Option<&Map>,
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
    write_embeddings(&out.join("embeddings.h5ad"), page, data, outcome, representations, map)?;
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
    outcome: &TaskOutcome,
    representations: &[Representation],
    map: Option<&Map>,
) -> Result<()> {
    let mut obs = data.obs()?;
    if let Some(map) = map {
        let found =
            outcome.pseudotimes.iter().find(|p| p.model == map.model && p.site.as_deref() == Some(&map.site));
        if let Some(p) = found {
            obs.columns.retain(|(n, _)| n != "microtome_pseudotime");
            obs.columns.push(("microtome_pseudotime".into(), Column::Float(p.values.clone())));
        }
    }
    let mut writer = Writer::create(path, &obs, &data.dataset.var(&data.slot)?)?;
    let models: std::collections::BTreeSet<&str> = page.summaries.iter().map(|s| s.model.as_str()).collect();
    for r in representations {
        let (Some(family), Some(site)) = (&r.family, &r.site) else { continue };
        if !models.contains(r.model.as_str()) {
            continue;
        }
        let mut key = obsm_key(family, &site.to_string());
        if models.len() > 1 {
            key = format!("{key}@{}", r.model.replace('/', "_"));
        }
        writer.set_obsm(&key, &r.matrix)?;
    }
    if let Some(map) = map {
        writer.set_obsm("X_umap", &map.xy)?;
    }
    let card = serde_json::to_value(&page.run_card)
        .map_err(|e| Error::output("cannot write the run card").caused_by(e))?;
    writer.set_uns(&serde_json::json!({ "microtome": card }))?;
    writer.finish()
}
