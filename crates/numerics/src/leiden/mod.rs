//! Community detection: the Leiden algorithm (Traag, Waltman and van Eck 2019, Sci. Rep. 9:5233) for modularity with
//! a resolution (Reichardt and Bornholdt 2006, Phys. Rev. E 74:016110).
//!
//! The quality is `Q = (1/2m) sum_ij (w_ij - resolution k_i k_j / 2m) [c_i = c_j]`. One iteration moves vertices,
//! refines every community into well-connected parts and shrinks the parts to vertices, until nothing shrinks.

mod level;

use crate::graph::Graph;
use crate::resample::Rng;
use level::Level;
use microtome_core::{Error, Result};

/// Choices of [`leiden`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeidenOptions {
    /// Weight of the null model: higher gives more communities.
    pub resolution: f64,
    /// Most iterations; it ends earlier once an iteration changes nothing.
    pub max_iterations: usize,
    /// Seed of the order of visits and of the merges in refinement.
    pub seed: u64,
}

impl Default for LeidenOptions {
    fn default() -> Self {
        Self { resolution: 1.0, max_iterations: 20, seed: 0 }
    }
}

/// Communities of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Leiden {
    /// Community of every vertex, numbered by falling size, then by first member.
    pub labels: Vec<u32>,
    /// Number of communities.
    pub n: usize,
    /// Quality at the resolution that was asked for; `None` for a graph without edges.
    pub quality: Option<f64>,
    /// Iterations done.
    pub iterations: usize,
    /// Whether the last iteration changed nothing.
    pub converged: bool,
}

/// Communities at one resolution. Errors when the resolution is negative or not finite.
pub fn leiden(graph: &Graph, options: &LeidenOptions) -> Result<Leiden> {
    if !(options.resolution.is_finite() && options.resolution >= 0.0) {
        return Err(Error::usage("not a resolution")
            .expected("a number of at least 0")
            .found(options.resolution.to_string()));
    }
    let bottom = Level::of(graph);
    let mut communities: Vec<u32> = (0..graph.n() as u32).collect();
    let mut rng = Rng::new(options.seed);
    let (mut iterations, mut converged) = (0, false);
    while iterations < options.max_iterations && !converged {
        iterations += 1;
        let before = communities.clone();
        iterate(&bottom, &mut communities, options.resolution, &mut rng);
        number_by_size(&mut communities);
        converged = communities == before;
    }
    let n = number_by_size(&mut communities);
    let quality = modularity(graph, &communities, options.resolution)?;
    Ok(Leiden { labels: communities, n, quality, iterations, converged })
}

/// Modularity of a partition, `None` for a graph without edges. Errors when there is not one label per vertex.
pub fn modularity(graph: &Graph, labels: &[u32], resolution: f64) -> Result<Option<f64>> {
    if labels.len() != graph.n() {
        return Err(Error::usage("a partition has one label per vertex")
            .expected(graph.n().to_string())
            .found(labels.len().to_string()));
    }
    let mut labels = labels.to_vec();
    let n = number_by_size(&mut labels);
    let degrees = graph.degrees();
    let total: f64 = degrees.iter().sum();
    if total <= 0.0 {
        return Ok(None);
    }
    let mut strength = vec![0.0; n];
    let mut inside = 0.0;
    for i in 0..graph.n() {
        strength[labels[i] as usize] += degrees[i];
        let (columns, weights) = graph.row(i);
        let own = columns.iter().zip(weights).filter(|(j, _)| labels[**j as usize] == labels[i]);
        inside += own.map(|(_, w)| w).sum::<f64>();
    }
    let expected: f64 = strength.iter().map(|s| s * s).sum::<f64>() / total;
    Ok(Some((inside - resolution * expected) / total))
}

/// One pass from the bottom to the top and back: `communities` of the bottom vertices is improved in place.
fn iterate(bottom: &Level, communities: &mut [u32], resolution: f64, rng: &mut Rng) {
    let n = communities.len();
    // Vertex of the current level that holds each bottom vertex.
    let mut holder: Vec<u32> = (0..n as u32).collect();
    let mut own: Option<Level> = None;
    let mut at: Vec<u32> = communities.to_vec();
    loop {
        let level = own.as_ref().unwrap_or(bottom);
        level.move_vertices(&mut at, resolution, rng);
        let refined = level.refine(&at, resolution, rng);
        for (c, &h) in communities.iter_mut().zip(&holder) {
            *c = at[h as usize];
        }
        let n_parts = refined.iter().max().map_or(0, |m| *m as usize + 1);
        if n_parts == level.n() {
            return;
        }
        let mut above = vec![0; n_parts];
        refined.iter().zip(&at).for_each(|(&part, &community)| above[part as usize] = community);
        holder.iter_mut().for_each(|h| *h = refined[*h as usize]);
        own = Some(level.shrink(&refined, n_parts));
        at = above;
        // Labels must stay below the number of vertices of the level they are used on.
        number_by_size(&mut at);
    }
}

/// Renames labels `0..count` by falling number of members, then by first member; gives the count.
fn number_by_size(labels: &mut [u32]) -> usize {
    let mut order: Vec<u32> = (0..labels.len() as u32).collect();
    order.sort_unstable_by_key(|&i| (labels[i as usize], i));
    let mut groups: Vec<&[u32]> = order.chunk_by(|&a, &b| labels[a as usize] == labels[b as usize]).collect();
    groups.sort_by_key(|g| (std::cmp::Reverse(g.len()), g[0]));
    let n = groups.len();
    let mut renamed = vec![0; labels.len()];
    for (name, group) in groups.iter().enumerate() {
        group.iter().for_each(|&i| renamed[i as usize] = name as u32);
    }
    labels.copy_from_slice(&renamed);
    n
}

#[cfg(test)]
mod tests;
