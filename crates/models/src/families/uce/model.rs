//! An opened UCE.

use std::ops::Range;
use std::path::{Path, PathBuf};

use microtome_core::{Axis, BlockSite, Counts, Error, GeneTable, Matrix, Result, Site};
use microtome_weights::{Audit, Checkpoint};
use serde_json::{Value, json};

use super::network::{Network, PAD_BIAS};
use super::sentence::{CLS, LEFT, N_SPECIAL, PAD, RIGHT};
use super::settings::{CHROMOSOMES, OFFSETS, SETTINGS, Settings, TOKENS, folder_of, weights_file};
use super::species::AllSpecies;
use super::tokens::Recipe;
use super::{card, genes, kit, presets};
use crate::model::{CellTotals, Model, ModelInfo, SiteInfo, TokenizeOptions};
use crate::nn::{Wanted, post_ln_weights};
use crate::parity::{KitCase, KitPlan};
use crate::{AttentionWeights, BlockLayout, CellRule, Family, GeneMatch, Rewritten, Tap, Tokens};

/// Sites of this family alone.
pub(super) mod names {
    pub(in super::super) const TOKEN_UNIT: &str = "embed.token_unit";
    pub(in super::super) const DECODER: &str = "readout.decoder";
    pub(in super::super) const CELL_RAW: &str = "cell_embedding.raw";
    pub(in super::super) const EXPRESSION: &str = "readout.expression_logit";
}

pub(super) fn extra(name: &str) -> Site {
    Site::Extra(name.into())
}

pub(super) struct Uce {
    path: PathBuf,
    pub(super) settings: Settings,
    pub(super) chromosome_offset: u32,
    pub(super) species: AllSpecies,
    pub(super) network: Network,
    /// Added to the scores of padding, which is there in published batches only.
    pub(super) pad_bias: f32,
    info: ModelInfo,
    audit: Audit,
}

impl Uce {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let (settings, file) = Settings::find(&folder_of(path))?;
        Self::open_with(path, settings, file)
    }

    pub(super) fn open_with(path: &Path, settings: Settings, settings_file: Option<PathBuf>) -> Result<Self> {
        let folder = folder_of(path);
        let weights = weights_file(path, &folder)?;
        let species = AllSpecies::read(&folder)?;
        let table = Some(folder.join(TOKENS)).filter(|t| t.is_file());
        let tokens = table.as_deref().map(Checkpoint::open).transpose()?;
        let (network, audit) = Network::load(Checkpoint::open(&weights)?, tokens, settings.n_heads)
            .map_err(|e| e.in_file(&weights))?;
        let rows = network.table.rows;
        let offset = settings.chromosome_offset.or_else(|| rows.checked_sub(species.chromosomes.len()));
        let last_gene = species.species.last().map_or(N_SPECIAL, |s| s.offset + s.len());
        let fits = |o: &usize| *o >= last_gene && o + species.chromosomes.len() <= rows;
        let chromosome_offset = offset.filter(fits).and_then(|o| u32::try_from(o).ok()).ok_or_else(|| {
            Error::mismatch("the token table does not fit the species and their chromosomes")
                .in_file(folder.join(CHROMOSOMES))
                .expected(format!(
                    "{last_gene} rows of genes and {} of chromosomes",
                    species.chromosomes.len()
                ))
                .found(format!("{rows} rows"))
                .remedy(format!(
                    "state chromosome_offset in {SETTINGS} where the chromosomes do not come last"
                ))
        })?;
        let mut files = vec![
            ("weights".into(), weights.clone()),
            ("species offsets".into(), folder.join(OFFSETS)),
            ("chromosomes".into(), folder.join(CHROMOSOMES)),
        ];
        files.extend(species.species.iter().map(|s| (format!("proteins of {}", s.name), s.file.clone())));
        files.extend(table.map(|t| ("token table".into(), t)));
        files.extend(settings_file.map(|f| ("settings".into(), f)));
        let mut out = Self {
            path: weights,
            settings,
            chromosome_offset,
            species,
            network,
            pad_bias: PAD_BIAS,
            info: ModelInfo {
                family: card::FAMILY.id,
                variant: String::new(),
                n_blocks: 0,
                d_model: 0,
                n_heads: 0,
                d_mlp: 0,
                max_tokens: 0,
                d_vocab: rows,
                n_parameters: 0,
                files,
                choices: serde_json::Map::new(),
            },
            audit,
        };
        out.describe();
        Ok(out)
    }

    fn describe(&mut self) {
        let (n, settings) = (&self.network, &self.settings);
        let d_mlp = n.blocks.first().map_or(0, |b| b.up.n_out());
        let choices = json!({
            "cell_embedding": "decoder of [CLS] divided by its length; cell_embedding.raw before the division",
            "gene_embedding": "gene_embedding_layer of the protein vectors",
            "sample_size": settings.sample_size,
            "sampling": "even: each gene as often as its probability says; as published: drawn at random with replacement",
            "recipes": Recipe::ALL.map(|(n, _)| n),
            "chromosome_order": "sorted; as published: shuffled",
            "chromosome_offset": self.chromosome_offset,
            "padding": "none; as published: to the longest of 25 cells, attended to with 1 added to the score",
            "empty_cell": "[CLS] alone (the original fails)",
            "n_heads": if settings == &Settings::PUBLISHED { "published constant; the checkpoint does not say" } else { "stated" },
            "species": self.species.species.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(),
            "layer_norm_eps": "0.00001",
            "activation": "relu (blocks), gelu_erf (elsewhere)",
        });
        let info = &mut self.info;
        info.variant = presets::name_of(n.blocks.len(), n.d, settings.n_heads, d_mlp).into();
        info.n_blocks = n.blocks.len();
        info.d_model = n.d;
        info.n_heads = settings.n_heads;
        info.d_mlp = d_mlp;
        info.max_tokens = settings.max_tokens.min(n.positions.len() / n.d);
        info.n_parameters = n.n_parameters;
        info.choices = choices.as_object().cloned().unwrap_or_default();
    }

    /// Sites that need the output of the last block.
    pub(super) fn sites_beyond(&self) -> [Site; 4] {
        [extra(names::DECODER), extra(names::CELL_RAW), Site::CellEmbedding, extra(names::EXPRESSION)]
    }

    fn check_tokens(&self, tokens: &Tokens) -> Result<()> {
        if !self.network.d.is_multiple_of(self.settings.n_heads) {
            return Err(Error::mismatch("the width does not divide into the published number of heads, which the checkpoint does not state")
                .expected(format!("a divisor of {}", self.network.d))
                .found(self.settings.n_heads.to_string())
                .remedy(format!(
                    "put {SETTINGS} with n_heads, sample_size, max_tokens and chromosome_offset beside the weights"
                )));
        }
        if let Some(&id) = tokens.ids.iter().find(|&&id| id as usize >= self.network.table.rows) {
            return Err(Error::mismatch("a token is not in the model's table")
                .expected(format!("below {}", self.network.table.rows))
                .found(id.to_string()));
        }
        let longest = self.network.positions.len() / self.network.d;
        for cell in 0..tokens.n_cells() {
            let n = tokens.len_of(cell);
            if n == 0 || n > longest {
                return Err(Error::mismatch("a cell has no token or more than the model has positions")
                    .expected(format!("1 to {longest} tokens"))
                    .found(format!("{n} tokens in cell {cell} of the minibatch")));
            }
        }
        Ok(())
    }
}

impl Model for Uce {
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
        push(extra(names::TOKEN_UNIT), STREAM);
        push(Site::Embed, STREAM);
        for block in 0..self.info.n_blocks {
            for place in BlockSite::ALL {
                push(Site::Block(block, place), place.axes());
            }
        }
        push(extra(names::DECODER), STREAM);
        push(extra(names::CELL_RAW), &[Axis::Cell, Axis::DModel]);
        push(Site::CellEmbedding, &[Axis::Cell, Axis::DModel]);
        push(extra(names::EXPRESSION), &[Axis::Cell, Axis::Token]);
        out
    }

    /// The published vector is the decoder of this one (site `cell_embedding`).
    fn cell_rule(&self) -> (CellRule, Site) {
        let last = self.info.n_blocks.checked_sub(1);
        (CellRule::Token(0), last.map_or(Site::Embed, Site::resid_post))
    }

    /// Genes, chromosomes and brackets; the tokens' own column says which are genes.
    fn gene_tokens(&self, n: usize) -> Range<usize> {
        1.min(n)..n
    }

    fn token_name(&self, token: u32) -> Option<&str> {
        match token {
            PAD => Some("[PAD]"),
            LEFT => Some("[CHROM_LEFT]"),
            RIGHT => Some("[CHROM_RIGHT]"),
            CLS => Some("[CLS]"),
            _ => match token.checked_sub(self.chromosome_offset) {
                Some(code) => self.species.chromosomes.get(code as usize).map(String::as_str),
                None => self.species.symbol(token),
            },
        }
    }

    fn match_genes(&self, genes: &GeneTable) -> Result<GeneMatch> {
        genes::match_genes(&self.species, genes)
    }

    fn tokenize(
        &self,
        counts: &Counts,
        _totals: Option<CellTotals<'_>>,
        genes: &GeneMatch,
        options: &TokenizeOptions,
    ) -> Result<Tokens> {
        self.sentences(counts, genes, options)
    }

    fn gene_table(&self) -> Option<Matrix> {
        self.network.gene_table()
    }

    fn kit_plan(&self, case: &KitCase<'_>) -> Result<KitPlan> {
        kit::plan(self, case)
    }

    fn declared_by(&self, manifest: &Value) -> Result<Option<Box<dyn Model>>> {
        let stated = Settings::of_kit(manifest)?;
        if stated == self.settings {
            return Ok(None);
        }
        Ok(Some(Box::new(Self::open_with(&self.path, stated, None)?)))
    }

    fn attention_weights(&self, block: usize) -> Option<AttentionWeights> {
        self.network.blocks.get(block).and_then(post_ln_weights)
    }

    fn block_layout(&self, block: usize) -> Option<BlockLayout> {
        self.network.block_layout(block)
    }

    fn key_bias(&self, tokens: &Tokens) -> Option<Vec<f32>> {
        self.bias_of_padding(tokens)
    }

    /// With the settings that untrained models have, which the published checkpoint does not state.
    fn rewritten(&self) -> Rewritten {
        let text = format!("{:#}\n", self.settings.to_json(self.chromosome_offset as usize));
        Rewritten { texts: vec![(SETTINGS.into(), text)], ..Rewritten::default() }
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
