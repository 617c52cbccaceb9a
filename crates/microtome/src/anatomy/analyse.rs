//! Everything that is computed about one category: models side by side, and their untrained twins side by side.

use microtome_anatomy::Blocks;
use microtome_anatomy::geometry::{RsaOptions, Shape, Step, cka, rsa, shapes, steps};
use microtome_anatomy::routing::{
    MeanStream, Overlay, Routing, RoutingOptions, ScoreOptions, ScoreSource, route,
};
use microtome_anatomy::{AttentionWeights, Pairwise};
use microtome_core::{Matrix, Progress, Result, Role};

use super::{shared, weights};
use crate::gene_store::{GeneStore, ModelEntry};

/// Member and block of every row that was routed.
type Routed = Vec<(usize, usize)>;

/// Fewest genes that a category is looked at with.
pub(super) const MIN_GENES: usize = 20;

/// One category.
pub(super) struct CategoryResult {
    pub(super) category: String,
    pub(super) genes: Vec<usize>,
    pub(super) models: Side,
    pub(super) twins: Side,
}

/// Models, or twins, over the same genes. Places are named `model/site`.
pub(super) struct Side {
    /// Sites of every member.
    pub(super) sites: Vec<Vec<String>>,
    /// Similarity of every site of every member with every other.
    pub(super) rsa: Pairwise,
    /// Per member.
    pub(super) cka: Vec<Pairwise>,
    /// Per member.
    pub(super) shapes: Vec<Vec<Shape>>,
    /// Per member.
    pub(super) steps: Vec<Vec<Step>>,
    /// Over all members with softmax attention, side by side.
    pub(super) routing: Option<Routing>,
    /// Member and block of every place of `routing`.
    pub(super) places: Vec<(usize, usize)>,
}

impl Side {
    /// First place and number of sites of a member in `rsa`.
    pub(super) fn span(&self, member: usize) -> std::ops::Range<usize> {
        let first: usize = self.sites[..member].iter().map(Vec::len).sum();
        first..first + self.sites[member].len()
    }
}

/// What is asked of every category.
pub(super) struct Question<'a> {
    pub(super) store: &'a GeneStore,
    pub(super) n_genes: usize,
    pub(super) ks: &'a [usize],
    pub(super) progress: &'a dyn Progress,
}

impl Question<'_> {
    /// `None` with fewer than [`MIN_GENES`] shared genes; the number is given back.
    pub(super) fn answer(&self, category: &str) -> Result<std::result::Result<CategoryResult, usize>> {
        let genes = shared::genes(self.store, category, self.n_genes)?;
        if genes.len() < MIN_GENES {
            return Ok(Err(genes.len()));
        }
        Ok(Ok(CategoryResult {
            category: category.into(),
            models: self.side(category, &genes, Role::Model)?,
            twins: self.side(category, &genes, Role::Control)?,
            genes,
        }))
    }

    fn side(&self, category: &str, genes: &[usize], role: Role) -> Result<Side> {
        let entries: Vec<&ModelEntry> =
            self.store.manifest().models.iter().filter(|m| m.role == role).collect();
        let mut streams = Vec::with_capacity(entries.len());
        for entry in &entries {
            streams.push(shared::streams(self.store, entry, category, genes)?);
        }
        let sites: Vec<Vec<String>> =
            entries.iter().map(|e| e.sites.iter().map(|s| s.site.clone()).collect()).collect();
        let named =
            entries.iter().zip(&sites).flat_map(|(e, s)| s.iter().map(move |s| format!("{}/{s}", e.name)));
        let all = Blocks::new(named.collect(), streams.iter().flatten().collect())?;
        let similarity = rsa(&all, &RsaOptions::default(), self.progress)?;
        let (mut alignment, mut shape, mut step) = (vec![], vec![], vec![]);
        for (stream, sites) in streams.iter().zip(&sites) {
            let blocks = Blocks::new(sites.clone(), stream.iter().collect())?;
            alignment.push(cka(&blocks, self.progress)?);
            shape.push(shapes(&blocks, self.progress)?);
            step.push(steps(&blocks)?);
        }
        let (routing, places) = self.route(&entries, &streams)?;
        Ok(Side { sites, rsa: similarity, cka: alignment, shapes: shape, steps: step, routing, places })
    }

    /// Attention of the mean stream of every member that has weights for it.
    fn route(&self, entries: &[&ModelEntry], streams: &[Vec<Matrix>]) -> Result<(Option<Routing>, Routed)> {
        let mut of_member: Vec<(usize, Vec<AttentionWeights>)> = vec![];
        for (member, entry) in entries.iter().enumerate() {
            let stored = self.store.attention(entry)?;
            let weights: Option<Vec<AttentionWeights>> = stored.iter().map(weights::of_stored).collect();
            // Every block needs the stream that enters it.
            if let Some(w) = weights.filter(|w| !w.is_empty() && streams[member].len() > w.len()) {
                of_member.push((member, w));
            }
        }
        let mut sources = vec![];
        let mut places = vec![];
        for (member, weights) in &of_member {
            let entering: Vec<&Matrix> = streams[*member].iter().take(weights.len()).collect();
            let names = (0..weights.len()).map(|i| format!("blocks.{i}")).collect();
            places.extend((0..weights.len()).map(|i| (*member, i)));
            let blocks = Blocks::new(names, entering)?;
            let source = MeanStream::new(blocks, weights.iter().collect(), ScoreOptions::mean_stream())?;
            sources.push((entries[*member].name.clone(), source));
        }
        if sources.is_empty() {
            return Ok((None, places));
        }
        let parts = sources.iter().map(|(name, s)| (name.clone(), s as &dyn ScoreSource)).collect();
        let overlay = Overlay::new(parts)?;
        let options = RoutingOptions::exact(self.ks.to_vec());
        Ok((Some(route(&overlay, &options, None, self.progress)?), places))
    }
}
