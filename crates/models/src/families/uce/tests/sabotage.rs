//! Wrong variants must fail parity: the tolerances bite.

use microtome_kernels::{Activation, Linear};

use super::kit::{Cells, golden, open, run};
use crate::families::uce::model::Uce;

/// Opens the kit, spoils the model and runs it.
fn spoilt(what: &str, at: &str, spoil: impl Fn(&mut Uce)) {
    let kit = golden();
    let mut model = open(&kit);
    spoil(&mut model);
    let report = run(&kit, &model);
    assert!(!report.passed, "{what} was not noticed");
    assert_eq!(report.first_divergence.as_deref(), Some(at), "{what}");
}

#[test]
fn the_model_as_it_is_passes() {
    assert!(run(&golden(), &open(&golden())).passed && Cells::read(&golden()).counts.n_cells() > 0);
}

#[test]
fn wrong_arithmetic_is_noticed_where_it_first_shows() {
    spoilt("GELU in the blocks", "blocks.0.mlp_out", |m| {
        m.network.blocks.iter_mut().for_each(|b| b.activation = Activation::GeluErf);
    });
    for activation in [Activation::GeluTanh, Activation::Relu] {
        spoilt("another activation of the encoder", "embed", |m| m.network.encoder.activation = activation);
        spoilt("another activation of the decoder", "readout.decoder", |m| {
            m.network.decoder.steps.iter_mut().for_each(|s| s.activation = activation);
        });
    }
    spoilt("eps of the encoder", "embed", |m| m.network.encoder.norm.eps = 1e-12);
    spoilt("eps of norm 1", "blocks.1.resid_mid", |m| m.network.blocks[1].norm1.eps = 1e-12);
    spoilt("eps of the decoder", "readout.decoder", |m| {
        m.network.decoder.steps.iter_mut().for_each(|s| s.norm.eps = 1e-12);
    });
    spoilt("positions dropped", "embed", |m| m.network.positions.fill(0.0));
    spoilt("positions from 1", "embed", |m| {
        let d = m.network.d;
        m.network.positions.rotate_left(d);
    });
    spoilt("sqrt(d) dropped", "embed", |m| m.network.embed_scale = 1.0);
    spoilt("token vectors as they are", "embed.token_unit", |m| m.network.unit_tokens = false);
    spoilt("scale 1/sqrt(d)", "blocks.0.attn.pattern", |m| {
        let d = m.network.d as f32;
        m.network.blocks.iter_mut().for_each(|b| b.shape.scale = 1.0 / d.sqrt());
    });
    spoilt("expression readout with ReLU", "readout.expression_logit", |m| {
        m.network.expression.steps.iter_mut().for_each(|s| s.activation = Activation::Relu);
    });
    spoilt("norm behind the activation of the decoder", "readout.decoder", |m| {
        m.network.decoder.steps.iter_mut().for_each(|s| s.norm_first = false);
    });
    spoilt("decoder without a last bias", "readout.decoder", |m| {
        let out = &m.network.decoder.out;
        let (n_out, n_in) = (out.n_out(), out.n_in());
        m.network.decoder.out = Linear::pack(&vec![0.0; n_out * n_in], n_out, n_in, None);
    });
}

#[test]
fn padding_hidden_or_attended_to_without_the_bonus_is_noticed() {
    for bias in [f32::NEG_INFINITY, 0.0] {
        spoilt("padding", "padded.blocks.0.attn.pattern", |m| m.pad_bias = bias);
    }
}
