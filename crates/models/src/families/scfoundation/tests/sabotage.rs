//! Wrong variants must fail: the tolerances bite. Each is made by altering weights or an opened model, never by a switch.

use microtome_kernels::Activation;

use super::kit::{Tensors, altered, open, run};
use crate::families::scfoundation::model::ScFoundation;
use crate::families::scfoundation::network::Network;
use crate::nn::{Mlp, Norm};
use crate::parity::KitReport;

/// Fails by far, and first at the tensor given.
fn caught(what: &str, report: &KitReport, first: &str) {
    assert!(!report.passed, "{what} was not noticed");
    assert_eq!(report.first_divergence.as_deref(), Some(first), "{what}");
    let excess = |t: &crate::parity::TensorReport| {
        let w = t.worst.as_ref()?;
        Some((w.expected - w.found).abs() / w.allowed)
    };
    let worst = report.tensors.iter().filter_map(excess).fold(0.0, f64::max);
    assert!(worst > 5.0, "{what}: only {worst} times the tolerance");
}

/// The same alteration of the network of every sub-model.
fn with_network(alter: fn(&mut Network)) -> KitReport {
    let mut model = open("cell");
    alter(&mut model.network);
    model.alter = alter;
    run(&model)
}

/// Alters tensors of all sub-models, by their names within one.
fn with_tensors(alter: impl Fn(&mut Tensors, &str)) -> KitReport {
    let copy = altered(
        |t| ["cell", "rde", "gene"].iter().for_each(|p| alter(t, &format!("{p}.state_dict.model."))),
        |_| {},
    );
    run(&ScFoundation::open(copy.path()).unwrap())
}

fn zeroed(name: &str) -> KitReport {
    with_tensors(|t, p| t.get_mut(&format!("{p}{name}")).unwrap().1.fill(0.0))
}

#[test]
fn an_unaltered_copy_passes() {
    let report = with_tensors(|_, _| {});
    assert!(report.passed, "{:?}", report.first_divergence);
    assert!(with_network(|_| {}).passed);
}

#[test]
fn altered_encoders_are_caught() {
    let gelu = with_network(|n| n.blocks[0].activation = Activation::GeluErf);
    caught("GELU in the encoder", &gelu, "blocks.0.mlp_out");
    caught("eps of a norm", &with_network(|n| n.blocks[2].norm2.eps = 1e-12), "blocks.2.resid_post");
    caught("attention not scaled", &with_network(|n| n.blocks[0].shape.scale = 1.0), "blocks.0.attn.pattern");
    caught("slope of the value map", &with_network(|n| n.values.slope = 0.01), "embed.bin_weight");
    caught("no bin_alpha", &with_network(|n| n.values.alpha = 0.0), "embed.bin_weight");
    caught("no positions", &with_network(|n| n.positions.fill(0.0)), "embed");
    let shifted = with_network(|n| n.positions.rotate_left(20));
    caught("positions off by one", &shifted, "embed");
    caught("eps of the final norm", &with_network(|n| n.norm.eps = 1e-3), "final_norm");
    let b = "encoder.transformer_encoder.0";
    caught("no bias of q, k, v", &zeroed(&format!("{b}.self_attn.in_proj_bias")), "blocks.0.attn.q");
    caught("no bias of the output", &zeroed(&format!("{b}.self_attn.out_proj.bias")), "blocks.0.attn_out");
    caught("no bias of the feed-forward part", &zeroed(&format!("{b}.linear1.bias")), "blocks.0.mlp_out");
    caught("no second bias of the value map", &zeroed("token_emb.mlp2.bias"), "embed.bin_weight");
    let swapped = with_tensors(|t, p| {
        for part in ["weight", "bias"] {
            let values = &mut t.get_mut(&format!("{p}{b}.self_attn.in_proj_{part}")).unwrap().1;
            let third = values.len() / 3;
            let (q, rest) = values.split_at_mut(third);
            q.swap_with_slice(&mut rest[..third]);
        }
    });
    caught("queries and keys swapped", &swapped, "blocks.0.attn.q");
    // Rows read as (heads, 3, d_head).
    let interleaved = with_tensors(|t, p| {
        let (shape, values) = t.get_mut(&format!("{p}{b}.self_attn.in_proj_weight")).unwrap();
        let width = shape[1];
        let rows: Vec<f32> = values.clone();
        for (to, out) in values.chunks_exact_mut(width).enumerate() {
            let (part, head, j) = (to / 20, to % 20 / 5, to % 5);
            let from = (head * 3 + part) * 5 + j;
            out.copy_from_slice(&rows[from * width..(from + 1) * width]);
        }
    });
    caught("heads before parts", &interleaved, "blocks.0.attn.q");
}

#[test]
fn altered_decoders_are_caught() {
    fn activation(n: &mut Network, to: Activation) {
        for block in &mut n.decoder.performer.blocks {
            if let Mlp::Plain { activation, .. } = &mut block.mlp {
                *activation = to;
            }
        }
    }
    fn norm_eps(norm: &mut Norm, to: f32) {
        if let Norm::Layer(norm) = norm {
            norm.eps = to;
        }
    }
    let first = "decoder.blocks.0.mlp_out";
    caught("ReLU in the decoder", &with_network(|n| activation(n, Activation::Relu)), first);
    let tanh = with_network(|n| activation(n, Activation::GeluTanh));
    assert!(!tanh.passed, "tanh GELU in the decoder");
    let eps = with_network(|n| norm_eps(&mut n.decoder.performer.blocks[0].norm1, 1e-12));
    caught("eps of a norm in the decoder", &eps, "decoder.blocks.0.attn.q");
    caught("eps of decoder.norm", &with_network(|n| n.decoder.norm.eps = 1e-12), "decoder.final_norm");
    let last = with_network(|n| n.decoder.last_norm.eps = 1e-12);
    caught("eps of the last norm", &last, "gene_embedding");
    let swapped = with_tensors(|t, p| {
        let name = |part: &str, what: &str| format!("{p}decoder.performer.net.layers.0.0.fn.{part}.{what}");
        for what in ["weight", "bias"] {
            let q = t.remove(&name("to_q", what)).unwrap();
            let k = t.insert(name("to_k", what), q).unwrap();
            t.insert(name("to_q", what), k);
        }
    });
    caught("queries and keys of the decoder swapped", &swapped, "decoder.blocks.0.attn.q");
    let layer = "decoder.performer.net.layers.0";
    let bias = zeroed(&format!("{layer}.0.fn.to_v.bias"));
    caught("no bias of the decoder's values", &bias, "decoder.blocks.0.attn.v");
    caught("no bias of to_out", &zeroed(&format!("{layer}.0.fn.to_out.bias")), "decoder.blocks.0.attn_out");
    caught("no bias of w2", &zeroed(&format!("{layer}.1.fn.fn.w2.bias")), first);
    caught("no bias of decoder_embed", &zeroed("decoder_embed.bias"), "decoder.embed");
    caught("no bias of to_final", &zeroed("to_final.bias"), "readout.expression");
    let redrawn = with_tensors(|t, p| {
        t.get_mut(&format!("{p}{layer}.0.fn.fast_attention.projection_matrix")).unwrap().1.rotate_left(1);
    });
    caught("other random features", &redrawn, "decoder.blocks.0.attn.phi_q");
    let mask = zeroed("token_emb.emb_mask.weight");
    caught("no vector of the mask", &mask, "masked.readout");
}

#[test]
fn the_wrong_sub_model_is_caught() {
    let report = run(&open("gene"));
    assert_eq!(report.first_divergence.as_deref(), Some("embed.bin_weight"));
}
