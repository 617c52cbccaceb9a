//! `embed`: one `obsm` entry per requested site, streamed.

use std::path::{Path, PathBuf};
use std::time::Instant;

use microtome_core::{Column, Error, ErrorKind, Matrix, Progress, Result, RunCard, Site, SitePattern};
use microtome_h5ad::{ColumnKind, Writer};
use microtome_models::Overlap;
use microtome_models::taps::Pooling;
use serde::Serialize;

use crate::budget::{Budget, RunOptions};
use crate::card::{self, VERSION};
use crate::data::{Data, DataOptions};
use crate::drift::{self, SiteDrift};
use crate::gene_vectors::gene_vectors;
use crate::open::OpenModel;
use crate::represent::{CellStats, Request, cell_facts_of, represent};
use crate::store::Store;
use crate::{hash, output};

/// What to embed and where to put it.
#[derive(Clone, Debug)]
pub struct EmbedOptions {
    /// Cells.
    pub data: DataOptions,
    /// Checkpoint.
    pub model: PathBuf,
    /// Sites, comma separated with `*` as wildcard.
    pub sites: String,
    /// How tokens become one vector per cell.
    pub pooling: Pooling,
    /// Precision and memory.
    pub run: RunOptions,
    /// Output file.
    pub out: PathBuf,
    /// Go on with an unfinished run.
    pub resume: bool,
    /// Replace an existing output.
    pub overwrite: bool,
    /// The command line, for the run card.
    pub command: Vec<String>,
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct EmbedReport {
    /// Output file.
    pub out: PathBuf,
    /// Keys of `obsm` with their widths.
    pub obsm: Vec<(String, usize)>,
    /// Keys of `varm` with their widths.
    pub varm: Vec<(String, usize)>,
    /// How tokens became one vector per cell.
    pub pooling: String,
    /// Gene overlap.
    pub overlap: Overlap,
    /// Facts about the cells.
    pub cells: CellStats,
    /// Wall seconds in all.
    pub seconds: f64,
    /// Things to know.
    pub notes: Vec<String>,
}

/// File in the work folder that says that the output may be replaced: it was asked for, or the run was killed while it put it there.
const MAY_REPLACE: &str = "may-replace";

/// `obsm` key of a site.
pub(crate) fn obsm_key(family: &str, site: &str) -> String {
    format!("X_{family}.{site}")
}

/// Runs `embed`. The output appears whole or not at all; until then finished chunks lie in `OUT.partial/`.
pub fn embed(options: &EmbedOptions, progress: &dyn Progress) -> Result<EmbedReport> {
    let begun = Instant::now();
    let out = &options.out;
    output::check_writable(out)?;
    let partial = partial_folder(out);
    let replace = partial.join(MAY_REPLACE);
    if out.exists() && !(options.overwrite || options.resume && replace.exists()) {
        return Err(Error::output("the output file exists already")
            .in_file(out)
            .remedy("name another file, or pass --overwrite"));
    }
    if partial.exists() {
        if options.overwrite {
            std::fs::remove_dir_all(&partial).map_err(|e| {
                Error::output("cannot remove an unfinished run").in_file(&partial).caused_by(e)
            })?;
        } else if !options.resume {
            return Err(Error::output("an unfinished run of this output was found")
                .in_file(&partial)
                .remedy("pass --resume to go on with it, or --overwrite to begin again"));
        }
    }
    let opened = OpenModel::open_in(&options.model, options.run.precision)?;
    let mut data = Data::open(&options.data)?;
    let model = opened.model.as_ref();
    data.add_contexts(model)?;
    let known: Vec<Site> = model.sites().into_iter().map(|s| s.site).collect();
    let per_cell = [known.as_slice(), &[Site::GeneEmbedding]].concat();
    let mut sites = SitePattern::parse(&options.sites)?.select(&per_cell)?;
    // Gene vectors are not per cell: they are averaged in a pass of their own and go to varm.
    let with_genes = sites.contains(&Site::GeneEmbedding);
    sites.retain(|s| *s != Site::GeneEmbedding);
    let genes = model.match_genes(&data.genes).map_err(|e| e.in_file(&options.data.path))?;
    for note in &data.notes {
        progress.note(note);
    }
    let files = hash::inputs("data", &options.data.path)?;
    let inputs = card::representation_hash(&files, &data, &opened, &sites, options.pooling);
    let request = Request {
        data: &data,
        opened: &opened,
        genes: &genes,
        sites: &sites,
        pooling: options.pooling,
        run: options.run,
        kept: 0,
        inputs,
        stage: format!("running {}", opened.name),
    };
    // Refused before anything is written.
    let budget = Budget::plan(model, &sites, &data, options.run.memory, 0)?;
    if options.overwrite {
        output::make_folder(&partial, MAY_REPLACE, false)?;
        output::write_atomic(&replace, b"")?;
    }
    let (store, cells) = represent(&request, &partial, progress).inspect_err(|e| forget(e, &partial))?;
    let card = RunCard {
        microtome: VERSION.into(),
        command: options.command.clone(),
        inputs: files.into_iter().chain(opened.inputs.iter().cloned()).collect(),
        seed: options.data.seed,
        precision: opened.precision.name().into(),
        choices: choices(&opened, &data, options.pooling, &cells.drift),
    };
    let vectors =
        if with_genes { Some(gene_vectors(&data, model, &genes, &budget, progress)?) } else { None };
    let (family, precision) = (model.info().family, opened.precision);
    // The table of cells grows with them; it takes the room of the weights, which are done with.
    drop(opened);
    let parts =
        Parts { store: &store, data: &data, sites: &sites, family, genes: vectors.as_ref(), card: &card };
    let (obsm, varm) = write(&parts, &partial, out).map_err(output::or_make_room)?;
    std::fs::remove_dir_all(&partial).map_err(|e| {
        Error::output("cannot remove the finished run's work folder").in_file(&partial).caused_by(e)
    })?;
    Ok(EmbedReport {
        out: out.clone(),
        obsm,
        varm,
        pooling: options.pooling.to_string(),
        overlap: genes.overlap,
        seconds: begun.elapsed().as_secs_f64(),
        notes: data.notes.into_iter().chain(drift::sentence(precision, &cells.drift)).collect(),
        cells,
    })
}

/// Choices that could have been different, for the run card.
pub(crate) fn choices(
    model: &OpenModel,
    data: &Data,
    pooling: Pooling,
    drift: &[SiteDrift],
) -> serde_json::Map<String, serde_json::Value> {
    let mut choices = model.model.info().choices.clone();
    choices.insert("slot".into(), data.slot.to_string().into());
    choices.insert("pooling".into(), pooling.to_string().into());
    choices.insert("ensembl_from".into(), data.genes.ensembl_from.as_ref().map(|c| c.source.clone()).into());
    choices.insert("symbols_from".into(), data.genes.symbols_from.as_ref().map(|c| c.source.clone()).into());
    let totals = if data.has_totals() { "obs[\"n_counts\"]" } else { "summed over all genes of the file" };
    choices.insert("cell_totals".into(), totals.into());
    choices.insert("prepare".into(), data.prepared().into());
    choices.extend(drift::choice(model.precision, drift));
    choices
}

fn partial_folder(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    out.with_file_name(name)
}

/// Removes the work of a run that cannot be continued; what was stopped or ran out of space is kept for `--resume`.
fn forget(error: &Error, partial: &Path) {
    if !matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::Output | ErrorKind::Usage) {
        let _ = std::fs::remove_dir_all(partial);
    }
}

/// Everything that goes into the file.
struct Parts<'a> {
    store: &'a Store,
    data: &'a Data,
    sites: &'a [Site],
    family: &'a str,
    genes: Option<&'a Matrix>,
    card: &'a RunCard,
}

/// Keys of arrays with their widths.
type Keys = Vec<(String, usize)>;

fn write(parts: &Parts<'_>, work: &Path, out: &Path) -> Result<(Keys, Keys)> {
    let Parts { store, data, sites, family, genes, card } = *parts;
    let var = data.dataset.var(&data.slot)?;
    let mut obs = data.obs();
    obs.add("microtome_n_tokens", ColumnKind::Int { nullable: false }, |rows| {
        let facts = cell_facts_of(store, rows)?;
        Ok(Column::Int(facts.iter().map(|f| Some(f[0] as i64)).collect()))
    });
    obs.add("microtome_share_of_counts_known", ColumnKind::Float, |rows| {
        let facts = cell_facts_of(store, rows)?;
        Ok(Column::Float(facts.iter().map(|f| f64::from(f[4]) / f64::from(f[3])).collect()))
    });
    // From here on a file of this name is ours.
    output::write_atomic(&work.join(MAY_REPLACE), b"")?;
    // Inside the work folder until it is whole, so that a killed run leaves nothing else behind.
    let whole = work.join("whole.h5ad");
    let mut writer = Writer::create(&whole, &obs, &var)?;
    let mut keys = Vec::with_capacity(sites.len());
    // One array at a time, so that the file's chunks of one array lie together and memory stays at one chunk.
    for (i, site) in sites.iter().enumerate() {
        let key = obsm_key(family, &site.to_string());
        for chunk in 0..store.n_chunks() {
            let rows = store.read_array(chunk, i)?;
            if chunk == 0 {
                writer.begin_obsm(&key, rows.cols())?;
                keys.push((key.clone(), rows.cols()));
            }
            writer.append_obsm(&key, rows.data())?;
        }
    }
    let mut varm = Vec::new();
    if let Some(vectors) = genes {
        let key = obsm_key(family, &Site::GeneEmbedding.to_string());
        writer.set_varm(&key, vectors)?;
        varm.push((key, vectors.cols()));
    }
    let card =
        serde_json::to_value(card).map_err(|e| Error::output("cannot write the run card").caused_by(e))?;
    writer.set_uns(&serde_json::json!({ "microtome": card }))?;
    writer.finish()?;
    std::fs::rename(&whole, out)
        .map_err(|e| Error::output("cannot move the finished file into place").in_file(out).caused_by(e))?;
    Ok((keys, varm))
}
