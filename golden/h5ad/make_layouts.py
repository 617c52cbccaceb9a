"""Writes files in layouts that no current anndata writes, byte by byte with h5py, and 10x files. Python 3.11, h5py 3.16,
numpy 2.4, hdf5plugin 7.0.

All hold the matrix x[cell, gene] = 10 cell + gene + 1 where (cell + 2 gene) is a multiple of 3, of 9 cells x 5 genes.
"""

import gzip
import pathlib

import h5py
import hdf5plugin
import numpy as np
import scipy.sparse as sp

HERE = pathlib.Path(__file__).parent
CELLS, GENES = 9, 5
CELL, GENE = np.mgrid[:CELLS, :GENES]
X = np.where((CELL + 2 * GENE) % 3 == 0, CELL * 10 + GENE + 1, 0)
CSR = sp.csr_matrix(X)
BARCODES = [f"BC{k}-1" for k in range(CELLS)]
IDS = [f"ENSG{k}" for k in range(GENES)]
NAMES = [f"G{k}" for k in range(GENES)]


def sparse(group, m, **more):
    for name in ("data", "indices", "indptr"):
        values = getattr(m, name)
        whole = {"chunks": (len(values),)} if more.get("chunks") == "whole" else {}
        group.create_dataset(name, data=values, **{**more, **whole})


def frame(f, name, index):
    g = f.create_group(name)
    g.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"})
    g.attrs["column-order"] = np.array([], dtype=float)
    g.create_dataset("_index", data=index, dtype=h5py.string_dtype())


def anndata_file(path, m, encoding, libver=None, filters=None):
    with h5py.File(path, "w", libver=libver) as f:
        f.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        frame(f, "obs", BARCODES)
        frame(f, "var", IDS)
        if encoding == "array":
            f.create_dataset("X", data=m, **(filters or {}))
        else:
            x = f.create_group("X")
            x.attrs.update({"encoding-type": encoding, "encoding-version": "0.1.0", "shape": m.shape})
            sparse(x, m, **(filters or {}))


def records():
    """anndata 0.6: tables as arrays of records, categories in uns, h5sparse attributes, raw.X beside X."""
    out = HERE / "layouts"
    with h5py.File(out / "anndata_0.6_records.h5ad", "w") as f:
        x = f.create_group("X")
        x.attrs["h5sparse_format"] = b"csr"
        x.attrs["h5sparse_shape"] = np.array(X.shape)
        sparse(x, CSR.astype(np.float32))
        obs = np.zeros(CELLS, dtype=[("index", "S6"), ("n", "<i4"), ("kind", "i1"), ("score", "<f4")])
        obs["index"] = BARCODES
        obs["n"] = np.arange(CELLS)
        obs["kind"] = np.arange(CELLS) % 2
        obs["score"] = np.arange(CELLS) / 2
        f.create_dataset("obs", data=obs)
        var = np.zeros(GENES, dtype=[("index", "S6")])
        var["index"] = IDS
        f.create_dataset("var", data=var)
        f.create_dataset("raw.var", data=var)
        raw = f.create_group("raw.X")
        raw.attrs["h5sparse_format"] = b"csc"
        raw.attrs["h5sparse_shape"] = np.array(X.shape)
        sparse(raw, CSR.tocsc().astype(np.float32))
        f.create_group("uns").create_dataset("kind_categories", data=np.array([b"even", b"odd"]))


def types():
    """Every element type a matrix may have, big-endian ones, and values f32 cannot hold."""
    out = HERE / "layouts"
    for name in ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float64", ">f4", ">i2"]:
        anndata_file(out / f"dense_{name.replace('>', 'big_')}.h5ad", X.astype(name), "array")
    big = CSR.astype(np.int64)
    big.data[0] = 2**24 + 1
    anndata_file(out / "csr_int64_rounded.h5ad", big, "csr_matrix")
    bad = CSR.astype(np.float32)
    bad.indices[3] = GENES + 2
    anndata_file(out / "csr_index_out_of_range.h5ad", bad, "csr_matrix")


def storage():
    """Filters, chunk shapes and file format versions."""
    out = HERE / "layouts"
    csr = CSR.astype(np.float32)
    small = {"chunks": (4,)}
    anndata_file(out / "csr_chunks_shuffle_fletcher.h5ad", csr, "csr_matrix",
                 filters={**small, "shuffle": True, "fletcher32": True, "compression": "gzip"})
    anndata_file(out / "csr_zstd.h5ad", csr, "csr_matrix", filters=dict(hdf5plugin.Zstd()))
    anndata_file(out / "csr_blosc.h5ad", csr, "csr_matrix", filters=dict(hdf5plugin.Blosc()))
    anndata_file(out / "csr_blosc2.h5ad", csr, "csr_matrix", filters=dict(hdf5plugin.Blosc2()))
    anndata_file(out / "dense_tiles.h5ad", X.astype(np.float32), "array", filters={"chunks": (2, 3), "compression": "gzip"})
    anndata_file(out / "latest_fixed_array.h5ad", csr, "csr_matrix", libver="latest", filters={**small, "compression": "gzip"})
    anndata_file(out / "latest_fixed_array_plain.h5ad", csr, "csr_matrix", libver="latest", filters=small)
    anndata_file(out / "latest_extensible.h5ad", csr, "csr_matrix", libver="latest",
                 filters={**small, "maxshape": (None,), "compression": "gzip"})
    anndata_file(out / "latest_btree.h5ad", X.astype(np.float32), "array", libver="latest",
                 filters={"chunks": (2, 3), "maxshape": (None, None), "compression": "gzip"})
    anndata_file(out / "latest_single.h5ad", csr, "csr_matrix", libver="latest", filters={"chunks": "whole", "compression": "gzip"})


def tenx():
    out = HERE / "10x"
    out.mkdir(exist_ok=True)
    strings = lambda v: np.array(v, dtype="S")
    stored = CSR.astype(np.int32)
    with h5py.File(out / "v2.h5", "w") as f:
        g = f.create_group("GRCh38")
        sparse(g, stored)
        g.create_dataset("shape", data=[GENES, CELLS])
        g.create_dataset("barcodes", data=strings(BARCODES))
        g.create_dataset("genes", data=strings(IDS))
        g.create_dataset("gene_names", data=strings(NAMES))
    kinds = ["Gene Expression", "Antibody Capture", "Gene Expression", "Gene Expression", "CRISPR Guide Capture"]
    with h5py.File(out / "v3.h5", "w") as f:
        g = f.create_group("matrix")
        sparse(g, stored, compression="gzip")
        g.create_dataset("shape", data=[GENES, CELLS])
        g.create_dataset("barcodes", data=strings(BARCODES))
        features = g.create_group("features")
        features.create_dataset("id", data=strings(IDS))
        features.create_dataset("name", data=strings(NAMES))
        features.create_dataset("feature_type", data=strings(kinds))
        features.create_dataset("genome", data=strings(["GRCh38"] * GENES))
    entries = [f"{g + 1} {c + 1} {X[c, g]}\n" for c in range(CELLS) for g in range(GENES) if X[c, g]]
    matrix = "%%MatrixMarket matrix coordinate integer general\n%comment\n" + f"{GENES} {CELLS} {len(entries)}\n" + "".join(entries)
    barcodes = "".join(b + "\n" for b in BARCODES)
    v2 = out / "mtx_v2"
    v2.mkdir(exist_ok=True)
    (v2 / "matrix.mtx").write_text(matrix)
    (v2 / "barcodes.tsv").write_text(barcodes)
    (v2 / "genes.tsv").write_text("".join(f"{i}\t{n}\n" for i, n in zip(IDS, NAMES)))
    v3 = out / "mtx_v3"
    v3.mkdir(exist_ok=True)
    features = "".join(f"{i}\t{n}\t{k}\n" for i, n, k in zip(IDS, NAMES, kinds))
    for name, text in [("matrix.mtx", matrix), ("barcodes.tsv", barcodes), ("features.tsv", features)]:
        (v3 / f"{name}.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


(HERE / "layouts").mkdir(exist_ok=True)
records()
types()
storage()
tenx()
