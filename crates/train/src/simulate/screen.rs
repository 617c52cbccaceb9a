//! A pooled screen: targets, guides, pairs with known interactions.

use microtome_core::Result;
use serde_json::{Value, json};

use super::Simulator;
use super::design::{Screen, too_few_regulators};
use super::draws::{Draws, Purpose};
use super::network::Network;
use super::treatment::{Change, Treated};

/// Name of the perturbation of control cells.
pub(super) const CONTROL: &str = "control";
/// Least and most that a guide removes.
const EFFICIENCY: (f64, f64) = (0.02, 0.99);

/// How the effects of two knock-downs combine.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Interaction {
    Additive,
    Synergistic,
    Buffering,
}

/// Regulators that are knocked down together; none for control.
#[derive(Clone, Debug)]
struct Perturbation {
    /// Indices into the targets.
    targets: Vec<usize>,
    interaction: Interaction,
    /// Factor of the summed effects.
    boost: f64,
}

/// A drawn screen.
#[derive(Clone, Debug)]
pub(super) struct Library {
    /// Regulators.
    targets: Vec<usize>,
    /// Share of the level that each guide removes, `[target][guide]`.
    efficiency: Vec<Vec<f64>>,
    perturbations: Vec<Perturbation>,
    control_share: f64,
    escape_share: f64,
    n_guides: usize,
}

impl Library {
    pub(super) fn draw(screen: &Screen, seed: u64, network: &Network) -> Result<Self> {
        let there = network.regulators.len();
        if screen.n_targets > there {
            return Err(too_few_regulators("screen.n_targets", screen.n_targets, there));
        }
        let draws = &mut Draws::new(seed, Purpose::Screen, 0);
        let mut targets: Vec<usize> = (0..there).collect();
        draws.shuffle(&mut targets);
        targets.truncate(screen.n_targets);
        let n_guides = screen.guides_per_target;
        let efficiency = targets
            .iter()
            .map(|_| {
                (0..n_guides)
                    .map(|_| screen.efficiency + screen.efficiency_sd * draws.normal())
                    .map(|e| e.clamp(EFFICIENCY.0, EFFICIENCY.1))
                    .collect()
            })
            .collect();
        let single =
            |targets: Vec<usize>| Perturbation { targets, interaction: Interaction::Additive, boost: 1.0 };
        let mut perturbations = vec![single(vec![])];
        perturbations.extend((0..targets.len()).map(|t| single(vec![t])));
        let mut pairs: Vec<[usize; 2]> =
            (0..targets.len()).flat_map(|a| (a + 1..targets.len()).map(move |b| [a, b])).collect();
        draws.shuffle(&mut pairs);
        for (k, pair) in pairs.into_iter().take(screen.n_pairs).enumerate() {
            let (interaction, boost) = match k % 3 {
                0 => (Interaction::Synergistic, 1.0 + screen.interaction),
                1 => (Interaction::Additive, 1.0),
                _ => (Interaction::Buffering, 1.0 - screen.interaction),
            };
            perturbations.push(Perturbation { targets: pair.to_vec(), interaction, boost });
        }
        let (control_share, escape_share) = (screen.control_share, screen.escape_share);
        Ok(Self { targets, efficiency, perturbations, control_share, escape_share, n_guides })
    }

    pub(super) fn assign(&self, draws: &mut Draws, treated: &mut Treated) {
        let is_control = draws.uniform() < self.control_share;
        let other = 1 + draws.below(self.perturbations.len() - 1);
        treated.perturbation = if is_control { 0 } else { other };
        for _ in 0..self.perturbations[treated.perturbation].targets.len().max(1) {
            treated.guides.push(draws.below(self.n_guides));
            treated.worked.push(draws.uniform() >= self.escape_share);
        }
    }

    pub(super) fn changes(&self, treated: &Treated, out: &mut Vec<Change>) {
        let p = &self.perturbations[treated.perturbation];
        let all = treated.worked.iter().all(|w| *w);
        for ((&target, &guide), worked) in p.targets.iter().zip(&treated.guides).zip(&treated.worked) {
            if *worked {
                let left = 1.0 - self.efficiency[target][guide];
                // Two that interact do so only where both are down.
                let boost = if all { p.boost } else { 1.0 };
                out.push(Change {
                    regulator: self.targets[target],
                    factor: left,
                    boost,
                    own: libm::log(left),
                });
            }
        }
    }

    /// Names of all perturbations, control first.
    pub(super) fn perturbations(&self, s: &Simulator) -> Vec<String> {
        self.perturbations.iter().map(|p| self.name(s, p)).collect()
    }

    fn name(&self, s: &Simulator, p: &Perturbation) -> String {
        let names: Vec<&str> = p.targets.iter().map(|&t| s.symbol_of(self.targets[t])).collect();
        if names.is_empty() { CONTROL.into() } else { names.join("+") }
    }

    /// Names of all guides and pairs of guides, in the order of [`Library::guide_code`].
    pub(super) fn guides(&self, s: &Simulator) -> Vec<String> {
        let n = self.n_guides;
        let guide = |t: usize, g: usize| format!("{}_g{}", s.symbol_of(self.targets[t]), g + 1);
        self.perturbations
            .iter()
            .flat_map(|p| match p.targets[..] {
                [a, b] => {
                    (0..n * n).map(|k| format!("{}+{}", guide(a, k / n), guide(b, k % n))).collect::<Vec<_>>()
                }
                [t] => (0..n).map(|g| guide(t, g)).collect(),
                _ => (0..n).map(|g| format!("non-targeting_g{}", g + 1)).collect(),
            })
            .collect()
    }

    pub(super) fn guide_code(&self, treated: &Treated) -> u32 {
        let n = self.n_guides;
        let width = |p: &Perturbation| if p.targets.len() == 2 { n * n } else { n };
        let before: usize = self.perturbations[..treated.perturbation].iter().map(width).sum();
        let own = treated.guides.iter().fold(0, |code, &g| code * n + g);
        (before + own) as u32
    }

    /// Every perturbation with its guides, interaction and effects on log expression (before expression is made
    /// relative), for guides of mean efficiency at the mean level of each regulator over the tree.
    pub(super) fn truth(&self, s: &Simulator, mean_levels: &[f64]) -> Value {
        let mean = |t: usize| self.efficiency[t].iter().sum::<f64>() / self.n_guides as f64;
        let of = |p: &Perturbation| {
            let changes: Vec<Change> = p
                .targets
                .iter()
                .map(|&t| {
                    let left = 1.0 - mean(t);
                    let own = libm::log(left);
                    Change { regulator: self.targets[t], factor: left, boost: p.boost, own }
                })
                .collect();
            let targets: Vec<Value> = p
                .targets
                .iter()
                .map(|&t| json!({ "gene": s.id_of(self.targets[t]), "guide_efficiency": self.efficiency[t] }))
                .collect();
            let interaction = (p.targets.len() > 1).then(|| {
                json!({
                    "kind": match p.interaction {
                        Interaction::Additive => "additive",
                        Interaction::Synergistic => "synergistic",
                        Interaction::Buffering => "buffering",
                    },
                    "factor": p.boost,
                })
            });
            json!({
                "perturbation": self.name(s, p), "targets": targets, "interaction": interaction,
                "effects": s.effects(&changes, mean_levels),
            })
        };
        Value::Array(self.perturbations.iter().map(of).collect())
    }
}
