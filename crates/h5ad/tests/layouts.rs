//! Layouts that no current anndata writes, every element type and filter, and 10x files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod common;

use common::{dense, golden, handmade};
use microtome_core::{Column, ErrorKind};
use microtome_h5ad::{Format, Slot, Storage, open};

fn x_of(file: &str) -> microtome_core::Result<Vec<Vec<f64>>> {
    let data = open(&golden().join("layouts").join(file))?;
    Ok(dense(&data.matrix(&Slot::X)?.rows(0..data.n_cells())?))
}

#[test]
fn every_element_type_reads_exactly() {
    for kind in [
        "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float64",
        "big_f4", "big_i2",
    ] {
        assert_eq!(x_of(&format!("dense_{kind}.h5ad")).unwrap(), handmade(), "{kind}");
    }
}

#[test]
fn filters_and_chunk_shapes_read_exactly() {
    for file in [
        "csr_chunks_shuffle_fletcher",
        "csr_zstd",
        "csr_blosc",
        "dense_tiles",
        "latest_fixed_array",
        "latest_fixed_array_plain",
        "latest_extensible",
        "latest_btree",
        "latest_single",
    ] {
        assert_eq!(x_of(&format!("{file}.h5ad")).unwrap(), handmade(), "{file}");
    }
}

#[test]
fn an_unknown_filter_is_named_with_a_way_out() {
    let e = x_of("csr_blosc2.h5ad").unwrap_err();
    let text = e.to_string();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(
        text.contains("blosc2") && text.contains("32026") && text.contains("compression=\"gzip\""),
        "{text}"
    );
}

#[test]
fn an_index_out_of_range_names_file_and_key() {
    let e = x_of("csr_index_out_of_range.h5ad").unwrap_err();
    assert_eq!(e.key(), Some("X/indices"));
    assert!(e.file().unwrap().ends_with("csr_index_out_of_range.h5ad"));
    assert!(e.to_string().contains("found: 7"), "{e}");
}

#[test]
fn values_that_f32_cannot_hold_are_counted() {
    let data = open(&golden().join("layouts/csr_int64_rounded.h5ad")).unwrap();
    let matrix = data.matrix(&Slot::X).unwrap();
    let counts = matrix.rows(0..9).unwrap();
    assert_eq!(counts.values()[0], 16_777_216.0);
    assert_eq!(matrix.n_rounded(), 1);
    assert!(matrix.rounding_note().unwrap().contains("1 values of X (int64)"));
}

#[test]
fn tables_of_records_read() {
    let data = open(&golden().join("layouts/anndata_0.6_records.h5ad")).unwrap();
    assert_eq!(data.obs_names().unwrap()[3], "BC3-1");
    let obs = data.obs().unwrap();
    assert_eq!(obs.columns.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["n", "kind", "score"]);
    assert_eq!(obs.columns[0].1, Column::Int((0..9).map(Some).collect()));
    assert_eq!(obs.columns[1].1.text(3).as_deref(), Some("odd"));
    assert_eq!(obs.columns[1].1.kind(), "categorical");
    assert_eq!(obs.columns[2].1, Column::Float((0..9).map(|i| f64::from(i) / 2.0).collect()));
    for slot in [Slot::X, Slot::Raw] {
        assert_eq!(dense(&data.matrix(&slot).unwrap().rows(0..9).unwrap()), handmade(), "{slot}");
    }
    assert_eq!(data.matrix(&Slot::Raw).unwrap().storage(), Storage::Csc);
}

#[test]
fn tenx_files_read_as_cells_by_genes() {
    let folder = golden().join("10x");
    let all: Vec<usize> = (0..5).collect();
    let genes_only = vec![0, 2, 3];
    for (name, format, kept) in [
        ("v2.h5", Format::TenxH5V2, &all),
        ("v3.h5", Format::TenxH5V3, &genes_only),
        ("mtx_v2", Format::TenxMtx, &all),
        ("mtx_v3", Format::TenxMtx, &genes_only),
    ] {
        let data = open(&folder.join(name)).unwrap();
        assert_eq!(data.format(), format, "{name}");
        let expected: Vec<Vec<f64>> =
            handmade().iter().map(|row| kept.iter().map(|&g| row[g]).collect()).collect();
        let matrix = data.matrix(&Slot::X).unwrap();
        assert_eq!((matrix.n_cells(), matrix.n_genes()), (9, kept.len()), "{name}");
        assert_eq!(dense(&matrix.rows(0..9).unwrap()), expected, "{name}");
        assert_eq!(dense(&matrix.select(&[8, 1]).unwrap()), [expected[8].clone(), expected[1].clone()]);
        assert_eq!(data.obs_names().unwrap()[2], "BC2-1");
        let var = data.var(&Slot::X).unwrap();
        assert_eq!(var.index, kept.iter().map(|g| format!("G{g}")).collect::<Vec<_>>());
        assert_eq!(var.column("var", "gene_ids").unwrap().text(1), Some(format!("ENSG{}", kept[1])));
        let left_out = kept.len() < 5;
        assert_eq!(data.notes().len(), usize::from(left_out), "{name}");
        if left_out {
            assert!(data.notes()[0].contains("1 of type Antibody Capture"), "{:?}", data.notes());
        }
        assert!(data.obs_column("cell_type").unwrap_err().to_string().contains("barcodes only"));
    }
}

#[test]
fn other_files_say_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, word) in [
        ("empty.h5ad", &b""[..], "empty file"),
        ("text.h5ad", b"gene,cell\n1,2\n", "text"),
        ("x.gz", b"\x1f\x8b\x08\0", "gzip"),
        ("x.zip", b"PK\x03\x04", "zip"),
        ("m.mtx", b"%%MatrixMarket", "Matrix Market"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let e = open(&path).unwrap_err();
        assert!(e.to_string().contains(word) && e.file().is_some(), "{e}");
    }
    assert!(open(&folder.path().join("absent.h5ad")).unwrap_err().to_string().contains("absent.h5ad"));
    let e = open(folder.path()).unwrap_err();
    assert!(e.to_string().contains("10x"), "{e}");
    std::fs::write(folder.path().join(".zgroup"), "{}").unwrap();
    assert!(open(folder.path()).unwrap_err().to_string().contains("Zarr"));
}
