//! The network, in the published layout: words plus levels of expression, the stack, two readouts over the vocabulary.

use microtome_core::{Axis, Result, Site};
use microtome_kernels::{Activation, Linear, Lookup, gather_sum};
use microtome_weights::{Audit, Checkpoint, Loader};

use super::config::Config;
use super::model::ScMulan;
use crate::nn::gpt::lm::LM_LOGITS;
use crate::nn::gpt::{Gpt, GptLayout};
use crate::nn::{Wanted, offer_cells, stored};
use crate::{CellRule, SiteData, SiteInfo, Tap, Tokens};

/// `final_norm` at the task token; not the published vector.
pub(super) const TASK_TOKEN: &str = "cell_embedding.task_token";
/// Level of expression of every token of the vocabulary if it came next.
pub(super) const LEVELS: &str = "readout.expression";
/// Tokens that the cell was continued by, -1 where it ended before.
pub(super) const GENERATED: &str = "readout.generated";

pub(super) struct Network {
    /// `[token, d]`.
    pub(super) words: Vec<f32>,
    /// `[level, d]`, level 0 for what is not a gene.
    pub(super) levels: Vec<f32>,
    pub(super) stack: Gpt,
    pub(super) next: Linear,
    pub(super) next_level: Linear,
    pub(super) n_parameters: u64,
}

impl Network {
    pub(super) fn load(checkpoint: &Checkpoint, config: &Config) -> Result<(Self, Audit)> {
        let (d, vocabulary) = (config.shape.d_model, config.vocab_size);
        let loader = Loader::new(checkpoint);
        if checkpoint.value("model_args").is_some() {
            loader.scope("model")?;
        } else {
            // A checkpoint that was written again keeps the names of the published container.
            loader.strip_prefix("model.")?;
        }
        // Of distributed and of compiled training.
        for prefix in ["module.", "_orig_mod."] {
            loader.strip_prefix(prefix)?;
        }
        let words = loader.f32("transformer.wte.weight", &[vocabulary, d])?;
        let levels = loader.f32("transformer.wee.weight", &[config.n_levels + 1, d])?;
        let stack = Gpt::load(&loader, "transformer.", &config.shape, GptLayout::Linear)?;
        let next = stored::linear_without_bias(&loader, "lm_head", vocabulary, d)?;
        let next_level = stored::linear_without_bias(&loader, "epx_head", vocabulary, d)?;
        let audit = loader.finish(true)?;
        let n_parameters = audit.used.iter().map(|t| t.shape.iter().map(|&n| n as u64).product::<u64>()).sum();
        Ok((Self { words, levels, stack, next, next_level, n_parameters }, audit))
    }

    pub(super) fn sites(n_blocks: usize) -> Vec<SiteInfo> {
        let mut out = Gpt::sites(n_blocks);
        let extra = |name: &str| Site::Extra(name.into());
        let own: [(Site, &[Axis]); 5] = [
            (extra(TASK_TOKEN), &[Axis::Cell, Axis::DModel]),
            (extra(LM_LOGITS), &[Axis::Cell, Axis::Token, Axis::Vocab]),
            (extra(LEVELS), &[Axis::Cell, Axis::Token, Axis::Vocab]),
            (Site::CellEmbedding, &[Axis::Cell, Axis::DModel]),
            (extra(GENERATED), &[Axis::Cell, Axis::Token]),
        ];
        out.extend(own.map(|(site, axes)| SiteInfo { site, axes: axes.to_vec() }));
        out
    }

    /// `word[id] + level[bin]`, `[token, d]`.
    pub(super) fn embed(&self, tokens: &Tokens) -> Vec<f32> {
        let bins: Vec<u32> = tokens.values.iter().map(|&v| v as u32).collect();
        let lookups =
            [Lookup { table: &self.words, ids: &tokens.ids }, Lookup { table: &self.levels, ids: &bins }];
        let mut out = vec![0.0; tokens.ids.len() * self.stack.width()];
        gather_sum(&lookups, self.stack.width(), &mut out);
        out
    }
}

impl ScMulan {
    /// The forward pass up to the last wanted site, and the generation where something of it is wanted.
    pub(super) fn run(&self, tokens: &Tokens, wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let network = &self.network;
        let [task, logits, levels, generated] =
            [TASK_TOKEN, LM_LOGITS, LEVELS, GENERATED].map(|n| Site::Extra(n.into()));
        let generates = wanted.has(&Site::CellEmbedding) || wanted.has(&generated);
        let beyond = generates || [&task, &logits, &levels].iter().any(|s| wanted.has(s));
        let x = network.embed(tokens);
        let Some(x) = network.stack.run(x, tokens, wanted, beyond, tap)? else { return Ok(()) };
        let (rows, d) = (tokens.ids.len(), network.stack.width());
        if wanted.has(&task) {
            offer_cells(tap, &task, tokens, &x, d, CellRule::FromEnd(0), |n| 0..n)?;
        }
        for (site, map) in [(logits, &network.next), (levels, &network.next_level)] {
            if wanted.has(&site) {
                let mut data = vec![0.0; rows * map.n_out()];
                map.apply(&x, rows, Activation::None, &mut data);
                tap.offer(&site, tokens, SiteData::Tokens { data: &data, width: map.n_out() })?;
            }
        }
        if !generates {
            return Ok(());
        }
        let cells = self.generate(tokens, x)?;
        if wanted.has(&Site::CellEmbedding) {
            let data: Vec<f32> = cells.iter().flat_map(|c| &c.vector).copied().collect();
            tap.offer(&Site::CellEmbedding, tokens, SiteData::Cells { data: &data, width: d })?;
        }
        if wanted.has(&generated) {
            let data: Vec<f32> = cells.iter().flat_map(|c| c.tokens.map(|t| t.map_or(-1.0, |t| t as f32))).collect();
            tap.offer(&generated, tokens, SiteData::Cells { data: &data, width: super::generate::STEPS })?;
        }
        Ok(())
    }
}
