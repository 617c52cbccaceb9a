//! Files about genes: sets of them, and the group every gene belongs to.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use microtome_core::{Error, GeneTable, Result, strip_version};

/// Most bytes of a file that are read.
const MAX_BYTES: u64 = 1 << 28;

/// Names of sets in the order of the file, each with the names of its genes.
pub(crate) type NamedSets = Vec<(String, Vec<String>)>;

/// Reads sets: GMT (name, description, genes; tab-separated), a table of two columns (gene, set) separated by tab, comma or
/// semicolon, or a list of one gene per line, which is one set under the name of the file.
pub(crate) fn read_sets(path: &Path) -> Result<NamedSets> {
    let name = path.file_stem().map_or_else(|| "genes".into(), |n| n.to_string_lossy().into_owned());
    let gmt = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gmt"));
    let sets = sets_of(&lines(path, "--gene-sets")?, gmt, &name).map_err(|e| e.in_file(path))?;
    if sets.is_empty() {
        return Err(Error::unreadable("the file holds no gene sets")
            .in_file(path)
            .at_key("--gene-sets")
            .expected("GMT, a table of gene and set, or one gene per line"));
    }
    Ok(sets)
}

fn lines(path: &Path, option: &str) -> Result<Vec<String>> {
    let bad = |e: std::io::Error| {
        Error::unreadable("cannot read the file").in_file(path).at_key(option).caused_by(e)
    };
    let file = std::fs::File::open(path).map_err(bad)?;
    let read: std::io::Result<Vec<String>> = BufReader::new(file.take(MAX_BYTES)).lines().collect();
    Ok(read
        .map_err(bad)?
        .into_iter()
        .map(|l| l.trim().to_string())
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
        .collect())
}

fn sets_of(lines: &[String], gmt: bool, name: &str) -> Result<NamedSets> {
    if gmt {
        return lines
            .iter()
            .map(|line| {
                let mut fields = line.split('\t').map(str::trim);
                let name = fields.next().unwrap_or_default();
                // The second field is a description. Weights after a comma, as Enrichr writes them, are no part of a name.
                let genes = fields.skip(1).map(|g| g.split(',').next().unwrap_or_default().to_string());
                Ok((name.to_string(), genes.filter(|g| !g.is_empty()).collect()))
            })
            .collect();
    }
    let Some(separator) = separator(lines) else {
        return Ok(if lines.is_empty() { vec![] } else { vec![(name.to_string(), lines.to_vec())] });
    };
    let mut sets: Vec<(String, Vec<String>)> = vec![];
    let mut at: HashMap<String, usize> = HashMap::new();
    for (gene, set) in pairs(lines, separator)? {
        let next = sets.len();
        let i = *at.entry(set.clone()).or_insert(next);
        if i == next {
            sets.push((set, vec![]));
        }
        sets[i].1.push(gene);
    }
    Ok(sets)
}

/// What separates the columns, if there is more than one.
fn separator(lines: &[String]) -> Option<char> {
    let first = lines.first()?;
    ['\t', ',', ';'].into_iter().find(|c| first.contains(*c))
}

/// The first two columns. A first line that begins like a heading is left out.
fn pairs(lines: &[String], separator: char) -> Result<Vec<(String, String)>> {
    let heading = |line: &str| {
        let first = line.split(separator).next().unwrap_or_default().to_lowercase();
        ["gene", "symbol", "ensembl", "name", "id"].iter().any(|h| first.starts_with(h))
            && !first.starts_with("ensg")
    };
    let skip = usize::from(lines.first().is_some_and(|l| heading(l)));
    let line = |(i, line): (usize, &String)| {
        let mut fields = line.split(separator).map(|f| f.trim().trim_matches('"').to_string());
        match (fields.next(), fields.next()) {
            (Some(a), Some(b)) if !a.is_empty() && !b.is_empty() => Ok((a, b)),
            _ => Err(Error::unreadable("a line does not hold two columns")
                .at_key(format!("line {}", i + 1))
                .expected(format!("gene and set, separated by {separator:?}"))
                .found(line.chars().take(60).collect::<String>())),
        }
    };
    lines.iter().enumerate().skip(skip).map(line).collect()
}

/// Finds genes of the data by symbol or Ensembl id (version ignored), whatever the case of a symbol.
pub(crate) struct Finder(HashMap<String, usize>);

impl Finder {
    pub(crate) fn new(genes: &GeneTable) -> Self {
        let mut index = HashMap::new();
        let columns = [Some(&genes.names), genes.symbols.as_ref(), genes.ensembl.as_ref()];
        for column in columns.into_iter().flatten() {
            for (i, name) in column.iter().enumerate().filter(|(_, n)| !n.is_empty()) {
                index.entry(strip_version(name).to_uppercase()).or_insert(i);
            }
        }
        Self(index)
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.0.get(&strip_version(name).to_uppercase()).copied()
    }
}

/// Group names in order of appearance and the group of every gene of the data, from a table of gene and group.
pub(crate) fn read_groups(path: &Path, genes: &GeneTable) -> Result<(Vec<String>, Vec<Option<u32>>)> {
    let lines = lines(path, "--gene-groups")?;
    let separator = separator(&lines).ok_or_else(|| {
        Error::unreadable("the file holds no table of two columns")
            .in_file(path)
            .at_key("--gene-groups")
            .expected("gene and group, separated by tab, comma or semicolon")
    })?;
    let finder = Finder::new(genes);
    let mut names: Vec<String> = vec![];
    let mut codes = vec![None; genes.len()];
    let mut at: BTreeMap<String, u32> = BTreeMap::new();
    for (gene, group) in pairs(&lines, separator).map_err(|e| e.in_file(path))? {
        let Some(row) = finder.find(&gene) else { continue };
        let code = *at.entry(group.clone()).or_insert_with(|| {
            names.push(group);
            names.len() as u32 - 1
        });
        codes[row].get_or_insert(code);
    }
    if names.is_empty() {
        return Err(Error::mismatch("no gene of the data is in the file")
            .in_file(path)
            .at_key("--gene-groups")
            .expected("gene symbols or Ensembl ids of the data in the first column"));
    }
    Ok((names, codes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, gmt: bool) -> Result<NamedSets> {
        sets_of(&text.lines().map(String::from).collect::<Vec<_>>(), gmt, "list")
    }

    #[test]
    fn all_three_layouts() {
        let set = |name: &str, genes: &[&str]| {
            (name.to_string(), genes.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(
            of("A\thttp\tX\tY,1.0\t\nB\t\tZ", true).unwrap(),
            [set("A", &["X", "Y"]), set("B", &["Z"])]
        );
        let table = "gene_name\tset\nX\tA\nY\tB\nZ\tA";
        assert_eq!(of(table, false).unwrap(), [set("A", &["X", "Z"]), set("B", &["Y"])]);
        assert_eq!(of("X,A\nY,A", false).unwrap(), [set("A", &["X", "Y"])]);
        assert_eq!(of("TFAP2A\nTFAP2B", false).unwrap(), [set("list", &["TFAP2A", "TFAP2B"])]);
        assert!(of("X,A\nY", false).unwrap_err().to_string().contains("line 2"));
        assert!(of("", false).unwrap().is_empty());
    }
}
