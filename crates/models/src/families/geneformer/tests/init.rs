//! Untrained models.

use microtome_core::{Counts, GeneTable, Site, Table};

use super::kit::{Cells, KITS, checkpoint, open, shared, tensors};
use crate::families::geneformer::model::Geneformer;
use crate::families::geneformer::{
    FAMILY, Generation, GeneformerGene, GeneformerShape, write_untrained,
};
use crate::taps::Pooling;
use crate::{Model, pool_cells};

fn made_up(n: usize) -> Vec<GeneformerGene> {
    (0..n)
        .map(|i| GeneformerGene {
            ensembl_id: format!("ENSG{:011}", 1000 + i),
            symbol: Some(format!("SIM{i}")),
            median: 1.0 + i as f64 / 7.0,
        })
        .collect()
}

const SHAPE: GeneformerShape = GeneformerShape { layers: 2, d: 16, heads: 2, ffn: 24, max_tokens: 12 };

#[test]
fn a_made_up_model_opens_tokenises_and_runs() {
    for generation in [Generation::V1, Generation::V2] {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("model");
        write_untrained(generation, SHAPE, &made_up(30), 7, &out).unwrap();
        let model = crate::open(&out).unwrap();
        assert_eq!(model.info().d_vocab, if generation == Generation::V1 { 32 } else { 34 });
        assert!(model.audit().unexpected.is_empty() && model.audit().ignored.is_empty());
        // By symbols alone, through the dictionary that was written.
        let var = Table { index: (0..30).map(|i| format!("SIM{i}")).collect(), columns: vec![] };
        let genes = model.match_genes(&GeneTable::detect(&var, None, None).unwrap()).unwrap();
        assert_eq!((genes.overlap.n_matched, genes.overlap.n_vocabulary), (30, 30));
        let counts = Counts::new(30, vec![0, 3], vec![1, 5, 9], vec![4.0, 9.0, 1.0]).unwrap();
        let tokens = model.tokenize(&counts, None, &genes, &Default::default()).unwrap();
        let names: Vec<&str> = tokens.ids.iter().filter_map(|&t| model.token_name(t)).collect();
        let genes_only = &names[model.gene_tokens(names.len())];
        assert_eq!(genes_only, ["ENSG00000001005", "ENSG00000001001", "ENSG00000001009"]);
        let pooled =
            pool_cells(&*model, &tokens, &[Site::CellEmbedding], Pooling::Published, 99, &microtome_core::Silent);
        assert!(pooled.unwrap().matrices[0].row(0).iter().all(|v| v.is_finite()));
        assert!(write_untrained(generation, SHAPE, &made_up(30), 7, &out).is_err(), "nothing is overwritten");
    }
}

#[test]
fn weights_follow_the_published_initialisation_and_the_seed() {
    let dir = tempfile::tempdir().unwrap();
    let shape = GeneformerShape { d: 64, ffn: 128, ..SHAPE };
    for (name, seed) in [("a", 1), ("b", 1), ("c", 2)] {
        write_untrained(Generation::V1, shape, &made_up(100), seed, &dir.path().join(name)).unwrap();
    }
    let read = |name: &str| tensors(&dir.path().join(name));
    assert_eq!(read("a"), read("b"));
    assert_ne!(read("a"), read("c"));
    let a = read("a");
    for (name, (shape, values)) in &a {
        if name.ends_with("LayerNorm.weight") {
            assert!(values.iter().all(|v| *v == 1.0), "{name}");
        } else if name.ends_with("bias") {
            assert!(values.iter().all(|v| *v == 0.0), "{name}");
        } else {
            let skip = if name.contains("word_embeddings") { shape[1] } else { 0 };
            assert!(values[..skip].iter().all(|v| *v == 0.0), "the padding row is zero");
            let rest = &values[skip..];
            let mean = rest.iter().sum::<f32>() / rest.len() as f32;
            let sd = (rest.iter().map(|v| v * v).sum::<f32>() / rest.len() as f32).sqrt();
            let slack = 5.0 * 0.02 / (rest.len() as f32).sqrt();
            assert!(mean.abs() < slack && (sd - 0.02).abs() < slack, "{name} {mean} {sd}");
        }
    }
    let q = |i: usize| &a[&format!("bert.encoder.layer.{i}.attention.self.query.weight")].1;
    assert_ne!(q(0), q(1), "tensors are drawn apart");
}

#[test]
fn a_twin_has_the_shape_and_the_vocabulary_but_other_weights() {
    for kit in KITS {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("twin");
        (FAMILY.init_twin)(&checkpoint(kit), 3, &out).unwrap();
        let (twin, model) = (Geneformer::open(&out).unwrap(), open(kit));
        let cells = Cells::read(kit);
        assert_eq!(cells.tokens(&twin), cells.tokens(&model));
        assert_eq!(twin.info().n_parameters, model.info().n_parameters);
        assert_eq!(twin.info().choices, model.info().choices);
        assert_ne!(twin.network.embedding.words, model.network.embedding.words);
    }
}

#[test]
fn presets_over_real_dictionaries() {
    let Some(vocabularies) = shared("reference/vocab") else { return };
    let (v1, v2) = (vocabularies.join("geneformer_30M"), vocabularies.join("geneformer_gc95M"));
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("v1");
    (FAMILY.init)("v1-10m", &v1, 1, &out).unwrap();
    let model = crate::open(&out).unwrap();
    assert_eq!(model.info().variant, "v1-10m");
    assert_eq!(model.info().n_parameters, 10_288_722);
    assert_eq!(model.info().choices["mapping_dictionary"], "absent: ids stand for themselves");
    let e = (FAMILY.init)("v1-10m", &v2, 1, &dir.path().join("x")).unwrap_err().to_string();
    assert!(e.contains("V1 dictionaries") && e.contains("V2 dictionaries"), "{e}");
    let e = (FAMILY.init)("v1-10", &v1, 1, &dir.path().join("x")).unwrap_err().to_string();
    assert!(e.contains("did you mean v1-10m"), "{e}");
    assert!(!dir.path().join("x").exists(), "a refused request leaves nothing behind");
}

#[test]
fn impossible_requests_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("m");
    let shape = |s: GeneformerShape| write_untrained(Generation::V1, s, &made_up(5), 1, &out);
    assert!(shape(GeneformerShape { heads: 3, ..SHAPE }).is_err());
    assert!(shape(GeneformerShape { layers: 0, ..SHAPE }).is_err());
    let mut twice = made_up(3);
    twice[1].ensembl_id = twice[0].ensembl_id.clone();
    assert!(write_untrained(Generation::V1, SHAPE, &twice, 1, &out).is_err());
    let mut zero = made_up(3);
    zero[1].median = 0.0;
    assert!(write_untrained(Generation::V1, SHAPE, &zero, 1, &out).is_err());
    assert!(!out.exists());
}
