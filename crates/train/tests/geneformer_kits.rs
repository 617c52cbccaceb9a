//! The forward pass of training against the parity kits that the authors' own code made, at every block and at the scores. The engine is held
//! to the same kits, so that the two agree with each other.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::path::PathBuf;

use candle_core::{Device, Tensor};
use microtome_train::net::{
    Activation, Architecture, BertShape, Dropout, Input, NamedTensor, Params, Ragged,
};

fn kit(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../golden/models/geneformer").join(name)
}

fn weights(name: &str) -> HashMap<String, Tensor> {
    let folder = kit(name).join("checkpoint");
    let safe = folder.join("model.safetensors");
    if safe.is_file() {
        return candle_core::safetensors::load(safe, &Device::Cpu).unwrap();
    }
    candle_core::pickle::read_all(folder.join("pytorch_model.bin")).unwrap().into_iter().collect()
}

fn shape(name: &str) -> BertShape {
    let text = std::fs::read_to_string(kit(name).join("checkpoint/config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&text).unwrap();
    let n = |key: &str| usize::try_from(config[key].as_u64().unwrap()).unwrap();
    assert_eq!(config["hidden_act"], "relu");
    BertShape {
        n_blocks: n("num_hidden_layers"),
        d_model: n("hidden_size"),
        n_heads: n("num_attention_heads"),
        d_mlp: n("intermediate_size"),
        max_positions: n("max_position_embeddings"),
        vocab_size: n("vocab_size"),
        type_vocab_size: n("type_vocab_size"),
        eps: config["layer_norm_eps"].as_f64().unwrap() as f32,
        activation: Activation::Relu,
    }
}

fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// Largest distance from the kit per site: embedding, blocks, scores.
fn distances(name: &str, shape: &BertShape) -> Vec<f32> {
    let found = weights(name);
    let tensors = shape.tensors().into_iter().map(|(name, shape)| {
        let t = found.get(&name).unwrap_or_else(|| panic!("{name} is not in the checkpoint"));
        NamedTensor { name, shape, values: values(t) }
    });
    let params = Params::new(tensors.collect()).unwrap();
    let expected =
        candle_core::safetensors::load(kit(name).join("expected.safetensors"), &Device::Cpu).unwrap();
    let ids = expected["tokens.ids"].to_vec2::<i64>().unwrap();
    let lengths: Vec<usize> = expected["tokens.len"]
        .to_vec1::<i64>()
        .unwrap()
        .into_iter()
        .map(|n| usize::try_from(n).unwrap())
        .collect();
    let tokens: Vec<u32> = ids
        .iter()
        .zip(&lengths)
        .flat_map(|(row, n)| row[..*n].iter().map(|t| u32::try_from(*t).unwrap()))
        .collect();
    let cells = Ragged::of_lengths(lengths.iter().copied());
    let net = shape.over(&params).unwrap();
    let input = Input::of_tokens(tokens.clone(), cells);
    let mut states = net.states(&input, &mut Dropout::none()).unwrap();
    states.push(net.answers(&input, &states[shape.n_blocks]).unwrap());
    let mut sites = vec!["embed".to_string()];
    sites.extend((0..shape.n_blocks).map(|i| format!("blocks.{i}.resid_post")));
    sites.push("readout.mlm_logits".into());
    let distance = |(site, state): (&String, &Tensor)| {
        let (state, padded) = (state.to_vec2::<f32>().unwrap(), expected[site].to_vec3::<f32>().unwrap());
        let rows = padded.iter().zip(&lengths).flat_map(|(cell, n)| &cell[..*n]);
        assert_eq!(state.len(), tokens.len());
        let far = |(a, b): (&Vec<f32>, &Vec<f32>)| {
            assert_eq!(a.len(), b.len(), "{site}");
            a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        state.iter().zip(rows).map(far).fold(0.0, f32::max)
    };
    sites.iter().zip(&states).map(distance).collect()
}

#[test]
fn training_computes_what_the_authors_compute() {
    for name in ["v1_10m_bin", "v2_104m_safetensors"] {
        let shape = shape(name);
        let found = distances(name, &shape);
        assert_eq!(found.len(), shape.n_blocks + 2);
        assert!(found.iter().all(|d| *d < 1e-5), "{name}: {found:?}");
        // What is wrong by a little does not pass.
        for wrong in [
            BertShape { activation: Activation::GeluErf, ..shape },
            BertShape { eps: 1e-3, ..shape },
            BertShape { n_heads: 1, ..shape },
        ] {
            let found = distances(name, &wrong);
            assert!(found.iter().any(|d| *d > 1e-4), "{name} {wrong:?}: {found:?}");
        }
    }
}
