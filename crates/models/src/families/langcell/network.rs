//! The cell tower: `BertModel` without pooler, and the projection into the space that cells share with texts.

use std::path::Path;

use microtome_core::{Error, Result, Site};
use microtome_kernels::{Activation, Linear, Mask, PostLnBlock};
use microtome_weights::{Audit, Checkpoint, Loader, UsedTensor};

use super::files::{Config, Files};
use crate::nn::bert::{self, BertEmbedding};
use crate::nn::{Wanted, normalised_rows, offer_cells, pool_cells, run_post_ln_stack};
use crate::{CellRule, SiteData, Tap, Tokens};

/// `<cls>` itself after the last block.
pub(super) const CELL_CLS: &str = "cell_embedding.cls";

pub(super) struct Network {
    pub(super) embedding: BertEmbedding,
    pub(super) blocks: Vec<PostLnBlock>,
    pub(super) projection: Linear,
    /// What stands for a cell before the projection.
    pub(super) rule: CellRule,
    pub(super) n_parameters: u64,
}

impl Network {
    pub(super) fn load(files: &Files, config: &Config) -> Result<(Self, Audit)> {
        let checkpoint = Checkpoint::open(&files.weights)?;
        let loader = Loader::new(&checkpoint);
        let bert = &config.bert;
        let tower = || -> Result<_> {
            loader.strip_prefix("bert.")?;
            let types = [("token_type_embeddings", config.type_vocab_size)];
            let embedding = BertEmbedding::load(&loader, "", bert, &types)?;
            let blocks = bert::blocks(&loader, "", bert)?;
            loader.ignore("pooler.*", "the published cell vector has a projection of its own in place of the pooler");
            loader.ignore("cls.*", "masked-gene head of pre-training; the published code does not load it");
            Ok((embedding, blocks, loader.finish(true)?))
        };
        let (embedding, blocks, mut audit) = tower().map_err(|e| e.in_file(&files.weights))?;
        let (projection, of_projection) = project(&files.projection, bert.d_model)?;
        audit.used.extend(of_projection.used.into_iter().map(|t| UsedTensor { name: format!("cell_proj.{}", t.name), ..t }));
        let n_parameters =
            audit.used.iter().map(|t| t.shape.iter().map(|&n| n as u64).product::<u64>()).sum();
        Ok((Self { embedding, blocks, projection, rule: CellRule::Token(0), n_parameters }, audit))
    }

    /// The forward pass up to the last wanted site.
    pub(super) fn run(&self, tokens: &Tokens, wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let d = self.embedding.norm.width();
        let mut x = self.embedding.apply(tokens);
        if wanted.has(&Site::Embed) {
            tap.offer(&Site::Embed, tokens, SiteData::Tokens { data: &x, width: d })?;
        }
        let plain = Site::Extra(CELL_CLS.into());
        let beyond = wanted.has(&Site::CellEmbedding) || wanted.has(&plain);
        if !run_post_ln_stack(&self.blocks, &mut x, tokens, Mask::FULL, wanted, beyond, tap)? {
            return Ok(());
        }
        let genes = |n: usize| 1.min(n)..n;
        if wanted.has(&plain) {
            offer_cells(tap, &plain, tokens, &x, d, self.rule, genes)?;
        }
        if wanted.has(&Site::CellEmbedding) {
            let cells = pool_cells(tokens, &x, d, self.rule, genes);
            let n = tokens.n_cells();
            let width = self.projection.n_out();
            let mut data = vec![0.0; n * width];
            self.projection.apply(&cells, n, Activation::None, &mut data);
            let data = normalised_rows(&data, width);
            tap.offer(&Site::CellEmbedding, tokens, SiteData::Cells { data: &data, width })?;
        }
        Ok(())
    }
}

/// The projection of width `d`; its own width is the file's.
fn project(path: &Path, d: usize) -> Result<(Linear, Audit)> {
    let checkpoint = Checkpoint::open(path)?;
    let loader = Loader::new(&checkpoint);
    let n_out = match loader.shape("bias") {
        Some(&[n]) if n > 0 => n,
        other => {
            return Err(Error::mismatch("the projection's bias is not a vector")
                .in_file(path)
                .at_key("bias")
                .found(other.map_or("none".into(), |s| format!("{s:?}"))));
        }
    };
    let weight = loader.f32("weight", &[n_out, d])?;
    let bias = loader.f32("bias", &[n_out])?;
    Ok((Linear::pack(&weight, n_out, d, Some(&bias)), loader.finish(true)?))
}
