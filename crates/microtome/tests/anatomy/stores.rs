//! Gene stores of the parity kits of the repository: extracted, exported, imported.

use microtome::{ExtractOptions, GeneStore, OpenModel, export, extract, import};
use microtome_core::{BlockSite, Matrix, Silent, Site};
use microtome_models::taps::{EdgeMeanTap, FlowTap, Recorded, Recorder};
use microtome_models::{AttentionWeights, NormPlace, NormWeights};

use super::common::{SOFTMAX, kit, tokens, values, with_groups};

fn norm(n: &NormWeights, row: &[f32]) -> Vec<f64> {
    let wide: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
    let d = wide.len() as f64;
    let mean = if n.centres { wide.iter().sum::<f64>() / d } else { 0.0 };
    let square = wide.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / d;
    let scale = 1.0 / (square + f64::from(n.eps)).sqrt();
    let bias = |i: usize| n.bias.as_ref().map_or(0.0, |b| f64::from(b[i]));
    wide.iter().enumerate().map(|(i, v)| (v - mean) * scale * f64::from(n.weight[i]) + bias(i)).collect()
}

fn linear(w: &Matrix, b: Option<&Vec<f32>>, x: &[f64]) -> Vec<f64> {
    (0..w.rows())
        .map(|r| {
            let sum: f64 = w.row(r).iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum();
            sum + b.map_or(0.0, |b| f64::from(b[r]))
        })
        .collect()
}

/// Largest difference between what the weights make of the stream and what the model offers, relative to the largest value.
fn worst(w: &AttentionWeights, recorder: &Recorder, block: usize) -> f64 {
    let at = |place: BlockSite| values(recorder, &Site::Block(block, place));
    let (stream, d) = at(BlockSite::ResidPre);
    let [q, k, v] = [BlockSite::Q, BlockSite::K, BlockSite::V].map(at);
    let (z, z_width) = at(BlockSite::Z);
    let (out, out_width) = at(BlockSite::AttnOut);
    let mut worst = 0.0f64;
    let mut see = |got: &[f64], want: &[f32]| {
        let size = want.iter().fold(1e-3f64, |m, v| m.max(f64::from(v.abs())));
        for (g, w) in got.iter().zip(want) {
            worst = worst.max((g - f64::from(*w)).abs() / size);
        }
    };
    for (t, row) in stream.chunks_exact(d).enumerate() {
        let x: Vec<f64> = match w.norm_place {
            NormPlace::BeforeAttention => norm(w.norm1.as_ref().unwrap(), row),
            NormPlace::AfterAttention => row.iter().map(|&v| f64::from(v)).collect(),
        };
        for (m, b, (data, width)) in [(&w.w_q, &w.b_q, &q), (&w.w_k, &w.b_k, &k), (&w.w_v, &w.b_v, &v)] {
            see(&linear(m, b.as_ref(), &x), &data[t * width..(t + 1) * width]);
        }
        let x: Vec<f64> = z[t * z_width..(t + 1) * z_width].iter().map(|&v| f64::from(v)).collect();
        see(&linear(&w.w_o, w.b_o.as_ref(), &x), &out[t * out_width..(t + 1) * out_width]);
    }
    worst
}

#[test]
fn attention_weights_make_the_queries_keys_values_and_outputs_that_the_model_offers() {
    for name in SOFTMAX {
        let opened = OpenModel::open(&kit(name).join("checkpoint")).unwrap();
        let tokens = tokens(&opened, &kit(name).join("cells.h5ad")).select(&[0, 1]);
        let n = opened.model.info().n_blocks;
        assert!(opened.model.attention_weights(n).is_none());
        let places =
            [BlockSite::ResidPre, BlockSite::Q, BlockSite::K, BlockSite::V, BlockSite::Z, BlockSite::AttnOut];
        let sites = (0..n).flat_map(|i| places.map(|p| Site::Block(i, p)));
        let mut recorder = Recorder::new(sites);
        opened.model.forward(&tokens, &mut recorder).unwrap();
        for i in 0..n {
            let w = opened.model.attention_weights(i).unwrap_or_else(|| panic!("{name}: no weights"));
            let error = worst(&w, &recorder, i);
            assert!(error < 2e-5, "{name} block {i}: {error:e}");
            // The same check refuses queries and keys that are swapped.
            let swapped = AttentionWeights { w_q: w.w_k.clone(), w_k: w.w_q.clone(), ..w };
            if swapped.n_heads == swapped.n_kv_heads {
                assert!(worst(&swapped, &recorder, i) > 1e-2, "{name} block {i}: the check does not bite");
            }
        }
    }
}

#[test]
fn means_are_those_of_the_cells_and_a_repeated_run_takes_them_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let options = with_groups("tahoe_x1/tx1_3b_gelu_chem_composer_pt", dir.path());
    let report = extract(&options, &Silent).unwrap();
    assert_eq!(report.categories.len(), 2);
    assert_eq!(report.n_reused, 0);
    let store = GeneStore::open(&options.out).unwrap();
    let model = &store.manifest().models[0];
    assert!(store.damaged().unwrap().is_empty());

    // The same by hand for the first category ("0": odd rows).
    let opened = OpenModel::open(&options.models[0]).unwrap();
    let all = tokens(&opened, &options.data.path);
    let rows: Vec<usize> = (0..all.n_cells()).filter(|c| c % 2 == 1).collect();
    let cells = all.select(&rows);
    let site = Site::resid_post(0);
    let mut recorder = Recorder::new([site.clone()]);
    opened.model.forward(&cells, &mut recorder).unwrap();
    let (data, width) = values(&recorder, &site);
    let means = store.means(model, "0", &site.to_string()).unwrap();
    assert!(!means.genes.is_empty());
    for (at, &gene) in means.genes.iter().enumerate() {
        let id = &store.genes().genes[gene];
        let token = (0..opened.model.info().d_vocab as u32)
            .find(|&t| {
                opened.model.token_name(t).is_some_and(|n| n == id.id || n == id.symbol || n == id.var_name)
            })
            .unwrap();
        let found: Vec<&[f32]> = cells
            .ids
            .iter()
            .zip(data.chunks_exact(width))
            .filter(|(t, _)| **t == token)
            .map(|(_, row)| row)
            .collect();
        assert_eq!(means.n_cells[at], found.len() as u64, "{id:?}");
        let mut variance = 0.0;
        for c in 0..width {
            let column: Vec<f64> = found.iter().map(|r| f64::from(r[c])).collect();
            let mean = column.iter().sum::<f64>() / column.len() as f64;
            variance += column.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / column.len() as f64;
            assert!((f64::from(means.mean.row(at)[c]) - mean).abs() < 1e-6);
        }
        let got = means.variance.as_ref().unwrap()[at];
        assert!((got - variance).abs() < 1e-6 * variance.max(1.0), "{got} {variance}");
    }

    // Vectors of cells: the mean over their genes, in the order in which they were drawn.
    let of_cells = store.cells(model, "0", &site.to_string()).unwrap().unwrap();
    assert_eq!(of_cells.rows(), cells.n_cells());
    for c in 0..cells.n_cells() {
        let own = opened.model.gene_tokens(cells.len_of(c));
        let n = own.len() as f64;
        for column in 0..width {
            let at = |t: usize| f64::from(data[(cells.offsets[c] + t) * width + column]);
            let want = own.clone().map(at).sum::<f64>() / n;
            assert!((f64::from(of_cells.row(c)[column]) - want).abs() < 1e-5 * want.abs().max(1.0));
        }
    }
    assert_eq!(store.flow(model, "0").unwrap().len(), model.n_blocks);

    // As after a kill: no manifest, one category missing.
    std::fs::remove_file(options.out.join("manifest.json")).unwrap();
    std::fs::create_dir(options.out.join(".work")).unwrap();
    let folder = options.out.join("models").join(&model.folder);
    let kept = std::fs::read(folder.join(&model.categories[1].file)).unwrap();
    std::fs::remove_file(folder.join(&model.categories[0].file)).unwrap();
    assert!(extract(&options, &Silent).is_err(), "an unfinished run is not overwritten without being asked");
    let again = extract(&ExtractOptions { resume: true, ..options.clone() }, &Silent).unwrap();
    assert_eq!(again.n_reused, 1);
    let store = GeneStore::open(&options.out).unwrap();
    assert_eq!(store.means(&store.manifest().models[0], "0", &site.to_string()).unwrap(), means);
    assert_eq!(std::fs::read(folder.join(&model.categories[1].file)).unwrap(), kept);

    // A changed byte is found.
    let mut bytes = kept;
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(folder.join(&model.categories[1].file), bytes).unwrap();
    assert_eq!(store.damaged().unwrap().len(), 1);
}

/// A pre-LN kit with gene vectors that need no cells, which Napistu-Torch's format asks for.
const WITH_TABLE: &str = "scprint/v15_classlist_mouse";

#[test]
fn a_store_goes_to_napistu_and_back_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let options = with_groups(WITH_TABLE, dir.path());
    extract(&options, &Silent).unwrap();
    let store = GeneStore::open(&options.out).unwrap();
    let report = export(&options.out, &[], false, &dir.path().join("napistu")).unwrap();
    assert_eq!(report.folders.len(), 1);
    assert!(report.notes[0].contains("--normed"), "a pre-LN model is told about its norm");
    let back = dir.path().join("back");
    import(&report.folders[0], None, &back, false, &[]).unwrap();
    let again = GeneStore::open(&back).unwrap();
    let (a, b) = (&store.manifest().models[0], &again.manifest().models[0]);
    assert_eq!((a.n_blocks, a.d_model, a.n_heads), (b.n_blocks, b.d_model, b.n_heads));
    let ids = |s: &GeneStore, rows: &[usize]| -> Vec<String> {
        rows.iter().map(|&r| s.genes().genes[r].id.clone()).collect()
    };
    for category in ["0", "a / b"] {
        for i in 0..a.n_blocks {
            let site = if i == 0 { "embed".into() } else { format!("blocks.{}.resid_post", i - 1) };
            let ours = store.means(a, category, &site).unwrap();
            let theirs = again.means(b, category, &format!("blocks.{i}.resid_pre")).unwrap();
            assert_eq!(ours.mean, theirs.mean);
            assert_eq!(ids(&store, &ours.genes), ids(&again, &theirs.genes));
        }
    }
    for (ours, theirs) in store.attention(a).unwrap().iter().zip(again.attention(b).unwrap()) {
        assert_eq!((&ours.w_q, &ours.w_o), (&theirs.w_q, &theirs.w_o));
    }
}

#[test]
fn hostile_napistu_stores_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let options = with_groups(WITH_TABLE, dir.path());
    extract(&options, &Silent).unwrap();
    let folder = export(&options.out, &[], false, &dir.path().join("napistu")).unwrap().folders.remove(0);
    let out = dir.path().join("out");
    let refused = |what: &str| {
        let e = import(&folder, None, &out, false, &[]).expect_err(what);
        assert!(!out.join("manifest.json").exists(), "{what}");
        e.to_string()
    };
    let weights = std::fs::read(folder.join("weights.npz")).unwrap();
    // A pickle that names something to run: the same length, so that only the name differs.
    let name = b"numpy.core.multiarray\n_reconstruct\n";
    let evil = b"os\nsystem\n#########################";
    assert_eq!(name.len(), evil.len());
    let mut hostile = weights.clone();
    let at = hostile.windows(name.len()).position(|w| w == name).unwrap();
    hostile[at..at + evil.len()].copy_from_slice(evil);
    std::fs::write(folder.join("weights.npz"), &hostile).unwrap();
    refused("a pickle that names os.system");
    for cut in [0, 100, weights.len() / 2, weights.len() - 1] {
        std::fs::write(folder.join("weights.npz"), &weights[..cut]).unwrap();
        refused("a file that is cut short");
    }
    std::fs::write(folder.join("weights.npz"), &weights).unwrap();
    let index = folder.join("residuals_index.yaml");
    let text = std::fs::read_to_string(&index).unwrap();
    std::fs::write(&index, "datasets:\n  d:\n    c: ../../etc/passwd\n").unwrap();
    assert!(refused("a path that leaves the folder").contains("leaves its folder"));
    std::fs::write(&index, text).unwrap();
    let metadata = std::fs::read_to_string(folder.join("metadata.json")).unwrap();
    std::fs::write(folder.join("metadata.json"), metadata.replace("\"n_layers\":", "\"n_layers\":9"))
        .unwrap();
    assert!(refused("another number of layers").contains("n_layers"));
}

#[test]
fn attention_of_cells_is_the_mean_of_their_own_patterns() {
    for name in SOFTMAX {
        let opened = OpenModel::open(&kit(name).join("checkpoint")).unwrap();
        let model = opened.model.as_ref();
        let tokens = tokens(&opened, &kit(name).join("cells.h5ad")).select(&[0, 1, 2]);
        let n_blocks = model.info().n_blocks;
        let own = |c: usize| model.gene_tokens(tokens.len_of(c));
        let mut genes: Vec<u32> = (0..3).flat_map(|c| tokens.cell(c).0[own(c)].to_vec()).collect();
        genes.sort_unstable();
        genes.dedup();
        genes.truncate(40);
        let g = genes.len();
        let mut tap = EdgeMeanTap::new(model, &genes);
        model.forward(&tokens, &mut tap).unwrap();
        let cells = tap.cells().to_vec();
        let found = tap.finish().unwrap();
        let mut recorder = Recorder::new((0..n_blocks).map(|i| Site::Block(i, BlockSite::Pattern)));
        model.forward(&tokens, &mut recorder).unwrap();
        for (i, block) in found.iter().enumerate() {
            let Some(Recorded::Maps { cells: maps, n_heads, .. }) =
                recorder.get(&Site::Block(i, BlockSite::Pattern))
            else {
                panic!("{name}: no maps")
            };
            let (mut sums, mut seen) = (vec![0.0; g * g], vec![0u32; g * g]);
            let mut special = vec![0.0; *n_heads];
            for (c, map) in maps.iter().enumerate() {
                let (ids, n) = (tokens.cell(c).0, tokens.len_of(c));
                let first = |gene: u32| own(c).find(|&at| ids[at] == gene);
                for (a, &query) in genes.iter().enumerate() {
                    for (b, &key) in genes.iter().enumerate() {
                        let (Some(q), Some(k)) = (first(query), first(key)) else { continue };
                        let of_head = |h: usize| f64::from(map[(h * n + q) * n + k]);
                        sums[a * g + b] += (0..*n_heads).map(of_head).sum::<f64>() / *n_heads as f64;
                        seen[a * g + b] += 1;
                    }
                }
                for (h, special) in special.iter_mut().enumerate() {
                    let keys = (0..n).filter(|k| !own(c).contains(k));
                    let received =
                        |k: usize| (0..n).map(|q| f64::from(map[(h * n + q) * n + k])).sum::<f64>();
                    *special += keys.map(received).sum::<f64>() / n as f64 / maps.len() as f64;
                }
            }
            assert_eq!(cells, seen, "{name}");
            for (at, &n) in seen.iter().enumerate() {
                let want = sums[at] / f64::from(n);
                assert!(
                    n == 0 || (block.mean[at] - want).abs() < 1e-6,
                    "{name} {i}: {} {want}",
                    block.mean[at]
                );
            }
            for (head, want) in block.heads.iter().zip(special) {
                assert!(
                    (head.special_share - want).abs() < 1e-5,
                    "{name} {i}: {} {want}",
                    head.special_share
                );
                assert!(head.entropy > 0.0 && head.effective_keys >= 1.0 && head.sink_share > 0.0);
            }
        }
    }
}

#[test]
fn attention_summed_in_stripes_of_queries_is_the_same() {
    let opened = OpenModel::open(&kit("geneformer/v1_10m_bin").join("checkpoint")).unwrap();
    let model = opened.model.as_ref();
    let tokens = tokens(&opened, &kit("geneformer/v1_10m_bin").join("cells.h5ad")).select(&[0, 1, 2]);
    let mut genes: Vec<u32> = tokens.cell(0).0[model.gene_tokens(tokens.len_of(0))].to_vec();
    genes.sort_unstable();
    genes.dedup();
    let n = genes.len();
    let run = |queries: std::ops::Range<usize>| {
        let mut tap = EdgeMeanTap::of_queries(model, &genes, queries);
        model.forward(&tokens, &mut tap).unwrap();
        (tap.cells().to_vec(), tap.finish().unwrap())
    };
    let (cells, whole) = run(0..n);
    let (middle, mut seen) = (n / 3, 0);
    for queries in [0..middle, middle..n] {
        let (of_cells, part) = run(queries.clone());
        assert_eq!(of_cells, cells[queries.start * n..queries.end * n]);
        for (all, part) in whole.iter().zip(&part) {
            let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&part.mean), bits(&all.mean[queries.start * n..queries.end * n]));
            assert_eq!(part.heads, all.heads);
            seen += part.mean.iter().filter(|v| v.is_finite()).count();
        }
    }
    assert!(seen > n, "the comparison must see edges");
}

/// Mean over gene tokens, written out from recorded sites.
fn flow_by_hand(recorder: &Recorder, rows: &[usize], block: usize) -> [f64; 4] {
    let at = |place: BlockSite| values(recorder, &Site::Block(block, place));
    let (pre, d) = at(BlockSite::ResidPre);
    let (attn, mid, mlp, post) = (
        at(BlockSite::AttnOut).0,
        at(BlockSite::ResidMid).0,
        at(BlockSite::MlpOut).0,
        at(BlockSite::ResidPost).0,
    );
    let row =
        |x: &[f32], i: usize| -> Vec<f64> { x[i * d..(i + 1) * d].iter().map(|&v| f64::from(v)).collect() };
    let norm = |x: &[f64]| x.iter().map(|v| v * v).sum::<f64>().sqrt();
    let mut out = [0.0; 4];
    for &i in rows {
        let (a, b) = (row(&pre, i), row(&post, i));
        let dot: f64 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
        let of = [
            norm(&row(&attn, i)) / norm(&a),
            norm(&row(&mlp, i)) / norm(&row(&mid, i)),
            norm(&b) / norm(&a),
            1.0 - dot / (norm(&a) * norm(&b)),
        ];
        out.iter_mut().zip(of).for_each(|(o, v)| *o += v / rows.len() as f64);
    }
    out
}

#[test]
fn what_blocks_add_is_measured_token_by_token() {
    for name in ["geneformer/v1_10m_bin", "aido_cell/mlm_bin", "scgpt/impl_dsbn_batch"] {
        let opened = OpenModel::open(&kit(name).join("checkpoint")).unwrap();
        let model = opened.model.as_ref();
        let tokens = tokens(&opened, &kit(name).join("cells.h5ad")).select(&[0, 1]);
        let mut tap = FlowTap::new(model);
        model.forward(&tokens, &mut tap).unwrap();
        let n = model.info().n_blocks;
        use BlockSite::{AttnOut, MlpOut, ResidMid, ResidPost, ResidPre};
        let places = [ResidPre, AttnOut, ResidMid, MlpOut, ResidPost];
        let mut recorder = Recorder::new((0..n).flat_map(|i| places.map(|p| Site::Block(i, p))));
        model.forward(&tokens, &mut recorder).unwrap();
        let rows: Vec<usize> = (0..2)
            .flat_map(|c| model.gene_tokens(tokens.len_of(c)).map(move |at| (c, at)))
            .map(|(c, at)| tokens.offsets[c] + at)
            .collect();
        for (i, found) in tap.finish().into_iter().enumerate() {
            let want = flow_by_hand(&recorder, &rows, i);
            let got = [found.attn_share, found.mlp_share, found.growth, found.speed];
            for (g, w) in got.iter().zip(want) {
                assert!((g - w).abs() < 1e-9 * w.abs().max(1.0), "{name} {i}: {got:?} {want:?}");
            }
            // Special tokens would change it.
            if rows.len() < tokens.offsets[2] {
                let all: Vec<usize> = (0..tokens.offsets[2]).collect();
                assert_ne!(flow_by_hand(&recorder, &all, i)[0], want[0], "{name}: the check does not bite");
            }
        }
    }
}

/// Mean angle between successive differences of the given rows, written out.
fn curvature_by_hand(data: &[f32], d: usize, rows: &[usize]) -> f64 {
    let step = |a: usize, b: usize| -> Vec<f64> {
        (0..d).map(|c| f64::from(data[b * d + c]) - f64::from(data[a * d + c])).collect()
    };
    let norm = |x: &[f64]| x.iter().map(|v| v * v).sum::<f64>().sqrt();
    let angles: Vec<f64> = rows
        .windows(3)
        .map(|r| {
            let (x, y) = (step(r[0], r[1]), step(r[1], r[2]));
            let dot: f64 = x.iter().zip(&y).map(|(a, b)| a * b).sum();
            (dot / (norm(&x) * norm(&y))).acos()
        })
        .collect();
    angles.iter().sum::<f64>() / angles.len() as f64
}

#[test]
fn curvature_follows_the_order_of_tokens_where_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let options = with_groups("geneformer/v1_10m_bin", dir.path());
    extract(&options, &Silent).unwrap();
    let store = GeneStore::open(&options.out).unwrap();
    let found = store.flow(&store.manifest().models[0], "0").unwrap();
    let opened = OpenModel::open(&options.models[0]).unwrap();
    let all = tokens(&opened, &options.data.path);
    let cells = all.select(&(0..all.n_cells()).filter(|c| c % 2 == 1).collect::<Vec<_>>());
    for (block, flow) in found.iter().enumerate() {
        let site = Site::resid_post(block);
        let mut recorder = Recorder::new([site.clone()]);
        opened.model.forward(&cells, &mut recorder).unwrap();
        let (data, d) = values(&recorder, &site);
        let (mut want, mut shuffled) = (0.0, 0.0);
        for c in 0..cells.n_cells() {
            let own = opened.model.gene_tokens(cells.len_of(c)).map(|at| cells.offsets[c] + at);
            let rows: Vec<usize> = own.collect();
            let share = 1.0 / cells.n_cells() as f64;
            want += share * curvature_by_hand(&data, d, &rows);
            // Every second token first: another order.
            let even = rows.iter().step_by(2).chain(rows.iter().skip(1).step_by(2)).copied();
            shuffled += share * curvature_by_hand(&data, d, &even.collect::<Vec<_>>());
        }
        let got = flow.token_curvature.unwrap();
        assert!((got - want).abs() < 1e-6, "{got} {want}");
        assert!((got - shuffled).abs() > 1e-4, "the check does not bite");
    }

    let other = tempfile::tempdir().unwrap();
    let without = with_groups("aido_cell/mlm_bin", other.path());
    extract(&without, &Silent).unwrap();
    let store = GeneStore::open(&without.out).unwrap();
    let found = store.flow(&store.manifest().models[0], "0").unwrap();
    assert!(!found.is_empty() && found.iter().all(|f| f.token_curvature.is_none() && f.speed.is_some()));
}
