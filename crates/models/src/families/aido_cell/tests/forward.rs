//! What the forward pass promises.

use microtome_core::{BlockSite, GeneTable, Silent, Site};

use super::kit::{Cells, golden, open, shared, small_kits};
use crate::families::aido_cell::FAMILY;
use crate::taps::{Pooling, Recorded, Recorder};
use crate::{Model, TokenizeOptions, Tokens, pool_cells};

fn rows(model: &dyn Model, tokens: &Tokens, site: &Site) -> Vec<f32> {
    let mut recorder = Recorder::new([site.clone()]);
    model.forward(tokens, &mut recorder).unwrap();
    match recorder.take(site) {
        Some(Recorded::Tokens { data, .. } | Recorded::Cells { data, .. }) => data,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cell_does_not_depend_on_its_neighbours_order_or_threads() {
    for kit in small_kits() {
        let (model, cells) = (open(&kit), Cells::read(&kit));
        let tokens = cells.tokens(&model);
        for site in [Site::FinalNorm, Site::CellEmbedding] {
            let together = rows(&model, &tokens, &site);
            let alone: Vec<f32> =
                (0..tokens.n_cells()).flat_map(|c| rows(&model, &tokens.select(&[c]), &site)).collect();
            assert_eq!(together, alone, "{site}");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            assert_eq!(together, pool.install(|| rows(&model, &tokens, &site)), "{site}");
        }
        let own = pool_cells(&model, &tokens, &[Site::FinalNorm], Pooling::Published, 99, &Silent).unwrap();
        let cell = pool_cells(&model, &tokens, &[Site::CellEmbedding], Pooling::Published, 1, &Silent).unwrap();
        assert_eq!(own, cell, "the published rule at the published site is the published vector");
    }
}

#[test]
fn each_site_alone_is_the_same_as_among_all() {
    let kit = golden();
    let (model, cells) = (open(&kit), Cells::read(&kit));
    let tokens = cells.tokens(&model).select(&[3, 2]);
    let sites: Vec<Site> = model.sites().into_iter().map(|s| s.site).collect();
    let mut full = Recorder::new(sites.clone());
    model.forward(&tokens, &mut full).unwrap();
    assert_eq!(full.sites().count(), sites.len(), "every site that is listed is offered");
    for site in &sites {
        let mut one = Recorder::new([site.clone()]);
        model.forward(&tokens, &mut one).unwrap();
        assert_eq!(one.get(site), full.get(site), "{site}");
    }
}

#[test]
fn static_gene_vectors_are_the_position_rows_and_lists_of_tokens_cannot_be_edited() {
    let model = open(&golden());
    let table = model.gene_table().unwrap();
    assert_eq!((table.rows(), table.cols()), (90, 16));
    assert_eq!(table.data(), model.network.positions);
    let edit = crate::isp::delete(&[1, 2, 3], 0..3, &[2]).unwrap();
    let e = crate::isp::effects(&model, &[edit], 99, &Silent).unwrap_err().to_string();
    assert!(e.contains("aido_cell"), "{e}");
}

#[test]
fn foreign_tokens_are_refused() {
    let model = open(&golden());
    let mut recorder = Recorder::new([Site::Embed]);
    let mut tokens = Tokens::new();
    tokens.push(&[90], &[0.0], 0, 0);
    assert!(model.forward(&tokens, &mut recorder).unwrap_err().to_string().contains("vocabulary"));
    let mut tokens = Tokens::new();
    tokens.push(&[5; 91], &[0.0; 91], 0, 0);
    assert!(model.forward(&tokens, &mut recorder).unwrap_err().to_string().contains("at most 90"));
}

/// Peak resident memory of this process in bytes, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().split(' ').next()?.parse::<u64>().ok().map(|kb| kb * 1024)
}

/// A model of published size over a real cell: all 19,266 tokens attend to each other, and no `n x n` matrix exists (one alone would
/// take 1.5 GB per head). One block keeps the test short; memory does not depend on the number of blocks.
#[test]
fn a_full_length_cell_fits_into_bounded_memory() {
    let (Some(list), Some(data)) = (shared("reference/vocab/scfoundation"), shared("data/pbmc3k.h5ad")) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("3m");
    (FAMILY.init)("3m", &list, 1, &out).unwrap();
    let model = crate::open(&out).unwrap();
    let data = microtome_h5ad::open(&data).unwrap();
    let slot = [microtome_h5ad::Slot::Raw, microtome_h5ad::Slot::X]
        .into_iter()
        .find(|s| data.matrix(s).and_then(|m| m.rows(0..1)).is_ok_and(|c| c.check_raw().is_raw()));
    let Some(slot) = slot else {
        println!("skipped: no raw counts in {}", data.path().display());
        return;
    };
    let counts = data.matrix(&slot).unwrap().rows(0..1).unwrap();
    let genes = model.match_genes(&GeneTable::detect(&data.var(&slot).unwrap(), None, None).unwrap()).unwrap();
    let tokens = model.tokenize(&counts, None, &genes, &TokenizeOptions::default()).unwrap();
    assert_eq!(tokens.ids.len(), 19_266);
    let begun = std::time::Instant::now();
    let x = rows(&*model, &tokens, &Site::Block(0, BlockSite::ResidPost));
    assert!(x.iter().all(|v| v.is_finite()));
    println!("one block of 19,266 tokens: {:.1} s", begun.elapsed().as_secs_f64());
    if let Some(peak) = peak_memory() {
        println!("peak memory {:.0} MB", peak as f64 / 1e6);
        assert!(peak < 2_000_000_000, "{peak} bytes");
    }
}
