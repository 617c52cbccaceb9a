//! The list of 19,264 human symbols of scFoundation and AIDO.Cell. It is not part of the published model folders: the code packages
//! hold it as a two-column table.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};

use crate::dimensions::write_text;

/// Largest list that is read.
const MAX_BYTES: u64 = 16 << 20;
const PREFIX: &str = "OS_scRNA_gene_index.";
const SUFFIX: &str = ".tsv";
const REMEDY: &str = "copy OS_scRNA_gene_index.19264.tsv into the model folder, from aido_cell/gene_lists of the aido.cell \
                      package (github genbio-ai/ModelGenerator) or from github biomap-research/scFoundation; both are the same file";

/// The folder a checkpoint path means: itself, or the parent of a weights file.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    if path.is_dir() {
        return path.to_path_buf();
    }
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// The list of a model of `n_genes` genes: in the model's folder, beside it, or in `aux/` beside it. The nearest folder that holds
/// any list decides.
pub(crate) fn find(folder: &Path, n_genes: Option<usize>) -> Result<(PathBuf, Vec<String>)> {
    let mut places = vec![folder.to_path_buf()];
    if let Some(parent) = folder.canonicalize().ok().as_deref().and_then(Path::parent) {
        places.extend([parent.join("aux"), parent.to_path_buf()]);
    }
    let Some(found) = places.iter().map(|p| lists_in(p)).find(|l| !l.is_empty()) else {
        return Err(Error::unreadable("the model's gene list is missing")
            .in_file(folder)
            .expected(format!("{PREFIX}*{SUFFIX} in the folder, beside it or in aux/ beside it"))
            .remedy(REMEDY));
    };
    let mut sizes = vec![];
    for path in found {
        let genes = read(&path)?;
        if n_genes.is_none_or(|n| n == genes.len()) {
            return Ok((path, genes));
        }
        sizes.push(format!("{} with {}", path.display(), genes.len()));
    }
    Err(Error::mismatch("model and gene list do not belong together")
        .in_file(folder)
        .expected(format!("{} genes, one per position of the model", n_genes.unwrap_or_default()))
        .found(sizes.join("; "))
        .remedy(REMEDY))
}

fn lists_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return vec![] };
    let mut out: Vec<PathBuf> = entries
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| {
            let name = p.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            name.starts_with(PREFIX) && name.ends_with(SUFFIX) && p.is_file()
        })
        .collect();
    out.sort();
    out
}

/// Reads `gene_name<TAB>index`; the index must count from 0 in file order, and no gene may come twice.
fn read(path: &Path) -> Result<Vec<String>> {
    let unreadable =
        |e: std::io::Error| Error::unreadable("cannot read the gene list").in_file(path).caused_by(e);
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_BYTES {
        return Err(Error::unreadable("the gene list is too large to be one").in_file(path));
    }
    parse(&std::fs::read_to_string(path).map_err(unreadable)?).map_err(|e| e.in_file(path))
}

fn parse(text: &str) -> Result<Vec<String>> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    if header != ["gene_name", "index"] {
        return Err(Error::unreadable("not the gene list of this family")
            .at_key("line 1")
            .expected("gene_name<TAB>index")
            .found(header.join("<TAB>")));
    }
    let mut genes: Vec<String> = vec![];
    let mut seen = std::collections::HashSet::new();
    for (i, line) in lines.enumerate().filter(|(_, l)| !l.is_empty()) {
        let wrong = |what: &str| {
            Error::unreadable(what)
                .at_key(format!("line {}", i + 2))
                .found(line.chars().take(60).collect::<String>())
        };
        let (name, index) =
            line.split_once('\t').ok_or_else(|| wrong("a line of the gene list is not two columns"))?;
        if index.trim().parse() != Ok(genes.len()) {
            return Err(wrong("the gene list is not in the order of its index")
                .expected(format!("index {}", genes.len())));
        }
        if name.is_empty() || !seen.insert(name) {
            return Err(wrong("a gene is named twice or not at all"));
        }
        genes.push(name.to_string());
    }
    if genes.is_empty() { Err(Error::unreadable("the gene list holds no genes")) } else { Ok(genes) }
}

/// Writes a list into the folder of a new model. Errors when a gene is named twice or like no gene.
pub(crate) fn write(folder: &Path, genes: &[String]) -> Result<()> {
    let rows: String = genes.iter().enumerate().map(|(i, g)| format!("{g}\t{i}\n")).collect();
    let text = format!("gene_name\tindex\n{rows}");
    parse(&text).map_err(|_| Error::usage("the genes of a list need distinct names without tabs"))?;
    write_text(&folder.join(format!("{PREFIX}{}{SUFFIX}", genes.len())), &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_strictly() {
        assert_eq!(parse("gene_name\tindex\nA\t0\nB-C\t1\n").unwrap(), ["A", "B-C"]);
        for (text, word) in [
            ("", "line 1"),
            ("gene\tindex\nA\t0\n", "gene_name"),
            ("gene_name\tindex\nA\t1\n", "index 0"),
            ("gene_name\tindex\nA\t0\nA\t1\n", "twice"),
            ("gene_name\tindex\nA 0\n", "two columns"),
            ("gene_name\tindex\n", "no genes"),
        ] {
            let e = parse(text).unwrap_err().to_string();
            assert!(e.contains(word), "{text:?}: {e}");
        }
    }

    #[test]
    fn the_nearest_list_decides_and_its_size_is_checked() {
        let root = tempfile::tempdir().unwrap();
        let model = root.path().join("model");
        std::fs::create_dir(&model).unwrap();
        let e = find(&model, Some(2)).unwrap_err().to_string();
        assert!(e.contains("biomap-research/scFoundation"), "{e}");
        let list =
            |n: usize| (0..n).fold("gene_name\tindex\n".to_string(), |s, i| s + &format!("G{i}\t{i}\n"));
        std::fs::create_dir(root.path().join("aux")).unwrap();
        std::fs::write(root.path().join("aux/OS_scRNA_gene_index.2.tsv"), list(2)).unwrap();
        assert_eq!(find(&model, Some(2)).unwrap().1.len(), 2);
        std::fs::write(model.join("OS_scRNA_gene_index.3.tsv"), list(3)).unwrap();
        let e = find(&model, Some(2)).unwrap_err().to_string();
        assert!(e.contains("with 3"), "{e}");
        assert_eq!(find(&model, None).unwrap().1.len(), 3);
    }
}
