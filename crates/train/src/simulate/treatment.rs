//! What is done to cells: knock-downs of regulators and drugs, with known effects through the network.
//!
//! A treatment multiplies the level of a regulator by a factor. Base expression holds what a basal level of every
//! regulator does, so a target moves by `weight * (factor - 1) * (level + BASAL)`; other genes move only because
//! expression is relative. A knock-down also multiplies the regulator's own expression; a drug acts on the protein.

use super::draws::{Draws, Purpose};
use super::network::Network;
use super::options::SimulateOptions;
use super::{drugs::Pharmacy, screen::Library};

/// Level of every regulator that base expression already holds.
pub(super) const BASAL: f64 = 1.0;

/// Everything that can be done to a cell.
#[derive(Clone, Debug)]
pub(super) struct Treatments {
    pub(super) library: Option<Library>,
    pub(super) pharmacy: Option<Pharmacy>,
}

/// What was done to a cell.
#[derive(Clone, Debug, Default)]
pub(super) struct Treated {
    /// Index into the perturbations of the library.
    pub(super) perturbation: usize,
    /// Number of the guide against each target of the perturbation (of the control guide for a control).
    pub(super) guides: Vec<usize>,
    /// Whether each guide worked.
    pub(super) worked: Vec<bool>,
    /// Drug and index of the dose; none for the vehicle.
    pub(super) drug: Option<(usize, usize)>,
}

/// A regulator under treatment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) regulator: usize,
    /// What its level is multiplied with.
    pub(super) factor: f64,
    /// What the effect on targets is multiplied with: other than 1 for pairs that interact.
    pub(super) boost: f64,
    /// Added to its own log expression.
    pub(super) own: f64,
}

impl Change {
    /// What is added to the level that targets see.
    pub(super) fn of_level(&self, level: f64) -> f64 {
        (self.factor - 1.0) * (level + BASAL) * self.boost
    }
}

impl Treatments {
    pub(super) fn draw(o: &SimulateOptions, network: &Network) -> microtome_core::Result<Self> {
        let library = o.screen.as_ref().map(|s| Library::draw(s, o.seed, network)).transpose()?;
        let pharmacy = o.drugs.as_ref().map(|d| Pharmacy::draw(d, o.seed, network)).transpose()?;
        Ok(Self { library, pharmacy })
    }

    /// What cell `i` gets, from streams of its own: without treatments it would be the same cell.
    pub(super) fn of_cell(&self, seed: u64, i: usize) -> Treated {
        let mut treated = Treated::default();
        if let Some(library) = &self.library {
            library.assign(&mut Draws::new(seed, Purpose::ScreenCell, i as u64), &mut treated);
        }
        if let Some(pharmacy) = &self.pharmacy {
            treated.drug = pharmacy.assign(&mut Draws::new(seed, Purpose::DrugCell, i as u64));
        }
        treated
    }

    /// The regulators that it changes.
    pub(super) fn changes(&self, treated: &Treated, out: &mut Vec<Change>) {
        out.clear();
        if let Some(library) = &self.library {
            library.changes(treated, out);
        }
        if let (Some(pharmacy), Some((drug, dose))) = (&self.pharmacy, treated.drug) {
            for (regulator, factor) in pharmacy.factors(drug, dose) {
                match out.iter_mut().find(|c| c.regulator == regulator) {
                    Some(change) => change.factor *= factor,
                    None => out.push(Change { regulator, factor, boost: 1.0, own: 0.0 }),
                }
            }
        }
    }
}
