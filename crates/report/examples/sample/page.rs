//! A realistic page made of synthetic numbers, shared by the example and the tests.

use microtome_core::{Estimate, Gain, InputFile, Record, Role, RunCard, Site, Summary, Verdict};
use microtome_report::{Colour, Page, Scatter, TableBlock};

/// Numbers between 0 and 1 that only look random.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn roll(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Roughly normal, mean 0, standard deviation 1.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.roll()).sum::<f64>() - 6.0
    }
}

pub(crate) fn record(model: &str, role: Role, metric: &str, value: f64, half: f64) -> Record {
    Record {
        dataset: "hematopoiesis".into(),
        model: model.into(),
        role: Some(role),
        transform: "none".into(),
        task: "trajectory".into(),
        task_version: 1,
        metric: metric.into(),
        metric_version: 1,
        value: Some(value),
        ci_low: Some(value - half),
        ci_high: Some(value + half),
        ci_method: Some("BCa, two-stage bootstrap, 95%".into()),
        n_units: Some(24),
        n_cells: Some(18_412),
        unit: Some("donor".into()),
        split: "all".into(),
        higher_is_better: true,
        seed: 7,
        run_card: "4f1d9c".into(),
        ..Record::default()
    }
}

/// A model's records over all its depths; `peak` is the depth with the best score.
pub(crate) fn depths(
    model: &str,
    role: Role,
    metric: &str,
    n: usize,
    peak: f64,
    level: f64,
    height: f64,
) -> Vec<Record> {
    let mut dice = Dice::new(model.len() as u64 + 31 * metric.len() as u64);
    let sites = std::iter::once(Site::Embed).chain((0..n).map(Site::resid_post));
    sites
        .map(|site| {
            let depth = site.depth(n).unwrap_or(0.0);
            let value = level + height * (1.0 - ((depth - peak) / 0.75).powi(2)) + 0.008 * dice.normal();
            Record {
                family: Some(model.split('-').next().unwrap_or(model).to_lowercase()),
                block: site.block(),
                depth: Some(depth),
                site: Some(site.to_string()),
                pooling: Some("mean".into()),
                p: Some(if height > 0.05 { 1e-4 } else { 0.31 }),
                ..record(model, role, metric, value, 0.035 + 0.01 * dice.roll())
            }
        })
        .collect()
}

pub(crate) fn sample() -> Page {
    let mut records = vec![];
    for (metric, shift) in [("spearman_pseudotime", 0.0), ("knn_time_purity", 0.14)] {
        records.extend(depths("scGPT-human", Role::Model, metric, 12, 0.62, 0.43 + shift, 0.14));
        records.extend(depths("AIDO.Cell-3M", Role::Model, metric, 6, 0.8, 0.36 + shift, 0.12));
        records.extend(depths("scGPT untrained", Role::Control, metric, 12, 0.1, 0.3 + shift, 0.02));
        let after = Record {
            site: Some(Site::FinalNorm.to_string()),
            depth: Some(1.0),
            pooling: Some("mean".into()),
            ..record("AIDO.Cell-3M", Role::Model, metric, 0.462 + shift, 0.04)
        };
        records.push(after);
        for (model, pooling, value) in
            [("scGPT-human", "mean_of_blocks", 0.529), ("AIDO.Cell-3M", "mean_of_blocks", 0.447)]
        {
            records.push(Record {
                pooling: Some(pooling.into()),
                split: "outer".into(),
                ..record(model, Role::Model, metric, value + shift, 0.041)
            });
        }
        for (name, value) in [
            ("PCA-50 of 2,000 variable genes", 0.521),
            ("log-normalised expression", 0.508),
            ("random projection", 0.442),
            ("total counts", 0.214),
        ] {
            records.push(record(name, Role::Baseline, metric, value + shift, 0.03));
        }
        let mut shuffled = record("shuffled genes", Role::Control, metric, 0.02 + shift, 0.03);
        shuffled.reason = Some("genes permuted within each cell, one draw".into());
        records.push(shuffled);
    }
    let mut refused = record("AIDO.Cell-3M", Role::Model, "knn_time_purity", 0.0, 0.0);
    (refused.value, refused.ci_low, refused.ci_high) = (None, None, None);
    refused.site = Some("cell_embedding".into());
    refused.reason = Some("this variant publishes no cell vector".into());
    records.push(refused);
    Page {
        title: "Which depth follows blood formation?".into(),
        command: "microtome scan hematopoiesis.h5ad --model scGPT-human --model AIDO.Cell-3M \\\n  --task trajectory --time day --unit donor --seed 7 --out results".into(),
        run_card: run_card(),
        questions: vec![],
        summaries: summaries(),
        records,
        tables: tables(),
        scatters: scatters(6000),
        warnings: vec!["412 cells without a value in obs[\"day\"] were left out of the trajectory task.".into()],
        ..Page::default()
    }
}

fn summaries() -> Vec<Summary> {
    let blocks =
        |range: std::ops::RangeInclusive<usize>| range.map(|i| Site::resid_post(i).to_string()).collect();
    let estimate = |value, half| Estimate { value, low: Some(value - half), high: Some(value + half) };
    let first = Summary {
        dataset: "hematopoiesis".into(),
        model: "scGPT-human".into(),
        task: "trajectory".into(),
        metric: "spearman_pseudotime".into(),
        depth_verdict: Verdict::DepthMatters,
        model_verdict: Verdict::TieWithBaseline,
        sentences: vec![
            "The middle of scGPT-human follows blood formation better than its final block, but not better than PCA.".into(),
            "Block 6, chosen on other donors, scores 0.556, and the final block 0.058 less on the same donors. PCA of 2,000 variable genes reaches 0.521, and the difference could be chance.".into(),
        ],
        chosen_site: Some(Site::resid_post(6).to_string()),
        confidence_set: blocks(4..=9),
        nested_score: Some(estimate(0.556, 0.038)),
        gain_over_final: Some(Gain { against: Site::resid_post(11).to_string(), estimate: estimate(0.058, 0.03) }),
        gain_over_best_baseline: Some(Gain {
            against: "PCA-50 of 2,000 variable genes".into(),
            estimate: estimate(0.035, 0.047),
        }),
        detectable: None,
        optimism: Some(0.014),
        oracle_site: Some(Site::resid_post(7).to_string()),
        n_units: 24,
        unit: "donor".into(),
        n_cells: 18_412,
        warnings: vec!["Two donors contribute 41% of the cells; intervals are wider than the number of cells suggests.".into()],
    };
    let second = Summary {
        model: "AIDO.Cell-3M".into(),
        depth_verdict: Verdict::CannotDistinguishDepths,
        model_verdict: Verdict::BaselineWins,
        sentences: vec![
            "No depth of AIDO.Cell-3M can be told from another here, and PCA follows blood formation better."
                .into(),
            "PCA is ahead by 0.044 with an interval that excludes zero.".into(),
        ],
        chosen_site: Some(Site::resid_post(4).to_string()),
        confidence_set: blocks(2..=5),
        nested_score: Some(estimate(0.477, 0.041)),
        gain_over_final: Some(Gain {
            against: Site::resid_post(5).to_string(),
            estimate: estimate(0.006, 0.02),
        }),
        gain_over_best_baseline: Some(Gain {
            against: "PCA-50 of 2,000 variable genes".into(),
            estimate: estimate(-0.044, 0.032),
        }),
        detectable: None,
        optimism: Some(0.009),
        oracle_site: Some(Site::resid_post(4).to_string()),
        ..first.clone()
    };
    vec![first, second]
}

fn run_card() -> RunCard {
    let file = |role: &str, path: &str, bytes, digit: &str| InputFile {
        role: role.into(),
        path: path.into(),
        sha256: digit.repeat(32),
        bytes,
    };
    let mut choices = serde_json::Map::new();
    for (name, value) in
        [("k", 15.into()), ("n_dcs", 10.into()), ("pooling", "mean".into()), ("n_bootstrap", 2000.into())]
    {
        choices.insert(name.into(), value);
    }
    RunCard {
        microtome: "0.1.0".into(),
        command: vec!["microtome".into(), "scan".into(), "hematopoiesis.h5ad".into()],
        inputs: vec![
            file("data", "hematopoiesis.h5ad", 184_332_912, "a1"),
            file("weights", "scGPT-human/best_model.pt", 205_113_221, "3e"),
            file("vocabulary", "scGPT-human/vocab.json", 1_309_114, "c7"),
        ],
        seed: 7,
        precision: "f32".into(),
        choices,
    }
}

fn tables() -> Vec<TableBlock> {
    let rows = |rows: &[&[&str]]| rows.iter().map(|r| r.iter().map(ToString::to_string).collect()).collect();
    let header = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let kinds =
        [("attn.qkv.weight", "1536 x 512"), ("attn.out.weight", "512 x 512"), ("mlp.up.weight", "512 x 512")];
    let audit = (0..12)
        .flat_map(|i| {
            kinds.map(|(name, shape)| vec![format!("blocks.{i}.{name}"), shape.into(), "used".into()])
        })
        .chain([vec![
            "cls_decoder.weight".into(),
            "24 x 512".into(),
            "ignored: readout of another task".into(),
        ]])
        .collect();
    vec![
        TableBlock {
            task: String::new(),
            title: "Gene overlap".into(),
            note: "How much of the data each vocabulary knows.".into(),
            header: header(&["model", "genes in data", "genes known", "share of genes", "share of counts"]),
            rows: rows(&[
                &["scGPT-human", "23,114", "19,872", "86.0%", "97.4%"],
                &["AIDO.Cell-3M", "23,114", "17,655", "76.4%", "93.8%"],
            ]),
        },
        TableBlock {
            task: String::new(),
            title: "Tensor audit".into(),
            note: "Every tensor of the checkpoint and what became of it.".into(),
            header: header(&["tensor", "shape", "fate"]),
            rows: audit,
        },
        TableBlock {
            task: String::new(),
            title: "Timings".into(),
            note: String::new(),
            header: header(&["step", "time", "cells per second"]),
            rows: rows(&[
                &["read and tokenise", "4.1 s", "4490"],
                &["scGPT-human, 13 sites", "212.7 s", "86.6"],
                &["AIDO.Cell-3M, 7 sites", "96.0 s", "191.8"],
                &["evaluate", "58.3 s", ""],
            ]),
        },
    ]
}

/// A branching cloud coloured by time and by label.
pub(crate) fn scatters(n: usize) -> Vec<Scatter> {
    let mut dice = Dice::new(5);
    let (mut x, mut y, mut time, mut codes) = (vec![], vec![], vec![], vec![]);
    for _ in 0..n {
        let t = dice.roll();
        let branch = (dice.roll() * 3.0) as u32;
        let lean = (f64::from(branch) - 1.0) * (t - 0.35).max(0.0) * 9.0;
        x.push((t * 8.0 + 0.35 * dice.normal()) as f32);
        y.push((lean + 0.4 * dice.normal() + (t * 6.0).sin()) as f32);
        time.push(if dice.roll() < 0.02 { f64::NAN } else { (t * 6.0).round() });
        codes.push((dice.roll() > 0.01).then_some(if t < 0.2 {
            0
        } else if t < 0.4 {
            1
        } else {
            2 + branch
        }));
    }
    let names = ["stem cell", "progenitor", "erythrocyte", "monocyte", "lymphocyte"];
    let categories = Colour::Categories {
        name: "cell_type".into(),
        names: names.iter().map(ToString::to_string).collect(),
        codes,
    };
    let scatter = |title: &str, colour| Scatter {
        task: String::new(),
        title: title.into(),
        note: "UMAP of scGPT-human, block 6, 15 neighbours".into(),
        x: x.clone(),
        y: y.clone(),
        colour,
    };
    vec![
        scatter("Coloured by time", Colour::Continuous { name: "day".into(), values: time }),
        scatter("Coloured by cell type", categories),
    ]
}
