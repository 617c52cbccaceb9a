//! Regulators and their known targets, as rows of the data's genes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use microtome_core::{Error, GeneTable, Result, strip_version};
use serde::Deserialize;

use crate::data::Data;
use crate::read_table;

/// Largest file that is read, unpacked.
const MAX_BYTES: u64 = 1 << 28;

/// Targets of every regulator with the sign of the effect (0 where it is not known), by row of the data's genes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Network {
    pub(super) targets: BTreeMap<usize, BTreeMap<usize, i8>>,
    /// What was read.
    pub(super) note: String,
}

/// An edge of a simulation's truth.
#[derive(Deserialize)]
struct TrueEdge {
    regulator: String,
    target: String,
    sign: i8,
}

impl Network {
    /// Regulator, target and, where there is a third column, its sign: a number, or a word such as Activation or Repression. A heading
    /// names no genes and so falls away.
    pub(super) fn read(path: &Path, genes: &GeneTable) -> Result<Self> {
        let text = read_table::text(path, MAX_BYTES)?;
        let first = text.lines().next().unwrap_or_default();
        let rows = read_table::rows(&text, if first.contains('\t') { '\t' } else { ',' })
            .map_err(|e| e.in_file(path))?;
        let edges = rows.iter().map(|row| match row.as_slice() {
            [regulator, target, rest @ ..] => {
                Ok((regulator.as_str(), target.as_str(), rest.first().map_or(0, |s| sign_of(s))))
            }
            _ => Err(Error::unreadable("a line of the network does not name two genes")
                .in_file(path)
                .found(row.join(" "))),
        });
        let edges = edges.collect::<Result<Vec<_>>>()?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self::new(&edges, genes, &name).map_err(|e| e.in_file(path))
    }

    /// The truth of simulated cells.
    pub(super) fn of_simulation(data: &Data) -> Result<Self> {
        let path = data.dataset.path();
        let uns = data.dataset.uns()?;
        let edges = &uns["simulation"]["edges"];
        let bad = |found: String| {
            Error::mismatch("the file does not hold the network of a simulation")
                .in_file(path)
                .at_key("uns[\"simulation\"][\"edges\"]")
                .found(found)
                .remedy("name a network with --network FILE, or cells of microtome simulate")
        };
        // Lists of objects are stored as JSON text.
        let edges: Vec<TrueEdge> = match edges {
            serde_json::Value::String(text) => serde_json::from_str(text),
            other => serde_json::from_value(other.clone()),
        }
        .map_err(|e| bad(e.to_string()))?;
        let edges: Vec<_> = edges.iter().map(|e| (e.regulator.as_str(), e.target.as_str(), e.sign)).collect();
        Self::new(&edges, &data.genes, "truth of the simulation").map_err(|e| e.in_file(path))
    }

    fn new(edges: &[(&str, &str, i8)], genes: &GeneTable, name: &str) -> Result<Self> {
        let row_of = rows_by_name(genes);
        let row = |gene: &str| row_of.get(strip_version(gene.trim()).to_uppercase().as_str()).copied();
        let mut targets: BTreeMap<usize, BTreeMap<usize, i8>> = BTreeMap::new();
        let mut n = 0;
        for &(regulator, target, sign) in edges {
            let (Some(r), Some(t)) = (row(regulator), row(target)) else { continue };
            if r != t {
                n += 1;
                // Sources that disagree on the sign leave it open.
                let place = targets.entry(r).or_default().entry(t).or_insert(sign);
                *place = if *place == sign { sign } else { 0 };
            }
        }
        if targets.is_empty() {
            return Err(Error::usage("no edge of the network is between genes of the data")
                .expected("Ensembl ids or symbols as the data has them: regulator, target")
                .found(format!("{} lines", edges.len())));
        }
        let note = format!(
            "{name}: {n} edges of {} regulators between genes of the data, of {} lines",
            targets.len(),
            edges.len()
        );
        Ok(Self { targets, note })
    }

    /// Regulators of every gene of the data.
    pub(super) fn in_degrees(&self, n_genes: usize) -> Vec<u32> {
        let mut out = vec![0; n_genes];
        self.targets.values().flat_map(BTreeMap::keys).for_each(|&t| out[t] += 1);
        out
    }
}

/// Ids win over symbols, symbols over the index.
fn rows_by_name(genes: &GeneTable) -> HashMap<String, usize> {
    let mut out = HashMap::new();
    for names in [genes.ensembl.as_ref(), genes.symbols.as_ref(), Some(&genes.names)].into_iter().flatten() {
        for (row, name) in names.iter().enumerate().filter(|(_, n)| !n.is_empty()) {
            out.entry(strip_version(name).to_uppercase()).or_insert(row);
        }
    }
    out
}

fn sign_of(text: &str) -> i8 {
    let word = text.trim().to_lowercase();
    if let Ok(number) = word.parse::<f64>() {
        return if number > 0.0 { 1 } else { -i8::from(number < 0.0) };
    }
    match word.as_str() {
        w if w.starts_with("activ") || w.starts_with("stimul") => 1,
        w if w.starts_with("repress") || w.starts_with("inhib") => -1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use microtome_core::Table;

    use super::*;

    #[test]
    fn tables_of_edges_are_read_with_their_signs() {
        let var = Table {
            index: ["TP53", "MDM2", "MYC", "CDKN1A", "GATA1"].map(String::from).to_vec(),
            ..Table::default()
        };
        let genes = GeneTable::detect(&var, None, None).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let read = |name: &str, text: &str| {
            std::fs::write(dir.path().join(name), text).unwrap();
            Network::read(&dir.path().join(name), &genes)
        };
        let n = read(
            "a.csv",
            "tf,target,mor,confidence\nTP53,MDM2,1.0,A\ntp53,CDKN1A,-1,A\nMYC,NONE,1,A\nMYC,MYC,1,A\n",
        )
        .unwrap();
        assert_eq!(n.targets, BTreeMap::from([(0, BTreeMap::from([(1, 1), (3, -1)]))]));
        assert_eq!(n.in_degrees(5), [0, 1, 0, 1, 0]);
        let n = read("b.tsv", "MYC\tCDKN1A\tRepression\t1\nMYC\tCDKN1A\tActivation\t2\nMYC\tTP53\tUnknown\n")
            .unwrap();
        assert_eq!(n.targets[&2], BTreeMap::from([(0, 0), (3, 0)]), "contradicted signs are open");
        assert!(read("c.csv", "X,Y\n").unwrap_err().to_string().contains("no edge"));
        assert!(read("d.csv", "MYC\n").unwrap_err().to_string().contains("two genes"));
    }
}
