//! Untrained models and checkpoints that do not fit.

use super::kit::{Cells, golden, open};
use crate::families::uce::init::{init_preset, init_twin};
use crate::families::uce::model::Uce;
use crate::families::uce::settings::SETTINGS;
use crate::taps::Pooling;
use crate::{Model, TokenizeOptions, pool_cells};
use microtome_core::{Silent, Site};

#[test]
fn a_twin_has_the_same_shape_and_other_weights() {
    let folder = tempfile::tempdir().unwrap();
    let like = tempfile::tempdir().unwrap();
    // A folder with settings of its own, as the kit's sizes are not the published ones.
    copy(&golden().join("checkpoint"), like.path());
    let kit = open(&golden());
    let settings = kit.settings.to_json(kit.chromosome_offset as usize);
    std::fs::write(like.path().join(SETTINGS), settings.to_string()).unwrap();
    let out = folder.path().join("twin");
    init_twin(like.path(), 5, &out).unwrap();
    assert_eq!(crate::detect(&out).unwrap().id, "uce");
    let twin = crate::open(&out).unwrap();
    let (a, b) = (twin.info(), kit.info());
    assert_eq!((a.n_blocks, a.d_model, a.n_heads, a.d_mlp), (b.n_blocks, b.d_model, b.n_heads, b.d_mlp));
    assert_eq!(a.n_parameters, b.n_parameters);
    let cells = Cells::read(&golden());
    let vectors = |m: &dyn Model| {
        let tokens = cells.tokens(m, &TokenizeOptions::default());
        pool_cells(m, &tokens, &[Site::CellEmbedding], Pooling::Published, 4096, &Silent).unwrap()
    };
    let of_twin = vectors(twin.as_ref());
    assert!(of_twin.matrices[0].data().iter().all(|v| v.is_finite()));
    assert_ne!(of_twin, vectors(&kit));
    let again = folder.path().join("again");
    init_twin(like.path(), 5, &again).unwrap();
    assert_eq!(of_twin, vectors(crate::open(&again).unwrap().as_ref()));
    assert!(init_twin(like.path(), 5, &out).unwrap_err().to_string().contains("already"));
    assert!(
        init_preset("4", like.path(), 0, &folder.path().join("x")).unwrap_err().to_string().contains("4l")
    );
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|e| e.unwrap().path()) {
        let target = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy(&entry, &target)
        } else {
            std::fs::write(&target, std::fs::read(&entry).unwrap()).unwrap()
        }
    }
}

#[test]
fn heads_that_the_file_does_not_state_are_asked_for() {
    // The published 20 heads divide the kit's width by chance; 7 do not.
    let kit = golden().join("checkpoint");
    let stated = open(&golden()).settings;
    let model = Uce::open_with(&kit, crate::families::uce::settings::Settings { n_heads: 7, ..stated }, None)
        .unwrap();
    let tokens = Cells::read(&golden()).tokens(&model, &TokenizeOptions::default());
    let e = pool_cells(&model, &tokens, &[Site::Embed], Pooling::Published, 4096, &Silent).unwrap_err();
    assert!(e.to_string().contains(SETTINGS), "{e}");
}

#[test]
fn damaged_folders_are_refused_with_the_file_named() {
    for (file, text, hint) in [
        ("species_chrom.csv", "species,gene_symbol,chromosome\n", "start"),
        ("species_chrom.csv", "species,gene_symbol,chromosome,start\nhuman,A,1,x\n", "position"),
        ("species_offsets.pkl", "nonsense", "species_offsets"),
        ("4layer_model.torch", "nonsense", "4layer_model"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        copy(&golden().join("checkpoint"), folder.path());
        std::fs::write(folder.path().join(file), text).unwrap();
        let e = Uce::open(folder.path()).err().unwrap().to_string();
        assert!(e.contains(hint), "{file}: {e}");
    }
    let folder = tempfile::tempdir().unwrap();
    copy(&golden().join("checkpoint"), folder.path());
    std::fs::remove_dir_all(folder.path().join("protein_embeddings")).unwrap();
    assert!(Uce::open(folder.path()).err().unwrap().to_string().contains("protein_embeddings"));
}
