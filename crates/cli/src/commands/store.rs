//! `store info`, `store export`, `store import`.

use microtome::GeneStore;
use microtome_core::Result;

use super::command_line;
use crate::args::{self, StoreCommand};
use crate::print;

pub(super) fn store(a: &args::Store) -> Result<u8> {
    match &a.command {
        StoreCommand::Info(a) => info(a),
        StoreCommand::Export(a) => export(a),
        StoreCommand::Import(a) => import(a),
    }
}

fn info(a: &args::StoreInfo) -> Result<u8> {
    let store = GeneStore::open(&a.store)?;
    let damaged = if a.check { store.damaged()? } else { vec![] };
    let m = store.manifest();
    if a.json {
        print::json(m)?;
    } else {
        print::pairs(&[
            ("data set", m.dataset.clone()),
            ("genes", format!("{} by {}", print::thousands(m.n_genes as u64), m.gene_namespace)),
            ("categories", format!("{} by {}", m.categories.len(), m.category_columns.join(", "))),
            ("pooling", m.pooling.clone()),
            ("seed", m.seed.to_string()),
            ("written by", format!("microtome {}", m.microtome)),
        ]);
        print::line("");
        let rows = m.categories.iter().map(|c| {
            vec![c.name.clone(), print::thousands(c.n_cells as u64), print::thousands(c.n_available as u64)]
        });
        print::table(&["category", "cells averaged", "of"], &rows.collect::<Vec<_>>());
        print::line("");
        let rows = m.models.iter().map(|m| {
            vec![
                m.name.clone(),
                m.family.clone(),
                m.n_blocks.to_string(),
                m.d_model.to_string(),
                m.sites.len().to_string(),
                if m.static_sha256.is_some() { "yes" } else { "no" }.into(),
                if m.attention_sha256.is_some() { "yes" } else { "no" }.into(),
            ]
        });
        let header = ["model", "family", "blocks", "width", "sites", "static genes", "attention weights"];
        print::table(&header, &rows.collect::<Vec<_>>());
    }
    for path in &damaged {
        print::problem(format!("{} does not have the hash that it was written with", path.display()));
    }
    Ok(u8::from(!damaged.is_empty()))
}

fn export(a: &args::StoreExport) -> Result<u8> {
    let report = microtome::export(&a.store, &a.models, a.normed, &a.out)?;
    if a.json {
        print::json(&report)?;
    } else {
        for folder in &report.folders {
            print::line(format!("wrote {}", folder.display()));
        }
        for note in &report.notes {
            print::line(format!("  note: {note}"));
        }
    }
    for (model, why) in &report.left_out {
        print::problem(format!("{model} is left out: {why}"));
    }
    Ok(u8::from(!report.left_out.is_empty()))
}

fn import(a: &args::StoreImport) -> Result<u8> {
    let report = microtome::import(&a.store, a.dataset.as_deref(), &a.out, a.overwrite, &command_line())?;
    if a.json {
        print::json(&report)?;
        return Ok(0);
    }
    print::line(format!(
        "wrote {}: {} with {} blocks, {} genes, {} categories",
        report.out.display(),
        report.model,
        report.n_blocks,
        print::thousands(report.n_genes as u64),
        report.categories.len()
    ));
    report.notes.iter().for_each(|n| print::line(format!("  note: {n}")));
    Ok(0)
}
