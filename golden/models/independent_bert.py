"""Independent forward passes of BERT-shaped single-cell models, for kits of families whose authors' code was not run.

The encoder blocks are Hugging Face's own `BertEncoder` (eager attention) on CPU; everything around them (the embedding, prepended
tokens, readouts) is written in NumPy from the specification, which was made by reading the published source. The authors' code was
never run, so a mistake of the reading would be in the kit and in the reader alike: MANIFEST.json says so.

Used by the generators beside the kits. Pinned: torch 2.15.0, transformers 5.24.0, numpy 2.4.6, h5py 3.16.0, safetensors 0.8.0.
"""

import json
import math
import pickle
from pathlib import Path

import h5py
import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertEncoder

torch.set_num_threads(1)

TOLERANCES = {
    "default": {
        "abs": 5e-6,
        "rel": 5e-6,
        "reason": "float32 of two implementations over a stream of about 0.1; the float64 run of the same modules differs by less, see checks",
    },
    "*.attn.scores": {"abs": 2e-5, "rel": 5e-6, "reason": "up to about 13 in size"},
    "tokens.*": {"abs": 0, "rel": 2e-6, "reason": "ids and lengths exact; values are float64 in the generator, stored as float32"},
}


def layer_norm(x, weight, bias, eps):
    """LayerNorm over the last axis (biased variance)."""
    mean = x.mean(-1, keepdims=True)
    var = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(var + eps) * weight + bias


def relu(x):
    return np.maximum(x, 0)


def gelu(x):
    """Exact GELU."""
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def quick_gelu(x):
    return x / (1 + np.exp(-1.702 * x))


def linear(x, state, name):
    return x @ state[name + ".weight"].T + state[name + ".bias"]


def unit(x):
    """Rows of length one, as torch's F.normalize: the length is at least 1e-12."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


class Weights:
    """Random weights in the order in which they are asked for."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.state = {}

    def normal(self, name, shape, sd, mean=0.0):
        self.state[name] = (mean + sd * self.rng.standard_normal(shape)).astype(np.float32)
        return self.state[name]

    def linear(self, name, n_out, n_in, gain=1.0):
        self.normal(name + ".weight", (n_out, n_in), gain / math.sqrt(n_in))
        self.normal(name + ".bias", (n_out,), 0.03)

    def norm(self, name, d):
        # Far below one, so that the variance under the next norm is small and its epsilon shows.
        self.normal(name + ".weight", (d,), 0.02, 0.1)
        self.normal(name + ".bias", (d,), 0.02)

    def embedding(self, prefix, c, others=(), pad_row=True):
        d = c["hidden_size"]
        # The rows differ in length, down to lengths at which an epsilon of the norm matters.
        words = self.normal(prefix + "word_embeddings.weight", (c["vocab_size"], d), 0.03)
        if pad_row:
            words[0] = 0
        self.normal(prefix + "position_embeddings.weight", (c["max_position_embeddings"], d), 0.01)
        for name, rows in others:
            self.normal(f"{prefix}{name}.weight", (rows, d), 0.01)
        self.norm(prefix + "LayerNorm", d)

    def encoder(self, prefix, c):
        d, f = c["hidden_size"], c["intermediate_size"]
        for i in range(c["num_hidden_layers"]):
            b = f"{prefix}layer.{i}."
            for part, gain in (("query", 15), ("key", 15), ("value", 1)):
                self.linear(f"{b}attention.self.{part}", d, d, gain)
            self.linear(f"{b}attention.output.dense", d, d)
            self.norm(f"{b}attention.output.LayerNorm", d)
            self.linear(f"{b}intermediate.dense", f, d, 8)
            self.linear(f"{b}output.dense", d, f, 0.2)
            self.norm(f"{b}output.LayerNorm", d)


def run_encoder(c, state, prefix, x, dtype):
    """All sites of all blocks for one cell's embedding `x` [token, d], through Hugging Face's own modules."""
    config = BertConfig(**{k: v for k, v in c.items() if k not in ("architectures",)})
    config._attn_implementation = "eager"
    encoder = BertEncoder(config).to(dtype).eval()
    own = {k[len(prefix):]: torch.tensor(v).to(dtype) for k, v in state.items() if k.startswith(prefix)}
    encoder.load_state_dict(own, strict=True)
    n, d, heads = x.shape[0], c["hidden_size"], c["num_attention_heads"]
    seen = {}

    def keep(name):
        def hook(_module, _inputs, output):
            seen[name] = (output[0] if isinstance(output, tuple) else output).detach()[0]
        return hook

    def keep_input(name):
        def hook(_module, inputs):
            seen[name] = inputs[0].detach()[0]
        return hook

    for i, layer in enumerate(encoder.layer):
        at = layer.attention
        for part, module in (("q", at.self.query), ("k", at.self.key), ("v", at.self.value)):
            module.register_forward_hook(keep(f"blocks.{i}.attn.{part}"))
        at.output.dense.register_forward_pre_hook(keep_input(f"blocks.{i}.attn.z"))
        at.output.dense.register_forward_hook(keep(f"blocks.{i}.attn_out"))
        at.output.register_forward_hook(keep(f"blocks.{i}.resid_mid"))
        layer.output.dense.register_forward_hook(keep(f"blocks.{i}.mlp_out"))
        layer.register_forward_pre_hook(keep_input(f"blocks.{i}.resid_pre"))
        layer.register_forward_hook(keep(f"blocks.{i}.resid_post"))
    with torch.no_grad():
        encoder(torch.tensor(x).to(dtype)[None])
    out = {k: v.to(torch.float64).numpy() for k, v in seen.items()}
    for i in range(c["num_hidden_layers"]):
        for part in ("q", "k", "v", "z"):
            name = f"blocks.{i}.attn.{part}"
            out[name] = out[name].reshape(n, heads, d // heads).transpose(1, 0, 2)
        q, k, v = (out[f"blocks.{i}.attn.{p}"] for p in "qkv")
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(d // heads)
        pattern = np.exp(scores - scores.max(-1, keepdims=True))
        pattern /= pattern.sum(-1, keepdims=True)
        out[f"blocks.{i}.attn.scores"] = scores
        out[f"blocks.{i}.attn.pattern"] = pattern
        # The maps are ours, the weighted values Hugging Face's: they must agree.
        assert np.abs(pattern @ v - out[f"blocks.{i}.attn.z"]).max() < 1e-5
    return out


def pad(cells):
    """[cell, ...] of ragged arrays, zeros behind."""
    shape = [max(c.shape[a] for c in cells) for a in range(cells[0].ndim)]
    out = np.zeros([len(cells)] + shape, cells[0].dtype)
    for i, c in enumerate(cells):
        out[(i,) + tuple(slice(0, n) for n in c.shape)] = c
    return out


def run_cells(tokens, forward):
    """Runs `forward(ids, values, dtype)` per cell in float32 and float64; returns padded float32 tensors and the differences."""
    single = [forward(ids, values, torch.float32) for ids, values in tokens]
    double = [forward(ids, values, torch.float64) for ids, values in tokens]
    expected, differences = {}, {}
    for name in single[0]:
        expected[name] = pad([np.asarray(c[name], np.float32) for c in single])
        differences[name] = float(np.abs(pad([np.asarray(c[name], np.float64) for c in double]) - expected[name]).max())
    expected["tokens.ids"] = pad([np.asarray(ids, np.int64) for ids, _ in tokens])
    expected["tokens.values"] = pad([np.asarray(values, np.float32) for _, values in tokens])
    expected["tokens.len"] = np.asarray([len(ids) for ids, _ in tokens], np.int64)
    return expected, differences


def write_h5ad(path, counts, genes, obs):
    """A CSR AnnData file (encoding versions of anndata 0.12); `obs` are numeric columns."""
    with h5py.File(path, "w", track_order=False) as f:
        def mark(node, kind, version):
            node.attrs["encoding-type"], node.attrs["encoding-version"] = kind, version

        def frame(name, index, columns):
            group = f.create_group(name)
            mark(group, "dataframe", "0.2.0")
            group.attrs["_index"] = "_index"
            group.attrs.create("column-order", list(columns), dtype=h5py.string_dtype())
            for key, values in {"_index": index, **columns}.items():
                if isinstance(values[0], str):
                    mark(group.create_dataset(key, data=list(values), dtype=h5py.string_dtype()), "string-array", "0.2.0")
                else:
                    mark(group.create_dataset(key, data=np.asarray(values)), "array", "0.2.0")

        mark(f, "anndata", "0.1.0")
        x = f.create_group("X")
        mark(x, "csr_matrix", "0.1.0")
        x.attrs["shape"] = counts.shape
        rows = [np.nonzero(r)[0] for r in counts]
        x["indptr"] = np.concatenate([[0], np.cumsum([len(r) for r in rows])]).astype(np.int32)
        x["indices"] = np.concatenate(rows).astype(np.int32)
        x["data"] = np.concatenate([c[r] for c, r in zip(counts, rows)]).astype(np.float32)
        frame("obs", [f"cell{i}" for i in range(len(counts))], obs)
        frame("var", genes, {"ensembl_id": genes})


def make_cells(seed, genes, n_known_per_cell):
    """Small cells over `genes` = known genes first, then unknown ones: this many known genes each, and a few unknown."""
    rng = np.random.default_rng(seed)
    known = [i for i, g in enumerate(genes) if not g.startswith("ENSG009")]
    unknown = [i for i in range(len(genes)) if i not in set(known)]
    counts = np.zeros((len(n_known_per_cell), len(genes)), np.float32)
    for row, n in zip(counts, n_known_per_cell):
        row[rng.choice(known, n, replace=False)] = rng.integers(1, 60, n)
        row[rng.choice(unknown, 3, replace=False)] = rng.integers(1, 30, 3)
    return counts


def smallest_gap(tokens, first):
    """Smallest relative gap between neighbouring ranked values: an order that rounding cannot turn."""
    gaps = [1 - b / a for _, v in tokens for a, b in zip(v[first:], v[first + 1:])]
    return min(gaps)


def save_pickle(path, value):
    path.write_bytes(pickle.dumps(value, protocol=4))


def save_kit(out, manifest, expected):
    (out / "checkpoint").mkdir(parents=True, exist_ok=True)
    save_file({k: np.ascontiguousarray(v) for k, v in sorted(expected.items())}, out / "expected.safetensors")
    manifest["tolerances"] = TOLERANCES
    (out / "MANIFEST.json").write_text(json.dumps(manifest, indent=1) + "\n")
    size = sum(p.stat().st_size for p in Path(out).rglob("*") if p.is_file())
    print(f"{out}: {size / 1e6:.2f} MB, {len(expected)} tensors")


REFERENCE = {
    "kind": "independent forward made from the specification, not the authors' code",
    "blocks": "PyPI transformers 5.24.0 BertEncoder, eager attention, torch 2.15.0 on CPU, one cell at a time without padding",
    "around": "NumPy from the specification (a reading of the published source): embedding, special tokens, readouts, tokenisation",
    "therefore": "agreement shows that two implementations read the description alike; whether the description is right, it cannot show",
}

BLOCK_SITES = {
    "blocks.{i}.resid_pre": "[cell, token, d] input of the block",
    "blocks.{i}.attn.q|k|v": "[cell, head, token, d_head] output of the linears with bias, before scaling",
    "blocks.{i}.attn.scores": "[cell, head, query, key] q k^T / sqrt(d_head)",
    "blocks.{i}.attn.pattern": "[cell, head, query, key] softmax of the scores",
    "blocks.{i}.attn.z": "[cell, head, token, d_head] pattern times v (input of the output projection)",
    "blocks.{i}.attn_out": "[cell, token, d] output of attention.output.dense, before the sum and norm",
    "blocks.{i}.resid_mid": "[cell, token, d] LayerNorm(x + attn_out)",
    "blocks.{i}.mlp_out": "[cell, token, d] output of output.dense, before the sum and norm",
    "blocks.{i}.resid_post": "[cell, token, d] LayerNorm(resid_mid + mlp_out)",
}
