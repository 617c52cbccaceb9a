//! `doctor`, `tokenize`, `embed`, `perturb`.

use microtome::{AttentionOf, AttentionOptions, EmbedOptions, Overlap, Perturbation, SiteDrift};
use microtome_core::{Progress, Result};

use super::{command_line, data_options, pooling, run_options};
use crate::args;
use crate::print;

pub(super) fn doctor(a: &args::Doctor, progress: &dyn Progress) -> Result<u8> {
    let d = microtome::doctor(&data_options(&a.data), &a.model, progress)?;
    if a.json {
        print::json(&d)?;
        return Ok(0);
    }
    print::pairs(&[
        ("cells", print::thousands(d.n_cells as u64)),
        (
            "counts",
            format!(
                "{}, {} sampled values are raw counts, largest {}",
                d.slot,
                print::thousands(d.counts.n_values as u64),
                d.counts.max
            ),
        ),
        ("organism", d.organism.name()),
        ("Ensembl ids", d.ensembl_from.unwrap_or_else(|| "none found".into())),
        ("symbols", d.symbols_from.unwrap_or_else(|| "none found".into())),
        ("genes", overlap(&d.overlap)),
        (
            "counts known",
            format!(
                "{:.1} % of the counts of {} cells fall on known genes",
                100.0 * d.matched_counts,
                d.n_tried
            ),
        ),
        ("tokens", format!("{:.0} per cell on average", d.mean_tokens)),
        (
            "time",
            format!(
                "about {} for all cells ({:.3} s per cell, measured on {})",
                duration(d.predicted_seconds),
                d.seconds_per_cell,
                d.n_tried
            ),
        ),
        ("memory", format!("about {}", print::bytes(d.predicted_bytes))),
        ("licence", format!("code {}, weights {}", d.licence.code, d.licence.weights)),
    ]);
    for note in &d.notes {
        print::line(format!("note: {note}"));
    }
    print::line("this data set fits this model");
    Ok(0)
}

pub(super) fn tokenize(a: &args::Tokenize, progress: &dyn Progress) -> Result<u8> {
    let r = microtome::tokenize(&data_options(&a.data), &a.model, &a.out, progress)?;
    if a.json {
        print::json(&r)?;
        return Ok(0);
    }
    print::pairs(&[
        ("wrote", r.out.display().to_string()),
        ("cells", print::thousands(r.n_cells as u64)),
        ("tokens", print::thousands(r.n_tokens as u64)),
        ("genes", overlap(&r.overlap)),
        ("cut to length", format!("{} cells", r.n_cut_cells)),
        ("with ties", format!("{} cells (ordered by column of the file)", r.n_tied_cells)),
        ("empty", format!("{} cells", r.n_empty)),
    ]);
    Ok(0)
}

pub(super) fn embed(a: &args::Embed, progress: &dyn Progress) -> Result<u8> {
    let r = microtome::embed(
        &EmbedOptions {
            data: data_options(&a.data),
            model: a.model.clone(),
            sites: a.sites.clone(),
            pooling: pooling(a.pool),
            run: run_options(a.run),
            out: a.out.clone(),
            resume: a.resume,
            overwrite: a.overwrite,
            command: command_line(),
        },
        progress,
    )?;
    if a.json {
        print::json(&r)?;
        return Ok(0);
    }
    print::pairs(&[
        ("wrote", r.out.display().to_string()),
        (
            "cells",
            format!(
                "{} in {} ({:.1} a second in the model)",
                print::thousands(r.cells.n_cells as u64),
                duration(r.seconds),
                r.cells.n_cells as f64 / r.cells.forward_seconds.max(1e-9)
            ),
        ),
        ("genes", overlap(&r.overlap)),
        ("counts known", format!("{:.1} %", 100.0 * r.cells.matched_counts)),
        ("empty", format!("{} cells without any known gene", r.cells.n_empty)),
        ("pooling", format!("{} (token sites; cell_embedding is always the published vector)", r.pooling)),
    ]);
    if !r.cells.drift.is_empty() {
        print::line("distance of bf16 from f32, relative to the length of a cell's vector:");
        print::table(
            &["  site", "cells", "median", "largest", "smallest cosine"],
            &drift_rows(&r.cells.drift),
        );
    }
    for (key, width) in &r.obsm {
        print::line(format!("obsm[\"{key}\"]  {width} wide"));
    }
    for (key, width) in &r.varm {
        print::line(format!("varm[\"{key}\"]  {width} wide"));
    }
    Ok(0)
}

fn drift_rows(drift: &[SiteDrift]) -> Vec<Vec<String>> {
    let row = |d: &SiteDrift| {
        vec![
            format!("  {}", d.site),
            d.n_cells.to_string(),
            format!("{:.1e}", d.median_relative_error),
            format!("{:.1e}", d.max_relative_error),
            format!("{:.6}", d.min_cosine),
        ]
    };
    drift.iter().map(row).collect()
}

fn overlap(o: &Overlap) -> String {
    format!(
        "{} of {} known to the model ({:.1} %), names from {}",
        print::thousands(o.n_matched as u64),
        print::thousands(o.n_genes as u64),
        100.0 * o.n_matched as f64 / o.n_genes.max(1) as f64,
        o.source
    )
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{s:.2} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

pub(super) fn perturb(a: &args::Perturb, progress: &dyn Progress) -> Result<u8> {
    let kind = match a.kind {
        args::PerturbKind::Delete => Perturbation::Delete,
        args::PerturbKind::Overexpress => Perturbation::Overexpress,
    };
    let r = microtome::perturb(&data_options(&a.data), &a.model, &a.genes, kind, &a.out, progress)?;
    if a.json {
        print::json(&r)?;
        return Ok(0);
    }
    print::pairs(&[
        ("wrote", r.out.display().to_string()),
        ("genes", r.genes.join(", ")),
        (
            "compared",
            format!(
                "{} cells ({} skipped)",
                print::thousands(r.n_compared as u64),
                print::thousands(r.n_skipped as u64)
            ),
        ),
        (
            "mean shift",
            r.mean_shift.map_or_else(
                || "undefined: no cell holds the genes".into(),
                |s| format!("{s:.6} (cosine - 1)"),
            ),
        ),
    ]);
    Ok(0)
}

pub(super) fn attention(a: &args::Attention, progress: &dyn Progress) -> Result<u8> {
    let options = AttentionOptions {
        data: data_options(&a.data),
        model: a.model.clone(),
        of: if a.mean_cell { AttentionOf::MeanCell } else { AttentionOf::Site(a.site.clone()) },
        genes: a.genes.clone(),
        n_genes: a.n_genes,
        out: a.out.clone(),
    };
    let r = microtome::attention(&options, progress)?;
    if a.json {
        print::json(&r)?;
        return Ok(0);
    }
    print::pairs(&[
        ("wrote", r.out.display().to_string()),
        ("map", r.of),
        (
            "edges",
            format!(
                "{} among {} genes over {} cells; query_gene looks at key_gene",
                print::thousands(r.n_edges as u64),
                r.n_genes,
                print::thousands(r.n_cells as u64)
            ),
        ),
    ]);
    Ok(0)
}
