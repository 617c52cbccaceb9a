//! Every family that can be pretrained: training and engine compute the same, and what is exported is read by the engine.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::path::Path;

use microtome::{
    AnnotationOptions, Asked, Begin, DataOptions, FinetuneOptions, FitOptions, Goal, Method, PretrainOptions,
    PretrainReport, Recipe, Shape, SimulateOptions, SimulateRun, Split, finetune, pretrain, simulate,
};
use microtome_core::{Silent, Site};
use microtome_models::families::geneformer::{GeneformerGene, Generation};
use microtome_models::families::generain::Reference;
use microtome_models::families::{aido_cell, geneformer, generain, nicheformer, scgpt, tgpt};
use microtome_models::taps::{Recorded, Recorder};
use microtome_models::{Dimensions, Tokens};
use microtome_train::net::{
    Activation, AidoCellShape, Architecture, BertShape, Dropout, GptShape, Input, NamedTensor,
    NicheformerShape, Params, Ragged, ScGptShape, Tensor,
};
use microtome_weights::{Checkpoint, TensorData, write_safetensors};

const SIZE: Dimensions = Dimensions { layers: 3, d: 48, heads: 4, ffn: 80, max_tokens: 64 };
const N_GENES: usize = 200;

/// Numbers that look random and are the same everywhere, between -0.5 and 0.5.
fn numbers(n: usize, seed: u64) -> impl Iterator<Item = f32> {
    let mut state = seed;
    (0..n).map(move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    })
}

/// Shakes the weights of a checkpoint, since fresh norms and biases are ones and zeros.
fn shake(folder: &Path, by: f32) -> Vec<NamedTensor> {
    let path = folder.join("model.safetensors");
    let file = Checkpoint::open(&path).unwrap();
    let tensors: Vec<NamedTensor> = file
        .names()
        .into_iter()
        .enumerate()
        .map(|(i, name)| {
            let mut values = file.read_f32(name).unwrap();
            let n = values.len();
            values.iter_mut().zip(numbers(n, i as u64)).for_each(|(v, r)| *v += by * r);
            NamedTensor { name: name.into(), shape: file.info(name).unwrap().shape.clone(), values }
        })
        .collect();
    drop(file);
    let all: Vec<_> =
        tensors.iter().map(|t| (t.name.clone(), t.shape.clone(), TensorData::F32(&t.values))).collect();
    write_safetensors(&path, &all, &[]).unwrap();
    tensors
}

fn flat(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// Cells of several lengths, with values and masks among them.
fn tokens(n_ids: u32) -> (Tokens, Input) {
    let mut tokens = Tokens::new();
    let lengths = [64, 1, 17, 40];
    for (cell, n) in lengths.into_iter().enumerate() {
        let ids: Vec<u32> = (0..n as u32).map(|i| 3 + (i * 7 + cell as u32 * 31) % (n_ids - 3)).collect();
        let values: Vec<f32> =
            (0..n).map(|i| if i % 5 == 3 { -1.0 } else { ((i * 13 + cell) % 51) as f32 / 3.0 }).collect();
        tokens.push(&ids, &values, 0, 0);
    }
    let input = Input::of_tokens(tokens.ids.clone(), Ragged::of_lengths(lengths));
    let input = Input { values: tokens.values.clone(), ..input };
    (tokens, input)
}

/// Largest distance of the two forward passes at every state and at the readouts named.
fn distances(folder: &Path, net: &dyn Architecture, tensors: &[NamedTensor], readouts: &[&str]) -> Vec<f32> {
    let model = microtome_models::open(folder).unwrap();
    let (tokens, input) = tokens(N_GENES as u32);
    let n_blocks = model.info().n_blocks;
    let params = Params::new(tensors.to_vec()).unwrap();
    let net = net.over(&params).unwrap();
    let states = net.states(&input, &mut Dropout::none()).unwrap();
    let mut ours: Vec<Vec<f32>> = states.iter().map(flat).collect();
    let last = states.last().unwrap();
    ours.push(flat(&net.answers(&input, last).unwrap()));
    ours.extend(net.answers_of_cell(&input, last).unwrap().iter().map(flat));
    let mut sites = vec![Site::Embed];
    sites.extend((0..n_blocks).map(Site::resid_post));
    if states.len() == n_blocks + 2 {
        sites.push(Site::FinalNorm);
    }
    sites.extend(readouts.iter().map(|r| Site::Extra((*r).into())));
    assert_eq!(sites.len(), ours.len());
    let mut recorder = Recorder::new(sites.clone());
    model.forward(&tokens, &mut recorder).unwrap();
    let distance = |(site, ours): (&Site, &Vec<f32>)| {
        let Some(Recorded::Tokens { data, .. }) = recorder.get(site) else {
            panic!("{site} was not offered")
        };
        assert_eq!(data.len(), ours.len(), "{site}");
        assert!(data.iter().all(|v| v.is_finite()), "{site}");
        data.iter().zip(ours).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    sites.iter().zip(&ours).map(distance).collect()
}

/// The two passes agree, and those of every wrong network do not.
fn agree(write: impl Fn(&Path), readouts: &[&str], right: &dyn Architecture, wrong: &[&dyn Architecture]) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("model");
    write(&folder);
    let tensors = shake(&folder, 0.2);
    let found = distances(&folder, right, &tensors, readouts);
    assert!(found.iter().all(|d| *d < 1e-5), "{found:?}");
    for (i, wrong) in wrong.iter().enumerate() {
        let found = distances(&folder, *wrong, &tensors, readouts);
        assert!(found.iter().any(|d| *d > 1e-4), "wrong network {i}: {found:?}");
    }
}

fn symbols() -> Vec<String> {
    (0..N_GENES).map(|i| format!("GENE{i}")).collect()
}

#[test]
fn geneformer_is_the_engines() {
    for generation in [Generation::V1, Generation::V2] {
        let genes: Vec<GeneformerGene> = (0..N_GENES)
            .map(|i| GeneformerGene { ensembl_id: format!("ENSG{i:011}"), symbol: None, median: 1.0 })
            .collect();
        let right = BertShape {
            n_blocks: 3,
            d_model: 48,
            n_heads: 4,
            d_mlp: 80,
            max_positions: 64,
            vocab_size: N_GENES + if generation == Generation::V1 { 2 } else { 4 },
            type_vocab_size: 2,
            eps: 1e-12,
            activation: Activation::Relu,
        };
        let gelu = BertShape { activation: Activation::GeluErf, ..right };
        let eps = BertShape { eps: 1e-3, ..right };
        let heads = BertShape { n_heads: 8, ..right };
        let write = |out: &Path| geneformer::write_untrained(generation, SIZE, &genes, 3, out).unwrap();
        agree(write, &["readout.mlm_logits"], &right, &[&gelu, &eps, &heads]);
    }
}

#[test]
fn scgpt_is_the_engines() {
    let right = ScGptShape { n_blocks: 3, d_model: 48, n_heads: 4, d_mlp: 80, vocab_size: N_GENES + 3 };
    let heads = ScGptShape { n_heads: 8, ..right };
    let write = |out: &Path| scgpt::write_untrained(SIZE, &symbols(), 3, out).unwrap();
    agree(write, &["readout.mlm", "readout.mvc"], &right, &[&heads]);
}

#[test]
fn tgpt_and_generain_are_the_engines() {
    let of = |prefix: &str, vocab_size, d_mlp, eps, activation| GptShape {
        prefix: prefix.into(),
        n_blocks: 3,
        d_model: 48,
        n_heads: 4,
        d_mlp,
        max_positions: 64,
        vocab_size,
        eps,
        activation,
    };
    let right = of("transformer.", N_GENES + 4, 80, 1e-5, Activation::GeluTanh);
    let wrong = [
        GptShape { activation: Activation::Relu, ..right.clone() },
        GptShape { eps: 1e-2, ..right.clone() },
        GptShape { n_heads: 8, ..right.clone() },
    ];
    let wrong: Vec<&dyn Architecture> = wrong.iter().map(|w| w as &dyn Architecture).collect();
    let write = |out: &Path| tgpt::write_untrained(SIZE, &symbols(), 3, out).unwrap();
    agree(write, &["readout.lm_logits"], &right, &wrong);

    let prefix = "gene_expr_transformer.gpt.transformer.";
    let right = of(prefix, N_GENES, 192, 1e-10, Activation::GeluErf);
    let tanh = GptShape { activation: Activation::Relu, ..right.clone() };
    let write = |out: &Path| {
        let reference = Reference { genes: &symbols(), values: &[1.0; 3 * N_GENES] };
        generain::write_untrained(SIZE, reference, 3, out).unwrap();
    };
    agree(write, &["readout.lm_logits"], &right, &[&tanh]);
}

#[test]
fn aido_cell_is_the_engines() {
    let right = AidoCellShape {
        n_blocks: 3,
        d_model: 48,
        n_heads: 4,
        d_mlp: 80,
        n_tokens: N_GENES + 2,
        n_bins: 100,
        alpha: 1.0,
        eps: 1e-5,
    };
    let alpha = AidoCellShape { alpha: 0.9, ..right };
    let eps = AidoCellShape { eps: 1e-2, ..right };
    let heads = AidoCellShape { n_heads: 8, ..right };
    let write = |out: &Path| aido_cell::write_untrained(SIZE, &symbols(), 3, out).unwrap();
    agree(write, &["readout.mlm"], &right, &[&alpha, &eps, &heads]);
}

#[test]
fn nicheformer_is_the_engines() {
    let right = NicheformerShape {
        n_blocks: 3,
        d_model: 48,
        n_heads: 4,
        d_mlp: 80,
        max_positions: 64,
        n_rows: N_GENES + 35,
        n_tokens: N_GENES + 30,
    };
    let heads = NicheformerShape { n_heads: 8, ..right };
    let genes: Vec<(String, f64)> = symbols().into_iter().map(|g| (g, 1.0)).collect();
    let write = |out: &Path| nicheformer::write_untrained(SIZE, &genes, 3, out).unwrap();
    agree(write, &["readout.mlm_logits"], &right, &[&heads]);
}

/// What no token attends to is left out of training, and the others keep their positions.
#[test]
fn hidden_tokens_of_nicheformer_can_be_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("model");
    let genes: Vec<(String, f64)> = symbols().into_iter().map(|g| (g, 1.0)).collect();
    nicheformer::write_untrained(SIZE, &genes, 3, &folder).unwrap();
    let tensors = shake(&folder, 0.2);
    let net = NicheformerShape {
        n_blocks: 3,
        d_model: 48,
        n_heads: 4,
        d_mlp: 80,
        max_positions: 64,
        n_rows: N_GENES + 35,
        n_tokens: N_GENES + 30,
    };
    let model = microtome_models::open(&folder).unwrap();
    // Two contexts that are not known, one that is, three genes, two tokens of padding.
    let mut tokens = Tokens::new();
    tokens.push(&[1, 1, 3, 40, 50, 60, 1, 1], &[0.0; 8], 0, 0);
    let site = Site::resid_post(2);
    let mut recorder = Recorder::new([site.clone()]);
    model.forward(&tokens, &mut recorder).unwrap();
    let Some(Recorded::Tokens { data, .. }) = recorder.take(&site) else { panic!("no tokens") };
    let params = Params::new(tensors).unwrap();
    let ours = |positions: [u32; 4]| {
        let input = Input {
            positions: positions.to_vec(),
            ..Input::of_tokens(vec![3, 40, 50, 60], Ragged::of_lengths([4]))
        };
        let states = net.over(&params).unwrap().states(&input, &mut Dropout::none()).unwrap();
        let last = flat(&states[3]);
        data[2 * 48..6 * 48].iter().zip(&last).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    assert!(ours([2, 3, 4, 5]) < 1e-5 && ours([0, 1, 2, 3]) > 1e-3);
}

fn options(family: &str, data: &Path, out: &Path) -> PretrainOptions {
    let shape = Shape { layers: 2, width: 32, heads: 4, feed_forward: 128, max_tokens: 96 };
    PretrainOptions {
        data: vec![data.to_path_buf()],
        family: family.into(),
        begin: Begin::New(shape),
        split: Split { held_out: 0.2, unit: None, leave_out: vec![] },
        asked: None,
        annotation: None,
        recipe: Recipe {
            steps: 150,
            batch_tokens: 2_000,
            learning_rate: 5e-3,
            validate_every: 50,
            keep_every: 50,
            ..Recipe::default()
        },
        mask: None,
        epochs: None,
        out: out.to_path_buf(),
        resume: false,
        overwrite: false,
        command: vec![],
    }
}

fn cells(dir: &Path, n_cells: usize, n_genes: usize) -> std::path::PathBuf {
    let path = dir.join("cells.h5ad");
    let options = SimulateOptions { n_cells, n_genes, ..SimulateOptions::default() };
    simulate(&SimulateRun { options, out: path.clone(), ..SimulateRun::default() }, &Silent).unwrap();
    path
}

/// Trains, opens what came out, and says what it lost beside the guesses.
fn trained(options: &PretrainOptions) -> PretrainReport {
    let report = pretrain(options, &Silent).unwrap();
    let model = microtome_models::open(&options.out).unwrap();
    assert!(model.audit().unexpected.is_empty(), "{:?}", model.audit().unexpected);
    let (_, best) = report.best.unwrap();
    let baselines = report.baselines.as_ref().unwrap();
    assert!(report.loss.unwrap() < report.validations[0].loss, "{:?}", report.validations);
    // Ranks within genes differ from cell to cell more than so few cells can teach, and Nicheformer's tables begin with unit variance:
    // of these two only the fit is looked at.
    if !["generain", "nicheformer"].contains(&options.family.as_str()) {
        assert!(best < report.validations[0].loss, "{:?}", report.validations);
        assert!(best < baselines.guesses[0].loss, "{best} {baselines:?}");
    }
    // Training goes on from it: its loss begins where the other ended.
    let mut more = options.clone();
    more.begin = Begin::From(options.out.clone());
    more.out = options.out.with_extension("more");
    more.recipe.steps = 1;
    let more = pretrain(&more, &Silent).unwrap();
    if report.asked != Asked::Classification {
        let first = more.validations[0].loss;
        assert!((first - best).abs() < 1e-4 * best.abs().max(1.0), "{first} {best}");
    }
    report
}

#[test]
fn every_family_learns_and_is_exported() {
    let dir = tempfile::tempdir().unwrap();
    let data = cells(dir.path(), 150, 150);
    for family in ["scgpt", "aido_cell", "tgpt", "generain", "nicheformer"] {
        let report = trained(&options(family, &data, &dir.path().join(family)));
        assert_eq!(report.family, family);
    }
}

/// One family over another in the same folder: nothing of the first is left.
#[test]
fn a_folder_that_is_written_again_holds_one_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let data = cells(dir.path(), 60, 150);
    let mut o = options("geneformer", &data, &dir.path().join("model"));
    o.recipe.steps = 1;
    o.annotation = Some(AnnotationOptions { obs: "cell_type".into(), weight: 1.0 });
    let report = pretrain(&o, &Silent).unwrap();
    assert!(report.files.contains(&"heads.safetensors".to_string()), "{:?}", report.files);
    let again = PretrainOptions { family: "scgpt".into(), annotation: None, overwrite: true, ..o };
    pretrain(&again, &Silent).unwrap();
    assert_eq!(microtome_models::detect(&again.out).unwrap().id, "scgpt");
    for gone in ["config.json", "token_dictionary.pkl", "heads.safetensors"] {
        assert!(!again.out.join(gone).exists(), "{gone}");
    }
}

#[test]
fn bins_and_classes_are_read_out_beside_the_network() {
    let dir = tempfile::tempdir().unwrap();
    let data = cells(dir.path(), 150, 150);
    let mut o = options("scgpt", &data, &dir.path().join("bins"));
    o.asked = Some(Asked::Classification);
    o.annotation = Some(AnnotationOptions { obs: "cell_type".into(), weight: 1.0 });
    let report = trained(&o);
    let heads = Checkpoint::open(&o.out.join("heads.safetensors")).unwrap();
    let a = report.annotation.unwrap();
    assert_eq!(heads.info("heads.annotation.weight").unwrap().shape, [a.classes.len(), 32]);
    assert_eq!(heads.info("heads.bins.weight").unwrap().shape, [scgpt::N_BINS, 32]);
    assert!(a.accuracy.is_some() && a.most_frequent.is_some(), "{a:?}");
    let curve = std::fs::read_to_string(o.out.join("curve.csv")).unwrap();
    let besides: Vec<f64> = curve.lines().filter_map(|l| l.split(',').nth(7)?.parse().ok()).collect();
    assert!(besides.len() == 150 && besides[149] < besides[0], "the classes are not learned: {besides:?}");
    // Readouts that were not trained are not there to be trusted.
    let model = microtome_models::open(&o.out).unwrap();
    assert!(!model.sites().iter().any(|s| s.site.to_string().starts_with("readout")));
    // Adapters are trained under that readout, which goes with the merged checkpoint.
    let tuned = finetune(
        &FinetuneOptions {
            data: DataOptions { path: data.clone(), ..DataOptions::default() },
            model: o.out.clone(),
            goal: Goal::Masked { objective: Some(Asked::Classification), share: None },
            unit: Some("donor_id".into()),
            fit: FitOptions {
                method: Method::Lora { rank: 2, alpha: 4.0 },
                epochs: 1,
                ..FitOptions::default()
            },
            first_block: 1,
            merge: true,
            n_bootstrap: 100,
            out: dir.path().join("tuned"),
            resume: false,
            overwrite: false,
            command: vec![],
        },
        &Silent,
    )
    .unwrap();
    assert!(tuned.verdict.starts_with("On hidden"), "{}", tuned.verdict);
    let merged = std::fs::read(tuned.merged.unwrap().join("heads.safetensors")).unwrap();
    assert!(merged == std::fs::read(o.out.join("heads.safetensors")).unwrap());
    let one = PretrainOptions {
        annotation: Some(AnnotationOptions { obs: "species".into(), weight: 1.0 }),
        overwrite: true,
        ..o
    };
    let said = pretrain(&one, &Silent).unwrap_err().to_string();
    assert!(said.contains("species") || said.contains("two classes"), "{said}");
}
