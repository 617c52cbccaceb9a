//! The human genes that cells are made of.

use std::borrow::Cow;
use std::collections::HashMap;

use microtome_core::{Error, Result};

/// Made by `assets/make_genes.py`, which says what the columns and flags mean.
const GENES: &str = include_str!("../../assets/genes.tsv");

/// Fewest genes per program: two regulators and a handful of targets, with as many genes again outside programs.
const MIN_GENES_PER_PROGRAM: usize = 12;

/// One-to-one mouse orthologs, made by `assets/make_orthologs.py`.
const MOUSE: &str = include_str!("../../assets/mouse.tsv");

/// A gene: of the list, or of a file, with what the list knows about it.
#[derive(Clone, Debug)]
pub(super) struct Gene {
    pub(super) ensembl_id: String,
    pub(super) symbol: Cow<'static, str>,
    flags: &'static str,
}

impl Gene {
    /// The same gene under another name.
    pub(super) fn renamed(self, ensembl_id: String, symbol: &'static str) -> Self {
        Self { ensembl_id, symbol: symbol.into(), ..self }
    }

    fn has(&self, flag: char) -> bool {
        self.flags.contains(flag)
    }

    pub(super) fn is_transcription_factor(&self) -> bool {
        self.has('r')
    }

    pub(super) fn is_housekeeping(&self) -> bool {
        self.has('h') || self.is_ribosomal()
    }

    pub(super) fn is_ribosomal(&self) -> bool {
        self.has('b')
    }

    pub(super) fn is_mitochondrial(&self) -> bool {
        self.has('m')
    }

    pub(super) fn is_s_phase(&self) -> bool {
        self.has('s')
    }

    pub(super) fn is_g2m_phase(&self) -> bool {
        self.has('g')
    }

    /// Whether it is a marker of lineage `lineage` (0 is stem cells).
    pub(super) fn is_marker(&self, lineage: u32) -> bool {
        char::from_digit(lineage, 10).is_some_and(|flag| self.has(flag))
    }
}

/// The first `n` genes of the list, which is ordered so that they are a sensible mix; `n_programs` have to find place
/// in them.
pub(super) fn panel(n: usize, n_programs: usize) -> Result<Vec<Gene>> {
    let available = GENES.lines().count();
    let fewest = MIN_GENES_PER_PROGRAM * n_programs;
    if n > available || n < fewest {
        return Err(Error::usage(if n > available {
            "more genes than the simulator knows"
        } else {
            "too few genes for the programs of this tree"
        })
        .at_key("n_genes")
        .expected(format!("{fewest} to {available}"))
        .found(n.to_string())
        .remedy("change the number of genes or of branches"));
    }
    Ok(GENES.lines().take(n).filter_map(parse).collect())
}

/// One row of the list. The tests hold that every row is one.
fn parse(line: &'static str) -> Option<Gene> {
    let mut fields = line.split('\t');
    let number: u64 = fields.next()?.parse().ok()?;
    Some(Gene {
        ensembl_id: format!("ENSG{number:011}"),
        symbol: fields.next()?.into(),
        flags: fields.next()?,
    })
}

/// Mouse ortholog (Ensembl id, symbol) by human Ensembl id.
pub(super) fn mouse_orthologs() -> HashMap<String, (String, &'static str)> {
    let row = |line: &'static str| {
        let mut fields = line.split('\t');
        let human: u64 = fields.next()?.parse().ok()?;
        let mouse: u64 = fields.next()?.parse().ok()?;
        Some((format!("ENSG{human:011}"), (format!("ENSMUSG{mouse:011}"), fields.next()?)))
    };
    MOUSE.lines().filter_map(row).collect()
}

/// Genes of a file as (Ensembl id, symbol), with the flags that the list has for the same id or, across species, the same
/// symbol in capitals. Errors when fewer than two regulators per program are among them.
pub(super) fn of_file(names: &[(String, String)], n_programs: usize) -> Result<Vec<Gene>> {
    let known: Vec<Gene> = GENES.lines().filter_map(parse).collect();
    let by_id: HashMap<&str, &'static str> = known.iter().map(|g| (g.ensembl_id.as_str(), g.flags)).collect();
    let by_symbol: HashMap<&str, &'static str> = known.iter().map(|g| (g.symbol.as_ref(), g.flags)).collect();
    let genes: Vec<Gene> = names
        .iter()
        .map(|(id, symbol)| Gene {
            ensembl_id: id.clone(),
            symbol: symbol.clone().into(),
            flags: by_id
                .get(id.as_str())
                .or_else(|| by_symbol.get(symbol.to_uppercase().as_str()))
                .copied()
                .unwrap_or_default(),
        })
        .collect();
    let regulators = genes.iter().filter(|g| g.is_transcription_factor()).count();
    let fewest = MIN_GENES_PER_PROGRAM * n_programs;
    if regulators < 2 * n_programs || genes.len() < fewest {
        return Err(Error::mismatch("the file has too few genes to drive the programs of this tree")
            .expected(format!(
                "{fewest} expressed genes, {} of them known transcription factors",
                2 * n_programs
            ))
            .found(format!("{} expressed genes, {regulators} known transcription factors", genes.len()))
            .remedy("use a file with Ensembl ids or symbols of a whole transcriptome, or fewer branches"));
    }
    Ok(genes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_row_is_a_gene_and_none_comes_twice() {
        let n = GENES.lines().count();
        let genes = panel(n, 1).unwrap();
        assert_eq!(genes.len(), n, "a row of genes.tsv does not parse");
        assert_eq!(genes.iter().map(|g| &g.ensembl_id).collect::<HashSet<_>>().len(), n);
        assert_eq!(genes.iter().map(|g| g.symbol.as_ref()).collect::<HashSet<&str>>().len(), n);
        assert!(GENES.len() < 60_000);
        let id_of = |symbol| genes.iter().find(|g| g.symbol == symbol).unwrap();
        assert_eq!(id_of("GATA1").ensembl_id, "ENSG00000102145");
        assert!(id_of("GATA1").is_transcription_factor() && id_of("GATA1").is_marker(1));
        assert_eq!(id_of("MT-ND1").ensembl_id, "ENSG00000198888");
        assert!(id_of("RPS6").is_ribosomal() && id_of("ACTB").is_housekeeping());
    }

    #[test]
    fn orthologs_are_one_to_one_and_of_the_list() {
        let of = mouse_orthologs();
        assert_eq!(of.len(), MOUSE.lines().count(), "a row of mouse.tsv does not parse");
        assert_eq!(of.values().map(|m| &m.0).collect::<HashSet<_>>().len(), of.len());
        let genes = panel(2000, 1).unwrap();
        assert!(of.keys().all(|id| genes.iter().any(|g| g.ensembl_id == *id)));
        assert_eq!(of["ENSG00000102145"], ("ENSMUSG00000031162".into(), "Gata1"));
    }

    #[test]
    fn any_first_rows_are_a_mix() {
        for n in [132, 300, 1000] {
            let genes = panel(n, 11).unwrap();
            let count = |of: fn(&Gene) -> bool| genes.iter().filter(|g| of(g)).count();
            assert!(count(Gene::is_transcription_factor) >= 22);
            assert!(count(Gene::is_mitochondrial) >= 2);
            assert!(count(Gene::is_s_phase) >= 4 && count(Gene::is_g2m_phase) >= 4);
            assert!(count(Gene::is_ribosomal) >= 5);
        }
    }
}
