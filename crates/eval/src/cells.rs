//! What is known about the cells that are scored, apart from the truth a task asks for.

use microtome_core::{Column, Error, Result};

/// A grouping of cells: the independent unit, a batch, a label.
#[derive(Clone, Debug, PartialEq)]
pub struct Groups {
    /// What the grouping is, for instance `donor_id`.
    pub name: String,
    /// Names of the groups.
    pub names: Vec<String>,
    /// Group of every cell, or [`Groups::MISSING`].
    pub codes: Vec<u32>,
}

impl Groups {
    /// Code of a cell that belongs to no group.
    pub const MISSING: u32 = u32::MAX;

    /// Checks and wraps. Errors when a code is neither below `names.len()` nor [`Groups::MISSING`].
    pub fn new(name: impl Into<String>, names: Vec<String>, codes: Vec<u32>) -> Result<Self> {
        let name = name.into();
        if let Some(&bad) = codes.iter().find(|&&c| c != Self::MISSING && c as usize >= names.len()) {
            return Err(Error::usage("group code out of range")
                .at_key(name)
                .expected(format!("below {} (number of groups)", names.len()))
                .found(bad.to_string()));
        }
        Ok(Self { name, names, codes })
    }

    /// The groups of a column of `obs`; missing values belong to no group.
    pub fn from_column(name: impl Into<String>, column: &Column) -> Self {
        let (names, codes) = column.groups();
        let codes = codes.into_iter().map(|c| c.unwrap_or(Self::MISSING)).collect();
        Self { name: name.into(), names, codes }
    }
}

/// The cells of a data set as far as every task needs to know them.
#[derive(Clone, Debug, PartialEq)]
pub struct Cells {
    /// Data set name.
    pub dataset: String,
    /// Number of cells.
    pub n: usize,
    /// What one row is, for a reader: `cell`, or `gene` where genes are scored.
    pub noun: &'static str,
    /// The independent unit (donor, clone, guide). `None` makes every cell its own unit, which is stated as a
    /// warning wherever it matters, because cells of one donor are not independent.
    pub unit: Option<Groups>,
}

impl Cells {
    /// Cells without a unit.
    pub fn new(dataset: impl Into<String>, n: usize) -> Self {
        Self { dataset: dataset.into(), n, noun: "cell", unit: None }
    }

    /// Genes without a unit: every row is a gene.
    pub fn genes(dataset: impl Into<String>, n: usize) -> Self {
        Self { noun: "gene", ..Self::new(dataset, n) }
    }

    /// Names the independent unit. Errors when it does not hold one code per cell.
    pub fn with_unit(mut self, unit: Groups) -> Result<Self> {
        if unit.codes.len() != self.n {
            return Err(Error::usage("the unit must be known for every cell of the data set")
                .at_key(unit.name)
                .expected(format!("{} values", self.n))
                .found(format!("{} values", unit.codes.len())));
        }
        self.unit = Some(unit);
        Ok(self)
    }
}
