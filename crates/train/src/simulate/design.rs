//! What can be added to simulated cells: a hierarchy of cell types, knock-downs, drugs, clones, another species.

use microtome_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::options::{SimulateOptions, within};

/// A hierarchy of cell types in place of a tree of differentiation: a program per term, on in all cells below it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TypeTree {
    /// Children per term, level by level: `[3, 2]` is three classes of two types each.
    pub children: Vec<usize>,
    /// Factor of the effect of a program per level: below 1, close relatives differ less than distant ones.
    pub decay: f64,
}

impl Default for TypeTree {
    fn default() -> Self {
        Self { children: vec![3, 3], decay: 0.7 }
    }
}

/// A pooled screen: guides that knock regulators down, alone and in pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Screen {
    /// Regulators that are targeted.
    pub n_targets: usize,
    /// Guides per target; as many non-targeting guides mark control cells.
    pub guides_per_target: usize,
    /// Share of control cells.
    pub control_share: f64,
    /// Mean share of the target's level that a guide removes.
    pub efficiency: f64,
    /// Standard deviation of it over guides.
    pub efficiency_sd: f64,
    /// Share of cells in which a guide does nothing.
    pub escape_share: f64,
    /// Pairs of targets that are knocked down together: additive, synergistic and buffering in turn.
    pub n_pairs: usize,
    /// What synergy adds to the summed effects of a pair, and buffering takes off, as a share of them.
    pub interaction: f64,
}

impl Default for Screen {
    fn default() -> Self {
        Self {
            n_targets: 8,
            guides_per_target: 3,
            control_share: 0.2,
            efficiency: 0.8,
            efficiency_sd: 0.1,
            escape_share: 0.1,
            n_pairs: 3,
            interaction: 0.6,
        }
    }
}

/// Drugs at several doses that act on regulators.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drugs {
    /// Drugs.
    pub n_drugs: usize,
    /// Doses, in micromolar.
    pub doses: Vec<f64>,
    /// Share of cells that got the vehicle alone.
    pub control_share: f64,
    /// Regulators that a drug acts on.
    pub targets_per_drug: usize,
}

impl Default for Drugs {
    fn default() -> Self {
        Self {
            n_drugs: 3,
            doses: vec![0.01, 0.1, 1.0, 10.0, 100.0],
            control_share: 0.15,
            targets_per_drug: 2,
        }
    }
}

/// Clones with heritable barcodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clones {
    /// Clones over all donors, daughters included.
    pub n_clones: usize,
    /// Standard deviation over branches of a clone's log odds of each branch.
    pub fate_bias: f64,
    /// Share of clones that descend from another clone and were marked later.
    pub daughter_share: f64,
    /// Share of cells whose barcode was read.
    pub barcoded_share: f64,
}

impl Default for Clones {
    fn default() -> Self {
        Self { n_clones: 48, fate_bias: 1.5, daughter_share: 0.3, barcoded_share: 0.7 }
    }
}

/// The same tissue in mouse: one-to-one orthologs with their own levels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mouse {
    /// Share of targets that are regulated as in human; the others change places with each other.
    pub conserved_share: f64,
    /// Standard deviation over genes of the difference in log base expression.
    pub base_sd: f64,
}

impl Default for Mouse {
    fn default() -> Self {
        Self { conserved_share: 0.85, base_sd: 0.6 }
    }
}

/// Most terms of a hierarchy: each needs genes of its own.
const MAX_TERMS: usize = 150;

/// Errors when a part is out of range, naming the option and its limits.
pub(super) fn check(o: &SimulateOptions) -> Result<()> {
    if let Some(t) = &o.type_tree {
        within("type_tree.children (levels)", t.children.len(), 1, 5)?;
        let mut level = 1_usize;
        let mut terms = 0_usize;
        for &n in &t.children {
            within("type_tree.children", n, 1, 16)?;
            level = level.saturating_mul(n);
            terms = terms.saturating_add(level);
        }
        within("type_tree.children (terms)", terms, 1, MAX_TERMS)?;
        within("type_tree.children (types)", level, 2, MAX_TERMS)?;
        within("type_tree.decay", t.decay, 0.05, 2.0)?;
    }
    if let Some(s) = &o.screen {
        within("screen.n_targets", s.n_targets, 1, 500)?;
        within("screen.guides_per_target", s.guides_per_target, 1, 20)?;
        within("screen.n_pairs", s.n_pairs, 0, s.n_targets * (s.n_targets - 1) / 2)?;
        within("screen.control_share", s.control_share, 0.01, 0.99)?;
        within("screen.efficiency", s.efficiency, 0.05, 0.99)?;
        within("screen.efficiency_sd", s.efficiency_sd, 0.0, 1.0)?;
        within("screen.escape_share", s.escape_share, 0.0, 1.0)?;
        within("screen.interaction", s.interaction, 0.0, 1.0)?;
    }
    if let Some(d) = &o.drugs {
        within("drugs.n_drugs", d.n_drugs, 1, 500)?;
        within("drugs.targets_per_drug", d.targets_per_drug, 1, 20)?;
        within("drugs.control_share", d.control_share, 0.01, 0.99)?;
        within("drugs.doses (number)", d.doses.len(), 1, 50)?;
        for &dose in &d.doses {
            within("drugs.doses", dose, 1e-9, 1e9)?;
        }
    }
    if let Some(c) = &o.clones {
        within("clones.n_clones", c.n_clones, o.n_donors, 1_000_000)?;
        within("clones.fate_bias", c.fate_bias, 0.0, 10.0)?;
        within("clones.daughter_share", c.daughter_share, 0.0, 0.9)?;
        within("clones.barcoded_share", c.barcoded_share, 0.0, 1.0)?;
    }
    if let Some(m) = &o.mouse {
        within("mouse.conserved_share", m.conserved_share, 0.0, 1.0)?;
        within("mouse.base_sd", m.base_sd, 0.0, 3.0)?;
    }
    Ok(())
}

/// Too few regulators for what was asked.
pub(super) fn too_few_regulators(key: &str, asked: usize, there: usize) -> Error {
    Error::usage("more targets than the network has regulators")
        .at_key(key)
        .expected(format!("at most {there}"))
        .found(asked.to_string())
        .remedy("ask for fewer targets, or for more genes or branches")
}
