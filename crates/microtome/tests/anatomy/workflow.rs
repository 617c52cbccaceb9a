//! The whole workflow on a kit: what it shows, that a stopped run goes on, that memory changes no number, and that modes differ.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use microtome::{AnatomyOptions, Quirk, Rotations, RoutingChoice, RoutingMode, anatomy};
use microtome_core::{ErrorKind, Progress, Silent};

use super::common::{kit, with_groups};

const KIT: &str = "geneformer/v1_10m_bin";

/// The kit beside itself, which models of several names compare to the same.
fn options(dir: &Path) -> AnatomyOptions {
    let mut extract = with_groups(KIT, dir);
    extract.models = vec![kit(KIT).join("checkpoint"), kit(KIT).join("checkpoint")];
    extract.with_twins = true;
    let store_genes = extract_names(&extract.data.path);
    let network = dir.join("network.tsv");
    let pairs: String = store_genes.windows(2).step_by(3).map(|w| format!("{}\t{}\n", w[0], w[1])).collect();
    std::fs::write(&network, pairs).unwrap();
    let sets = dir.join("sets.gmt");
    let lines: String = store_genes
        .chunks(8)
        .take(8)
        .enumerate()
        .map(|(i, c)| format!("s{i}\t-\t{}\n", c.join("\t")))
        .collect();
    std::fs::write(&sets, lines).unwrap();
    AnatomyOptions {
        extract,
        n_genes: 60,
        ks: vec![20, 50, 100],
        networks: vec![network],
        gene_sets: vec![sets],
        routing: RoutingChoice::default(),
        time: None,
        rotations: Rotations::All,
        exact_attention: true,
    }
}

fn extract_names(path: &Path) -> Vec<String> {
    let data = microtome_h5ad::open(path).unwrap();
    data.var(&data.slots()[0]).unwrap().index
}

fn tables(out: &Path) -> BTreeMap<String, String> {
    let all = std::fs::read_dir(out.join("tables")).unwrap();
    all.map(|e| e.unwrap().path())
        .map(|p| {
            (p.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(&p).unwrap())
        })
        .collect()
}

/// Rows of a table as cells by column name.
fn rows(text: &str) -> Vec<BTreeMap<&str, &str>> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines.map(|l| header.iter().copied().zip(l.split(',')).collect()).collect()
}

/// Wants to stop after so many questions whether to.
struct StopAfter(AtomicUsize);

impl Progress for StopAfter {
    fn begin(&self, _: &str, _: u64, _: &str) {}
    fn advance(&self, _: u64) {}
    fn end(&self) {}
    fn note(&self, _: &str) {}
    fn stopped(&self) -> bool {
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| Some(n.saturating_sub(1))).unwrap() <= 1
    }
}

#[test]
fn a_stopped_workflow_goes_on_and_gives_the_same_tables() {
    let dir = tempfile::tempdir().unwrap();
    let whole = options(dir.path());
    anatomy(&whole, &Silent).unwrap();
    let expected = tables(&whole.extract.out);
    for file in [
        "geometry.csv",
        "geometry_pairs.csv",
        "genes_lost.csv",
        "routing.csv",
        "routing_chance.csv",
        "routing_heads.csv",
        "routing_edges.csv",
        "edges_of_several_models.csv",
        "grounding.csv",
        "grounding_network.csv",
        "grounding_sets.csv",
        "cell_effective_rank.csv",
        "attn_share.csv",
        "consensus_mean_rank.csv",
        "routing_neighbours.csv",
        "routing_consecutive.csv",
        "exact_heads.csv",
    ] {
        assert!(expected.get(file).is_some_and(|t| t.lines().count() > 1), "{file} is missing or empty");
    }
    assert!(!whole.extract.out.join(".work").exists());

    // Every figure of the page names a table that is there.
    let page = std::fs::read_to_string(whole.extract.out.join("page.json")).unwrap();
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    let figures = page["figures"].as_array().unwrap();
    assert!(figures.len() > 30);
    for figure in figures {
        let file = figure.as_object().unwrap().values().next().unwrap()["table"].as_str().unwrap();
        assert!(expected.contains_key(file.strip_prefix("tables/").unwrap()), "{file}");
    }

    let mut stopped = whole.clone();
    stopped.extract.out = dir.path().join("stopped");
    stopped.extract.resume = true;
    let mut stops = 0;
    // Later and later, so that every kind of work is stopped in; each run goes on from the one before.
    for after in (1..).map(|i: usize| i * i * 40) {
        match anatomy(&stopped, &StopAfter(AtomicUsize::new(after))) {
            Ok(_) => break,
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Interrupted, "{e}");
                assert!(e.to_string().contains("--resume"), "{e}");
                assert!(!stopped.extract.out.join("summary.json").exists());
                stops += 1;
            }
        }
    }
    assert!(stops > 3, "the run was stopped {stops} times only");
    assert_eq!(tables(&stopped.extract.out), expected);

    // Less memory: other minibatches, the same numbers.
    let mut little = whole.clone();
    little.extract.out = dir.path().join("little");
    little.extract.run.memory = Some(900 << 20);
    anatomy(&little, &Silent).unwrap();
    assert_eq!(tables(&little.extract.out), expected);
}

#[test]
fn the_same_model_twice_agrees_and_modes_differ() {
    let dir = tempfile::tempdir().unwrap();
    let mut o = options(dir.path());
    o.exact_attention = false;
    anatomy(&o, &Silent).unwrap();
    let exact = tables(&o.extract.out);
    // The same block of both copies ranks its own strongest edges on top.
    let same = |r: &BTreeMap<&str, &str>| {
        r["block"] == r["other_block"] && r["model"] != r["other_model"] && !r["model"].contains("untrained")
    };
    let k = 100.0;
    let mut seen = 0;
    for r in rows(&exact["routing.csv"]).iter().filter(|r| same(r) && r["k"] == "100") {
        let worst: f64 = r["max_quantile"].parse().unwrap();
        assert!(worst <= k / (60.0 * 59.0) + 1e-9, "{r:?}");
        assert!((r["spearman_of_union"].parse::<f64>().unwrap() - 1.0).abs() < 1e-12);
        seen += 1;
    }
    assert!(seen > 0);
    // All of the consensus is common to both, which chance does not give.
    let found = rows(&exact["edges_of_several_models.csv"]);
    assert!(found.iter().all(|r| r["edges"] == "50" && r["p"].parse::<f64>().unwrap() <= 0.005), "{found:?}");
    // Two copies lose no gene to each other.
    assert!(
        rows(&exact["genes_lost.csv"])
            .iter()
            .all(|r| r["not_shared"] == "0" && r["shared_by_all"] == r["usable"])
    );

    let mut peer = |quirks: &[Quirk], absolute: bool| {
        o.extract.out = dir.path().join(format!("peer{}{absolute}", quirks.len()));
        o.routing = RoutingChoice {
            mode: RoutingMode::NapistuCompat,
            absolute,
            all_ties: true,
            quirks: quirks.to_vec(),
            ..RoutingChoice::default()
        };
        anatomy(&o, &Silent).unwrap();
        tables(&o.extract.out)["routing.csv"].clone()
    };
    let all = [
        exact["routing.csv"].clone(),
        peer(&[], false),
        peer(&[Quirk::RawScores], false),
        peer(&[Quirk::RawScores, Quirk::SelfRanks], false),
        peer(&[Quirk::RawScores, Quirk::SelfRanks], true),
    ];
    for (i, a) in all.iter().enumerate() {
        for b in &all[..i] {
            assert_ne!(a, b, "a mode or quirk changes nothing");
        }
    }
}
