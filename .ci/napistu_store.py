"""Loads what `microtome store export` wrote with Napistu-Torch's own classes, and writes what `microtome store import` must read.

napistu_store.py check STORE EXPORTED    every model of EXPORTED loads and equals the gene store STORE
napistu_store.py write EXPORTED OUT      one model saved again by Napistu-Torch itself, with a category of awkward name
napistu_store.py compare STORE SAVED     the gene store STORE, imported from SAVED, equals what Napistu-Torch holds
"""

import json
import pathlib
import struct
import sys

import numpy as np
from napistu_torch.foundation_models.foundation_models import FoundationModel, FoundationModelStore


def safetensors(path):
    raw = pathlib.Path(path).read_bytes()
    (n,) = struct.unpack("<Q", raw[:8])
    header, data = json.loads(raw[8 : 8 + n]), raw[8 + n :]
    kinds = {"F32": "<f4", "F64": "<f8", "I64": "<i8"}
    out = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            out[name] = np.frombuffer(data[begin:end], kinds[entry["dtype"]]).reshape(entry["shape"])
    return out


def genes_of(store):
    import csv

    with open(store / "genes.csv", newline="") as f:
        return [row["gene_id"] for row in csv.DictReader(f)]


def same(what, got, expected):
    assert got.shape == expected.shape, (what, got.shape, expected.shape)
    assert np.array_equal(got, expected), (what, np.abs(got - expected).max())


def check(store, exported):
    manifest = json.loads((store / "manifest.json").read_text())
    genes = genes_of(store)
    folders = sorted(p for p in exported.iterdir() if p.is_dir())
    assert folders
    for folder in folders:
        [entry] = [m for m in manifest["models"] if m["folder"] == folder.name]
        model = FoundationModel.load(folder, verbose=False)
        assert model.full_name == entry["name"]
        at = store / "models" / entry["folder"]
        weights, fixed = safetensors(at / "attention.safetensors"), safetensors(at / "static.safetensors")
        layers = model.weights.attention_layers
        # The order in which Napistu-Torch takes layers is their position.
        assert [layer.layer_idx for layer in layers] == list(range(entry["n_blocks"])), "order of layers"
        for i, layer in enumerate(layers):
            about = entry["attention"][i]
            group = about["n_heads"] // about["n_kv_heads"]
            for name in ["q", "k", "v", "o"]:
                ours = weights[f"blocks.{i}.attn.w_{name}"]
                if name in "kv" and group > 1:
                    ours = ours.reshape(about["n_kv_heads"], about["d_head"], -1).repeat(group, axis=0)
                    ours = ours.reshape(-1, ours.shape[-1])
                same(f"{folder.name} block {i} {name}", getattr(layer, f"W_{name}"), ours)
        static = model.weights.static_gene_embeddings
        same("static", static.embedding, fixed["gene_embedding"])
        assert static.ordered_gene_ids == [genes[g] for g in fixed["gene"]]
        for category in entry["categories"]:
            arrays = safetensors(at / category["file"])
            found = model.load_category_residuals(manifest["dataset"], category["category"])
            assert sorted(found) == list(range(entry["n_blocks"]))
            for i, block in found.items():
                site = "embed" if i == 0 else f"blocks.{i - 1}.resid_post"
                same(f"{folder.name} {category['category']} layer {i}", block.embedding, arrays[f"{site}.mean"])
                assert block.ordered_gene_ids == [genes[g] for g in arrays["gene"]]
        # Its own attention runs on what we wrote.
        first = next(iter(found.values()))
        small = first.embedding[:50]
        pattern = layers[0].compute_attention_pattern(small, n_heads=model.n_heads)
        rows = np.asarray(pattern).sum(axis=1)
        assert np.allclose(rows, 1, atol=1e-4), rows
        print(f"{folder.name}: {len(layers)} layers, {len(entry['categories'])} categories, equal")


def write(exported, out):
    folder = max((p for p in exported.iterdir() if p.is_dir()), key=lambda p: len(FoundationModel.load(p, verbose=False).weights.attention_layers))
    model = FoundationModel.load(folder, verbose=False)
    model.gene_annotations.loc[model.gene_annotations.index[0], "symbol"] = float("nan")
    model.save(out)
    assert "NaN" in (out / "metadata.json").read_text()
    source, target = FoundationModelStore(folder), FoundationModelStore(out)
    [dataset] = source.list_datasets()
    embeddings = []
    for category, name in zip(source.list_categories(dataset), ["0", "yes: 'no' # x", "\u00e9"] + [f"c{i}" for i in range(99)]):
        for block in model.load_category_residuals(dataset, category).values():
            embeddings.append(block.model_copy(update={"category": name}))
    target.save_residuals(embeddings)
    print(f"saved {folder.name} again: {target.list_categories(dataset)}")


def compare(store, saved):
    manifest = json.loads((store / "manifest.json").read_text())
    [entry] = manifest["models"]
    model = FoundationModel.load(saved, verbose=False)
    genes = genes_of(store)
    at = store / "models" / entry["folder"]
    weights = safetensors(at / "attention.safetensors")
    by_number = {layer.layer_idx: layer for layer in model.weights.attention_layers}
    assert sorted(by_number) == list(range(entry["n_blocks"]))
    for i, layer in by_number.items():
        for name in ["q", "k", "v", "o"]:
            same(f"block {i} {name}", weights[f"blocks.{i}.attn.w_{name}"], getattr(layer, f"W_{name}"))
    assert {c["category"] for c in entry["categories"]} == set(model.store.list_categories(manifest["dataset"]))
    for category in entry["categories"]:
        arrays = safetensors(at / category["file"])
        for i, block in model.load_category_residuals(manifest["dataset"], category["category"]).items():
            same(f"layer {i}", arrays[f"blocks.{i}.resid_pre.mean"], block.embedding)
            assert block.ordered_gene_ids == [genes[g] for g in arrays["gene"]]
    print(f"{entry['name']}: imported store equals what Napistu-Torch holds")


if __name__ == "__main__":
    what, first, second = sys.argv[1:]
    {"check": check, "write": write, "compare": compare}[what](pathlib.Path(first), pathlib.Path(second))
