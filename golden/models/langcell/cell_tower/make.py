"""Makes this folder's kit: the cell tower of LangCell, small and with random weights.

python make.py        (see ../../independent_bert.py for versions)
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parents[1]))
import independent_bert as bert  # noqa: E402

SEED, N_GENES, PROJECTED = 4101, 118, 16
CONFIG = {
    "architectures": ["BertForMaskedLM"], "attention_probs_dropout_prob": 0.02, "hidden_act": "relu", "hidden_dropout_prob": 0.02,
    "hidden_size": 24, "initializer_range": 0.02, "intermediate_size": 40, "layer_norm_eps": 1e-12, "max_position_embeddings": 30,
    "model_type": "bert", "num_attention_heads": 3, "num_hidden_layers": 2, "pad_token_id": 0,
    "position_embedding_type": "absolute", "type_vocab_size": 2, "vocab_size": N_GENES + 3,
}

weights = bert.Weights(SEED)
weights.embedding("bert.embeddings.", CONFIG, [("token_type_embeddings", 2)])
weights.encoder("bert.encoder.", CONFIG)
state = dict(weights.state)
projection = bert.Weights(SEED + 1)
projection.linear("proj", PROJECTED, CONFIG["hidden_size"])

# Genes: those of the dictionary, then some that it lacks.
rng = np.random.default_rng(SEED + 2)
known = [f"ENSG{i:011d}" for i in sorted(rng.choice(10**9, N_GENES, replace=False))]
genes = known + [f"ENSG009{i:08d}" for i in range(9)]
dictionary = {"<pad>": 0, "<mask>": 1, **{g: 2 + i for i, g in enumerate(known)}}
medians = {g: float(m) for g, m in zip(known, rng.uniform(0.3, 9, N_GENES))}
cls = len(dictionary)
counts = bert.make_cells(SEED + 3, genes, [12, 29, 30, 55, 1, 20])
n_counts = counts.sum(1)


def tokenise(row, total):
    """Ranks of count / total * 1e4 / median, <cls> in front, then cut to the number of positions."""
    value = {dictionary[g]: float(x) / float(total) * 1e4 / medians[g] for g, x in zip(genes, row) if x > 0 and g in dictionary}
    order = sorted(value, key=lambda t: -value[t])
    ids = ([cls] + order)[: CONFIG["max_position_embeddings"]]
    return ids, [0.0] + [value[t] for t in ids[1:]]


def forward(ids, _values, dtype):
    real = np.float32 if dtype is torch.float32 else np.float64
    s = {k: v.astype(real) for k, v in state.items()}
    e = "bert.embeddings."
    x = s[e + "word_embeddings.weight"][ids] + s[e + "token_type_embeddings.weight"][0]
    x = x + s[e + "position_embeddings.weight"][: len(ids)]
    x = bert.layer_norm(x, s[e + "LayerNorm.weight"], s[e + "LayerNorm.bias"], real(CONFIG["layer_norm_eps"]))
    out = {"embed": x, **bert.run_encoder(CONFIG, state, "bert.encoder.", x, dtype)}
    last = out[f"blocks.{CONFIG['num_hidden_layers'] - 1}.resid_post"]
    out["cell_embedding.cls"] = last[0]
    out["cell_embedding"] = bert.unit(bert.linear(last[0], {k: v.astype(real) for k, v in projection.state.items()}, "proj"))
    return out


tokens = [tokenise(row, total) for row, total in zip(counts, n_counts)]
expected, differences = bert.run_cells(tokens, forward)
expected["gene_embedding"] = state["bert.embeddings.word_embeddings.weight"]

tower = HERE / "checkpoint" / "cell_bert"
tower.mkdir(parents=True, exist_ok=True)
(tower / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
torch.save({**{k: torch.tensor(v) for k, v in state.items()},
            "bert.embeddings.position_ids": torch.arange(CONFIG["max_position_embeddings"])[None]}, tower / "pytorch_model.bin")
torch.save({k.removeprefix("proj."): torch.tensor(v) for k, v in projection.state.items()}, HERE / "checkpoint" / "cell_proj.bin")
bert.save_pickle(HERE / "checkpoint" / "token_dictionary.pkl", dictionary)
bert.save_pickle(HERE / "checkpoint" / "gene_median_dictionary.pkl", {k: np.float64(v) for k, v in medians.items()})
bert.save_pickle(HERE / "checkpoint" / "gene_name_id_dict.pkl", {f"SYM{i}": g for i, g in enumerate(known)})
bert.write_h5ad(HERE / "cells.h5ad", counts, genes, {"n_counts": n_counts.astype(np.float64)})
bert.save_kit(HERE, {
    "family": "langcell",
    "case": HERE.name,
    "reference": bert.REFERENCE,
    "config": CONFIG,
    "projected": PROJECTED,
    "layout": "checkpoint/cell_bert/{config.json,pytorch_model.bin} (HF BertModel without pooler), checkpoint/cell_proj.bin (weight, bias "
              "of Linear(hidden, projected)); text_bert, text_proj.bin and ctm_head.bin of the published folder are left out",
    "seed": SEED,
    "norm_placement": "post-LN, norm on the embedding, no final norm",
    "sites": {
        "tokens.ids": "[cell, token] <cls> (= size of the dictionary) first, then genes by rank, cut to the positions; right padded with 0",
        "tokens.values": "[cell, token] count / n_counts * 1e4 / median, 0 for <cls>",
        "embed": "[cell, token, d] LayerNorm(word + token type 0 + position)",
        **bert.BLOCK_SITES,
        "cell_embedding": "[cell, projected] Linear(hidden, projected) of position 0 after the last block, divided by its length",
        "cell_embedding.cls": "[cell, d] position 0 after the last block",
        "gene_embedding": "[token, d] word table",
    },
    "tokenisation": {
        "cells": "n_counts is the total over all genes, known or not; the third cell has exactly as many known genes as positions",
        "smallest_relative_gap": bert.smallest_gap(tokens, 1),
    },
    "checks": {"float64_vs_float32_max_abs": differences},
}, expected)
