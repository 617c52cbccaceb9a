//! Drugs: which regulators they inhibit or activate, and how the effect grows with the dose.

use microtome_core::Result;
use serde_json::{Value, json};

use super::Simulator;
use super::design::{Drugs, too_few_regulators};
use super::draws::{Draws, Purpose};
use super::network::Network;
use super::treatment::Change;

/// Share of targets that are activated rather than inhibited.
const ACTIVATED_SHARE: f64 = 0.3;

#[derive(Clone, Debug)]
struct Drug {
    /// Half of the greatest effect, micromolar.
    ec50: f64,
    /// Hill coefficient.
    hill: f64,
    /// Regulators with the greatest change of their level as a share of it: negative for inhibition.
    targets: Vec<(usize, f64)>,
}

impl Drug {
    /// Share of the greatest effect at a dose: `dose^h / (ec50^h + dose^h)` (Hill 1910).
    fn response(&self, dose: f64) -> f64 {
        1.0 / (1.0 + libm::pow(self.ec50 / dose, self.hill))
    }
}

/// All drugs.
#[derive(Clone, Debug)]
pub(super) struct Pharmacy {
    drugs: Vec<Drug>,
    pub(super) doses: Vec<f64>,
    control_share: f64,
}

impl Pharmacy {
    pub(super) fn draw(options: &Drugs, seed: u64, network: &Network) -> Result<Self> {
        let there = network.regulators.len();
        if options.targets_per_drug > there {
            return Err(too_few_regulators("drugs.targets_per_drug", options.targets_per_drug, there));
        }
        let logs: Vec<f64> = options.doses.iter().map(|&d| libm::log(d)).collect();
        let (low, high) =
            logs.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &l| (a.min(l), b.max(l)));
        let drugs = (0..options.n_drugs)
            .map(|k| {
                let draws = &mut Draws::new(seed, Purpose::Drug, k as u64);
                // Within the doses, so that both ends of the curve are seen.
                let ec50 = libm::exp(low + (high - low) * draws.between(0.3, 0.7));
                let hill = draws.between(0.8, 2.5);
                let mut order: Vec<usize> = (0..there).collect();
                draws.shuffle(&mut order);
                let targets = order
                    .into_iter()
                    .take(options.targets_per_drug)
                    .map(|r| {
                        let activates = draws.uniform() < ACTIVATED_SHARE;
                        let size = draws.between(0.7, 0.95);
                        (r, if activates { size } else { -size })
                    })
                    .collect();
                Drug { ec50, hill, targets }
            })
            .collect();
        Ok(Self { drugs, doses: options.doses.clone(), control_share: options.control_share })
    }

    /// Drug and dose, or none for the vehicle.
    pub(super) fn assign(&self, draws: &mut Draws) -> Option<(usize, usize)> {
        let is_control = draws.uniform() < self.control_share;
        let (drug, dose) = (draws.below(self.drugs.len()), draws.below(self.doses.len()));
        (!is_control).then_some((drug, dose))
    }

    /// Regulators with what their level is multiplied with.
    pub(super) fn factors(&self, drug: usize, dose: usize) -> impl Iterator<Item = (usize, f64)> {
        let response = self.response(drug, dose);
        self.drugs[drug].targets.iter().map(move |&(r, most)| (r, 1.0 + most * response))
    }

    pub(super) fn response(&self, drug: usize, dose: usize) -> f64 {
        self.drugs[drug].response(self.doses[dose])
    }

    /// Names, the vehicle first.
    pub(super) fn names(&self) -> Vec<String> {
        std::iter::once(super::screen::CONTROL.to_string())
            .chain((1..=self.drugs.len()).map(|k| format!("drug_{k}")))
            .collect()
    }

    /// Every drug with its curve, targets and greatest effects on log expression.
    pub(super) fn truth(&self, s: &Simulator, mean_levels: &[f64]) -> Value {
        let names = self.names();
        let of = |(d, name): (&Drug, &String)| {
            let changes: Vec<Change> = d
                .targets
                .iter()
                .map(|&(regulator, most)| Change { regulator, factor: 1.0 + most, boost: 1.0, own: 0.0 })
                .collect();
            let targets: Vec<Value> = d
                .targets
                .iter()
                .map(|&(r, most)| json!({ "gene": s.id_of(r), "greatest_change_of_level": most }))
                .collect();
            json!({
                "drug": name, "ec50_micromolar": d.ec50, "hill": d.hill, "targets": targets,
                "greatest_effects": s.effects(&changes, mean_levels),
            })
        };
        Value::Array(self.drugs.iter().zip(&names[1..]).map(of).collect())
    }
}
