//! One model under test with its untrained twin.

use std::path::Path;

use microtome_core::{BlockSite, InputFile, Progress, Result, Role, Site};
use microtome_eval::Representation;
use microtome_models::{GeneMatch, Overlap};

use super::ScanOptions;
use crate::card;
use crate::data::Data;
use crate::open::OpenModel;
use crate::represent::{CellStats, Request, represent};
use crate::twin;

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
    pub(super) fn open(path: &Path, data: &Data) -> Result<Self> {
        let opened = OpenModel::open(path)?;
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

    /// Runs the model and its untrained twin over all cells.
    pub(super) fn run(&mut self, context: &Context<'_>) -> Result<Vec<Representation>> {
        let (mut out, cells) = self.represent(&self.opened, Role::Model, &self.name, context)?;
        self.cells = cells;
        let folder = context.work.join(format!("untrained-{}", self.name));
        twin::ensure(&self.opened, context.options.data.seed.wrapping_add(1), &folder)?;
        let twin = OpenModel::open(&folder)?;
        out.extend(self.represent(&twin, Role::Control, &self.twin_name(), context)?.0);
        Ok(out)
    }

    fn represent(
        &self,
        opened: &OpenModel,
        role: Role,
        name: &str,
        context: &Context<'_>,
    ) -> Result<(Vec<Representation>, CellStats)> {
        let model = opened.model.as_ref();
        let pooling = context.options.pooling;
        let request = Request {
            data: context.data,
            model,
            genes: &self.genes,
            sites: &self.sites,
            pooling,
            inputs: card::representation_hash(context.data_files, context.data, opened, &self.sites, pooling),
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

    /// Name of the untrained twin in records.
    pub(super) fn twin_name(&self) -> String {
        twin::name_of(&self.name)
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

    /// Facts about the cells that went through it.
    pub(super) fn cells(&self) -> &CellStats {
        &self.cells
    }
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
