//! Geometry of one set of rows (genes of a category, or cells) at every site of several models.

use microtome_anatomy::geometry::{
    RsaOptions, Shape, Step, cka, depth_curvature, neighbour_overlap, procrustes_of, rsa, shapes, steps,
};
use microtome_anatomy::{Blocks, Estimated, Pairwise};
use microtome_core::{Matrix, Progress, Result};
use microtome_numerics::knn::Metric;
use serde::{Deserialize, Serialize};

/// Nearest rows whose overlap is measured.
pub(super) const NEIGHBOURS: usize = 10;

/// Between which sites of a model Procrustes is measured: a decomposition per pair takes the width to the third.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rotations {
    /// None.
    None,
    /// Every site with the first and with the next one.
    #[default]
    Chain,
    /// All pairs.
    All,
}

impl Rotations {
    /// Pairs of `n` sites, rising.
    fn pairs(self, n: usize) -> Vec<(usize, usize)> {
        let keep = |a: usize, b: usize| match self {
            Self::None => false,
            Self::Chain => a == 0 || a + 1 == b,
            Self::All => true,
        };
        (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b))).filter(|&(a, b)| keep(a, b)).collect()
    }
}

/// Models, or twins, over the same rows. Places are named `model/site`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Geometry {
    /// Rows.
    pub(super) n: usize,
    /// Sites of every member.
    pub(super) sites: Vec<Vec<String>>,
    /// Similarity of every site of every member with every other.
    pub(super) rsa: Pairwise,
    /// Per member.
    pub(super) cka: Vec<Pairwise>,
    /// Per member: share of nearest rows in common.
    pub(super) neighbours: Vec<Pairwise>,
    /// Per member: as [`Rotations`] asks.
    pub(super) procrustes: Vec<Pairwise>,
    /// Per member.
    pub(super) shapes: Vec<Vec<Shape>>,
    /// Per member.
    pub(super) steps: Vec<Vec<Step>>,
    /// Per member: curvature of rows along depth, in radians.
    pub(super) curvature: Vec<Estimated>,
}

/// Member name with its sites and the rows at each.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) sites: Vec<String>,
    pub(super) streams: Vec<Matrix>,
}

impl Geometry {
    /// `memory` bounds the tables of ranks.
    pub(super) fn of(
        members: &[Member],
        memory: usize,
        rotations: Rotations,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let named = members.iter().flat_map(|m| m.sites.iter().map(move |s| format!("{}/{s}", m.name)));
        let all = Blocks::new(named.collect(), members.iter().flat_map(|m| &m.streams).collect())?;
        let n = all.n_rows();
        let options = RsaOptions { memory, ..RsaOptions::default() };
        let mut out = Self {
            n,
            sites: members.iter().map(|m| m.sites.clone()).collect(),
            rsa: rsa(&all, &options, progress)?,
            cka: vec![],
            neighbours: vec![],
            procrustes: vec![],
            shapes: vec![],
            steps: vec![],
            curvature: vec![],
        };
        for member in members {
            let blocks = Blocks::new(member.sites.clone(), member.streams.iter().collect())?;
            out.cka.push(cka(&blocks, progress)?);
            let k = NEIGHBOURS.min(n.saturating_sub(1)).max(1);
            out.neighbours.push(neighbour_overlap(&blocks, k, Metric::Cosine, None, 0, progress)?);
            out.procrustes.push(procrustes_of(&blocks, &rotations.pairs(blocks.len()), progress)?);
            out.shapes.push(shapes(&blocks, progress)?);
            out.steps.push(steps(&blocks)?);
            out.curvature.push(depth_curvature(&blocks)?);
        }
        Ok(out)
    }

    /// First place and number of sites of a member in `rsa`.
    pub(super) fn span(&self, member: usize) -> std::ops::Range<usize> {
        let first: usize = self.sites[..member].iter().map(Vec::len).sum();
        first..first + self.sites[member].len()
    }
}

/// A number of a member at a site: file, heading, how to read it, and where it is.
pub(super) struct Curve {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) note: &'static str,
    /// Whether it gets a figure, beside its rows of the table.
    pub(super) drawn: bool,
    pub(super) read: fn(&Geometry, usize, usize) -> Option<f64>,
}

macro_rules! curve {
    ($id:literal, $title:literal, $drawn:literal, $note:literal, $read:expr) => {
        Curve { id: $id, title: $title, note: $note, drawn: $drawn, read: $read }
    };
}

/// The step that leads to a site.
fn step(g: &Geometry, m: usize, i: usize) -> Option<&Step> {
    g.steps[m].get(i.checked_sub(1)?)
}

/// Everything that is measured per site, in the order in which it is shown.
pub(super) const CURVES: &[Curve] = &[
    curve!(
        "effective_rank",
        "Effective rank",
        true,
        "exp of the entropy of the variances (eigenvalues) of centred vectors: how many directions they spread over",
        |g, m, i| g.shapes[m][i].centred.effective_rank_variance.value
    ),
    curve!(
        "effective_rank_singular",
        "Effective rank of singular values",
        false,
        "exp of the entropy of singular values (Roy and Vetterli), centred",
        |g, m, i| g.shapes[m][i].centred.effective_rank_singular.value
    ),
    curve!(
        "matrix_entropy",
        "Matrix entropy",
        true,
        "entropy of the eigenvalues of the uncentred Gram matrix over ln min(rows, width): 1 when spread evenly",
        |g, m, i| g.shapes[m][i].uncentred.matrix_entropy_normalised.value
    ),
    curve!(
        "matrix_entropy_nats",
        "Matrix entropy in nats",
        false,
        "entropy of the eigenvalues of the uncentred Gram matrix",
        |g, m, i| g.shapes[m][i].uncentred.matrix_entropy.value
    ),
    curve!(
        "participation_ratio",
        "Participation ratio",
        false,
        "(sum p)^2 / sum p^2 over eigenvalues, centred",
        |g, m, i| g.shapes[m][i].centred.participation_ratio.value
    ),
    curve!(
        "first_share",
        "Share of the first component",
        false,
        "share of the variance in the first principal component, centred",
        |g, m, i| g.shapes[m][i].centred.first_share.value
    ),
    curve!(
        "mean_cosine",
        "Shared direction",
        true,
        "mean cosine of all pairs (anisotropy): 0 without a preferred direction, 1 when all point the same way",
        |g, m, i| g.shapes[m][i].mean_cosine.value
    ),
    curve!(
        "mean_cosine_centred",
        "Shared direction after centring",
        false,
        "mean cosine of all pairs after the mean is subtracted",
        |g, m, i| g.shapes[m][i].mean_cosine_centred.value
    ),
    curve!(
        "outlier_share",
        "Outlier dimensions",
        true,
        "share of the variance in dimensions whose variance is above 100 times the median",
        |g, m, i| g.shapes[m][i].outlier_share.value
    ),
    curve!(
        "outlier_dimensions",
        "Number of outlier dimensions",
        false,
        "dimensions whose variance is above 100 times the median",
        |g, m, i| Some(g.shapes[m][i].outlier_dimensions.len() as f64)
    ),
    curve!(
        "intrinsic_dimension",
        "Intrinsic dimension",
        true,
        "TwoNN, maximum likelihood; compare only at the same number of rows",
        |g, m, i| g.shapes[m][i].intrinsic.maximum_likelihood.value
    ),
    curve!(
        "intrinsic_dimension_fit",
        "Intrinsic dimension, fit",
        false,
        "TwoNN, slope without the largest tenth",
        |g, m, i| g.shapes[m][i].intrinsic.fit.value
    ),
    curve!("mean_norm", "Length", false, "mean length of a vector", |g, m, i| g.shapes[m][i].mean_norm.value),
    curve!(
        "growth",
        "Norm growth",
        true,
        "length after the block over length before it, median over vectors",
        |g, m, i| step(g, m, i)?.growth.value
    ),
    curve!(
        "speed",
        "Representation speed",
        true,
        "1 - cosine of a vector before and after the block, median over vectors",
        |g, m, i| step(g, m, i)?.speed.value
    ),
    curve!(
        "relative_change",
        "Relative change",
        false,
        "length of the difference over the length before the block, median over vectors",
        |g, m, i| step(g, m, i)?.relative_change.value
    ),
    curve!(
        "kept_cka",
        "Kept from the embedding",
        true,
        "debiased CKA of the place with the embedding: 1 when the geometry is still that of the input",
        |g, m, i| g.cka[m].at(0, i).value
    ),
    curve!(
        "kept_neighbours",
        "Neighbours kept from the embedding",
        true,
        "share of the 10 nearest vectors (cosine) that are nearest at the embedding too",
        |g, m, i| g.neighbours[m].at(0, i).value
    ),
    curve!(
        "kept_procrustes",
        "Distance from the embedding",
        false,
        "Procrustes disparity with the embedding after the best rotation: 0 = the same shape",
        |g, m, i| g.procrustes[m].at(0, i).value
    ),
    curve!(
        "next_rsa",
        "Similarity with the place before",
        false,
        "Spearman of cosines of all pairs with the place before",
        |g, m, i| {
            let s = g.span(m).start;
            g.rsa.at(s + i.checked_sub(1)?, s + i).value
        }
    ),
    curve!(
        "next_neighbours",
        "Neighbours kept from the place before",
        false,
        "share of the 10 nearest vectors in common with the place before",
        |g, m, i| g.neighbours[m].at(i.checked_sub(1)?, i).value
    ),
    curve!(
        "next_procrustes",
        "Distance from the place before",
        false,
        "Procrustes disparity with the place before",
        |g, m, i| g.procrustes[m].at(i.checked_sub(1)?, i).value
    ),
];
