"""Makes this folder's kit: scCello, small and with random weights.

python make.py        (see ../../independent_bert.py for versions)
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parents[1]))
import independent_bert as bert  # noqa: E402

SEED, N_GENES = 4201, 118
CONFIG = {
    "architectures": ["PrototypeContrastiveForMaskedLM"], "attention_probs_dropout_prob": 0.02, "data_branch": "frac100",
    "hidden_act": "relu", "hidden_dropout_prob": 0.02, "hidden_size": 24, "initializer_range": 0.02, "intermediate_size": 40,
    "layer_norm_eps": 1e-12, "max_position_embeddings": 30, "model_type": "bert", "num_attention_heads": 3, "num_hidden_layers": 2,
    "pad_token_id": 0, "position_embedding_type": "absolute", "tau": 0.75, "total_logging_steps": 100, "vocab_size": N_GENES + 3,
}
TABLES = ["tf_class_embeddings", "tf_superclass_embeddings", "expbin_embeddings"]

weights = bert.Weights(SEED)
weights.embedding("bert.embeddings.", CONFIG, [(t, 1) for t in TABLES])
weights.encoder("bert.encoder.", CONFIG)
d = CONFIG["hidden_size"]
for head in ("cls", "cell_cls"):
    weights.linear(f"{head}.predictions.dense_1", d, d, 3)
    weights.norm(f"{head}.predictions.layer_norm", d)
    weights.linear(f"{head}.predictions.dense_2", d, d, 3)
state = dict(weights.state)
unused = bert.Weights(SEED + 1)
unused.normal("learned_centroid.weight", (20, d), 1)
unused.linear("affine_projection", d, d)
for name in ("cell", "prototype", "cellprot"):
    unused.linear(f"binary_ce_loss_transform_{name}", 1, 1)

rng = np.random.default_rng(SEED + 2)
known = [f"ENSG{i:011d}" for i in sorted(rng.choice(10**9, N_GENES, replace=False))]
genes = known + [f"ENSG009{i:08d}" for i in range(9)]
dictionary = {"<pad>": 0, "<mask>": 1, **{g: 2 + i for i, g in enumerate(known)}}
medians = {g: float(m) for g, m in zip(known, rng.uniform(0.3, 9, N_GENES))}
cls = len(dictionary)
counts = bert.make_cells(SEED + 3, genes, [12, 29, 30, 55, 1, 20])


def tokenise(row):
    """Ranks of count * (1e4 / total of the known genes) / median, <cls> in front, then cut to the number of positions."""
    own = {dictionary[g]: (float(x), medians[g]) for g, x in zip(genes, row) if x > 0 and g in dictionary}
    total = sum(x for x, _ in own.values())
    value = {t: x * (1e4 / total) / m for t, (x, m) in own.items()}
    order = sorted(value, key=lambda t: -value[t])
    ids = ([cls] + order)[: CONFIG["max_position_embeddings"]]
    return ids, [0.0] + [value[t] for t in ids[1:]]


def head(x, s, name, real):
    """Linear, LayerNorm, ReLU, Linear: the norm comes before the activation."""
    x = bert.linear(x, s, f"{name}.predictions.dense_1")
    p = f"{name}.predictions.layer_norm"
    x = bert.layer_norm(x, s[p + ".weight"], s[p + ".bias"], real(CONFIG["layer_norm_eps"]))
    return bert.linear(bert.relu(x), s, f"{name}.predictions.dense_2")


def forward(ids, _values, dtype):
    real = np.float32 if dtype is torch.float32 else np.float64
    s = {k: v.astype(real) for k, v in state.items()}
    e = "bert.embeddings."
    x = s[e + "word_embeddings.weight"][ids]
    for table in TABLES:
        x = x + s[f"{e}{table}.weight"][0]
    x = x + s[e + "position_embeddings.weight"][: len(ids)]
    x = bert.layer_norm(x, s[e + "LayerNorm.weight"], s[e + "LayerNorm.bias"], real(CONFIG["layer_norm_eps"]))
    out = {"embed": x, **bert.run_encoder(CONFIG, state, "bert.encoder.", x, dtype)}
    last = out[f"blocks.{CONFIG['num_hidden_layers'] - 1}.resid_post"].astype(real)
    out["cell_embedding"] = last[0]
    out["cell_embedding.cell_cls"] = bert.unit(head(last[0], s, "cell_cls", real))
    transformed = head(last, s, "cls", real)
    truth = head(s[e + "word_embeddings.weight"], s, "cls", real)
    root = np.sqrt(real(CONFIG["tau"]))
    out["readout.mlm_transform"] = transformed
    out["readout.mlm_logits"] = (bert.unit(transformed) / root) @ (bert.unit(truth) / root).T
    return out


tokens = [tokenise(row) for row in counts]
expected, differences = bert.run_cells(tokens, forward)
expected["gene_embedding"] = state["bert.embeddings.word_embeddings.weight"]

folder = HERE / "checkpoint"
folder.mkdir(exist_ok=True)
(folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
tensors = {k: torch.tensor(v) for k, v in {**state, **unused.state}.items()}
# The bias of dense_2 is registered twice in the published module; safetensors keeps one of the two names.
for h in ("cls", "cell_cls"):
    tensors[f"{h}.predictions.bias"] = tensors.pop(f"{h}.predictions.dense_2.bias")
tensors["cell_type_ancestor_mask"] = torch.zeros(20, 20, dtype=torch.int64)
tensors["ctgraph_sim"] = torch.zeros(20, 20)
tensors["bert.embeddings.position_ids"] = torch.arange(CONFIG["max_position_embeddings"])[None]
save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
bert.save_pickle(folder / "token_dictionary.pkl", dictionary)
bert.save_pickle(folder / "gene_median_dictionary.pkl", {k: np.float64(v) for k, v in medians.items()})
(folder / "vocab_id2name.csv").write_text("id,name\n" + "".join(f"{g},SYM{i}\n" for i, g in enumerate(known)))
bert.write_h5ad(HERE / "cells.h5ad", counts, genes, {"n_counts": counts.sum(1).astype(np.float64)})
bert.save_kit(HERE, {
    "family": "sccello",
    "case": HERE.name,
    "reference": bert.REFERENCE,
    "config": CONFIG,
    "layout": "config.json and model.safetensors as save_pretrained of PrototypeContrastiveForMaskedLM would write them; training-only "
              "tensors are there with made-up sizes, to be ignored",
    "seed": SEED,
    "norm_placement": "post-LN, norm on the embedding, no final norm",
    "sites": {
        "tokens.ids": "[cell, token] <cls> (= size of the dictionary) first, then genes by rank, cut to the positions; right padded with 0",
        "tokens.values": "[cell, token] count * (1e4 / total) / median, 0 for <cls>; the total is over the genes of the dictionary",
        "embed": "[cell, token, d] LayerNorm(word + tf_class 0 + tf_superclass 0 + expbin 0 + position)",
        **bert.BLOCK_SITES,
        "cell_embedding": "[cell, d] position 0 after the last block",
        "cell_embedding.cell_cls": "[cell, d] position 0 through cell_cls (Linear, LayerNorm, ReLU, Linear), divided by its length",
        "readout.mlm_transform": "[cell, token, d] every position through cls (same shape as cell_cls)",
        "readout.mlm_logits": "[cell, token, vocab] cosine of readout.mlm_transform and the word table through cls, divided by tau",
        "gene_embedding": "[token, d] word table",
    },
    "tokenisation": {
        "cells": "obs n_counts is the total over all genes, which this family does not use",
        "smallest_relative_gap": bert.smallest_gap(tokens, 1),
    },
    "checks": {"float64_vs_float32_max_abs": differences},
}, expected)
