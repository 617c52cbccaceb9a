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
