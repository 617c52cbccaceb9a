//! What to simulate.

use std::fmt;
use std::str::FromStr;

use microtome_core::{Error, Result, closest};
use serde::{Deserialize, Serialize};

use super::design::{self, Clones, Drugs, Mouse, Screen, TypeTree};

/// Shape of the tree behind the trunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topology {
    /// All branches leave the end of the trunk.
    #[default]
    Star,
    /// Two at a time: at each fork one branch leaves and a stem goes on, so that some branches are closer than others.
    Bifurcating,
}

/// How donors and batches are combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchDesign {
    /// Each donor is in one batch, as in most studies.
    #[default]
    Nested,
    /// Each donor is in every batch.
    Crossed,
}

/// What to simulate. All shares and rates are fractions of 1, all effects are on the scale of natural logarithms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulateOptions {
    /// Number of cells.
    pub n_cells: usize,
    /// Number of genes, taken from a list of human protein-coding genes.
    pub n_genes: usize,
    /// Number of branches (1 gives a single line).
    pub n_branches: usize,
    /// Number of donors; cells are spread evenly over them.
    pub n_donors: usize,
    /// Number of batches; donors, or cells of each donor, are spread evenly over them.
    pub n_batches: usize,
    /// Seed of everything.
    pub seed: u64,
    /// Shape of the tree behind the trunk.
    pub topology: Topology,
    /// Pseudotime at which the trunk ends.
    pub trunk: f64,
    /// Share of genes that belong to programs.
    pub program_share: f64,
    /// Scale of all weights of programs along the tree. With 0, and `cycling_trend` and `molecules_trend` 0 as well,
    /// counts know nothing of pseudotime and branch.
    pub signal: f64,
    /// Share of targets that are also repressed by a regulator of another program.
    pub repressed_share: f64,
    /// Standard deviation of a regulator's level around the activity of its program.
    pub regulator_noise: f64,
    /// Scale of the cell cycle programs.
    pub cell_cycle: f64,
    /// Share of cycling cells at the root.
    pub cycling_share: f64,
    /// Share of its value at the root that `cycling_share` loses on the way to the tips.
    pub cycling_trend: f64,
    /// How donors and batches are combined.
    pub batch_design: BatchDesign,
    /// Standard deviation over genes of the effect of a batch.
    pub batch_effect: f64,
    /// Standard deviation over genes of the effect of a donor.
    pub donor_effect: f64,
    /// Standard deviation over branches of a donor's log odds of each branch.
    pub donor_composition: f64,
    /// Median number of molecules (of the simulated genes) in a cell.
    pub median_molecules: f64,
    /// Standard deviation of the log number of molecules.
    pub molecules_sd: f64,
    /// Change of the log number of molecules from root to tips. Other than 0, total counts alone tell pseudotime.
    pub molecules_trend: f64,
    /// Median share of molecules that are captured and counted.
    pub capture_rate: f64,
    /// Standard deviation of the log capture rate over cells.
    pub capture_sd: f64,
    /// Standard deviation of the log capture rate over batches.
    pub batch_capture_sd: f64,
    /// Dispersion of highly expressed genes: `dispersion = dispersion_floor + dispersion_slope / mean`.
    pub dispersion_floor: f64,
    /// Extra dispersion of lowly expressed genes.
    pub dispersion_slope: f64,
    /// Standard deviation over genes of the log dispersion around that trend.
    pub dispersion_sd: f64,
    /// Standard deviation over cells of the log share of mitochondrially encoded genes.
    pub mitochondrial_sd: f64,
    /// A hierarchy of cell types in place of a tree of differentiation (`n_branches`, `topology`, `trunk`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub type_tree: Option<TypeTree>,
    /// Knock-downs of regulators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub screen: Option<Screen>,
    /// Drugs at several doses; crossed with the knock-downs where both are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drugs: Option<Drugs>,
    /// Clones within donors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clones: Option<Clones>,
    /// Mouse in place of human, with the same tree and network where they are conserved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mouse: Option<Mouse>,
}

impl Default for SimulateOptions {
    /// The demo: 600 cells x 1,000 genes, 3 branches, 8 donors in 2 batches.
    fn default() -> Self {
        Self {
            n_cells: 600,
            n_genes: 1000,
            n_branches: 3,
            n_donors: 8,
            n_batches: 2,
            seed: 0,
            topology: Topology::Star,
            trunk: 0.3,
            program_share: 0.5,
            signal: 1.0,
            repressed_share: 0.25,
            regulator_noise: 0.3,
            cell_cycle: 1.0,
            cycling_share: 0.5,
            cycling_trend: 0.8,
            batch_design: BatchDesign::Nested,
            batch_effect: 0.1,
            donor_effect: 0.1,
            donor_composition: 0.3,
            median_molecules: 20_000.0,
            molecules_sd: 0.35,
            molecules_trend: 0.0,
            capture_rate: 0.1,
            capture_sd: 0.2,
            batch_capture_sd: 0.1,
            dispersion_floor: 0.05,
            dispersion_slope: 0.05,
            dispersion_sd: 0.4,
            mitochondrial_sd: 0.4,
            type_tree: None,
            screen: None,
            drugs: None,
            clones: None,
            mouse: None,
        }
    }
}

/// Named starting points for [`SimulateOptions`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preset {
    /// The default.
    #[default]
    Demo,
    /// As shallow as early droplet data.
    Shallow,
    /// As deep as good current droplet data.
    Deep,
    /// Without any trajectory: a negative control with the same donors, batches, cell cycle and counts.
    NoSignal,
    /// Batch and donor effects stronger than the biology.
    StrongBatch,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Demo, Self::Shallow, Self::Deep, Self::NoSignal, Self::StrongBatch];
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Demo => "demo",
            Self::Shallow => "shallow",
            Self::Deep => "deep",
            Self::NoSignal => "no-signal",
            Self::StrongBatch => "strong-batch",
        })
    }
}

impl FromStr for Preset {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let names = Self::ALL.map(|p| p.to_string());
        Self::ALL.into_iter().find(|p| p.to_string() == name).ok_or_else(|| {
            let error =
                Error::usage("no such preset").expected(names.join(", ")).found(format!("\"{name}\""));
            match closest(name, names.iter().map(String::as_str)) {
                Some(near) => error.remedy(format!("did you mean \"{near}\"?")),
                None => error,
            }
        })
    }
}

impl From<Preset> for SimulateOptions {
    fn from(preset: Preset) -> Self {
        let base = Self::default();
        match preset {
            Preset::Demo => base,
            Preset::Shallow => Self { capture_rate: 0.05, ..base },
            Preset::Deep => Self { capture_rate: 0.34, ..base },
            Preset::NoSignal => Self { signal: 0.0, cycling_trend: 0.0, ..base },
            Preset::StrongBatch => {
                Self { batch_effect: 0.8, donor_effect: 0.4, batch_capture_sd: 0.5, ..base }
            }
        }
    }
}

impl SimulateOptions {
    /// Errors when an option is out of range, naming the option and its limits.
    pub(super) fn check(&self) -> Result<()> {
        for (name, value, low, high) in [
            ("n_cells", self.n_cells, 1, usize::MAX >> 1),
            ("n_branches", self.n_branches, 1, 16),
            ("n_donors", self.n_donors, 1, 1000),
            ("n_batches", self.n_batches, 1, 1000),
        ] {
            within(name, value, low, high)?;
        }
        for (name, value, low, high) in [
            ("trunk", self.trunk, 0.05, 0.9),
            ("program_share", self.program_share, 0.5, 0.9),
            ("signal", self.signal, 0.0, 5.0),
            ("repressed_share", self.repressed_share, 0.0, 1.0),
            ("regulator_noise", self.regulator_noise, 0.0, 2.0),
            ("cell_cycle", self.cell_cycle, 0.0, 5.0),
            ("cycling_share", self.cycling_share, 0.0, 1.0),
            ("cycling_trend", self.cycling_trend, 0.0, 1.0),
            ("batch_effect", self.batch_effect, 0.0, 3.0),
            ("donor_effect", self.donor_effect, 0.0, 3.0),
            ("donor_composition", self.donor_composition, 0.0, 5.0),
            ("median_molecules", self.median_molecules, 1.0, 1e6),
            ("molecules_sd", self.molecules_sd, 0.0, 1.0),
            ("molecules_trend", self.molecules_trend, -3.0, 3.0),
            ("capture_rate", self.capture_rate, 1e-6, 1.0),
            ("capture_sd", self.capture_sd, 0.0, 1.0),
            ("batch_capture_sd", self.batch_capture_sd, 0.0, 1.0),
            ("dispersion_floor", self.dispersion_floor, 0.02, 5.0),
            ("dispersion_slope", self.dispersion_slope, 0.0, 1.0),
            ("dispersion_sd", self.dispersion_sd, 0.0, 1.0),
            ("mitochondrial_sd", self.mitochondrial_sd, 0.0, 1.0),
        ] {
            within(name, value, low, high)?;
        }
        if self.batch_design == BatchDesign::Nested && self.n_batches > self.n_donors {
            return Err(Error::usage("more batches than donors, and each donor is in one batch")
                .at_key("n_batches")
                .expected(format!("at most {} (n_donors)", self.n_donors))
                .found(self.n_batches.to_string())
                .remedy("use fewer batches, more donors, or the crossed batch design"));
        }
        design::check(self)
    }
}

pub(super) fn within<T: PartialOrd + fmt::Display>(name: &str, value: T, low: T, high: T) -> Result<()> {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(Error::usage("option out of range")
        .at_key(name)
        .expected(format!("{low} to {high}"))
        .found(value.to_string())
        .remedy(format!("give {name} a value in that range")))
}
