//! Tables about the whole run: gene overlap, cells, files, tensors.

use microtome_report::TableBlock;

use super::page::Contents;
use super::subject::Subject;

/// The tables in the order of the page.
pub(super) fn tables(contents: &Contents<'_>) -> Vec<TableBlock> {
    let mut out = vec![genes(contents), cells(contents), files_read(contents)];
    out.extend(contents.subjects.iter().map(audit));
    out
}

fn table(title: &str, note: &str, header: &[&str], rows: Vec<Vec<String>>) -> TableBlock {
    TableBlock {
        task: String::new(),
        title: title.into(),
        note: note.into(),
        header: header.iter().map(ToString::to_string).collect(),
        rows,
    }
}

fn genes(contents: &Contents<'_>) -> TableBlock {
    let rows = contents
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

fn cells(contents: &Contents<'_>) -> TableBlock {
    let rows = contents
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
            contents.seconds
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

fn files_read(contents: &Contents<'_>) -> TableBlock {
    let rows = contents
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
