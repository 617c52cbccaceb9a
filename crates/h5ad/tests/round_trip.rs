//! What is written reads back the same, in parts or whole, and nothing is left behind when writing stops.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod common;

use std::path::Path;

use common::{dense, shared};
use microtome_core::{Column, Counts, Matrix, Table};
use microtome_h5ad::{ColumnKind, ROWS_PER_PART, Slot, Storage, TableRows, Writer, open};
use serde_json::json;

/// Counts without any order in them, from a small multiplicative generator.
fn counts(n_cells: usize, n_genes: usize, one_in: u64) -> Counts {
    let mut state = 12345u64;
    let (mut indptr, mut indices, mut values) = (vec![0], vec![], vec![]);
    for _ in 0..n_cells {
        for gene in 0..n_genes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if (state >> 33).is_multiple_of(one_in) {
                indices.push(gene as u32);
                values.push((state >> 50) as f32);
            }
        }
        indptr.push(values.len());
    }
    Counts::new(n_genes, indptr, indices, values).unwrap()
}

fn table(n: usize, columns: Vec<(&str, Column)>) -> Table {
    Table {
        index: (0..n).map(|i| format!("row {i}")).collect(),
        columns: columns.into_iter().map(|(n, c)| (n.to_string(), c)).collect(),
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn matrices_of_many_chunks_come_back_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cells.h5ad");
    // Several chunks of 131,072 values each, and several batches of 8 chunks for the embedding.
    let (n, genes, width) = (3000, 900, 500);
    let all = counts(n, genes, 4);
    let embedding: Vec<f32> = (0..n * width).map(|i| (i % 9973) as f32 / 8.0).collect();
    for gzip in [None, Some(1)] {
        let mut writer = Writer::create(&path, &table(n, vec![]), &table(genes, vec![])).unwrap();
        writer.compress_counts(gzip);
        writer.begin_x(genes).unwrap();
        writer.begin_obsm("X_model", width).unwrap();
        let mut start = 0;
        while start < n {
            let end = (start + 1 + start % 700).min(n);
            writer.append_x(&all.select_cells(&(start..end).collect::<Vec<_>>())).unwrap();
            writer.append_obsm("X_model", &embedding[start * width..end * width]).unwrap();
            start = end;
        }
        assert_eq!(names_in(folder.path()).iter().filter(|n| n.ends_with(".tmp")).count(), 1);
        writer.finish().unwrap();
        assert_eq!(names_in(folder.path()), ["cells.h5ad"]);

        let data = open(&path).unwrap();
        let x = data.matrix(&Slot::X).unwrap();
        assert_eq!((x.storage(), x.n_cells(), x.n_genes()), (Storage::Csr, n, genes));
        assert_eq!(x.rows(0..n).unwrap(), all);
        let mut joined = Counts::empty(genes);
        for start in (0..n).step_by(333) {
            joined.append(&x.rows(start..(start + 333).min(n)).unwrap()).unwrap();
        }
        assert_eq!(joined, all);
        let picks = [2999, 0, 1500, 1501, 7, 2999];
        assert_eq!(x.select(&picks).unwrap(), all.select_cells(&picks));
        assert_eq!(data.obsm("X_model").unwrap().data(), embedding);
    }
}

#[test]
fn tables_layers_and_uns_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cells.h5ad");
    let some = |i: usize| i % 3 != 1;
    let obs = table(
        7,
        vec![
            ("z last", Column::Float((0..7).map(|i| i as f64 / 3.0).collect())),
            ("i", Column::Int((0..7).map(|i| Some(i - 3)).collect())),
            ("i?", Column::Int((0..7).map(|i| some(i).then_some(i as i64)).collect())),
            ("b", Column::Bool((0..7).map(|i| Some(i > 3)).collect())),
            ("b?", Column::Bool((0..7).map(|i| some(i).then_some(i > 3)).collect())),
            ("t", Column::Text((0..7).map(|i| Some(format!("ü{i}"))).collect())),
            ("t?", Column::Text((0..7).map(|i| some(i).then(|| format!("{i}"))).collect())),
            (
                "c",
                Column::Categorical {
                    categories: (0..200).map(|i| format!("k{i}")).collect(),
                    codes: (0..7).map(|i| some(i).then_some(190 + i as u32)).collect(),
                    ordered: true,
                },
            ),
        ],
    );
    let x = counts(7, 5, 2);
    let uns = json!({ "a": { "b": [1, 2], "c": "text", "d": "" , "e": [[1.5, 2.0], [3.0, 4.0]] }, "f": true, "g": 1.25 });
    let mut writer = Writer::create(&path, &obs, &table(5, vec![])).unwrap();
    writer.set_layer("counts", &x).unwrap();
    writer.set_obsm("X_a", &Matrix::new(7, 2, (0..14).map(|i| i as f32).collect()).unwrap()).unwrap();
    writer.set_uns(&uns).unwrap();
    writer.finish().unwrap();

    let data = open(&path).unwrap();
    assert_eq!(data.obs().unwrap(), obs);
    assert_eq!(data.var(&Slot::Layer("counts".into())).unwrap(), table(5, vec![]));
    assert_eq!(data.slots(), [Slot::Layer("counts".into())]);
    assert_eq!(data.matrix(&Slot::Layer("counts".into())).unwrap().rows(0..7).unwrap(), x);
    assert!(data.matrix(&Slot::X).unwrap_err().to_string().contains("layers/counts"));
    assert_eq!(data.uns().unwrap(), uns);
    assert_eq!(data.obsm("X_a").unwrap().row(3), [6.0, 7.0]);
}

/// A table longer than one part, with every kind of column.
fn long_table(n: usize) -> Table {
    let some = |i: usize| i % 3 != 1;
    table(
        n,
        vec![
            ("f", Column::Float((0..n).map(|i| i as f64 / 7.0).collect())),
            ("i", Column::Int((0..n as i64).map(Some).collect())),
            // Nothing is missing in the first part.
            ("i?", Column::Int((0..n).map(|i| (i + 5 < n).then_some(i as i64)).collect())),
            ("b", Column::Bool((0..n).map(|i| Some(i % 5 == 0)).collect())),
            ("b?", Column::Bool((0..n).map(|i| some(i).then_some(i % 2 == 0)).collect())),
            ("t", Column::Text((0..n).map(|i| Some("é".repeat(i % 40))).collect())),
            ("t?", Column::Text((0..n).map(|i| some(i).then(|| format!("text {i}"))).collect())),
            (
                "c",
                Column::Categorical {
                    categories: (0..40_000).map(|i| format!("k{i}")).collect(),
                    codes: (0..n).map(|i| some(i).then_some((i % 40_000) as u32)).collect(),
                    ordered: false,
                },
            ),
        ],
    )
}

#[test]
fn a_long_table_goes_through_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let n = 2 * ROWS_PER_PART + 777;
    let obs = long_table(n);
    let (first, second) = (folder.path().join("first.h5ad"), folder.path().join("second.h5ad"));
    Writer::create(&first, &obs, &table(2, vec![])).unwrap().finish().unwrap();
    let data = open(&first).unwrap();
    assert_eq!(data.obs().unwrap(), obs);
    let rows = data.obs_rows().unwrap();
    assert_eq!(rows.n_rows(), n);
    assert_eq!(rows.names(n - 2..n).unwrap(), obs.index[n - 2..]);
    let kinds: Vec<_> = obs.columns.iter().map(|(n, c)| (n.clone(), ColumnKind::of(c))).collect();
    assert_eq!(rows.columns(), kinds);
    Writer::create(&second, &rows, &table(2, vec![])).unwrap().finish().unwrap();
    assert_eq!(open(&second).unwrap().obs().unwrap(), obs);
}

#[test]
fn rows_of_another_kind_than_announced_are_refused() {
    struct Liar(Column);
    impl TableRows for Liar {
        fn n_rows(&self) -> usize {
            2
        }
        fn columns(&self) -> Vec<(String, ColumnKind)> {
            vec![("a".into(), ColumnKind::Int { nullable: false })]
        }
        fn names(&self, rows: std::ops::Range<usize>) -> microtome_core::Result<Vec<String>> {
            Ok(rows.map(|i| i.to_string()).collect())
        }
        fn column(&self, _: usize, _: std::ops::Range<usize>) -> microtome_core::Result<Column> {
            Ok(self.0.clone())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cells.h5ad");
    for (column, word) in [
        (Column::Float(vec![1.0, 2.0]), "announced"),
        (Column::Int(vec![Some(1), None]), "missing"),
        (Column::Int(vec![Some(1)]), "wrong length"),
    ] {
        let e = Writer::create(&path, &Liar(column), &table(1, vec![])).err().unwrap();
        assert!(e.to_string().contains(word), "{e}");
    }
    assert!(names_in(folder.path()).is_empty());
}

#[test]
fn empty_things_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.h5ad");
    let mut writer = Writer::create(&path, &table(0, vec![]), &table(3, vec![])).unwrap();
    writer.set_x(&Counts::empty(3)).unwrap();
    writer.set_obsm("X_a", &Matrix::zeros(0, 4)).unwrap();
    writer.finish().unwrap();
    let data = open(&path).unwrap();
    assert_eq!((data.n_cells(), data.n_genes(&Slot::X).unwrap()), (0, 3));
    assert_eq!(data.matrix(&Slot::X).unwrap().rows(0..0).unwrap(), Counts::empty(3));
    assert_eq!(data.obsm("X_a").unwrap().cols(), 4);

    let mut writer = Writer::create(&path, &table(4, vec![]), &table(3, vec![])).unwrap();
    writer.set_x(&Counts::new(3, vec![0; 5], vec![], vec![]).unwrap()).unwrap();
    writer.finish().unwrap();
    assert_eq!(open(&path).unwrap().matrix(&Slot::X).unwrap().rows(0..4).unwrap().nnz(), 0);
}

#[test]
fn an_unfinished_file_leaves_nothing_and_keeps_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cells.h5ad");
    std::fs::write(&path, "precious").unwrap();
    let mut writer = Writer::create(&path, &table(4, vec![]), &table(3, vec![])).unwrap();
    writer.begin_x(3).unwrap();
    drop(writer);
    assert_eq!(names_in(folder.path()), ["cells.h5ad"]);
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");

    // Too few rows: finishing is refused, and cleans up as well.
    let mut writer = Writer::create(&path, &table(4, vec![]), &table(3, vec![])).unwrap();
    writer.begin_x(3).unwrap();
    writer.append_x(&Counts::new(3, vec![0, 1], vec![0], vec![1.0]).unwrap()).unwrap();
    let e = writer.finish().unwrap_err();
    assert!(e.to_string().contains("fewer rows"), "{e}");
    assert_eq!(names_in(folder.path()), ["cells.h5ad"]);
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[test]
fn nonsense_is_refused_before_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cells.h5ad");
    let twice = table(1, vec![("a", Column::Int(vec![None])), ("a", Column::Int(vec![None]))]);
    let slash = table(1, vec![("a/b", Column::Int(vec![None]))]);
    let short = table(2, vec![("a", Column::Int(vec![None]))]);
    for (obs, word) in [(twice, "twice"), (slash, "slash"), (short, "wrong length")] {
        let e = Writer::create(&path, &obs, &table(1, vec![])).err().unwrap();
        assert!(e.to_string().contains(word), "{e}");
    }
    assert!(names_in(folder.path()).is_empty());
    let absent = folder.path().join("absent/cells.h5ad");
    let e = Writer::create(&absent, &table(1, vec![]), &table(1, vec![])).err().unwrap();
    assert!(
        e.to_string().contains("cannot write into the output folder") && e.file() == Some(&absent),
        "{e}"
    );
    assert!(Writer::create(folder.path(), &table(1, vec![]), &table(1, vec![])).is_err());

    let mut writer = Writer::create(&path, &table(2, vec![]), &table(3, vec![])).unwrap();
    assert!(writer.append_x(&Counts::empty(3)).is_err());
    assert!(writer.begin_x(4).unwrap_err().to_string().contains("3 genes"));
    assert!(writer.begin_obsm("a/b", 2).is_err());
    assert!(writer.begin_obsm("X_a", 0).is_err());
    writer.begin_obsm("X_b", 2).unwrap();
    assert!(writer.begin_obsm("X_b", 2).unwrap_err().to_string().contains("twice"));
    assert!(writer.append_obsm("X_b", &[1.0]).unwrap_err().to_string().contains("whole rows"));
    assert!(writer.append_obsm("X_b", &[1.0; 6]).unwrap_err().to_string().contains("more rows"));
    assert!(writer.append_obsm("X_c", &[1.0]).is_err());
    assert!(writer.set_uns(&json!([1])).is_err());
}

/// Every shared real file: rows in blocks equal all rows at once, copies equal their originals.
#[test]
fn real_files_survive_a_copy() {
    let Some(data) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut n = 0;
    for entry in std::fs::read_dir(data).unwrap() {
        let from = entry.unwrap().path();
        if from.extension().is_none_or(|e| e != "h5ad") {
            continue;
        }
        let original = open(&from).unwrap();
        let obs = original.obs().unwrap();
        let var = original.var(&Slot::X).unwrap();
        let x = original.matrix(&Slot::X).unwrap();
        let path = folder.path().join("copy.h5ad");
        let mut writer = Writer::create(&path, &obs, &var).unwrap();
        writer.compress_counts(Some(1));
        writer.begin_x(x.n_genes()).unwrap();
        for start in (0..x.n_cells()).step_by(500) {
            writer.append_x(&x.rows(start..(start + 500).min(x.n_cells())).unwrap()).unwrap();
        }
        writer.set_uns(&original.uns().unwrap()).unwrap();
        writer.finish().unwrap();
        let copy = open(&path).unwrap();
        let again = copy.matrix(&Slot::X).unwrap();
        assert_eq!(
            again.rows(0..x.n_cells()).unwrap(),
            x.rows(0..x.n_cells()).unwrap(),
            "{}",
            from.display()
        );
        assert_eq!(format!("{:?}", copy.obs().unwrap()), format!("{obs:?}"));
        assert_eq!(copy.var(&Slot::X).unwrap(), var);
        assert_eq!(dense(&again.rows(0..1).unwrap()).len(), 1);
        n += 1;
    }
    assert!(n > 0);
}
