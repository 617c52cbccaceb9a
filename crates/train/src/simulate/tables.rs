//! `obs` and `var`.

use std::collections::HashMap;

use microtome_core::{Column, Table};

use super::cell::State;
use super::clones::Clonality;
use super::programs::PHASES;
use super::{Simulator, ontology};

type Named = (&'static str, Column);

fn categorical(categories: Vec<String>, codes: Vec<Option<u32>>) -> Column {
    Column::Categorical { categories, codes, ordered: false }
}

fn clone_columns(s: &Simulator, states: &[&State]) -> Vec<Named> {
    let Some(clonality) = &s.clonality else { return vec![] };
    let all = &clonality.clones;
    let codes = |read_only: bool| {
        let of = |s: &&State| s.clone.filter(|c| c.1 || !read_only).map(|c| c.0 as u32);
        states.iter().map(of).collect::<Vec<_>>()
    };
    vec![
        ("clone", categorical((0..all.len()).map(Clonality::name).collect(), codes(false))),
        ("barcode", categorical(all.iter().map(|c| c.barcode.clone()).collect(), codes(true))),
    ]
}

fn screen_columns(s: &Simulator, states: &[&State]) -> Vec<Named> {
    let Some(library) = &s.treatments.library else { return vec![] };
    let each = |f: &dyn Fn(&State) -> u32| states.iter().map(|s| Some(f(s))).collect();
    let works = |s: &&State| Some(s.treated.worked.iter().all(|w| *w));
    vec![
        ("perturbation", categorical(library.perturbations(s), each(&|s| s.treated.perturbation as u32))),
        ("guide", categorical(library.guides(s), each(&|s| library.guide_code(&s.treated)))),
        ("guides_work", Column::Bool(states.iter().map(works).collect())),
    ]
}

fn drug_columns(s: &Simulator, states: &[&State]) -> Vec<Named> {
    let Some(pharmacy) = &s.treatments.pharmacy else { return vec![] };
    let code = |s: &&State| Some(s.treated.drug.map_or(0, |d| d.0 as u32 + 1));
    let number = |f: &dyn Fn(usize, usize) -> f64| {
        Column::Float(
            states.iter().map(|s| s.treated.drug.map_or(0.0, |(drug, dose)| f(drug, dose))).collect(),
        )
    };
    vec![
        ("drug", categorical(pharmacy.names(), states.iter().map(code).collect())),
        ("dose_micromolar", number(&|_, dose| pharmacy.doses[dose])),
        ("response_true", number(&|drug, dose| pharmacy.response(drug, dose))),
    ]
}

/// Ensembl ids; symbols where there are none. Names that come twice get a number, as AnnData wants them.
fn var_names(genes: &[super::catalog::Gene]) -> Vec<String> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    genes
        .iter()
        .map(|g| {
            let name = if g.ensembl_id.is_empty() { g.symbol.as_ref() } else { &g.ensembl_id };
            let times = seen.entry(name).or_insert(0);
            *times += 1;
            if *times == 1 { name.to_string() } else { format!("{name}-{}", *times - 1) }
        })
        .collect()
}

/// Rows for the cells from `first` on.
pub(super) fn obs<'a>(simulator: &Simulator, first: usize, states: impl Iterator<Item = &'a State>) -> Table {
    let states: Vec<&State> = states.collect();
    let o = &simulator.options;
    let tree = &simulator.tree;
    let float = |value: fn(&State) -> f64| Column::Float(states.iter().map(|s| value(s)).collect());
    let category = |categories: Vec<String>, code: &dyn Fn(&State) -> u32| Column::Categorical {
        categories,
        codes: states.iter().map(|s| Some(code(s))).collect(),
        ordered: false,
    };
    let numbered = |word: &str, n: usize| (1..=n).map(|k| format!("{word}_{k}")).collect();
    let branches = tree.segments.iter().map(|s| s.name.clone()).collect();
    let cell_type = category(tree.cell_types.clone(), &|s| tree.cell_type(s.place));
    let mut columns = if tree.is_hierarchy {
        let ids = (0..tree.cell_types.len()).map(ontology::term_id).collect();
        let (classes, class_of) = ontology::classes(tree);
        vec![
            ("cell_type", cell_type),
            ("cell_class", category(classes, &|s| class_of[s.place.segment])),
            (ontology::ID_COLUMN, category(ids, &|s| tree.cell_type(s.place))),
        ]
    } else {
        vec![
            ("pseudotime", float(|s| s.place.pseudotime)),
            ("branch", category(branches, &|s| s.place.segment as u32)),
            ("cell_type", cell_type),
        ]
    };
    columns.extend([
        ("donor_id", category(numbered("donor", o.n_donors), &|s| s.donor as u32)),
        ("batch", category(numbered("batch", o.n_batches), &|s| s.batch as u32)),
        ("phase", category(PHASES.map(str::to_owned).to_vec(), &|s| s.phase as u32)),
        ("total_true_depth", float(|s| s.molecules)),
        ("capture_rate", float(|s| s.capture_rate)),
        ("n_counts", float(|s| s.n_counts)),
        ("n_genes", Column::Int(states.iter().map(|s| Some(s.n_genes as i64)).collect())),
    ]);
    columns.extend(clone_columns(simulator, &states));
    columns.extend(screen_columns(simulator, &states));
    columns.extend(drug_columns(simulator, &states));
    Table {
        index: (first..first + states.len()).map(|i| format!("cell_{i:07}")).collect(),
        columns: columns.into_iter().map(|(n, c)| (n.to_owned(), c)).collect(),
    }
}

pub(super) fn var(simulator: &Simulator) -> Table {
    let genes = &simulator.genes;
    let network = &simulator.network;
    let text = |values: Vec<String>| Column::Text(values.into_iter().map(Some).collect());
    let ids: Vec<String> = genes.iter().map(|g| g.ensembl_id.clone()).collect();
    let mut programs: Vec<String> = network.programs.iter().map(|p| p.name.clone()).collect();
    let outside = programs.len() as u32;
    programs.push("none".into());
    let codes = network.program_of.iter().map(|p| Some(p.map_or(outside, |p| p as u32))).collect();
    let flag =
        |of: fn(&super::catalog::Gene) -> bool| Column::Bool(genes.iter().map(|g| Some(of(g))).collect());
    let mut columns = vec![
        ("ensembl_id", text(ids.clone())),
        ("gene_symbol", text(genes.iter().map(|g| g.symbol.to_string()).collect())),
        ("program", Column::Categorical { categories: programs, codes, ordered: false }),
        ("is_regulator", Column::Bool(network.regulator_of.iter().map(|r| Some(r.is_some())).collect())),
        ("is_housekeeping", flag(|g| g.is_housekeeping())),
        ("is_ribosomal", flag(|g| g.is_ribosomal())),
        ("is_mitochondrial", flag(|g| g.is_mitochondrial())),
        ("mean_true", Column::Float(simulator.levels.mean.clone())),
        ("dispersion_true", Column::Float(simulator.levels.dispersion.clone())),
    ];
    if let Some(kinship) = &simulator.kinship {
        columns.push(("human_ensembl_id", text(kinship.human.clone())));
        columns.push(("is_conserved", Column::Bool(kinship.conserved.iter().map(|c| Some(*c)).collect())));
    }
    Table { index: var_names(genes), columns: columns.into_iter().map(|(n, c)| (n.to_owned(), c)).collect() }
}
