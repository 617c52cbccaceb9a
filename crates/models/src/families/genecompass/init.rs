//! Untrained models: Hugging Face's initialisation of BERT, which the published modules take over. Prior knowledge is not trained: a
//! twin keeps that of the checkpoint, and a model of a preset, which has none at hand, draws it from a standard normal distribution.

use std::path::Path;

use microtome_core::Result;
use microtome_weights::Checkpoint;

use super::card::VARIANTS;
use super::config::Config;
use super::files;
use crate::hugging_face::{copy_into, create, folder_of, weights_file, write_config};
use crate::nn::bert;
use crate::tokenize::rank_files::DictionaryFiles;
use crate::untrained::{self, Drawn, Kind, Plan};

/// Writes an untrained model of a published size over the dictionaries of `like`.
pub(super) fn init_preset(preset: &str, like: &Path, seed: u64, out: &Path) -> Result<()> {
    let variant = untrained::preset("genecompass", VARIANTS, preset)?;
    let dictionaries = files::find(&folder_of(like))?;
    let config = Config::of_variant(variant, files::read(&dictionaries)?.len());
    let mut plan = Plan::default();
    for kind in &config.priors {
        let shape = [config.bert.vocab_size, config.bert.d_model];
        plan.add(knowledge(kind), &shape, Kind::Normal { mean: 0.0, sd: 1.0 });
    }
    // Another seed, so that the matrices do not share their random streams with the weights.
    let priors = plan.draw(seed.wrapping_add(1))?;
    write(&config, &priors, &dictionaries, seed, out)
}

/// Writes an untrained model with the configuration, vocabulary and prior knowledge of the checkpoint `of`.
pub(super) fn init_twin(of: &Path, seed: u64, out: &Path) -> Result<()> {
    let folder = folder_of(of);
    let config = Config::read(&folder.join("config.json"))?;
    let dictionaries = files::find(&folder)?;
    let checkpoint = Checkpoint::open(&weights_file(of, "name the checkpoint folder as published")?)?;
    let priors = config
        .priors
        .iter()
        .map(|kind| {
            let name = knowledge(kind);
            let values = checkpoint.read_f32(&name)?;
            let shape = checkpoint.info(&name).map(|i| i.shape.clone()).unwrap_or_default();
            Ok((name, shape, values))
        })
        .collect::<Result<Vec<Drawn>>>()?;
    write(&config, &priors, &dictionaries, seed, out)
}

fn knowledge(kind: &str) -> String {
    format!("bert.embeddings.{kind}_knowledge")
}

fn write(config: &Config, priors: &[Drawn], dictionaries: &DictionaryFiles, seed: u64, out: &Path) -> Result<()> {
    create(out)?;
    copy_into(dictionaries.all(), out)?;
    let (c, d) = (&config.bert, config.bert.d_model);
    let mut plan = Plan::default();
    bert::add_embedding(&mut plan, "bert.", c, &[("token_type_embeddings", config.type_vocab_size)], &[]);
    for (kind, (_, shape, _)) in config.priors.iter().zip(priors) {
        let width = shape.last().copied().unwrap_or(d);
        bert::add_linear(&mut plan, &format!("bert.embeddings.{kind}_embeddings.linear1"), d, width);
    }
    let m = "bert.embeddings.concat_embeddings";
    bert::add_linear(&mut plan, &format!("{m}.cat_fc"), d, (1 + priors.len()) * d + 1);
    bert::add_norm(&mut plan, &format!("{m}.cat_ln"), d);
    bert::add_linear(&mut plan, &format!("{m}.cat_proj"), d, d);
    if config.use_cls {
        plan.add("bert.cls_embedding.weight".into(), &[2, d], Kind::Normal { mean: 0.0, sd: 0.02 });
    }
    bert::add_blocks(&mut plan, "bert.", c);
    bert::add_masked_head(&mut plan, "cls.predictions", c);
    let v = "cls4value.predictions";
    bert::add_linear(&mut plan, &format!("{v}.transform.dense"), d, d);
    bert::add_norm(&mut plan, &format!("{v}.transform.LayerNorm"), d);
    plan.add(format!("{v}.decoder.weight"), &[1, d], Kind::Normal { mean: 0.0, sd: 0.02 });
    plan.add(format!("{v}.bias"), &[1], Kind::Constant(0.0));
    plan.write_safetensors_with(seed, priors, &out.join("model.safetensors"))?;
    write_config(&config.to_json(), out)
}
