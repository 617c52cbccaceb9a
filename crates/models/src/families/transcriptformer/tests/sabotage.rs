//! Wrong variants must fail parity: the tolerances bite.

use microtome_kernels::Activation;

use super::kit::{golden, open, run};
use crate::families::transcriptformer::model::TranscriptFormer;
use crate::nn::{Mlp, Norm, Residual};

/// Opens the kit, spoils the model and runs it.
fn spoilt(what: &str, at: &str, spoil: impl Fn(&mut TranscriptFormer)) {
    let kit = golden();
    let mut model = open(&kit);
    spoil(&mut model);
    let report = run(&kit, &model);
    assert!(!report.passed, "{what} was not noticed");
    assert_eq!(report.first_divergence.as_deref(), Some(at), "{what}");
}

#[test]
fn wrong_arithmetic_is_noticed_where_it_first_shows() {
    for activation in [Activation::GeluTanh, Activation::Relu] {
        spoilt("another activation", "blocks.0.mlp_out", |m| {
            for b in &mut m.network.blocks {
                if let Mlp::Plain { activation: own, .. } = &mut b.mlp {
                    *own = activation;
                }
            }
        });
    }
    for eps in [1e-6, 1e-12] {
        spoilt("eps of the blocks", "blocks.0.norm1", |m| {
            for b in &mut m.network.blocks {
                for norm in [&mut b.norm1, &mut b.norm2] {
                    if let Norm::Layer(n) = norm {
                        n.eps = eps;
                    }
                }
            }
        });
    }
    spoilt("eps of the gene MLP", "embed", |m| m.network.gene_mlp.norm.eps = 1e-12);
    spoilt("plain residual", "blocks.0.norm2", |m| {
        m.network.blocks.iter_mut().for_each(|b| b.residual = Residual::Stream);
    });
    spoilt("no soft cap", "blocks.0.attn.pattern", |m| {
        m.network.blocks.iter_mut().for_each(|b| b.shape.soft_cap = None);
    });
    spoilt("scale 1/sqrt(d)", "blocks.0.attn.pattern", |m| {
        let d = m.network.d as f32;
        m.network.blocks.iter_mut().for_each(|b| b.shape.scale = 1.0 / d.sqrt());
    });
    spoilt("not causal", "blocks.0.attn.pattern", |m| m.causal = false);
    spoilt("assays dropped", "embed", |m| m.network.assays.fill(0.0));
    spoilt("unknown assay not hidden", "blocks.0.attn.pattern", |m| m.hides_unknown = false);
    spoilt("counts not in the attention", "blocks.0.attn.pattern", |m| m.counts_in_attention = false);
    spoilt("counts not clipped", "tokens.target_counts", |m| m.config.clip = f32::INFINITY);
    spoilt("count readout without the genes' biases", "readout.mu", |m| m.network.count_bias.fill(0.0));
    spoilt("own count seen in the likelihood pass", "readout.mu_strict_bias", |m| m.strict_likelihood = false);
    spoilt("likelihood without a cap", "readout.gene_llh", |m| m.network.soft_cap = 0.0);
}
