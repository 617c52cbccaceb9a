//! One model under test with its untrained twin.

use std::path::Path;

use microtome_core::{BlockSite, InputFile, Progress, Result, Role, Site};
use microtome_eval::{GENES_PERMUTED, Representation, WEIGHTS_SHUFFLED};
use microtome_models::{GeneMatch, Overlap, Precision};
use microtome_numerics::resample::Rng;

use super::ScanOptions;
use crate::budget::Budget;
use crate::card;
use crate::data::Data;
use crate::gene_vectors::{gene_table, gene_vector_bytes, gene_vectors_at};
use crate::open::OpenModel;
use crate::represent::{CellStats, Request, represent};
use crate::twin;

/// Stream of random numbers that permutes genes.
const PERMUTATION: u64 = 0x6765_6e65;

/// What every model of a scan is run on.
pub(super) struct Context<'a> {
    pub(super) data: &'a Data,
    pub(super) data_files: &'a [InputFile],
    pub(super) options: &'a ScanOptions,
    /// Folder for what is not finished yet.
    pub(super) work: &'a Path,
    pub(super) progress: &'a dyn Progress,
}

/// A model under test.
pub(crate) struct Subject {
    opened: OpenModel,
    name: String,
    genes: GeneMatch,
    sites: Vec<Site>,
    cells: CellStats,
}

impl Subject {
    /// Opens a checkpoint and matches its genes; nothing is run yet.
    pub(super) fn open(path: &Path, data: &Data, precision: Precision) -> Result<Self> {
        let opened = OpenModel::open_in(path, precision)?;
        let genes = opened.model.match_genes(&data.genes).map_err(|e| e.in_file(data.dataset.path()))?;
        let on_stream = |s: &Site| {
            matches!(
                s,
                Site::Embed | Site::FinalNorm | Site::CellEmbedding | Site::Block(_, BlockSite::ResidPost)
            )
        };
        let sites = opened.model.sites().into_iter().map(|s| s.site).filter(on_stream).collect();
        Ok(Self { name: opened.name.clone(), opened, genes, sites, cells: CellStats::default() })
    }

    /// Runs the model, its untrained twins and, where asked for, the model with shuffled weights or permuted genes over all
    /// cells.
    pub(super) fn run(&mut self, context: &Context<'_>) -> Result<Vec<Representation>> {
        let (mut out, cells) = self.represent(&self.opened, &self.genes, Role::Model, &self.name, context)?;
        self.cells = cells;
        for twin in self.twins(context) {
            let (name, twin) = twin?;
            out.extend(self.represent(&twin, &self.genes, Role::Control, &name, context)?.0);
        }
        if let Some((name, genes)) = self.permuted(context) {
            out.extend(self.represent(&self.opened, &genes, Role::Control, &name, context)?.0);
        }
        Ok(out)
    }

    /// Vectors of genes at every site of the residual stream, of the model, its own table of gene vectors, and of its
    /// controls as in [`Self::run`]. Rows are the genes of the data.
    pub(super) fn genes(&self, context: &Context<'_>) -> Result<Vec<Representation>> {
        let mut out = self.of_genes(&self.opened, &self.genes, Role::Model, &self.name, context)?;
        for twin in self.twins(context) {
            let (name, twin) = twin?;
            out.extend(self.of_genes(&twin, &self.genes, Role::Control, &name, context)?);
        }
        if let Some((name, genes)) = self.permuted(context) {
            out.extend(self.of_genes(&self.opened, &genes, Role::Control, &name, context)?);
        }
        Ok(out)
    }

    fn of_genes(
        &self,
        opened: &OpenModel,
        genes: &GeneMatch,
        role: Role,
        name: &str,
        context: &Context<'_>,
    ) -> Result<Vec<Representation>> {
        let model = opened.model.as_ref();
        let n_blocks = model.info().n_blocks;
        let sites: Vec<Site> = self.sites.iter().filter(|s| **s != Site::CellEmbedding).cloned().collect();
        let kept = gene_vector_bytes(context.data, model, genes, sites.len());
        let budget = Budget::plan(model, &sites, context.data, context.options.run.memory, kept)?;
        let matrices = gene_vectors_at(context.data, model, genes, &sites, &budget, context.progress)?;
        let representation = |site: Site, pooling: &str, matrix| Representation {
            model: name.into(),
            family: Some(model.info().family.into()),
            role,
            block: site.block(),
            depth: site.depth(n_blocks),
            site: Some(site),
            pooling: Some(pooling.into()),
            matrix,
        };
        let of_site = |(site, matrix)| representation(site, "mean over cells", matrix);
        let mut out: Vec<Representation> = sites.into_iter().zip(matrices).map(of_site).collect();
        if let Some(table) = gene_table(context.data, model, genes)? {
            out.push(representation(Site::GeneEmbedding, "mean over cells", table));
        }
        Ok(out)
    }

    /// The untrained twins with their names, written when they are not there yet; after them, where asked for, the model
    /// with its weights shuffled, which needs no file of its own. Each is opened when it is asked for, so that one of them is
    /// in memory at a time.
    fn twins<'a>(
        &'a self,
        context: &'a Context<'a>,
    ) -> impl Iterator<Item = Result<(String, OpenModel)>> + 'a {
        let open = move |twin: usize| {
            let folder = context.work.join(match twin {
                1 => format!("untrained-{}", self.name),
                _ => format!("untrained-{}-{twin}", self.name),
            });
            twin::ensure(&self.opened, context.options.data.seed.wrapping_add(twin as u64), &folder)?;
            Ok((self.twin_name(twin), OpenModel::open_in(&folder, self.opened.precision)?))
        };
        let compare = &context.options.compare;
        let shuffled = move || {
            let opened = self.opened.shuffled(context.options.data.seed)?;
            Ok((format!("{} {WEIGHTS_SHUFFLED}", self.name), opened))
        };
        let last = compare.weights_shuffled.then(|| std::iter::once_with(shuffled));
        (1..=compare.untrained_seeds.max(1)).map(open).chain(last.into_iter().flatten())
    }

    /// The same model with its genes exchanged, where that was asked for.
    fn permuted(&self, context: &Context<'_>) -> Option<(String, GeneMatch)> {
        context.options.compare.gene_permuted.then(|| {
            (format!("{} {GENES_PERMUTED}", self.name), permuted(&self.genes, context.options.data.seed))
        })
    }

    fn represent(
        &self,
        opened: &OpenModel,
        genes: &GeneMatch,
        role: Role,
        name: &str,
        context: &Context<'_>,
    ) -> Result<(Vec<Representation>, CellStats)> {
        let model = opened.model.as_ref();
        let pooling = context.options.pooling;
        // The tasks look at all of it at once: of this model, and of the controls that come after it.
        let compare = &context.options.compare;
        let n_controls = compare.untrained_seeds.max(1)
            + usize::from(compare.weights_shuffled)
            + usize::from(compare.gene_permuted);
        let n_runs = if role == Role::Model { 1 + n_controls } else { 1 };
        let size = 4 * context.data.cells.len() * self.sites.len() * model.info().d_model;
        let request = Request {
            data: context.data,
            opened,
            genes,
            sites: &self.sites,
            pooling,
            run: context.options.run,
            kept: (n_runs * size) as u64,
            inputs: format!(
                "{} {name} {}",
                card::representation_hash(context.data_files, context.data, opened, &self.sites, pooling),
                // Shuffled weights and permuted genes follow from the seed, not from a file.
                if role == Role::Control { context.options.data.seed.to_string() } else { String::new() }
            ),
            stage: format!("running {name}"),
        };
        let (store, cells) =
            represent(&request, &context.work.join(format!("cells-{name}")), context.progress)?;
        let n_blocks = model.info().n_blocks;
        let mut out = Vec::with_capacity(self.sites.len());
        // The last array holds facts about the cells, not a representation.
        for (site, matrix) in self.sites.iter().zip(store.read_all()?) {
            // The published vector is a pooling of one block, not a depth of its own.
            let published = *site == Site::CellEmbedding;
            out.push(Representation {
                model: name.into(),
                family: Some(model.info().family.into()),
                role,
                site: Some(site.clone()),
                block: site.block(),
                depth: site.depth(n_blocks),
                pooling: Some(if published { "published".into() } else { pooling.to_string() }),
                matrix,
            });
        }
        Ok((out, cells))
    }

    /// Name in records.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Name of an untrained twin in records, counted from 1.
    fn twin_name(&self, twin: usize) -> String {
        match twin {
            1 => twin::name_of(&self.name),
            _ => format!("{} (untrained twin {twin})", self.name),
        }
    }

    /// The checkpoint.
    pub(super) fn opened(&self) -> &OpenModel {
        &self.opened
    }

    /// Files it was read from.
    pub(super) fn inputs(&self) -> &[InputFile] {
        &self.opened.inputs
    }

    /// How its genes met the data.
    pub(super) fn overlap(&self) -> &Overlap {
        &self.genes.overlap
    }

    /// Whether the model knows a gene of the data.
    pub(super) fn knows(&self, gene: usize) -> bool {
        self.genes.token_of_gene.get(gene).is_some_and(Option::is_some)
    }

    /// Facts about the cells that went through it.
    pub(super) fn cells(&self) -> &CellStats {
        &self.cells
    }
}

/// The same genes with their identities exchanged at random: every count goes to another gene of the vocabulary, so that the
/// network is as trained and the distribution of a cell's counts as it was, but nothing is known about what a gene is.
fn permuted(genes: &GeneMatch, seed: u64) -> GeneMatch {
    let mut out = genes.clone();
    let known: Vec<usize> =
        (0..out.token_of_gene.len()).filter(|&g| out.token_of_gene[g].is_some()).collect();
    let order = Rng::stream(seed, PERMUTATION).permutation(known.len());
    for (&to, from) in known.iter().zip(order) {
        out.token_of_gene[to] = genes.token_of_gene[known[from]];
    }
    out
}

/// Two checkpoints in folders of the same name get numbers, so that no record is ambiguous.
pub(super) fn distinct_names(subjects: &mut [Subject]) {
    let names: Vec<String> = subjects.iter().map(|s| s.name.clone()).collect();
    for (i, subject) in subjects.iter_mut().enumerate() {
        if names.iter().filter(|n| **n == names[i]).count() > 1 {
            let nth = names[..=i].iter().filter(|n| **n == names[i]).count();
            subject.name = format!("{} #{nth}", names[i]);
        }
    }
}
