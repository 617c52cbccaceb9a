//! Networks as pairs of genes of the store, and gene sets as rows of it.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use microtome_anatomy::grounding::GeneSet;
use microtome_anatomy::routing::Edge;
use microtome_core::{Error, Result};

use crate::gene_store::{Gene, GeneList};
use crate::{gene_sets, read_table};

/// Largest file that is read, unpacked.
const MAX_BYTES: u64 = 2 << 30;
/// Most pairs that are held.
const MAX_PAIRS: usize = 50_000_000;

/// Pairs of genes, without direction, by row of the table of genes.
pub(super) struct Network {
    pub(super) name: String,
    /// The smaller row first.
    pairs: HashSet<(u32, u32)>,
    /// What was read.
    pub(super) note: String,
}

impl Network {
    /// The first two columns of a table, by tab where the first line has one, else by comma. A heading names no genes and so falls away.
    pub(super) fn read(path: &Path, genes: &GeneList) -> Result<Self> {
        let text = read_table::text(path, MAX_BYTES)?;
        let first = text.lines().next().unwrap_or_default();
        let rows = read_table::rows(&text, if first.contains('\t') { '\t' } else { ',' })
            .map_err(|e| e.in_file(path))?;
        let names = Names::of(genes);
        let (mut pairs, n) = (HashSet::new(), rows.len());
        for row in &rows {
            let [a, b, ..] = row.as_slice() else {
                return Err(Error::unreadable("a line of the network does not name two genes")
                    .in_file(path)
                    .found(row.join(" ")));
            };
            if let (Some(a), Some(b)) = (names.row(a), names.row(b))
                && a != b
            {
                pairs.insert((a.min(b), a.max(b)));
            }
            if pairs.len() > MAX_PAIRS {
                return Err(Error::usage("the network holds too many pairs")
                    .in_file(path)
                    .expected(format!("at most {MAX_PAIRS}"))
                    .remedy("give one with a threshold on its confidence"));
            }
        }
        Self::checked(path, pairs, &format!("{n} lines"))
    }

    fn checked(path: &Path, pairs: HashSet<(u32, u32)>, read: &str) -> Result<Self> {
        let name = name_of(path);
        if pairs.is_empty() {
            return Err(Error::usage("none of the pairs is of genes that the models know")
                .in_file(path)
                .expected("Ensembl ids or symbols as the data has them, in the first two columns")
                .found(read.to_string()));
        }
        let note = format!("{name}: {} pairs of known genes from {read}", pairs.len());
        Ok(Self { name, pairs, note })
    }

    /// The pairs among these genes, by their place, without direction.
    pub(super) fn among(&self, genes: &[usize]) -> Result<microtome_anatomy::grounding::Network> {
        let place: HashMap<u32, u32> = genes.iter().enumerate().map(|(i, &g)| (g as u32, i as u32)).collect();
        let mut pairs: Vec<Edge> =
            self.pairs.iter().filter_map(|(a, b)| Some(Edge::new(*place.get(a)?, *place.get(b)?))).collect();
        pairs.sort_unstable();
        microtome_anatomy::grounding::Network::new(genes.len(), &pairs, false)
    }
}

/// Sets of genes by row of the table of genes.
pub(super) struct Sets {
    pub(super) name: String,
    pub(super) sets: Vec<(String, Vec<u32>)>,
    /// What was read.
    pub(super) note: String,
}

impl Sets {
    /// A GMT file (or what else [`gene_sets::read_sets`] reads).
    pub(super) fn read(path: &Path, genes: &GeneList) -> Result<Self> {
        let names = Names::of(genes);
        let mut sets = vec![];
        for (name, members) in gene_sets::read_sets(path)? {
            let mut rows: Vec<u32> = members.iter().filter_map(|g| names.row(g)).collect();
            rows.sort_unstable();
            rows.dedup();
            sets.push((name, rows));
        }
        if sets.iter().all(|(_, rows)| rows.is_empty()) {
            return Err(Error::usage("no gene set holds a gene that the models know")
                .in_file(path)
                .expected("Ensembl ids or symbols as the data has them"));
        }
        let name = name_of(path);
        let note = format!("{name}: {} sets", sets.len());
        Ok(Self { name, sets, note })
    }

    /// Every set among these genes, by their place.
    pub(super) fn among(&self, genes: &[usize]) -> Vec<GeneSet> {
        let place: HashMap<u32, u32> = genes.iter().enumerate().map(|(i, &g)| (g as u32, i as u32)).collect();
        let of = |rows: &[u32]| rows.iter().filter_map(|r| place.get(r).copied()).collect();
        self.sets.iter().map(|(name, rows)| GeneSet { name: name.clone(), genes: of(rows) }).collect()
    }
}

/// File name without what says how it is written.
fn name_of(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let mut name = file.as_ref();
    for end in [".gz", ".gmt", ".csv", ".tsv", ".txt"] {
        name = name.strip_suffix(end).unwrap_or(name);
    }
    name.to_string()
}

/// Rows of the table by every name that a gene has; ids win over symbols.
struct Names<'a>(HashMap<&'a str, u32>);

impl<'a> Names<'a> {
    fn of(genes: &'a GeneList) -> Self {
        let mut out = HashMap::new();
        let picks: [fn(&Gene) -> &str; 3] = [|g| &g.id, |g| &g.symbol, |g| &g.var_name];
        for pick in picks {
            for (row, gene) in genes.genes.iter().enumerate() {
                let name = pick(gene);
                if !name.is_empty() {
                    out.entry(name).or_insert(row as u32);
                }
            }
        }
        Self(out)
    }

    fn row(&self, name: &str) -> Option<u32> {
        let name = name.trim();
        self.0.get(name).or_else(|| self.0.get(microtome_core::strip_version(name))).copied()
    }
}
