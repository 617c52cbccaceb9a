//! One model of an extraction: its genes, its sites, and its pass over the cells of a category.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use microtome_core::{Error, Progress, Result, Role, Site, SitePattern};
use microtome_models::taps::{Averaged, FlowTap, GeneMeanTap, GeneMeans, PoolTap, Pooling, Tee};
use microtome_models::{GeneMatch, Model, minibatches};
use microtome_weights::Checkpoint;

use super::categories::Category;
use super::order::OrderTap;
use crate::budget::{Budget, RunOptions};
use crate::data::Data;
use crate::gene_store::{self, BlockAttention, CellView, ModelEntry, SiteEntry, stem_of};
use crate::hash;
use crate::open::{self, OpenModel};

/// A model or control as it is known while it is not open: one checkpoint is in memory at a time.
pub(super) struct Plan {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) twin_of: Option<String>,
    pub(super) genes: GeneMatch,
    pub(super) sites: Vec<Site>,
}

impl Plan {
    /// Looks at a checkpoint; the opened model is handed out too.
    pub(super) fn of(
        path: &Path,
        name: &str,
        data: &Data,
        sites: &str,
        run: RunOptions,
    ) -> Result<(Self, OpenModel)> {
        let opened = OpenModel::open_in(path, run.precision)?;
        let model = opened.model.as_ref();
        let genes = model.match_genes(&data.genes).map_err(|e| e.in_file(data.dataset.path()))?;
        let known: Vec<Site> = model.sites().into_iter().map(|s| s.site).collect();
        let sites = SitePattern::parse(sites)?.select(&known).map_err(|e| e.in_file(path))?;
        let plan = Self {
            path: path.to_path_buf(),
            name: name.into(),
            role: Role::Model,
            twin_of: None,
            genes,
            sites,
        };
        Ok((plan, opened))
    }

    /// Opens the checkpoint.
    pub(super) fn open(&self, run: RunOptions) -> Result<Subject<'_>> {
        Ok(Subject { plan: self, opened: OpenModel::open_in(&self.path, run.precision)?, run })
    }
}

/// An opened model or control under extraction.
pub(super) struct Subject<'a> {
    pub(super) plan: &'a Plan,
    pub(super) opened: OpenModel,
    pub(super) run: RunOptions,
}

impl Subject<'_> {
    pub(super) fn model(&self) -> &dyn Model {
        self.opened.model.as_ref()
    }

    /// What runs together under `--memory`, which the sums of one category (every site, gene and column in `f64`) come out of.
    ///
    /// # Errors
    /// When it does not fit; without `--memory`, when the sums alone take more than 12 GiB.
    pub(super) fn budget(&self, data: &Data, n_cells: usize) -> Result<Budget> {
        /// Memory that the sums of one category may take where nobody says how much.
        const MAX_SUMS: u64 = 12 << 30;
        let (sites, genes) = (self.plan.sites.len() as u64, self.plan.genes.overlap.n_matched as u64);
        let width = self.model().info().d_model as u64;
        // Sums, and the means made of them; one vector per cell.
        let bytes = sites * width * (genes * 12 + n_cells as u64 * 4);
        if self.run.memory.is_none() && bytes > MAX_SUMS {
            return Err(Error::usage("the sums of one category do not fit into memory")
                .at_key(&self.plan.name)
                .expected(format!("at most {MAX_SUMS} bytes"))
                .found(format!("{bytes} bytes for {sites} sites, {genes} genes, width {width}"))
                .remedy("name fewer --sites, for instance embed,blocks.0.resid_post,blocks.11.resid_post, and run again for others, or allow more with --memory"));
        }
        Budget::plan(self.model(), &self.plan.sites, data, self.run.memory, bytes)
    }

    /// Gene of the data for every vocabulary token: the first of those that share it.
    pub(super) fn gene_of_token(&self) -> HashMap<u32, usize> {
        let mut out = HashMap::new();
        for (gene, token) in self.plan.genes.token_of_gene.iter().enumerate() {
            if let Some(token) = token {
                out.entry(*token).or_insert(gene);
            }
        }
        out
    }

    /// Hash over everything that decides the numbers of a category.
    pub(super) fn inputs_hash(&self, common: &str, category: &Category) -> String {
        let sites: Vec<String> = self.plan.sites.iter().map(ToString::to_string).collect();
        let what = serde_json::json!({
            "common": common,
            "model": self.opened.inputs.iter().map(|f| &f.sha256).collect::<Vec<_>>(),
            "choices": self.model().info().choices,
            "precision": self.opened.precision.name(),
            "sites": sites,
            "cells": category.cells,
        });
        hash::of_bytes(what.to_string().as_bytes())
    }

    /// One pass over the cells of a category; `first` is where they begin among the cells of `data`.
    pub(super) fn look(
        &self,
        data: &Data,
        first: usize,
        category: &Category,
        progress: &dyn Progress,
    ) -> Result<(Vec<GeneMeans>, CellView)> {
        let (model, n, sites) = (self.model(), category.cells.len(), &self.plan.sites);
        let mut genes = GeneMeanTap::new(model, sites, Averaged::Genes);
        let mut cells = PoolTap::new(model, sites, Pooling::Mean, n)?;
        let mut flow = FlowTap::new(model);
        let mut order = OrderTap::new(model);
        let budget = self.budget(data, n)?;
        for start in (0..n).step_by(budget.chunk) {
            let range = first + start..first + (start + budget.chunk).min(n);
            let (_, tokens) = data.tokenize(model, &self.plan.genes, range)?;
            for batch in minibatches(&tokens, budget.tokens) {
                progress.check()?;
                let places: Vec<usize> = batch.iter().map(|&c| start + c).collect();
                cells.set_minibatch(&places);
                let mut all = Tee(vec![&mut genes, &mut cells, &mut flow, &mut order]);
                model.forward(&tokens.select(&batch), &mut all)?;
                progress.advance(batch.len() as u64);
            }
        }
        let view =
            CellView { cells: cells.finish()?.matrices, flow: flow.finish(), curvature: order.finish() };
        Ok((genes.finish()?, view))
    }

    /// Writes static vectors and attention weights, and returns the entry of the manifest, still without categories.
    pub(super) fn write_weights(
        &self,
        dir: &Path,
        row_of: &dyn Fn(u32) -> Option<usize>,
    ) -> Result<ModelEntry> {
        let (model, info) = (self.model(), self.model().info());
        let folder = stem_of(&self.plan.name);
        let at = dir.join("models").join(&folder);
        std::fs::create_dir_all(&at)
            .map_err(|e| Error::output("cannot make the model's folder").in_file(&at).caused_by(e))?;
        let mut genes: Vec<(u32, usize)> =
            self.gene_of_token().into_keys().filter_map(|t| row_of(t).map(|row| (t, row))).collect();
        genes.sort_unstable_by_key(|(_, row)| *row);
        let path = at.join("static.safetensors");
        let has_static = gene_store::write_static(&path, model, &genes)?;
        let sha = |path: &Path| hash::input_file("store", path).map(|f| f.sha256);
        let static_sha256 = if has_static { Some(sha(&path)?) } else { None };
        let blocks: Option<Vec<_>> = (0..info.n_blocks).map(|i| model.attention_weights(i)).collect();
        let path = at.join("attention.safetensors");
        let attention: Vec<BlockAttention> = gene_store::write_attention(&path, &blocks.unwrap_or_default())?;
        let attention_sha256 = if attention.is_empty() { None } else { Some(sha(&path)?) };
        Ok(ModelEntry {
            name: self.plan.name.clone(),
            folder,
            family: info.family.into(),
            variant: info.variant.clone(),
            role: self.plan.role,
            twin_of: self.plan.twin_of.clone(),
            inputs: self.opened.inputs.clone(),
            norm_placement: model.family().norm_placement.into(),
            n_blocks: info.n_blocks,
            d_model: info.d_model,
            n_heads: info.n_heads,
            choices: info.choices.clone(),
            static_sha256,
            attention_sha256,
            attention,
            sites: vec![],
            categories: vec![],
        })
    }

    /// Sites of the manifest, with the widths that a written file has.
    pub(super) fn site_entries(&self, file: &Checkpoint) -> Result<Vec<SiteEntry>> {
        let n_blocks = self.model().info().n_blocks;
        self.plan
            .sites
            .iter()
            .map(|site| {
                let width = match file.info(&format!("{site}.mean")).map(|i| i.shape.clone()).as_deref() {
                    Some(&[_, width]) => width,
                    _ => {
                        return Err(Error::unreadable("a category lacks a site")
                            .in_file(file.path())
                            .at_key(site.to_string()));
                    }
                };
                Ok(SiteEntry { site: site.to_string(), depth: site.depth(n_blocks), width })
            })
            .collect()
    }
}

/// Names of checkpoints: those in folders of the same name get numbers.
pub(super) fn distinct_names(paths: &[PathBuf]) -> Vec<String> {
    let names: Vec<String> = paths.iter().map(|p| open::name_of(p)).collect();
    names
        .iter()
        .enumerate()
        .map(|(i, name)| {
            if names.iter().filter(|n| *n == name).count() < 2 {
                return name.clone();
            }
            format!("{name} #{}", names[..=i].iter().filter(|n| *n == name).count())
        })
        .collect()
}
