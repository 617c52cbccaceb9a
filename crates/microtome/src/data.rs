//! The data side of a run: file, matrix slot, genes, chosen cells.

use std::collections::BTreeMap;
use std::path::PathBuf;

use microtome_core::{Column, CountCheck, Counts, Error, GeneTable, Result};
use microtome_h5ad::{Dataset, MatrixReader, ObsRows, Slot};
use microtome_models::{CellTotals, GeneMatch, Model, TokenizeOptions, Tokens};
use microtome_numerics::resample::Rng;
use serde::Serialize;

use crate::labels::{Labels, each_part};
use crate::obs::ChosenObs;
use crate::recover;
use crate::slot::{CHECKED_ROWS, choose_slot};

/// What the user says about the data.
#[derive(Clone, Debug, Default)]
pub struct DataOptions {
    /// `.h5ad`, 10x `.h5` or 10x matrix folder.
    pub path: PathBuf,
    /// Matrix to read counts from (`X`, `raw`, `layers/NAME`); detected when absent.
    pub slot: Option<String>,
    /// Column of `var` with Ensembl ids (`var_names` for the index); detected when absent.
    pub ensembl_column: Option<String>,
    /// Column of `var` with symbols; detected when absent.
    pub symbol_column: Option<String>,
    /// The matrix holds log-normalised values: recover counts from them.
    pub log_normalised: bool,
    /// Keep at most this many cells, drawn at random with `seed`.
    pub max_cells: Option<usize>,
    /// Seed of that draw, and of every random choice of preparing cells.
    pub seed: u64,
    /// How cells are prepared for a model.
    pub prepare: PrepareOptions,
}

/// How cells become tokens, where a family leaves a choice.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PrepareOptions {
    /// Draw at random where the published pipeline does, instead of the family's deterministic rule.
    pub as_published: bool,
    /// A published way of preparing cells, by name.
    pub recipe: Option<String>,
    /// Column of `obs` with the batch, for models fine-tuned with a batch label.
    pub batch_key: Option<String>,
    /// Column of `obs` with the drug, for models that take one.
    pub drug_key: Option<String>,
    /// Column of `obs` with the assay, for models that take one; `assay` when absent and there.
    pub assay_key: Option<String>,
    /// Columns of `obs` for models that take a context, with the value that every cell is given instead.
    pub contexts: BTreeMap<String, String>,
}

/// An opened data set: which matrix, which genes, which cells.
pub struct Data {
    /// The file.
    pub dataset: Dataset,
    /// The matrix that holds the counts.
    pub slot: Slot,
    /// Gene names and where they come from.
    pub genes: GeneTable,
    /// Rows of the file that are used, ascending.
    pub cells: Vec<usize>,
    /// What the values looked like in a sample of rows.
    pub check: CountCheck,
    /// Things the user should know about what was detected.
    pub notes: Vec<String>,
    reader: MatrixReader,
    obs: ObsRows,
    recover: bool,
    /// `obs["n_counts"]` of every row of the file, where it can be used.
    totals: Option<Totals>,
    /// Rank of every row's batch among the sorted labels of the file.
    batches: Option<Vec<u32>>,
    drugs: Option<Labels>,
    assays: Option<Labels>,
    /// Columns of `obs` that a model takes as context.
    contexts: BTreeMap<String, Labels>,
    /// Contexts that every cell is given.
    given: BTreeMap<String, String>,
    prepare: TokenizeOptions,
}

/// Total counts per row of the file, as it states them.
struct Totals {
    values: Vec<f64>,
    /// True when the file stores them as `f32`, which decides the precision of the published arithmetic.
    single_precision: bool,
}

impl Data {
    /// Opens a data set without reading its matrix. Fails when no matrix of it holds raw counts.
    pub fn open(options: &DataOptions) -> Result<Self> {
        let dataset = microtome_h5ad::open(&options.path)?;
        let mut notes = Vec::new();
        let recover = options.log_normalised;
        let (slot, reader, check) = choose_slot(&dataset, options.slot.as_deref(), recover, &mut notes)?;
        let var = dataset.var(&slot)?;
        let genes =
            GeneTable::detect(&var, options.ensembl_column.as_deref(), options.symbol_column.as_deref())
                .map_err(|e| e.in_file(&options.path))?;
        let n = reader.n_cells();
        if n == 0 {
            return Err(Error::unreadable("the data set has no cells").in_file(&options.path));
        }
        let obs = dataset.obs_rows()?;
        let totals = stated_totals(&dataset, &obs, &mut notes)?;
        notes.extend(dataset.notes());
        notes.extend(reader.rounding_note());
        let prepare = &options.prepare;
        let labels = |key: &str| Labels::read(&dataset, &obs, key);
        let batches = prepare.batch_key.as_deref().map(|key| labels(key).map(Labels::ranks)).transpose()?;
        let given = prepare.contexts.clone();
        let assays = match (given.get("assay"), prepare.assay_key.as_deref()) {
            (Some(value), _) => Some(Labels::same(value, n)),
            (None, Some(key)) => Some(labels(key)?),
            (None, None) if dataset.obs_column_names()?.iter().any(|n| n == "assay") => {
                match labels("assay") {
                    Ok(assays) => Some(assays),
                    Err(e) => {
                        notes.push(format!("obs[\"assay\"] is not used: {}", e.what()));
                        None
                    }
                }
            }
            (None, None) => None,
        };
        let drugs = prepare.drug_key.as_deref().map(labels).transpose()?;
        let prepare = TokenizeOptions {
            as_published: prepare.as_published,
            seed: options.seed,
            recipe: prepare.recipe.clone(),
            ..TokenizeOptions::default()
        };
        let cells = (0..n).collect();
        let mut data = Self {
            dataset,
            slot,
            genes,
            cells,
            check,
            notes,
            reader,
            obs,
            recover,
            totals,
            batches,
            drugs,
            assays,
            contexts: BTreeMap::new(),
            given,
            prepare,
        };
        if let Some(max) = options.max_cells {
            data.keep_at_most(max, options.seed);
        }
        Ok(data)
    }

    /// File name without folder and ending: the data set's name in records.
    pub fn name(&self) -> String {
        let path = self.dataset.path();
        path.file_stem()
            .or(path.file_name())
            .map_or_else(|| "data".into(), |n| n.to_string_lossy().into_owned())
    }

    /// Keeps the cells for which `keep` holds (asked by row of the file).
    pub fn retain(&mut self, keep: impl Fn(usize) -> bool) {
        self.cells.retain(|&c| keep(c));
    }

    /// Draws at most `max` of the cells, without replacement; their order stays.
    pub fn keep_at_most(&mut self, max: usize, seed: u64) {
        if self.cells.len() > max {
            let before = self.cells.len();
            let mut drawn = Rng::new(seed).choose(before, max);
            drawn.sort_unstable();
            self.cells = drawn.into_iter().map(|i| self.cells[i]).collect();
            self.notes.push(format!("{max} of {before} cells drawn at random (seed {seed})"));
        }
    }

    /// Counts of the cells at these positions of [`Data::cells`].
    pub fn counts(&self, range: std::ops::Range<usize>) -> Result<Counts> {
        self.rows(&self.cells[range])
    }

    /// Counts of the cells at some ascending positions of [`Data::cells`].
    pub(crate) fn counts_at(&self, positions: &[usize]) -> Result<Counts> {
        self.rows(&positions.iter().map(|&p| self.cells[p]).collect::<Vec<_>>())
    }

    /// Counts of these rows of the file.
    fn rows(&self, rows: &[usize]) -> Result<Counts> {
        let read = match (rows.first(), rows.last()) {
            (Some(&first), Some(&last)) if last - first + 1 == rows.len() => {
                self.reader.rows(first..last + 1)?
            }
            _ => self.reader.select(rows)?,
        };
        if self.recover {
            recover::counts(&read).map_err(|e| e.in_file(self.dataset.path()))
        } else {
            Ok(read)
        }
    }

    /// A column of `obs` for the chosen cells.
    pub fn obs_column(&self, name: &str) -> Result<Column> {
        Ok(self.dataset.obs_column(name)?.select(&self.cells))
    }

    /// `obs` of the chosen cells, read in parts.
    pub(crate) fn obs(&self) -> ChosenObs<'_> {
        ChosenObs::new(&self.obs, &self.cells)
    }

    /// Reads the columns of `obs` that a model takes as context (assay, species, ...), as far as the file has them. What is not there
    /// is noted; the family's card says what stands in for it.
    pub fn add_contexts(&mut self, model: &dyn Model) -> Result<()> {
        let wanted = model
            .info()
            .choices
            .get("context_columns")
            .and_then(|c| c.as_array())
            .cloned()
            .unwrap_or_default();
        let wanted: Vec<&str> = wanted.iter().filter_map(|n| n.as_str()).collect();
        for name in self.given.keys().filter(|n| !wanted.contains(&n.as_str()) && *n != "assay") {
            let takes = if wanted.is_empty() { "none".into() } else { wanted.join(", ") };
            self.notes.push(format!("{} has no context {name} (it takes: {takes})", model.info().family));
        }
        let there = self.dataset.obs_column_names()?;
        for name in wanted {
            if self.contexts.contains_key(name) {
                continue;
            }
            if let Some(value) = self.given.get(name) {
                self.contexts.insert(name.into(), Labels::same(value, self.reader.n_cells()));
            } else if there.iter().any(|n| n == name) {
                let labels = Labels::read(&self.dataset, &self.obs, name)?;
                self.contexts.insert(name.into(), labels);
            } else {
                self.notes.push(format!(
                    "the model takes obs[\"{name}\"] as context, and the data has no such column"
                ));
            }
        }
        Ok(())
    }

    /// How cells are prepared, in one line.
    pub fn prepared(&self) -> String {
        let p = &self.prepare;
        let way =
            if p.as_published { format!("as published, seed {}", p.seed) } else { "deterministic".into() };
        let key = |name: &str, there: bool| if there { format!(", with {name}") } else { String::new() };
        let recipe = p.recipe.as_ref().map(|r| format!(", recipe {r}")).unwrap_or_default();
        let given: String = self.given.iter().map(|(k, v)| format!(", {k} {v} for all cells")).collect();
        format!(
            "{way}{recipe}{}{}{given}",
            key("batch labels", self.batches.is_some()),
            key("drugs", self.drugs.is_some())
        )
    }

    /// Seed of everything random about these cells.
    pub(crate) fn seed(&self) -> u64 {
        self.prepare.seed
    }

    /// Stored values per cell, on average over the rows that were looked at.
    pub(crate) fn stored_per_cell(&self) -> f64 {
        self.check.n_values as f64 / self.reader.n_cells().clamp(1, CHECKED_ROWS) as f64
    }

    /// Whether the file states the cells' total counts (`obs["n_counts"]`), which published pipelines divide by.
    pub fn has_totals(&self) -> bool {
        self.totals.is_some()
    }

    /// Counts of the cells at these positions of [`Data::cells`], and the tokens that the model makes of them.
    pub fn tokenize(
        &self,
        model: &dyn Model,
        genes: &GeneMatch,
        range: std::ops::Range<usize>,
    ) -> Result<(Counts, Tokens)> {
        let counts = self.counts(range.clone())?;
        let tokens = self.tokens_of(model, genes, &counts, &self.cells[range])?;
        Ok((counts, tokens))
    }

    /// [`Data::tokenize`] of cells at some positions of [`Data::cells`].
    pub(crate) fn tokenize_some(
        &self,
        model: &dyn Model,
        genes: &GeneMatch,
        positions: &[usize],
    ) -> Result<(Counts, Tokens)> {
        let rows: Vec<usize> = positions.iter().map(|&p| self.cells[p]).collect();
        let counts = self.rows(&rows)?;
        let tokens = self.tokens_of(model, genes, &counts, &rows)?;
        Ok((counts, tokens))
    }

    /// Tokens of the counts of these rows of the file.
    fn tokens_of(
        &self,
        model: &dyn Model,
        genes: &GeneMatch,
        counts: &Counts,
        rows: &[usize],
    ) -> Result<Tokens> {
        let values: Option<Vec<f64>> =
            self.totals.as_ref().map(|t| rows.iter().map(|&r| t.values[r]).collect());
        let totals = self
            .totals
            .as_ref()
            .zip(values.as_ref())
            .map(|(t, values)| CellTotals { values, single_precision: t.single_precision });
        let options = TokenizeOptions {
            batches: self.batches.as_ref().map(|b| rows.iter().map(|&r| b[r]).collect()),
            drugs: self.drugs.as_ref().map(|d| d.of(rows)),
            assays: self.assays.as_ref().map(|a| a.of(rows)),
            contexts: self.contexts.iter().map(|(name, all)| (name.clone(), all.of(rows))).collect(),
            ..self.prepare.clone()
        };
        model
            .tokenize(counts, totals, genes, &options)
            .map_err(|e| e.in_file(self.dataset.path()).at_key(self.slot.to_string()))
    }

    /// A column of `obs` as numbers, or an error that says what it holds instead.
    pub fn obs_numbers(&self, name: &str) -> Result<Vec<f64>> {
        let column = self.obs_column(name)?;
        column.numbers().ok_or_else(|| {
            let example = (0..column.len()).find_map(|i| column.text(i)).unwrap_or_default();
            Error::usage("the column is not numeric")
                .in_file(self.dataset.path())
                .at_key(format!("obs[\"{name}\"]"))
                .expected("numbers")
                .found(format!("{} values such as \"{example}\"", column.kind()))
                .remedy("name a numeric column")
        })
    }
}

/// `obs["n_counts"]`. A column that cannot be right (not numeric; missing, zero or negative values) is not used.
fn stated_totals(dataset: &Dataset, obs: &ObsRows, notes: &mut Vec<String>) -> Result<Option<Totals>> {
    const NAME: &str = "n_counts";
    let Some(dtype) = dataset.obs_dtype(NAME)? else { return Ok(None) };
    let mut values = vec![];
    let mut right = true;
    each_part(dataset, obs, NAME, |_, column| {
        let part = column.numbers().unwrap_or_default();
        right &= part.len() == column.len() && part.iter().all(|t| t.is_finite() && *t > 0.0);
        values.extend(part);
        Ok(())
    })?;
    if values.is_empty() || !right {
        notes.push(
            "obs[\"n_counts\"] holds missing, zero or negative totals; counts are summed instead".into(),
        );
        return Ok(None);
    }
    Ok(Some(Totals { values, single_precision: dtype == "float32" }))
}
