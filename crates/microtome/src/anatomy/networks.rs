//! Networks and gene sets as pairs of genes of the store.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use microtome_core::{Error, Result};

use crate::gene_store::{Gene, GeneList};
use crate::read_table;

/// Largest file that is read, unpacked.
const MAX_BYTES: u64 = 2 << 30;
/// Larger gene sets say little about pairs.
const MAX_SET: usize = 200;
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
        }
        Self::checked(path, pairs, &format!("{n} lines"))
    }

    /// Pairs of genes that are in one set of a GMT file (name, description, genes; by tab). Sets of more than 200 known genes are left out.
    pub(super) fn read_sets(path: &Path, genes: &GeneList) -> Result<Self> {
        let text = read_table::text(path, MAX_BYTES)?;
        let names = Names::of(genes);
        let (mut pairs, mut sets, mut large) = (HashSet::new(), 0, 0);
        for line in text.lines().filter(|l| !l.trim().is_empty()) {
            let fields: Vec<&str> = line.split('\t').collect();
            if fields.len() < 3 {
                return Err(Error::unreadable("not a GMT file")
                    .in_file(path)
                    .expected("name, description and genes, parted by tabs")
                    .found(line.chars().take(80).collect::<String>()));
            }
            sets += 1;
            let mut rows: Vec<u32> = fields[2..].iter().filter_map(|g| names.row(g)).collect();
            rows.sort_unstable();
            rows.dedup();
            if rows.len() > MAX_SET {
                large += 1;
                continue;
            }
            for (i, &a) in rows.iter().enumerate() {
                pairs.extend(rows[i + 1..].iter().map(|&b| (a, b)));
            }
            if pairs.len() > MAX_PAIRS {
                return Err(Error::usage("the gene sets make too many pairs")
                    .in_file(path)
                    .expected(format!("at most {MAX_PAIRS}"))
                    .remedy("give fewer or smaller sets"));
            }
        }
        Self::checked(
            path,
            pairs,
            &format!("{sets} sets, {large} left out with more than {MAX_SET} known genes"),
        )
    }

    fn checked(path: &Path, pairs: HashSet<(u32, u32)>, read: &str) -> Result<Self> {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let name = file.split('.').next().unwrap_or_default().to_string();
        if pairs.is_empty() {
            return Err(Error::usage("none of the pairs is of genes that the models know")
                .in_file(path)
                .expected("Ensembl ids or symbols as the data has them, in the first two columns")
                .found(read.to_string()));
        }
        let note = format!("{name}: {} pairs of known genes from {read}", pairs.len());
        Ok(Self { name, pairs, note })
    }

    pub(super) fn holds(&self, a: usize, b: usize) -> bool {
        let (a, b) = (a as u32, b as u32);
        self.pairs.contains(&(a.min(b), a.max(b)))
    }

    /// Share of all pairs of these genes that the network holds.
    pub(super) fn density(&self, genes: &[usize]) -> f64 {
        let among: HashSet<u32> = genes.iter().map(|&g| g as u32).collect();
        let held = self.pairs.iter().filter(|(a, b)| among.contains(a) && among.contains(b)).count();
        let n = genes.len() as f64;
        held as f64 / (n * (n - 1.0) / 2.0)
    }
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
