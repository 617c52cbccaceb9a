"""Independent forward passes of GPT-shaped single-cell models, for kits of families whose authors' code was not run.

tGPT and GeneRAIN-GPT are Hugging Face's own `GPT2LMHeadModel` (eager attention) on CPU; scMulan is written in NumPy from the published
description, in double precision. What surrounds the networks (how a cell becomes tokens, what is pooled) is written here from the
specification, so a mistake of the specification would be in the kit and in the reader alike: MANIFEST.json says so.

Used by the generators beside the kits. Pinned: torch 2.15.0, transformers 5.24.0, tokenizers 0.23.3, numpy 2.4.6, anndata 0.12.19,
scipy 1.17.1, pandas 2.3.3, safetensors 0.8.0.
"""

import json
import math
from pathlib import Path

import anndata
import numpy as np
import pandas
import scipy.sparse
from safetensors.numpy import save_file

NOTE = (
    "Not the authors' code: an independent forward pass made from the specification of the model. Weights are random, in the published "
    "layout. Agreement shows that two implementations of the specification agree, not that the specification is right."
)
DEFAULT = {"abs": 5e-6, "rel": 1e-5, "reason": "float32 of two implementations"}
TOKENS = {"abs": 0, "rel": 0, "reason": "whole numbers"}


class Weights:
    """Random weights in the order in which they are asked for. Linear maps are `[n_in, n_out]` where `conv` is set."""

    def __init__(self, seed, conv):
        self.rng = np.random.default_rng(seed)
        self.conv = conv
        self.state = {}

    def normal(self, name, shape, sd, mean=0.0):
        self.state[name] = (mean + sd * self.rng.standard_normal(shape)).astype(np.float32)

    def linear(self, name, n_out, n_in, gain=1.0):
        shape = (n_in, n_out) if self.conv else (n_out, n_in)
        self.normal(name + ".weight", shape, gain / math.sqrt(n_in))
        self.normal(name + ".bias", (n_out,), 0.1)

    def norm(self, name, d):
        self.normal(name + ".weight", (d,), 0.2, 1.0)
        self.normal(name + ".bias", (d,), 0.1)

    def stack(self, prefix, n_blocks, d, f, into_stream):
        """Queries and keys wide enough that attention is far from even, hidden values where the GELUs differ, and sub-layers that add
        little, so that the variance under every norm is small enough for its epsilon to show."""
        for i in range(n_blocks):
            b = f"{prefix}h.{i}."
            self.norm(b + "ln_1", d)
            self.linear(b + "attn.c_attn", 3 * d, d, 1.4)
            self.linear(b + "attn.c_proj", d, d, into_stream)
            self.state[b + "attn.c_proj.bias"] *= np.float32(into_stream)
            self.norm(b + "ln_2", d)
            self.linear(b + "mlp.c_fc", f, d, 1.5)
            self.linear(b + "mlp.c_proj", d, f, into_stream)
            self.state[b + "mlp.c_proj.bias"] *= np.float32(into_stream)
        self.norm(prefix + "ln_f", d)


def counts(seed, n_cells, n_genes, share):
    """Counts with many ties, as in real cells; cell 0 has everything, the last two are nearly empty."""
    rng = np.random.default_rng(seed)
    x = rng.poisson(rng.gamma(0.7, 4.0, (n_cells, n_genes))) * (rng.random((n_cells, n_genes)) < share)
    x[0] = rng.poisson(6.0, n_genes) + 1
    x[-2] = 0
    x[-2, [1, 7]] = 3, 2
    x[-1] = 0
    x[-1, 5] = 4
    return x.astype(np.float32)


def write_cells(path, x, genes):
    obs = pandas.DataFrame(index=[f"cell{i}" for i in range(len(x))])
    var = pandas.DataFrame(index=list(genes))
    anndata.AnnData(scipy.sparse.csr_matrix(x), obs=obs, var=var).write_h5ad(path)


def hugging_face(config, state, ids, attention_mask=None):
    """Every site of one cell through `GPT2LMHeadModel`; `state` under its own names."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.set_num_threads(1)
    c = GPT2Config(**{k: v for k, v in config.items() if k not in ("architectures", "model_type")}, bos_token_id=None, eos_token_id=None)
    c._attn_implementation = "eager"
    model = GPT2LMHeadModel(c).eval()
    own = {k: torch.tensor(v) for k, v in state.items()}
    missing, unexpected = model.load_state_dict(own, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    model.tie_weights()
    n, d, heads = len(ids), c.n_embd, c.n_head
    seen = {}

    def first(x):
        return (x[0] if isinstance(x, tuple) else x).detach()[0].numpy()

    def out(name):
        return lambda _m, _i, output: seen.__setitem__(name, first(output))

    def into(name):
        return lambda _m, inputs: seen.__setitem__(name, first(inputs))

    for i, block in enumerate(model.transformer.h):
        b = f"blocks.{i}."
        block.register_forward_pre_hook(into(b + "resid_pre"))
        block.register_forward_hook(out(b + "resid_post"))
        block.attn.c_attn.register_forward_hook(out(b + "qkv"))
        block.attn.c_proj.register_forward_pre_hook(into(b + "z"))
        block.attn.c_proj.register_forward_hook(out(b + "attn_out"))
        block.ln_2.register_forward_pre_hook(into(b + "resid_mid"))
        block.mlp.register_forward_hook(out(b + "mlp_out"))
    mask = None if attention_mask is None else torch.tensor([attention_mask])
    with torch.no_grad():
        result = model(input_ids=torch.tensor([ids]), attention_mask=mask, output_attentions=True, output_hidden_states=True)
    split = lambda x: x.reshape(n, heads, d // heads).transpose(1, 0, 2)
    sites = {"embed": seen["blocks.0.resid_pre"], "final_norm": result.hidden_states[-1][0].numpy()}
    for i in range(c.n_layer):
        b = f"blocks.{i}."
        q, k, v = (split(x) for x in np.split(seen[b + "qkv"], 3, axis=-1))
        sites |= {b + "attn.q": q, b + "attn.k": k, b + "attn.v": v, b + "attn.z": split(seen[b + "z"])}
        sites[b + "attn.scores"] = causal_scores(q, k)
        sites[b + "attn.pattern"] = result.attentions[i][0].numpy()
        for name in ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post"):
            sites[b + name] = seen[b + name]
    sites["readout.lm_logits"] = result.logits[0].numpy()
    return sites


def causal_scores(q, k):
    """Scores of `[head, token, d_head]` queries and keys; what comes later is hidden by minus infinity."""
    scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
    scores[:, np.triu(np.ones(scores.shape[1:], bool), 1)] = -np.inf
    return scores


def norm(x, w, b, eps):
    mean = x.mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + eps) * w + b


def nano_gpt(state, prefix, x, n_heads, eps):
    """All sites of nanoGPT's stack for one cell's input `x` [token, d], in double precision; maps are `[n_out, n_in]`."""
    w = {k: v.astype(np.float64) for k, v in state.items()}
    linear = lambda x, name: x @ w[prefix + name + ".weight"].T + w[prefix + name + ".bias"]
    ln = lambda x, name: norm(x, w[prefix + name + ".weight"], w[prefix + name + ".bias"], eps)
    n, d = x.shape
    split = lambda x: x.reshape(n, n_heads, d // n_heads).transpose(1, 0, 2)
    sites = {"embed": x}
    i = 0
    while f"{prefix}h.{i}.ln_1.weight" in w:
        b = f"blocks.{i}."
        q, k, v = (split(part) for part in np.split(linear(ln(x, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn"), 3, axis=-1))
        scores = causal_scores(q, k)
        e = np.exp(scores - scores.max(-1, keepdims=True))
        pattern = e / e.sum(-1, keepdims=True)
        z = pattern @ v
        attn_out = linear(z.transpose(1, 0, 2).reshape(n, d), f"h.{i}.attn.c_proj")
        mid = x + attn_out
        h = linear(ln(mid, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc")
        h = 0.5 * h * (1 + np.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
        mlp_out = linear(h, f"h.{i}.mlp.c_proj")
        sites |= {b + "attn.q": q, b + "attn.k": k, b + "attn.v": v, b + "attn.scores": scores}
        sites |= {b + "attn.pattern": pattern, b + "attn.z": z, b + "resid_pre": x}
        sites |= {b + "attn_out": attn_out, b + "resid_mid": mid, b + "mlp_out": mlp_out}
        x = mid + mlp_out
        sites[b + "resid_post"] = x
        i += 1
    sites["final_norm"] = ln(x, "ln_f")
    return sites


def padded(arrays):
    """One array per cell to one tensor, zeros behind every cell."""
    shape = [max(a.shape[i] for a in arrays) for i in range(arrays[0].ndim)]
    out = np.zeros([len(arrays), *shape], arrays[0].dtype)
    for i, a in enumerate(arrays):
        out[(i, *map(slice, a.shape))] = a
    return out


def write_kit(folder, family, case, cells, ids, values, extra, manifest, tolerances):
    """`cells` are the sites of every cell; `extra` are further tensors."""
    tensors = {name: padded([c[name] for c in cells]).astype(np.float32) for name in cells[0]}
    tensors["tokens.ids"] = padded([np.array(i, np.int64) for i in ids])
    tensors["tokens.values"] = padded([np.array(v, np.float32) for v in values])
    tensors["tokens.len"] = np.array([len(i) for i in ids], np.int64)
    tensors |= extra
    expected = Path(folder) / "expected.safetensors"
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, expected)
    expected.chmod(0o644)
    text = {"family": family, "case": case, "made_by": NOTE, **manifest}
    text["tolerances"] = tolerances
    (Path(folder) / "MANIFEST.json").write_text(json.dumps(text, indent=1) + "\n")
