//! The human genes that cells are made of.

use microtome_core::{Error, Result};

/// Made by `assets/make_genes.py`, which says what the columns and flags mean.
const GENES: &str = include_str!("../../assets/genes.tsv");

/// Fewest genes per program: two regulators and a handful of targets, with as many genes again outside programs.
const MIN_GENES_PER_PROGRAM: usize = 12;

/// A human protein-coding gene.
#[derive(Clone, Debug)]
pub(super) struct Gene {
    pub(super) ensembl_id: String,
    pub(super) symbol: &'static str,
    flags: &'static str,
}

impl Gene {
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
    Some(Gene { ensembl_id: format!("ENSG{number:011}"), symbol: fields.next()?, flags: fields.next()? })
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
        assert_eq!(genes.iter().map(|g| g.symbol).collect::<HashSet<_>>().len(), n);
        assert!(GENES.len() < 60_000);
        let id_of = |symbol| genes.iter().find(|g| g.symbol == symbol).unwrap();
        assert_eq!(id_of("GATA1").ensembl_id, "ENSG00000102145");
        assert!(id_of("GATA1").is_transcription_factor() && id_of("GATA1").is_marker(1));
        assert_eq!(id_of("MT-ND1").ensembl_id, "ENSG00000198888");
        assert!(id_of("RPS6").is_ribosomal() && id_of("ACTB").is_housekeeping());
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
