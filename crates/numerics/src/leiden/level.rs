//! One level of the hierarchy: vertices with strengths and inner weight, and what is done on it.

use crate::graph::Graph;
use crate::resample::Rng;
use std::collections::VecDeque;

/// Temperature of merges in refinement, in units of edge weight: close to greedy, yet every good merge can happen
/// (section "Refinement" of the paper's supplement).
const TEMPERATURE: f64 = 0.01;
/// Gains below this share of the total weight are rounding.
const NEGLIGIBLE: f64 = 1e-13;

/// A weighted graph whose vertices may stand for many.
pub(super) struct Level {
    indptr: Vec<usize>,
    indices: Vec<u32>,
    weights: Vec<f64>,
    /// Sum of weights at each vertex, inner weight counted twice.
    strength: Vec<f64>,
    /// Sum of all strengths.
    total: f64,
}

impl Level {
    pub(super) fn of(graph: &Graph) -> Self {
        let strength = graph.degrees();
        let total = strength.iter().sum();
        Self {
            indptr: graph.indptr.clone(),
            indices: graph.indices.clone(),
            weights: graph.weights.clone(),
            strength,
            total,
        }
    }

    pub(super) fn n(&self) -> usize {
        self.strength.len()
    }

    fn row(&self, i: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let range = self.indptr[i]..self.indptr[i + 1];
        self.indices[range.clone()].iter().map(|&j| j as usize).zip(self.weights[range].iter().copied())
    }

    fn null(&self, resolution: f64) -> f64 {
        if self.total > 0.0 { resolution / self.total } else { 0.0 }
    }

    /// Moves single vertices to the community of greatest gain until no move gains. Labels are below `n`.
    pub(super) fn move_vertices(&self, communities: &mut [u32], resolution: f64, rng: &mut Rng) {
        let n = self.n();
        let null = self.null(resolution);
        let mut strength = vec![0.0; n];
        let mut size = vec![0u32; n];
        for (i, &c) in communities.iter().enumerate() {
            strength[c as usize] += self.strength[i];
            size[c as usize] += 1;
        }
        let mut empty: Vec<u32> = (0..n as u32).rev().filter(|&c| size[c as usize] == 0).collect();
        let mut queue: VecDeque<u32> = rng.permutation(n).into_iter().map(|i| i as u32).collect();
        let mut queued = vec![true; n];
        let mut toward = Toward::new(n);
        while let Some(i) = queue.pop_front() {
            let i = i as usize;
            queued[i] = false;
            let from = communities[i] as usize;
            strength[from] -= self.strength[i];
            size[from] -= 1;
            if size[from] == 0 {
                empty.push(from as u32);
                strength[from] = 0.0;
            }
            toward.clear();
            for (j, w) in self.row(i) {
                toward.add(communities[j], w);
            }
            let gain = |c: usize, w: f64| w - null * self.strength[i] * strength[c];
            let mut best = (gain(from, toward.weight(from)), from);
            let negligible = NEGLIGIBLE * self.total;
            for &c in &toward.seen {
                let g = gain(c as usize, toward.weight(c as usize));
                if g > best.0 + negligible {
                    best = (g, c as usize);
                }
            }
            // Alone gains exactly 0.
            if 0.0 > best.0 + negligible
                && let Some(&alone) = empty.last()
            {
                best = (0.0, alone as usize);
            }
            let to = best.1;
            if size[to] == 0
                && let Some(p) = empty.iter().rposition(|&e| e as usize == to)
            {
                empty.swap_remove(p);
            }
            communities[i] = to as u32;
            strength[to] += self.strength[i];
            size[to] += 1;
            if to != from {
                for (j, _) in self.row(i) {
                    if communities[j] as usize != to && !queued[j] {
                        queued[j] = true;
                        queue.push_back(j as u32);
                    }
                }
            }
        }
    }

    /// Splits every community into well-connected parts, grown from single vertices; parts are numbered `0..count`.
    pub(super) fn refine(&self, communities: &[u32], resolution: f64, rng: &mut Rng) -> Vec<u32> {
        let n = self.n();
        let null = self.null(resolution);
        let mut community_strength = vec![0.0; n];
        for (i, &c) in communities.iter().enumerate() {
            community_strength[c as usize] += self.strength[i];
        }
        let mut part: Vec<u32> = (0..n as u32).collect();
        let mut strength = self.strength.clone();
        let mut alone = vec![true; n];
        // Weight between a part and the rest of its community.
        let mut outward: Vec<f64> = (0..n)
            .map(|i| self.row(i).filter(|&(j, _)| communities[j] == communities[i]).map(|(_, w)| w).sum())
            .collect();
        let connected = |outward: f64, own: f64, all: f64| outward >= null * own * (all - own);
        let mut toward = Toward::new(n);
        for i in rng.permutation(n) {
            let all = community_strength[communities[i] as usize];
            if !alone[i] || !connected(outward[i], self.strength[i], all) {
                continue;
            }
            toward.clear();
            for (j, w) in self.row(i) {
                if communities[j] == communities[i] {
                    toward.add(part[j], w);
                }
            }
            let options: Vec<(u32, f64)> = toward
                .seen
                .iter()
                .filter(|&&p| connected(outward[p as usize], strength[p as usize], all))
                .map(|&p| (p, toward.weight(p as usize) - null * self.strength[i] * strength[p as usize]))
                .filter(|&(_, gain)| gain >= 0.0)
                .collect();
            let Some(to) = draw(&options, rng) else { continue };
            let t = to as usize;
            outward[t] += outward[i] - 2.0 * toward.weight(t);
            strength[t] += self.strength[i];
            part[i] = to;
            alone[t] = false;
            alone[i] = false;
        }
        let mut names = vec![u32::MAX; n];
        let mut count = 0;
        for p in &mut part {
            let name = &mut names[*p as usize];
            if *name == u32::MAX {
                *name = count;
                count += 1;
            }
            *p = *name;
        }
        part
    }

    /// The graph of the parts.
    pub(super) fn shrink(&self, part: &[u32], n_parts: usize) -> Self {
        let mut members: Vec<Vec<u32>> = vec![Vec::new(); n_parts];
        let mut strength = vec![0.0; n_parts];
        for (i, &p) in part.iter().enumerate() {
            members[p as usize].push(i as u32);
            strength[p as usize] += self.strength[i];
        }
        let (mut indptr, mut indices, mut weights) = (vec![0], Vec::new(), Vec::new());
        let mut toward = Toward::new(n_parts);
        for (p, members) in members.iter().enumerate() {
            toward.clear();
            for &i in members {
                for (j, w) in self.row(i as usize) {
                    if part[j] as usize != p {
                        toward.add(part[j], w);
                    }
                }
            }
            for &q in &toward.seen {
                indices.push(q);
                weights.push(toward.weight(q as usize));
            }
            indptr.push(indices.len());
        }
        Self { indptr, indices, weights, strength, total: self.total }
    }
}

/// A draw in proportion to `exp(gain / TEMPERATURE)`; `None` without options.
fn draw(options: &[(u32, f64)], rng: &mut Rng) -> Option<u32> {
    let most = options.iter().map(|o| o.1).fold(f64::NEG_INFINITY, f64::max);
    let chance = |gain: f64| libm::exp((gain - most) / TEMPERATURE);
    let mut at = rng.uniform() * options.iter().map(|o| chance(o.1)).sum::<f64>();
    for &(p, gain) in options {
        at -= chance(gain);
        if at < 0.0 {
            return Some(p);
        }
    }
    options.last().map(|o| o.0)
}

/// Weight from one vertex toward each label, with the labels that were seen in order of appearance.
struct Toward {
    weight: Vec<f64>,
    mark: Vec<bool>,
    seen: Vec<u32>,
}

impl Toward {
    fn new(n: usize) -> Self {
        Self { weight: vec![0.0; n], mark: vec![false; n], seen: Vec::new() }
    }

    fn clear(&mut self) {
        for c in self.seen.drain(..) {
            self.weight[c as usize] = 0.0;
            self.mark[c as usize] = false;
        }
    }

    fn add(&mut self, label: u32, w: f64) {
        let at = label as usize;
        if !self.mark[at] {
            self.mark[at] = true;
            self.seen.push(label);
        }
        self.weight[at] += w;
    }

    fn weight(&self, label: usize) -> f64 {
        self.weight[label]
    }
}
