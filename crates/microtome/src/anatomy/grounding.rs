//! How many of the strongest edges are in a network, against what the same genes give when they are paired at random.

use microtome_core::{Result, Role};
use microtome_numerics::resample::Rng;
use microtome_report::{LineSeries, Lines};

use super::analyse::CategoryResult;
use super::figures::{Drawn, Source, drawn_lines, point};
use super::medians::{Of, median};
use super::networks::Network;
use crate::gene_store::stem_of;

/// Random pairings per block.
const DRAWS: usize = 20;

/// What is read of one block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Read {
    /// The edges as they are.
    Edges,
    /// The same queries and the same keys, paired at random: what hubs alone give.
    Repaired,
}

impl Source<'_> {
    /// One figure per network: enrichment by depth at the middle K.
    pub(super) fn grounding(&self, networks: &[Network]) -> Result<Vec<Drawn>> {
        let Some(first) = self.results.first() else { return Ok(vec![]) };
        let k = self.ks[self.ks.len() / 2];
        let mut out = vec![];
        for network in networks {
            let density: Vec<f64> = self.results.iter().map(|c| network.density(&c.genes)).collect();
            let mut lines = Lines {
                section: "Grounding".into(),
                title: format!("{} among the strongest {k} edges", network.name),
                note: format!(
                    "{}. Share of the strongest {k} edges of a block that are in the network, direction left aside, divided by the share among all pairs of the same genes: 1 = no more than any pair. Dotted: the same query and key genes paired at random ({DRAWS} draws), which is what hub genes alone give. Grey: the untrained twin. Median over categories.",
                    network.note
                ),
                x: "depth of the stream that enters the block".into(),
                y: "times as many as among all pairs".into(),
                ..Lines::default()
            };
            for (of, read) in
                [(Of::Models, Read::Edges), (Of::Twins, Read::Edges), (Of::Models, Read::Repaired)]
            {
                let role = match (of, read) {
                    (_, Read::Repaired) => Role::Baseline,
                    (Of::Models, _) => Role::Model,
                    (Of::Twins, _) => Role::Control,
                };
                for (m, entry) in self.entries(of).iter().enumerate() {
                    let mut points = vec![];
                    let blocks = of.side(first).places.iter().filter(|p| p.0 == m).count();
                    for i in 0..blocks {
                        let value = median(self.results, self.seed, |c| {
                            let at = self.results.iter().position(|r| r.category == c.category)?;
                            let chance = density.get(at).copied().filter(|d| *d > 0.0)?;
                            Some(self.rate(c, of, (m, i), network, k, read)? / chance)
                        })?;
                        points.push(point(i as f64 / entry.n_blocks.max(1) as f64, &value));
                    }
                    if points.iter().any(|p| p.y.is_some()) {
                        let name = match read {
                            Read::Edges => entry.name.clone(),
                            Read::Repaired => format!("{} (paired at random)", entry.name),
                        };
                        let own = role != Role::Model;
                        lines.series.push(LineSeries { name, role, of: own.then_some(m), points });
                    }
                }
            }
            out.push(drawn_lines(lines, format!("grounding_{}.csv", stem_of(&network.name))));
        }
        Ok(out)
    }

    /// Share of a block's strongest edges that are in the network.
    fn rate(
        &self,
        c: &CategoryResult,
        of: Of,
        place: (usize, usize),
        network: &Network,
        k: usize,
        read: Read,
    ) -> Option<f64> {
        let side = of.side(c);
        let at = side.places.iter().position(|p| *p == place)?;
        let edges = side.routing.as_ref()?.top.get(at)?;
        let edges = &edges[..k.min(edges.len())];
        let gene = |row: u32| c.genes[row as usize];
        let pairs: Vec<(usize, usize)> = edges.iter().map(|e| (gene(e.edge.from), gene(e.edge.to))).collect();
        if pairs.is_empty() {
            return None;
        }
        let share = |pairs: &mut dyn Iterator<Item = (usize, usize)>| {
            let (mut held, mut n) = (0usize, 0usize);
            // A gene paired with itself by chance is no pair.
            for (a, b) in pairs.filter(|(a, b)| a != b) {
                n += 1;
                held += usize::from(network.holds(a, b));
            }
            held as f64 / n.max(1) as f64
        };
        if read == Read::Edges {
            return Some(share(&mut pairs.iter().copied()));
        }
        let mut rng = Rng::new(self.seed);
        let mut keys: Vec<usize> = pairs.iter().map(|p| p.1).collect();
        let mut sum = 0.0;
        for _ in 0..DRAWS {
            for i in (1..keys.len()).rev() {
                keys.swap(i, rng.below(i + 1));
            }
            sum += share(&mut pairs.iter().zip(&keys).map(|(p, k)| (p.0, *k)));
        }
        Some(sum / DRAWS as f64)
    }
}
