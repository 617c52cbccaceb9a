//! One model of an extraction: its genes, its sites, and its pass over the cells of a category.

use std::collections::HashMap;
use std::path::Path;

use microtome_core::{Error, Progress, Result, Role, Site, SitePattern};
use microtome_models::taps::{Averaged, GeneMeanTap, GeneMeans};
use microtome_models::{GeneMatch, Model, minibatches};
use microtome_weights::Checkpoint;

use super::categories::Category;
use crate::budget::Budget;
use crate::data::Data;
use crate::gene_store::{self, BlockAttention, ModelEntry, SiteEntry, stem_of};
use crate::hash;
use crate::open::OpenModel;

/// Memory that the sums of one category may take.
const MAX_SUMS: u64 = 12 << 30;

/// A model or control under extraction.
pub(super) struct Subject {
    pub(super) opened: OpenModel,
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) twin_of: Option<String>,
    pub(super) genes: GeneMatch,
    pub(super) sites: Vec<Site>,
}

impl Subject {
    pub(super) fn open(path: &Path, data: &Data, sites: &str) -> Result<Self> {
        let opened = OpenModel::open(path)?;
        let model = opened.model.as_ref();
        let genes = model.match_genes(&data.genes).map_err(|e| e.in_file(data.dataset.path()))?;
        let known: Vec<Site> = model.sites().into_iter().map(|s| s.site).collect();
        let sites = SitePattern::parse(sites)?.select(&known).map_err(|e| e.in_file(path))?;
        Ok(Self { name: opened.name.clone(), opened, role: Role::Model, twin_of: None, genes, sites })
    }

    pub(super) fn model(&self) -> &dyn Model {
        self.opened.model.as_ref()
    }

    /// Gene of the data for every vocabulary token: the first of those that share it.
    pub(super) fn gene_of_token(&self) -> HashMap<u32, usize> {
        let mut out = HashMap::new();
        for (gene, token) in self.genes.token_of_gene.iter().enumerate() {
            if let Some(token) = token {
                out.entry(*token).or_insert(gene);
            }
        }
        out
    }

    /// Refuses what would not fit into memory: sums of every site, gene and column in `f64`.
    pub(super) fn check_memory(&self) -> Result<()> {
        let info = self.model().info();
        let genes = self.genes.overlap.n_matched as u64;
        let bytes = self.sites.len() as u64 * genes * info.d_model as u64 * 8;
        if bytes > MAX_SUMS {
            return Err(Error::usage("the sums of one category do not fit into memory")
                .at_key(&self.name)
                .expected(format!("at most {MAX_SUMS} bytes"))
                .found(format!("{bytes} bytes for {} sites, {genes} genes, width {}", self.sites.len(), info.d_model))
                .remedy("name fewer --sites, for instance embed,blocks.0.resid_post,blocks.11.resid_post, and run again for others"));
        }
        Ok(())
    }

    /// Hash over everything that decides the numbers of a category.
    pub(super) fn inputs_hash(&self, common: &str, category: &Category) -> String {
        let sites: Vec<String> = self.sites.iter().map(ToString::to_string).collect();
        let what = serde_json::json!({
            "common": common,
            "model": self.opened.inputs.iter().map(|f| &f.sha256).collect::<Vec<_>>(),
            "choices": self.model().info().choices,
            "sites": sites,
            "cells": category.cells,
        });
        hash::of_bytes(what.to_string().as_bytes())
    }

    /// One pass over the cells of a category; `first` is where they begin among the cells of `data`.
    pub(super) fn means(
        &self,
        data: &Data,
        first: usize,
        category: &Category,
        progress: &dyn Progress,
    ) -> Result<Vec<GeneMeans>> {
        let (model, n) = (self.model(), category.cells.len());
        let mut tap = GeneMeanTap::new(model, &self.sites, Averaged::Genes);
        let budget = Budget::free(model, &self.sites, data);
        for start in (0..n).step_by(budget.chunk) {
            let range = first + start..first + (start + budget.chunk).min(n);
            let (_, tokens) = data.tokenize(model, &self.genes, range)?;
            for batch in minibatches(&tokens, budget.tokens) {
                progress.check()?;
                model.forward(&tokens.select(&batch), &mut tap)?;
                progress.advance(batch.len() as u64);
            }
        }
        tap.finish()
    }

    /// Writes static vectors and attention weights, and returns the entry of the manifest, still without categories.
    pub(super) fn write_weights(
        &self,
        dir: &Path,
        row_of: &dyn Fn(u32) -> Option<usize>,
    ) -> Result<ModelEntry> {
        let (model, info) = (self.model(), self.model().info());
        let folder = stem_of(&self.name);
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
            name: self.name.clone(),
            folder,
            family: info.family.into(),
            variant: info.variant.clone(),
            role: self.role,
            twin_of: self.twin_of.clone(),
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
        self.sites
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

/// Two checkpoints in folders of the same name get numbers.
pub(super) fn distinct_names(subjects: &mut [Subject]) {
    let names: Vec<String> = subjects.iter().map(|s| s.name.clone()).collect();
    for (i, subject) in subjects.iter_mut().enumerate() {
        if names.iter().filter(|n| **n == names[i]).count() > 1 {
            let nth = names[..=i].iter().filter(|n| **n == names[i]).count();
            subject.name = format!("{} #{nth}", names[i]);
        }
    }
}
