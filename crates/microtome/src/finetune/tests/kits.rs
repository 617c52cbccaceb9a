//! On reference kits of every family with softmax attention: what is trained begins at the engine, leaves the checkpoint alone, and
//! merges into one that the engine opens.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use microtome_models::Model;
use microtome_train::finetune::{Batch, BlockWeights, Examples, Network};
use microtome_train::net::{NamedTensor, Params};

use super::super::*;

/// Families whose blocks can be trained.
const OFFERED: [&str; 15] = [
    "aido_cell",
    "genecompass",
    "geneformer",
    "generain",
    "langcell",
    "nicheformer",
    "sccello",
    "scfoundation",
    "scgpt",
    "scmulan",
    "scprint",
    "tahoe_x1",
    "tgpt",
    "transcriptformer",
    "uce",
];
/// Tokens of a kit that are run; its first cell always is.
const TOKENS: usize = 20_000;

/// Kits in the repository, and further ones among the shared data where there are any.
fn kits() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/models");
    let shared = std::env::var_os("MICROTOME_SHARED").map(|s| PathBuf::from(s).join("parity"));
    if shared.is_none() {
        println!("skipped: kits beyond those of the repository (set MICROTOME_SHARED to the shared data)");
    }
    let mut out = vec![];
    for root in std::iter::once(own).chain(shared) {
        for family in OFFERED {
            for entry in std::fs::read_dir(root.join(family)).into_iter().flatten().flatten() {
                if entry.path().join("checkpoint").is_dir() && entry.path().join("cells.h5ad").exists() {
                    out.push(entry.path());
                }
            }
        }
    }
    out.sort();
    out
}

/// The checkpoint of a kit, with what its manifest declares where the checkpoint does not state it.
fn open(kit: &Path) -> OpenModel {
    let mut opened = OpenModel::open(&kit.join("checkpoint")).unwrap();
    let manifest = std::fs::read(kit.join("MANIFEST.json")).unwrap();
    if let Some(model) = opened.model.declared_by(&serde_json::from_slice(&manifest).unwrap()).unwrap() {
        opened.model = model;
    }
    opened
}

/// Tokens of the first cells of a kit; none where the kit's genes are not the model's.
fn tokens(model: &dyn Model, data: &Path) -> Option<Tokens> {
    let mut options = DataOptions { path: data.to_path_buf(), ..DataOptions::default() };
    let columns = microtome_h5ad::open(data).unwrap().obs_column_names().unwrap();
    options.prepare.batch_key = columns.into_iter().find(|c| c == "batch");
    let mut data = Data::open(&options).ok()?;
    data.add_contexts(model).unwrap();
    let genes = model.match_genes(&data.genes).ok()?;
    let (_, tokens) = data.tokenize(model, &genes, 0..data.cells.len()).unwrap();
    let mut n = 0;
    let some = |c: &usize| {
        let first = n == 0;
        n += tokens.len_of(*c);
        first || n <= TOKENS
    };
    let cells: Vec<usize> =
        (0..tokens.n_cells()).filter(|&c| tokens.len_of(c) > 0).take_while(some).collect();
    Some(tokens.select(&cells))
}

/// The stream behind every block as the engine has it, and as blocks with these trained weights have it.
pub(super) fn both(
    model: &dyn Model,
    data: &Path,
    (blocks, method, params): (&[BlockWeights], Method, &Params),
) -> Option<Vec<[Vec<f32>; 2]>> {
    let tokens = tokens(model, data)?;
    let all: Vec<usize> = (0..tokens.n_cells()).collect();
    let batch: Batch = Stream::new(model, &tokens, &all, 0).batch(&all).unwrap();
    let sites: Vec<Site> = (0..blocks.len()).map(Site::resid_post).collect();
    let mut recorder = microtome_models::taps::Recorder::new(sites.clone());
    model.forward(&tokens, &mut recorder).unwrap();
    let of_block = |(i, site): (usize, &Site)| {
        let Some(microtome_models::taps::Recorded::Tokens { data: engine, .. }) = recorder.take(site) else {
            panic!("{site}")
        };
        let network = Network::new(blocks[..=i].to_vec(), model.info().d_model, 2, method).unwrap();
        let stream = network.stream(params, &batch).unwrap();
        [engine, stream.flatten_all().unwrap().to_vec1::<f32>().unwrap()]
    };
    Some(sites.iter().enumerate().map(of_block).collect())
}

pub(super) fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let off = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    // NaN on either side is no agreement.
    off.fold(0.0, |m, x| if x.is_nan() || x > m { x } else { m })
}

/// 1, or the largest number where it is larger: streams of pre-LN models grow with depth.
fn size(values: &[f32]) -> f32 {
    values.iter().fold(1.0, |m, v| m.max(v.abs()))
}

#[test]
fn an_untrained_adapter_is_the_engine_at_every_block_of_every_family() {
    let mut families = BTreeSet::new();
    for kit in kits() {
        let opened = open(&kit);
        let model = opened.model.as_ref();
        let blocks = Stored::open(model).unwrap().blocks(0).unwrap();
        let method = Method::Lora { rank: 4, alpha: 8.0 };
        let network = Network::new(blocks.clone(), model.info().d_model, 2, method).unwrap();
        let params = Params::new(network.first_values(0, 0)).unwrap();
        let Some(streams) = both(model, &kit.join("cells.h5ad"), (&blocks, method, &params)) else {
            continue;
        };
        for (i, [engine, network]) in streams.iter().enumerate() {
            let off = largest_difference(engine, network);
            assert!(off < 1e-5 * size(engine), "{}, block {i}: {off}", kit.display());
        }
        families.insert(model.family().id);
    }
    assert!(families.iter().eq(OFFERED.iter()), "{families:?}");
}

/// Weights that are not those that training begins with, and the tensors of the file that they change.
fn trained(stored: &Stored, network: &Network, method: Method) -> (Vec<NamedTensor>, BTreeSet<String>) {
    let mut weights = network.first_values(1, 0);
    let moves = |t: &NamedTensor| match method {
        Method::Lora { .. } => t.name.ends_with("lora_b"),
        _ => t.name.starts_with("blocks."),
    };
    let wave = |i: usize| 0.02 * (0.5 + i as f32 * 0.7).sin();
    for t in weights.iter_mut().filter(|t| moves(t)) {
        t.values.iter_mut().enumerate().for_each(|(i, v)| *v += wave(i));
    }
    let full = method == Method::Full;
    let mut names = vec![];
    for l in &stored.layouts {
        for m in &l.maps {
            names.push(&m.weight);
            names.extend(m.bias.iter().filter(|_| full));
        }
        for n in l.norms.iter().filter(|_| full) {
            names.push(&n.weight);
            names.extend(&n.bias);
        }
    }
    (weights, names.into_iter().map(|n| stored.full_name(n).unwrap().to_owned()).collect())
}

#[test]
fn a_merged_checkpoint_of_every_family_is_what_was_trained_and_the_base_bit_by_bit() {
    let mut families = BTreeSet::new();
    for (kit, method) in kits()
        .into_iter()
        .flat_map(|k| [(k.clone(), Method::Lora { rank: 2, alpha: 4.0 }), (k, Method::Full)])
    {
        let folder = tempfile::tempdir().unwrap();
        let opened = open(&kit);
        let model = opened.model.as_ref();
        let stored = Stored::open(model).unwrap();
        let blocks = stored.blocks(0).unwrap();
        let network = Network::new(blocks.clone(), model.info().d_model, 2, method).unwrap();
        let (weights, changed) = trained(&stored, &network, method);
        let params = Params::new(weights).unwrap();
        let out = folder.path().join("merged");
        stored.write_merged(model, 0, &network.merged(&params).unwrap(), &out).unwrap();
        let after = OpenModel::open(&kit.join("checkpoint")).unwrap().inputs;
        assert_eq!(after, opened.inputs, "{}: hashes of the checkpoint's files", kit.display());
        let merged = OpenModel::open(&out).unwrap_or_else(|e| panic!("{}: {e}", kit.display()));
        assert_eq!(merged.model.family().id, model.family().id);
        // Only tensors that were trained are others.
        let again = Stored::open(merged.model.as_ref()).unwrap().checkpoint;
        for name in stored.checkpoint.names() {
            let Ok(before) = stored.checkpoint.read_f32(name) else { continue };
            let after = again.read_f32(name).unwrap();
            let same = before.len() == after.len()
                && before.iter().zip(&after).all(|(a, b)| a.to_bits() == b.to_bits());
            assert_eq!(same, !changed.contains(name), "{}, {method:?}: {name}", kit.display());
        }
        let cells = kit.join("cells.h5ad");
        let trained = (&blocks[..], method, &params);
        let Some(streams) = both(merged.model.as_ref(), &cells, trained) else { continue };
        let base = both(model, &cells, trained).unwrap();
        for (i, ([engine, trained], [base, _])) in streams.iter().zip(&base).enumerate() {
            let place = format!("{}, {method:?}, block {i}", kit.display());
            assert!(largest_difference(base, engine) > 1e-3 * size(base), "{place}: nothing changed");
            let off = largest_difference(engine, trained);
            assert!(off < 1e-5 * size(engine), "{place}: {off}");
        }
        families.insert(model.family().id);
    }
    assert!(families.iter().eq(OFFERED.iter()), "{families:?}");
}

/// The head sees the mean over the tokens that the readings of frozen representations are over: genes, without padding.
#[test]
fn the_head_sees_the_mean_that_frozen_representations_are() {
    for kit in kits().into_iter().filter(|k| k.ends_with("hf_safetensors") || k.ends_with("uce_4l_human")) {
        let opened = open(&kit);
        let model = opened.model.as_ref();
        let tokens = tokens(model, &kit.join("cells.h5ad")).unwrap();
        let cells: Vec<usize> =
            (0..tokens.n_cells()).filter(|&c| !stream::gene_places(model, &tokens, c).is_empty()).collect();
        let tokens = tokens.select(&cells);
        let all: Vec<usize> = (0..tokens.n_cells()).collect();
        let blocks = Stored::open(model).unwrap().blocks(0).unwrap();
        let last = Site::resid_post(blocks.len() - 1);
        let method = Method::Mlp { hidden: 2 };
        let network = Network::new(blocks, model.info().d_model, 2, method).unwrap();
        let params = Params::new(network.first_values(0, 0)).unwrap();
        let batch = Stream::new(model, &tokens, &all, 0).batch(&all).unwrap();
        let pooled =
            network.pooled(&params, &batch).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let frozen =
            pool_cells(model, &tokens, &[last], Pooling::Mean, 512, &microtome_core::Silent).unwrap();
        let frozen = &frozen.matrices[0];
        let off = largest_difference(frozen.data(), &pooled);
        assert!(off < 1e-5 * size(&pooled), "{}: {off}", kit.display());
        let places = |c: usize| model.gene_tokens(tokens.len_of(c)).len();
        assert!(all.iter().any(|&c| batch.pooled[c].len() < places(c)), "some places are no genes");
    }
}

#[test]
fn weights_in_shards_count_each_and_are_merged_into_one_file() {
    let kit = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../golden/models/nicheformer/hf_safetensors/checkpoint");
    let folder = tempfile::tempdir().unwrap();
    let sharded = folder.path().join("sharded");
    std::fs::create_dir(&sharded).unwrap();
    for name in ["config.json", "vocab.json", "model.h5ad"] {
        std::fs::copy(kit.join(name), sharded.join(name)).unwrap();
    }
    let whole = microtome_weights::Checkpoint::open(&kit.join("model.safetensors")).unwrap();
    let names = whole.names();
    let mut map = serde_json::Map::new();
    for (i, part) in names.chunks(names.len().div_ceil(2)).enumerate() {
        let file = format!("model-{i}.safetensors");
        let tensors: Vec<_> = part
            .iter()
            .map(|n| (n.to_string(), whole.info(n).unwrap().shape.clone(), whole.read_f32(n).unwrap()))
            .collect();
        let tensors: Vec<_> = tensors
            .iter()
            .map(|(n, s, v)| (n.clone(), s.clone(), microtome_weights::TensorData::F32(v)))
            .collect();
        microtome_weights::write_safetensors(&sharded.join(&file), &tensors, &[]).unwrap();
        map.extend(part.iter().map(|n| (n.to_string(), file.clone().into())));
    }
    let index = serde_json::json!({ "weight_map": map }).to_string();
    std::fs::write(sharded.join("model.safetensors.index.json"), index).unwrap();
    let opened = OpenModel::open(&sharded).unwrap();
    let shards = opened.inputs.iter().filter(|i| i.role == crate::open::SHARD).count();
    assert_eq!(shards, 2, "{:?}", opened.inputs);
    let stored = Stored::open(opened.model.as_ref()).unwrap();
    let out = folder.path().join("merged");
    stored.write_merged(opened.model.as_ref(), 0, &stored.blocks(0).unwrap(), &out).unwrap();
    let merged = Stored::open(OpenModel::open(&out).unwrap().model.as_ref()).unwrap().checkpoint;
    for name in names {
        assert_eq!(merged.read_f32(name).unwrap(), whole.read_f32(name).unwrap(), "{name}");
    }
    assert!(!out.join("model.safetensors.index.json").exists());
}

#[test]
fn families_without_softmax_are_refused_by_name() {
    for family in ["scbert", "cellfm"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/models").join(family);
        let kits = std::fs::read_dir(root).unwrap().flatten();
        let kit = kits.map(|e| e.path()).find(|p| p.join("checkpoint").is_dir()).unwrap();
        let opened = OpenModel::open(&kit.join("checkpoint")).unwrap();
        let error = Stored::open(opened.model.as_ref()).err().unwrap().to_string();
        assert!(error.contains("adapters are not offered") && error.contains(family), "{error}");
        assert!(error.contains("softmax"), "{error}");
    }
}
