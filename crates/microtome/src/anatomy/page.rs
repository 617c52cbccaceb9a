//! Tables of the report that belong to no figure.

use microtome_report::TableBlock;

use super::analyse::CategoryResult;
use crate::gene_store::GeneStore;

pub(super) fn tables(store: &GeneStore, results: &[CategoryResult]) -> Vec<TableBlock> {
    let mut out = vec![categories_table(store, results), models_table(store), losses_table(results)];
    out.extend(recovered_table(results));
    out
}

fn table(title: &str, note: &str, header: &[&str], rows: Vec<Vec<String>>) -> TableBlock {
    TableBlock {
        task: String::new(),
        title: title.into(),
        note: note.into(),
        header: header.iter().map(|h| (*h).to_string()).collect(),
        rows,
    }
}

/// Counts at every loss; the smallest and largest over categories.
fn losses_table(results: &[CategoryResult]) -> TableBlock {
    let names: Vec<&str> =
        results.first().map_or(vec![], |c| c.losses.iter().map(|l| l.model.as_str()).collect());
    let range = |of: &dyn Fn(&CategoryResult) -> u64| {
        let (mut low, mut high) = (u64::MAX, 0);
        results.iter().map(of).for_each(|v| (low, high) = (low.min(v), high.max(v)));
        if low == high { low.to_string() } else { format!("{low} to {high}") }
    };
    let rows = names
        .iter()
        .enumerate()
        .map(|(i, name)| {
            vec![
                (*name).to_string(),
                range(&|c| c.losses[i].listed),
                range(&|c| c.losses[i].usable),
                range(&|c| c.losses[i].shared),
                range(&|c| c.losses[i].costs),
                range(&|c| c.genes.len() as u64),
            ]
        })
        .collect();
    table(
        "Genes",
        "From the genes that a model shows in a category to those that are compared; the range over categories. Per category: tables/genes_lost.csv.",
        &["model", "genes shown", "own identifier", "in all models", "more without it", "compared"],
        rows,
    )
}

/// Edges that several models find, where there are several.
fn recovered_table(results: &[CategoryResult]) -> Option<TableBlock> {
    let mut rows = vec![];
    for c in results {
        for r in c.models.routes.iter().flat_map(|r| &r.recovered) {
            let e = &r.expected;
            let number = |v: Option<f64>| v.map_or_else(String::new, |v| format!("{v:.1}"));
            rows.push(vec![
                c.category.clone(),
                r.models.to_string(),
                r.edges.len().to_string(),
                format!("{} ({} to {})", number(e.value), number(e.low), number(e.high)),
                format!("{:.3}", r.p),
            ]);
        }
    }
    (!rows.is_empty()).then(|| {
        table(
            "Edges that several models find",
            "Strongest edges of the consensus of mean ranks over blocks that so many models have in common, beside what models with the same numbers of edges per gene have in common by chance (199 draws, one-sided permutation p). The edges: tables/edges_of_several_models.csv.",
            &["category", "models", "edges", "expected by chance", "p"],
            rows,
        )
    })
}

fn categories_table(store: &GeneStore, results: &[CategoryResult]) -> TableBlock {
    let of = |name: &str| results.iter().find(|r| r.category == name).map(|r| r.genes.len());
    TableBlock {
        task: String::new(),
        title: "Categories".into(),
        note: "Cells drawn and averaged per category, and the genes over which all models are compared."
            .into(),
        header: ["category", "cells averaged", "cells in the data", "genes compared"]
            .map(String::from)
            .into(),
        rows: store
            .manifest()
            .categories
            .iter()
            .map(|c| {
                let genes = of(&c.name).map_or("left out".into(), |n| n.to_string());
                vec![c.name.clone(), c.n_cells.to_string(), c.n_available.to_string(), genes]
            })
            .collect(),
    }
}

fn models_table(store: &GeneStore) -> TableBlock {
    TableBlock {
        task: String::new(),
        title: "Models".into(),
        note: "The untrained twin has the same shape and vocabulary and random weights.".into(),
        header: ["model", "family", "blocks", "width", "heads", "norm", "attention weights"]
            .map(String::from)
            .into(),
        rows: store
            .manifest()
            .models
            .iter()
            .map(|m| {
                vec![
                    m.name.clone(),
                    m.family.clone(),
                    m.n_blocks.to_string(),
                    m.d_model.to_string(),
                    m.n_heads.to_string(),
                    m.norm_placement.clone(),
                    if m.attention.is_empty() { "none" } else { "yes" }.into(),
                ]
            })
            .collect(),
    }
}
