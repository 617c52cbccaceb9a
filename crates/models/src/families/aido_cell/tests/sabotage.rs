//! Wrong variants must fail parity: the tolerances bite.

use microtome_kernels::Activation;

use super::kit::{Cells, altered, golden, kits, open, run, small_kits};
use crate::families::aido_cell::config::Config;
use crate::families::aido_cell::model::AidoCell;
use crate::nn::{Mlp, Norm};
use crate::parity::KitReport;

fn fails(what: &str, report: &KitReport, at: &str) {
    assert!(!report.passed, "{what} was not noticed");
    assert_eq!(report.first_divergence.as_deref(), Some(at), "{what}");
}

fn eps(norm: &mut Norm, value: f32) {
    match norm {
        Norm::Layer(n) => n.eps = value,
        Norm::Rms(n) => n.eps = value,
    }
}

/// Opens the kit, spoils the model and runs it.
fn spoilt(what: &str, at: &str, spoil: impl Fn(&mut AidoCell)) {
    for kit in small_kits() {
        let mut model = open(&kit);
        spoil(&mut model);
        fails(what, &run(&kit, &model), at);
    }
}

#[test]
fn wrong_arithmetic_is_noticed_where_it_first_shows() {
    spoilt("scale 1/sqrt(d)", "blocks.0.attn.pattern", |m| {
        for b in &mut m.network.blocks {
            b.shape.scale = 1.0 / ((b.shape.n_heads * b.shape.d_head) as f32).sqrt();
        }
    });
    spoilt("gate by GELU", "blocks.0.mlp_out", |m| {
        for b in &mut m.network.blocks {
            if let Mlp::Gated { activation, .. } = &mut b.mlp {
                *activation = Activation::GeluErf;
            }
        }
    });
    spoilt("gate and up swapped", "blocks.0.mlp_out", |m| {
        for b in &mut m.network.blocks {
            if let Mlp::Gated { gate, up, .. } = &mut b.mlp {
                std::mem::swap(gate, up);
            }
        }
    });
    spoilt("slope 0.01", "value_embedding", |m| m.network.values.slope = 0.01);
    spoilt("skip connection dropped", "value_embedding", |m| m.network.values.alpha = 0.0);
    spoilt("positions dropped", "embed", |m| m.network.positions.fill(0.0));
    spoilt("positions shifted by one", "embed", |m| {
        let n = m.network.positions.len();
        let d = n / crate::Model::info(m).max_tokens;
        m.network.positions.rotate_right(d);
    });
    for value in [1e-12, 1e-6] {
        spoilt("block eps", "blocks.0.attn.q", |m| {
            for b in &mut m.network.blocks {
                eps(&mut b.norm1, value);
                eps(&mut b.norm2, value);
            }
        });
    }
    spoilt("final eps", "final_norm", |m| eps(&mut m.network.norm, 1e-12));
}

#[test]
fn readout_variants_are_noticed() {
    let kit = golden();
    let mut model = open(&kit);
    model.network.head.as_mut().unwrap().activation = Activation::GeluTanh;
    fails("tanh GELU in the head", &run(&kit, &model), "readout.mlm");
    let folder = altered(&kit, |t| {
        t.retain(|n, _| n != "cls.predictions.decoder.bias");
        t.get_mut("cls.predictions.bias").unwrap().1[0] = 0.0;
    });
    fails("head bias dropped", &run(&kit, &AidoCell::open(folder.path()).unwrap()), "readout.mlm");
    // The head's own eps shows in the full-length kit only.
    for kit in kits().into_iter().filter(|k| k.ends_with("full19264_safetensors")) {
        let mut model = open(&kit);
        eps(&mut model.network.head.as_mut().unwrap().norm, 1e-12);
        fails("eps of the head", &run(&kit, &model), "readout.mlm");
    }
}

#[test]
fn altered_tensors_are_noticed() {
    let kit = golden();
    let failing = |what: &str, at: &str, alter: &dyn Fn(&mut super::kit::Tensors)| {
        let folder = altered(&kit, |t| alter(t));
        fails(what, &run(&kit, &AidoCell::open(folder.path()).unwrap()), at);
    };
    failing("query and key swapped", "blocks.0.attn.q", &|t| {
        for i in 0..3 {
            let name = |part: &str| format!("bert.encoder.layer.{i}.attention.self.{part}.weight");
            let q = t[&name("query")].clone();
            let k = t.insert(name("key"), q).unwrap();
            t.insert(name("query"), k);
        }
    });
    failing("second bias of the bins dropped", "value_embedding", &|t| {
        t.get_mut("bert.gene_embedding.linear2.bias").unwrap().1.fill(0.0);
    });
    failing("bias of the norm before the MLP dropped", "blocks.0.mlp_out", &|t| {
        for i in 0..3 {
            t.get_mut(&format!("bert.encoder.layer.{i}.ln.bias")).unwrap().1.fill(0.0);
        }
    });
    failing("second depth token at the place of the first", "embed", &|t| {
        let (shape, values) = t.get_mut("bert.position_embedding.weight").unwrap();
        let (n, d) = (shape[0], shape[1]);
        values.copy_within((n - 2) * d..(n - 1) * d, (n - 1) * d);
    });
    let swapped = Config { bin_alpha: 0.5, ..Config::read(&kit.join("checkpoint/config.json")).unwrap() };
    let model = AidoCell::with_config(&kit.join("checkpoint"), &swapped).unwrap();
    fails("bin_alpha", &run(&kit, &model), "value_embedding");
}

#[test]
fn wrong_tokens_and_pooling_are_noticed() {
    let kit = golden();
    let model = open(&kit);
    let mut cells = Cells::read(&kit);
    assert!(run(&kit, &model).passed);
    // One count more in a gene of the list.
    let genes = crate::Model::match_genes(
        &model,
        &microtome_core::GeneTable::detect(&cells.var, None, None).unwrap(),
    )
    .unwrap();
    let mut values = cells.counts.values().to_vec();
    let at = cells.counts.indices().iter().position(|&g| genes.token_of_gene[g as usize].is_some()).unwrap();
    values[at] += 1.0;
    cells.counts = microtome_core::Counts::new(
        cells.counts.n_genes(),
        cells.counts.indptr().to_vec(),
        cells.counts.indices().to_vec(),
        values,
    )
    .unwrap();
    let report = crate::parity::run_kit_with(&kit, &model, &cells.as_kit()).unwrap();
    fails("another count", &report, "tokens.values");
    // A gene that the file does not name: the mask and the pooled vector move, nothing else does.
    let mut cells = Cells::read(&kit);
    let zero = (0..cells.counts.n_genes())
        .find(|g| {
            genes.token_of_gene[*g].is_some()
                && !cells.counts.indices().iter().zip(cells.counts.values()).any(|(&i, &v)| i as usize == *g && v > 0.0)
        });
    if let Some(gene) = zero {
        cells.var.index[gene] = "NOT-A-GENE".into();
        let report = crate::parity::run_kit_with(&kit, &model, &cells.as_kit()).unwrap();
        let failed: Vec<&str> = report.tensors.iter().filter(|t| !t.passed).map(|t| t.name.as_str()).collect();
        assert_eq!(failed, ["tokens.pool_mask", "cell_embedding"]);
    } else {
        panic!("the kit has no gene that is named but never expressed");
    }
}
