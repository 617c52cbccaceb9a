//! An opened scPRINT.

use std::ops::Range;
use std::path::{Path, PathBuf};

use microtome_core::{Axis, BlockSite, Counts, Error, GeneTable, Matrix, Result, Site};
use microtome_weights::{Audit, Checkpoint};
use serde_json::json;

use super::genes::Vocabulary;
use super::hyper::{Hyper, Normalisation};
use super::init::FILE as UNTRAINED;
use super::layout::HYPER;
use super::network::Network;
use super::ontology::Ontology;
use super::tokenise::{self, CellToken, DEPTH, Recipe, SELECTED, Tokeniser, depth_value};
use super::{card, kit, layout, presets};
use crate::model::{CellTotals, Model, ModelInfo, SiteInfo, TokenizeOptions};
use crate::nn::{Wanted, PreLnBlock};
use crate::parity::{KitCase, KitPlan};
use crate::{AttentionWeights, BlockLayout, CellRule, Family, GeneMatch, Rewritten, Tap, Tokens};

pub(super) const VALUE_EMBEDDING: &str = "value_embedding";
pub(super) const CELL_TOKENS: &str = "cell_tokens";
pub(super) const CELL_MEAN: &str = "cell_emb_mean";
pub(super) const MEAN: &str = "readout.mean";
pub(super) const DISPERSION: &str = "readout.disp";
pub(super) const ZERO_LOGITS: &str = "readout.zero_logits";
/// Followed by the name of the class.
pub(super) const CLASS: &str = "readout.cls.";
pub(super) const PREDICTED: &str = "predicted_class";
/// Factor of depth and counts in the published denoising.
const DENOISE_FACTOR: f32 = 3.0;

pub(super) struct ScPrint {
    pub(super) network: Network,
    pub(super) hyper: Hyper,
    vocabulary: Vocabulary,
    /// Names of the cell tokens, by token from the number of genes on.
    cell_names: Vec<String>,
    info: ModelInfo,
    audit: Audit,
}

impl ScPrint {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = layout::sole(path)?;
        let checkpoint = Checkpoint::open(&file)?;
        let hyper = Hyper::read(&checkpoint).map_err(|e| e.in_file(&file))?;
        Self::with_hyper(&checkpoint, &file, hyper)
    }

    /// Opens with hyper-parameters that may differ from the file's; [`ScPrint::open`] is the way in.
    pub(super) fn with_hyper(checkpoint: &Checkpoint, file: &Path, hyper: Hyper) -> Result<Self> {
        let ontology = Ontology::near(&layout::folder_of(file))?;
        let (network, audit) = Network::load(checkpoint, &hyper).map_err(|e| e.in_file(file))?;
        let mut files: Vec<(String, PathBuf)> = vec![("weights".into(), file.to_path_buf())];
        files.extend(ontology.as_ref().map(|o| ("gene ontology".into(), o.path.clone())));
        let vocabulary = Vocabulary::new(hyper.genes.clone(), hyper.organisms.clone(), ontology);
        let rows = hyper.classes.iter().map(|c| format!("<{}>", c.name));
        let cell_names =
            ["<depth>", "<metacell>", "<base>"].map(str::to_string).into_iter().chain(rows).collect();
        let info = info(&hyper, &network, files);
        Ok(Self { network, hyper, vocabulary, cell_names, info, audit })
    }

    /// As if there were no table of genes beside the checkpoint.
    #[cfg(test)]
    pub(super) fn forget_ontology(&mut self) {
        self.vocabulary.ontology = None;
    }

    /// Sites that need the output of the last block.
    pub(super) fn after_blocks(&self) -> Vec<Site> {
        let named = [CELL_TOKENS, CELL_MEAN, MEAN, DISPERSION, ZERO_LOGITS, PREDICTED];
        let classes = self.hyper.classes.iter().map(|c| format!("{CLASS}{}", c.name));
        let extra = named.iter().map(|s| (*s).to_string()).chain(classes).map(Site::Extra);
        [Site::FinalNorm, Site::CellEmbedding].into_iter().chain(extra).collect()
    }

    /// The same cells as if they had been sequenced three times as deep, the published way to denoise (`readout.mean`).
    pub(super) fn denoised(&self, tokens: &Tokens) -> Tokens {
        let mut out = tokens.clone();
        for column in [DEPTH, SELECTED] {
            out.per_cell.entry(column).or_default().iter_mut().for_each(|v| *v *= DENOISE_FACTOR);
        }
        let depths = out.per_cell.get(DEPTH).cloned().unwrap_or_default();
        self.set_cell_token(&mut out, CellToken::Depth, |cell| depth_value(depths[cell]));
        out
    }

    /// Gives a cell token another value in every cell.
    pub(super) fn set_cell_token(&self, tokens: &mut Tokens, token: CellToken, value: impl Fn(usize) -> f32) {
        let id = self.network.cell_tokens.id(token);
        for cell in 0..tokens.n_cells() {
            for i in tokens.offsets[cell]..tokens.offsets[cell + 1] {
                if tokens.ids[i] == id {
                    tokens.values[i] = value(cell);
                }
            }
        }
    }

    fn tokeniser(&self, options: &TokenizeOptions) -> Result<Tokeniser<'_>> {
        let front = self.network.cell_tokens.len();
        let cap = options.max_tokens.unwrap_or(self.info.max_tokens);
        if cap <= front {
            return Err(Error::usage("the cap on tokens per cell leaves no room for genes")
                .expected(format!("more than {front} (this model puts {front} cell tokens in front)"))
                .found(cap.to_string()));
        }
        Ok(Tokeniser { hyper: &self.hyper, cell_tokens: &self.network.cell_tokens, max_genes: cap - front })
    }

    fn check_tokens(&self, tokens: &Tokens) -> Result<()> {
        if let Some(&id) = tokens.ids.iter().find(|&&id| id as usize >= self.info.d_vocab) {
            return Err(Error::mismatch("a token is not in the model's vocabulary")
                .expected(format!("below {}", self.info.d_vocab))
                .found(id.to_string()));
        }
        let front = self.network.cell_tokens.len();
        match (0..tokens.n_cells()).map(|c| tokens.len_of(c)).min() {
            Some(n) if n < front => Err(Error::mismatch("a cell lacks the model's cell tokens")
                .expected(format!("at least {front} tokens"))
                .found(n.to_string())),
            _ => Ok(()),
        }
    }
}

impl Model for ScPrint {
    fn family(&self) -> &'static Family {
        &card::FAMILY
    }

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn audit(&self) -> &Audit {
        &self.audit
    }

    fn sites(&self) -> Vec<SiteInfo> {
        const STREAM: &[Axis] = &[Axis::Cell, Axis::Token, Axis::DModel];
        let mut out = vec![];
        let mut push = |site: Site, axes: &[Axis]| out.push(SiteInfo { site, axes: axes.to_vec() });
        push(Site::Extra(VALUE_EMBEDDING.into()), &[Axis::Cell, Axis::Gene, Axis::DModel]);
        push(Site::Embed, STREAM);
        for block in 0..self.info.n_blocks {
            for place in BlockSite::ALL {
                push(Site::Block(block, place), place.axes());
            }
        }
        push(Site::FinalNorm, STREAM);
        push(Site::Extra(CELL_TOKENS.into()), &[Axis::Cell, Axis::DModel]);
        push(Site::Extra(CELL_MEAN.into()), &[Axis::Cell, Axis::DModel]);
        push(Site::CellEmbedding, &[Axis::Cell, Axis::DModel]);
        for name in [MEAN, DISPERSION, ZERO_LOGITS] {
            push(Site::Extra(name.into()), &[Axis::Cell, Axis::Gene]);
        }
        for class in &self.hyper.classes {
            push(Site::Extra(format!("{CLASS}{}", class.name)), &[Axis::Cell, Axis::Vocab]);
        }
        push(Site::Extra(PREDICTED.into()), &[Axis::Cell, Axis::Vocab]);
        out
    }

    fn cell_rule(&self) -> (CellRule, Site) {
        (CellRule::Marked, Site::FinalNorm)
    }

    fn gene_tokens(&self, n: usize) -> Range<usize> {
        self.network.cell_tokens.len().min(n)..n
    }

    fn token_name(&self, token: u32) -> Option<&str> {
        let token = token as usize;
        let genes = &self.vocabulary.genes;
        let special = || self.cell_names.get(token - genes.len()).map(String::as_str);
        genes.get(token).map(String::as_str).or_else(special)
    }

    fn kit_token(&self, token: u32) -> i64 {
        self.network.cell_tokens.coded(token)
    }

    fn labels(&self, site: &Site) -> Option<&[String]> {
        let Site::Extra(name) = site else { return None };
        let class = self.hyper.classes.iter().find(|c| name.strip_prefix(CLASS) == Some(&c.name))?;
        (!class.labels.is_empty()).then_some(&class.labels[..])
    }

    fn match_genes(&self, genes: &GeneTable) -> Result<GeneMatch> {
        self.vocabulary.match_genes(genes)
    }

    fn tokenize(
        &self,
        counts: &Counts,
        _totals: Option<CellTotals<'_>>,
        genes: &GeneMatch,
        options: &TokenizeOptions,
    ) -> Result<Tokens> {
        tokenise::check(counts, genes)?;
        let recipe = Recipe::parse(options.recipe.as_deref())?;
        // Genes of the data's organism: all of them, or those that fill short cells in the published way.
        let first = genes.token_of_gene.iter().flatten().next();
        let all = match first {
            Some(&token) if options.as_published || recipe == Recipe::All => self.vocabulary.of_organism(token),
            _ => vec![],
        };
        if recipe == Recipe::All {
            let n = all.len() + self.network.cell_tokens.len();
            if let Some(cap) = options.max_tokens.filter(|&cap| cap < n) {
                return Err(Error::usage("the recipe \"all\" takes every gene of the organism and cannot be cut short")
                    .expected(format!("{n} tokens or no cap"))
                    .found(cap.to_string()));
            }
            return self.tokenize_genes(counts, genes, &vec![all; counts.n_cells()]);
        }
        let tokens = self.tokeniser(options)?.tokenize(counts, genes, options, &all)?;
        Ok(if recipe == Recipe::Denoise { self.denoised(&tokens) } else { tokens })
    }

    fn tokenize_genes(&self, counts: &Counts, genes: &GeneMatch, chosen: &[Vec<u32>]) -> Result<Tokens> {
        tokenise::check(counts, genes)?;
        self.tokeniser(&TokenizeOptions::default())?.tokenize_genes(counts, genes, chosen)
    }

    fn gene_table(&self) -> Option<Matrix> {
        Matrix::new(self.hyper.genes.len(), self.network.d, self.network.gene_table.clone()).ok()
    }

    fn kit_plan(&self, case: &KitCase<'_>) -> Result<KitPlan> {
        kit::plan(self, case)
    }

    fn attention_weights(&self, block: usize) -> Option<AttentionWeights> {
        self.network.blocks.get(block).and_then(PreLnBlock::weights)
    }

    fn block_layout(&self, block: usize) -> Option<BlockLayout> {
        self.network.block_layout(block)
    }

    /// The file of the untrained models, which states in its header what the pickle of the published one does.
    fn rewritten(&self) -> Rewritten {
        let hyper = serde_json::Value::Object(self.hyper.raw.clone()).to_string();
        Rewritten { file: UNTRAINED, metadata: vec![(HYPER.into(), hyper)], ..Rewritten::default() }
    }

    fn forward(&self, tokens: &Tokens, tap: &mut dyn Tap) -> Result<()> {
        let wanted = Wanted::ask(tap, self.sites().into_iter().map(|s| s.site));
        if wanted.is_empty() || tokens.n_cells() == 0 {
            return Ok(());
        }
        self.check_tokens(tokens)?;
        self.run(tokens, &wanted, tap)
    }
}

fn info(hyper: &Hyper, network: &Network, files: Vec<(String, PathBuf)>) -> ModelInfo {
    let front = &network.cell_tokens;
    let pooled: Vec<&str> = hyper.pooled.iter().map(|&i| hyper.classes[i].name.as_str()).collect();
    let classes: serde_json::Map<String, serde_json::Value> =
        hyper.classes.iter().map(|c| (c.name.clone(), c.n.into())).collect();
    let order: Vec<String> = front
        .order
        .iter()
        .map(|t| match t {
            CellToken::Depth => "depth".to_string(),
            CellToken::Metacell => "metacell".into(),
            CellToken::Row(0) => "base".into(),
            CellToken::Row(r) => hyper.classes[*r as usize - 1].name.clone(),
        })
        .collect();
    let choices = json!({
        "genes": "all expressed genes in the order of the vocabulary; beyond the cap those with the highest counts",
        "recipes": Recipe::ALL.map(|(name, _)| name),
        "as_published": "genes drawn at random, short cells filled up with genes that are not expressed",
        "normalisation": match hyper.normalisation {
            Normalisation::Sum => "count / sum over the selected genes; a cell without any gives zeros",
            Normalisation::Log => "log2(1 + count)",
        },
        "cell_tokens": order,
        "cell_embedding": format!("mean of final_norm over the class tokens {}", pooled.join(", ")),
        "cell_embedding_by": if hyper.pooled_by_file { "the file's pred_embedding" }
            else { "the default of the authors' Embedder; the file names none" },
        "depth": if files.iter().any(|(role, _)| role == "gene ontology") { "over the genes of ontology_genes.csv" }
            else { "over the data's genes with an Ensembl id of the organism" },
        "expression_decoder_takes_depth": network.expression.takes_depth(),
        "key_value_heads": network.blocks.first().map_or(hyper.n_heads, |b| b.shape.n_kv_heads),
        "value_encoder_layers": network.values.rest.len() + 1,
        "classes": classes,
        "organisms": hyper.organisms,
        "activation": "gelu",
        "norm_eps": "1e-6 in blocks and final norm, 1e-5 elsewhere",
        "precision": "f32; the authors run fp16 on a GPU",
    });
    ModelInfo {
        family: card::FAMILY.id,
        variant: presets::name_of(hyper.n_blocks, hyper.d_model).to_string(),
        n_blocks: hyper.n_blocks,
        d_model: hyper.d_model,
        n_heads: hyper.n_heads,
        d_mlp: 4 * hyper.d_model,
        max_tokens: presets::PUBLISHED_GENES_PER_CELL.min(hyper.genes.len()) + front.len(),
        d_vocab: hyper.genes.len() + 3 + hyper.classes.len(),
        n_parameters: network.n_parameters,
        files,
        choices: choices.as_object().cloned().unwrap_or_default(),
    }
}
