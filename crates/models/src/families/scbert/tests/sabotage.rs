//! Wrong variants must fail: the tolerances bite. Each is made by altering weights or an opened model, never by a switch.

use microtome_kernels::Activation;

use super::kit::{Tensors, altered, golden, open, run};
use crate::families::scbert::model::ScBert;
use crate::families::scbert::network::Network;
use crate::nn::{Mlp, Norm};
use crate::parity::KitReport;

/// Fails, and first at the tensor given.
fn caught(what: &str, report: &KitReport, first: &str) {
    assert!(!report.passed, "{what} was not noticed");
    assert_eq!(report.first_divergence.as_deref(), Some(first), "{what}");
}

fn with_network(alter: impl FnOnce(&mut Network)) -> KitReport {
    let mut model = open(&golden());
    alter(&mut model.network);
    run(&model)
}

fn with_tensors(alter: impl FnOnce(&mut Tensors)) -> KitReport {
    run(&ScBert::open(altered(alter).path()).unwrap())
}

fn tensor<'a>(t: &'a mut Tensors, name: &str) -> &'a mut Vec<f64> {
    &mut t.get_mut(&format!("model_state_dict.{name}")).unwrap().1
}

#[test]
fn an_unaltered_copy_passes() {
    let report = with_tensors(|_| {});
    assert!(report.passed, "{:?}", report.first_divergence);
}

#[test]
fn altered_networks_are_caught() {
    let activation = |to: Activation| {
        with_network(|n| {
            if let Mlp::Plain { activation, .. } = &mut n.performer.blocks[0].mlp {
                *activation = to;
            }
        })
    };
    caught("ReLU", &activation(Activation::Relu), "blocks.0.mlp_out");
    caught("tanh GELU", &activation(Activation::GeluTanh), "blocks.0.mlp_out");
    let eps = with_network(|n| {
        if let Norm::Layer(norm) = &mut n.performer.blocks[1].norm1 {
            norm.eps = 1e-3;
        }
    });
    caught("eps of a norm", &eps, "blocks.1.norm1");
    caught("eps of the final norm", &with_network(|n| n.norm.eps = 1e-3), "final_norm");
    caught("positions off by one", &with_network(|n| n.positions.rotate_left(20)), "embed");
    let single = with_network(|n| n.positions.iter_mut().for_each(|p| *p = f64::from((*p * 1.000_01) as f32)));
    caught("other positions", &single, "embed");
    let layer = "performer.net.layers.0";
    let redrawn = with_tensors(|t| tensor(t, &format!("{layer}.0.fn.fast_attention.projection_matrix")).rotate_left(1));
    caught("other random features", &redrawn, "blocks.0.attn.phi_q");
    let swapped = with_tensors(|t| {
        let name = |part: &str| format!("model_state_dict.{layer}.0.fn.{part}.weight");
        let q = t.remove(&name("to_q")).unwrap();
        let k = t.insert(name("to_k"), q).unwrap();
        t.insert(name("to_q"), k);
    });
    caught("queries and keys swapped", &swapped, "blocks.0.attn.q");
    for (name, first) in [
        (format!("{layer}.0.fn.to_out.bias"), "blocks.0.attn_out"),
        (format!("{layer}.1.fn.fn.w1.bias"), "blocks.0.mlp_out"),
        ("to_out.bias".into(), "readout.token_logits"),
    ] {
        caught(&name, &with_tensors(|t| tensor(t, &name).fill(0.0)), first);
    }
}
