"""Makes this kit: a small scMulan in the published layout, run by a NumPy forward pass with greedy generation."""

import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))
import independent_gpt as gpt  # noqa: E402

D, HEADS, BLOCKS, LEVELS, N_GENES = 24, 3, 2, 10, 30

rng = np.random.default_rng(17)
gene_set = [f"GENE{i}" for i in rng.permutation(N_GENES)]
types = ["T cell", "CD4 T cell", "B cell", "Plasma cell", "Hepatocyte"]
# Token numbers follow their own order; 0 is the end.
token_set = ["<#E#>", "<PCT>", "<CG>", *types, *(f"GENE{i}" for i in rng.permutation(N_GENES)), "<SP1>"]
genes = list(rng.permutation(gene_set + ["NOTINIT1", "NOTINIT2", "MT-CO1"]))
PCT, END = token_set.index("<PCT>"), 0

checkpoint = HERE / "checkpoint"
checkpoint.mkdir(exist_ok=True)
weights = gpt.Weights(23, conv=False)
weights.normal("transformer.wte.weight", (len(token_set), D), 0.01)
weights.normal("transformer.wee.weight", (LEVELS + 1, D), 0.01)
weights.stack("transformer.", BLOCKS, D, 4 * D, 0.02)
weights.normal("lm_head.weight", (len(token_set), D), 0.5)
weights.normal("epx_head.weight", (len(token_set), D), 1.5)
state = weights.state
# Ends, types and genes all come up.
state["lm_head.weight"][: 3 + len(types)] *= 1.6
state["lm_head.weight"][0] *= 1.0
args = {
    "block_size": 1000, "vocab_size": len(token_set), "n_layer": BLOCKS, "n_head": HEADS, "n_embd": D, "dropout": 0.0, "bias": True,
    "train_mode": "pretrain", "expression_level": LEVELS, "ele": 1,
}
saved = {"model": {k: torch.tensor(v) for k, v in state.items()}, "model_args": args, "iter_num": 3}
torch.save(saved, checkpoint / "ckpt_scMulan.pt")
meta = {"token_set": token_set, "gene_set": gene_set, "cell_type": set(types[1:]), "MCT": {types[0]}}
torch.save(meta, checkpoint / "meta_info.pt")

x = gpt.counts(7, 8, len(genes), 0.5)
gpt.write_cells(HERE / "cells.h5ad", x, genes)


def forward(ids, bins):
    w = {k: v.astype(np.float64) for k, v in state.items()}
    embedded = w["transformer.wte.weight"][ids] + w["transformer.wee.weight"][bins]
    sites = gpt.nano_gpt(state, "transformer.", embedded, HEADS, 1e-5)
    last = sites["final_norm"]
    return sites, last @ w["lm_head.weight"].T, last @ w["epx_head.weight"].T


cells, all_ids, all_bins, vectors, tasks, generated = [], [], [], [], [], []
margin = np.inf
for row in x:
    value = {g: np.log1p(v / row.sum() * 1e4) for g, v in zip(genes, row) if v > 0}
    expressed = [g for g in gene_set if g in value][::-1]
    levels = np.array([value[g] for g in expressed], np.float32)
    bins = np.digitize(levels, np.linspace(0, np.max(levels), LEVELS + 1), right=True).tolist() + [0]
    ids = [token_set.index(g) for g in expressed] + [PCT]
    all_ids.append(ids)
    all_bins.append(bins)
    sites, logits, expression = forward(ids, bins)
    cells.append(sites | {"readout.lm_logits": logits, "readout.expression": expression})
    tasks.append(sites["final_norm"][-1])
    ids, bins, new = list(ids), list(bins), []
    limit = len(ids) + 3
    while True:
        sites, logits, expression = forward(ids, bins)
        step = logits[-1].copy()
        step[ids[:-1]] = -np.inf
        top = np.sort(step)[-2:]
        margin = min(margin, top[1] - top[0])
        token = int(np.argmax(step))
        new.append(token)
        ids.append(token)
        bins.append(int(np.clip(np.round(expression[-1, token]), 0, 10)))
        if token == END or len(ids) >= limit:
            break
    vectors.append(sites["final_norm"][-2])
    generated.append(new + [-1] * (3 - len(new)))
print("generated", generated, "smallest margin", margin)
assert margin > 1e-3 and any(END in g[:2] for g in generated) and any(-1 not in g for g in generated)

manifest = {
    "reference": {
        "specification": "scMulan (SuperBianC/scMulan@d64da5e): nanoGPT without positions, words plus expression levels, greedy generation",
        "network": "NumPy in float64, written for this kit",
    },
    "config": {"layers": BLOCKS, "d_model": D, "heads": HEADS, "ffn": 4 * D, "vocab": len(token_set), "levels": LEVELS, "eps": 1e-5},
    "sites": {
        "tokens.ids": "[cell, token] expressed genes of gene_set from its end to its beginning, then <PCT>",
        "tokens.values": "[cell, token] bins of log1p(count / total * 1e4), 0 for <PCT>; the total is over all genes of the file",
        "cell_embedding": "[cell, d] final_norm of the last pass of the generation at its last position but one",
        "cell_embedding.task_token": "[cell, d] final_norm at <PCT> (not the reference's vector)",
        "readout.lm_logits": "[cell, token, vocab]",
        "readout.expression": "[cell, token, vocab] epx_head",
        "readout.generated": "[cell, 3] generated tokens, -1 behind the end",
        "gene_embedding": "[vocab, d] the word table",
    },
    "checks": {"smallest_margin_of_a_generated_token": float(margin)},
    "seed": 23,
}
tolerances = {
    "embed": {"abs": 1e-8, "rel": 1e-6, "reason": "one addition"},
    "tokens.*": gpt.TOKENS,
    "readout.*": {"abs": 4e-5, "rel": 1e-5, "reason": "24 products with weights up to 5 of a state whose own rounding is 1.5e-6"},
    "default": gpt.DEFAULT,
}
extra = {
    "cell_embedding": np.array(vectors, np.float32),
    "cell_embedding.task_token": np.array(tasks, np.float32),
    "readout.generated": np.array(generated, np.int64),
    "gene_embedding": state["transformer.wte.weight"],
}
gpt.write_kit(HERE, "scmulan", "small", cells, all_ids, all_bins, extra, manifest, tolerances)
