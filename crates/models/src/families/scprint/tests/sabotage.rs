//! Wrong variants must fail parity: the tolerances bite.

use microtome_kernels::Activation;

use super::kit::{Tensors, altered, golden, kits, open, run};
use crate::families::scprint::hyper::Normalisation;
use crate::families::scprint::model::ScPrint;
use crate::nn::{Mlp, Norm, Residual};
use crate::parity::KitReport;

/// The first divergence must begin with `at`.
fn fails(what: &str, report: &KitReport, at: &str) {
    assert!(!report.passed, "{what} was not noticed");
    let first = report.first_divergence.as_deref().unwrap();
    assert!(first.starts_with(at), "{what} shows at {first}, not at {at}");
}

fn spoilt(what: &str, at: &str, spoil: impl Fn(&mut ScPrint)) {
    let mut model = open(&golden());
    spoil(&mut model);
    fails(what, &run(&golden(), &model), at);
}

fn eps(norm: &mut Norm, value: f32) {
    if let Norm::Layer(n) = norm {
        n.eps = value;
    }
}

#[test]
fn wrong_arithmetic_is_noticed_where_it_first_shows() {
    spoilt("scale 1/sqrt(d)", "blocks.0.attn.pattern", |m| {
        for b in &mut m.network.blocks {
            b.shape.scale = 1.0 / ((b.shape.n_heads * b.shape.d_head) as f32).sqrt();
        }
    });
    spoilt("tanh GELU", "blocks.0.mlp_out", |m| {
        for b in &mut m.network.blocks {
            if let Mlp::Plain { activation, .. } = &mut b.mlp {
                *activation = Activation::GeluTanh;
            }
        }
    });
    spoilt("residual of the normed stream", "blocks.0.resid_mid", |m| {
        m.network.blocks.iter_mut().for_each(|b| b.residual = Residual::Normed);
    });
    spoilt("eps of the blocks", "blocks.0.attn.q", |m| {
        for b in &mut m.network.blocks {
            eps(&mut b.norm1, 1e-5);
            eps(&mut b.norm2, 1e-5);
        }
    });
    spoilt("eps of the final norm", "final_norm", |m| m.network.norm.eps = 1e-5);
    spoilt("eps of the value encoder", "value_embedding", |m| {
        m.network.values.rest.iter_mut().for_each(|(n, _)| n.eps = 1e-6);
    });
    spoilt("LeakyReLU in the value encoder", "value_embedding", |m| m.network.values.slope = 0.01);
    spoilt("eps of the depth encoder", "embed", |m| {
        m.network.depth.as_mut().unwrap().rest.iter_mut().for_each(|(n, _)| n.eps = 1e-12);
    });
    spoilt("eps of the expression decoder", "readout.", |m| {
        m.network.expression.norm1.eps = 1e-6;
        m.network.expression.norm2.eps = 1e-6;
    });
    spoilt("ReLU in the expression decoder", "readout.", |m| m.network.expression.slope = 0.0);
    spoilt("eps of the class decoders", "readout.cls.", |m| {
        m.network.classes.iter_mut().flat_map(|c| &mut c.hidden).for_each(|(_, n)| n.eps = 1e-6);
    });
}

#[test]
fn wrong_inputs_are_noticed() {
    spoilt("genome positions dropped", "embed", |m| m.network.positions.fill(0.0));
    spoilt("genome positions off by one gene", "embed", |m| {
        let d = m.network.d;
        m.network.positions.rotate_right(d);
    });
    spoilt("protein embeddings dropped", "embed", |m| m.network.gene_table.fill(0.0));
    spoilt("class rows shifted by one", "embed", |m| {
        let d = m.network.d;
        m.network.class_table.rotate_right(d);
    });
    spoilt("logarithms instead of shares", "tokens.values", |m| m.hyper.normalisation = Normalisation::Log);
    spoilt("another class makes the cell vector", "cell_embedding", |m| m.hyper.pooled = vec![1]);
    spoilt("all classes make the cell vector", "cell_embedding", |m| m.hyper.pooled = (0..8).collect());
    spoilt("cell tokens in the order of the first release", "tokens.", |m| {
        m.network.cell_tokens.order.swap(0, 1);
    });
    spoilt("depth over genes that the ontology does not know", "tokens.depth", ScPrint::forget_ontology);
}

#[test]
fn altered_tensors_are_noticed() {
    let failing = |what: &str, at: &str, alter: &dyn Fn(&mut Tensors)| {
        let folder = altered(&golden(), |t, _| alter(t));
        fails(what, &run(&golden(), &ScPrint::open(folder.path()).unwrap()), at);
    };
    let qkv = |t: &mut Tensors, change: &dyn Fn(&mut Vec<f32>, usize)| {
        for i in 0..2 {
            for part in ["weight", "bias"] {
                let (shape, values) = t.get_mut(&format!("transformer.blocks.{i}.mixer.Wqkv.{part}")).unwrap();
                let third = shape[0] / 3 * shape.get(1).copied().unwrap_or(1);
                change(values, third);
            }
        }
    };
    failing("query and key swapped", "blocks.0.attn.q", &|t| {
        qkv(t, &|v, third| {
            let (q, rest) = v.split_at_mut(third);
            q.swap_with_slice(&mut rest[..third]);
        });
    });
    failing("rows interleaved by head", "blocks.0.attn.q", &|t| {
        qkv(t, &|v, third| {
            // Four heads: head h of part p stands at p * 4 + h and is read from h * 3 + p.
            let head = third / 4;
            let old = v.clone();
            for p in 0..3 {
                for h in 0..4 {
                    let (to, from) = ((p * 4 + h) * head, (h * 3 + p) * head);
                    v[to..to + head].copy_from_slice(&old[from..from + head]);
                }
            }
        });
    });
    failing("biases of q, k and v dropped", "blocks.0.attn.q", &|t| {
        for i in 0..2 {
            t.get_mut(&format!("transformer.blocks.{i}.mixer.Wqkv.bias")).unwrap().1.fill(0.0);
        }
    });
    failing("bias of the attention output dropped", "blocks.0.attn_out", &|t| {
        for i in 0..2 {
            t.get_mut(&format!("transformer.blocks.{i}.mixer.out_proj.bias")).unwrap().1.fill(0.0);
        }
    });
}

#[test]
fn grouped_heads_are_read_in_the_right_order() {
    for kit in kits().into_iter().filter(|k| k.ends_with("nodepth_metacell_gqa_log")) {
        for (what, at, order) in [
            ("key and value rows swapped", "blocks.0.attn.k", [2usize, 3, 0, 1]),
            ("key and value heads of one group each", "blocks.0.attn.k", [1, 0, 3, 2]),
        ] {
            let folder = altered(&kit, |t, _| {
                for i in 0..3 {
                    for part in ["weight", "bias"] {
                        let (shape, v) = t.get_mut(&format!("transformer.blocks.{i}.mixer.Wqkv.{part}")).unwrap();
                        // Four query heads, then two key heads and two value heads, four wide each.
                        let head = 4 * shape.get(1).copied().unwrap_or(1);
                        let old = v[4 * head..].to_vec();
                        for (to, from) in order.into_iter().enumerate() {
                            v[(4 + to) * head..(5 + to) * head].copy_from_slice(&old[from * head..(from + 1) * head]);
                        }
                    }
                }
            });
            fails(what, &run(&kit, &ScPrint::open(folder.path()).unwrap()), at);
        }
    }
}
