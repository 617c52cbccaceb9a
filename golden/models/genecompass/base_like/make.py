"""Makes this folder's kit: GeneCompass on human cells, small and with random weights and prior knowledge.

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

SEED, N_HUMAN, N_MOUSE = 4301, 92, 24
PRIORS = {"promoter": 24, "co_exp": 10, "gene_family": 14, "peca_grn": 7}
CONFIG = {
    "architectures": ["BertForMaskedLM"], "attention_probs_dropout_prob": 0.02, "hidden_act": "gelu", "hidden_dropout_prob": 0.02,
    "hidden_size": 24, "initializer_range": 0.02, "intermediate_size": 40, "layer_norm_eps": 1e-12, "max_position_embeddings": 28,
    "model_type": "bert", "num_attention_heads": 3, "num_hidden_layers": 2, "pad_token_id": 0,
    "position_embedding_type": "absolute", "type_vocab_size": 2, "vocab_size": N_HUMAN + N_MOUSE + 2,
    "use_values": True, "use_promoter": True, "use_co_exp": True, "use_gene_family": True, "use_peca_grn": True, "use_cls_token": True,
    "warmup_steps": 10000, "emb_warmup_steps": 10000,
}
d, n = CONFIG["hidden_size"], CONFIG["vocab_size"]
CLS = n  # the species token has no number of its own; the kit counts it behind the dictionary

weights = bert.Weights(SEED)
weights.embedding("bert.embeddings.", CONFIG, [("token_type_embeddings", 2)])
for kind, width in PRIORS.items():
    weights.normal(f"bert.embeddings.{kind}_knowledge", (n, width), 1)[:2] = 0
    weights.linear(f"bert.embeddings.{kind}_embeddings.linear1", d, width, 0.1)
m = "bert.embeddings.concat_embeddings."
weights.linear(m + "cat_fc", d, (1 + len(PRIORS)) * d + 1, 0.5)
weights.state[m + "cat_fc.weight"][:, d] *= 0.3
weights.norm(m + "cat_ln", d)
weights.state[m + "cat_ln.weight"] *= 10
weights.linear(m + "cat_proj", d, d, 0.1)
weights.normal("bert.cls_embedding.weight", (2, d), 0.1)
weights.encoder("bert.encoder.", CONFIG)
weights.normal("cls.predictions.bias", (n,), 0.2)
weights.normal("cls4value.predictions.bias", (1,), 0.2)
for head in ("cls", "cls4value"):
    weights.linear(f"{head}.predictions.transform.dense", d, d, 3)
    weights.norm(f"{head}.predictions.transform.LayerNorm", d)
weights.normal("cls4value.predictions.decoder.weight", (1, d), 0.3)
state = dict(weights.state)

rng = np.random.default_rng(SEED + 2)
human = [f"ENSG{i:011d}" for i in sorted(rng.choice(10**9, N_HUMAN, replace=False))]
mouse = [f"ENSMUSG{i:011d}" for i in sorted(rng.choice(10**9, N_MOUSE, replace=False))]
genes = human + [f"ENSG009{i:08d}" for i in range(9)]
dictionary = {"<pad>": 0, "<mask>": 1, **{g: 2 + i for i, g in enumerate(human + mouse)}}
# Five human genes and every mouse gene have no median: they are divided by 1.
medians = {g: float(v) for g, v in list(zip(human, rng.uniform(0.3, 9, N_HUMAN)))[5:]}
counts = bert.make_cells(SEED + 3, genes, [12, 27, 28, 55, 1, 20])
counts[1, :5] = [2, 3, 5, 7, 11]


def tokenise(row):
    """Ranks of log2(1 + count / median), without any scaling to a total; cut to the positions, then the species token in front."""
    value = {dictionary[g]: np.log1p(float(x) / medians.get(g, 1.0)) / np.log(2) for g, x in zip(genes, row) if x > 0 and g in dictionary}
    order = sorted(value, key=lambda t: -value[t])[: CONFIG["max_position_embeddings"]]
    return [CLS] + order, [0.0] + [value[t] for t in order]


def forward(ids, values, dtype):
    real = np.float32 if dtype is torch.float32 else np.float64
    s = {k: v.astype(real) for k, v in state.items()}
    e, own, v = "bert.embeddings.", ids[1:], np.asarray(values[1:], np.float32).astype(real)
    parts = [s[e + "word_embeddings.weight"][own], v[:, None]]
    parts += [bert.linear(s[f"{e}{k}_knowledge"][own], s, f"{e}{k}_embeddings.linear1") for k in PRIORS]
    x = bert.linear(np.concatenate(parts, 1), s, m + "cat_fc")
    x = bert.quick_gelu(bert.layer_norm(x, s[m + "cat_ln.weight"], s[m + "cat_ln.bias"], real(1e-5)))
    x = bert.linear(x, s, m + "cat_proj")
    x = x + s[e + "token_type_embeddings.weight"][0] + s[e + "position_embeddings.weight"][: len(own)]
    x = bert.layer_norm(x, s[e + "LayerNorm.weight"], s[e + "LayerNorm.bias"], real(CONFIG["layer_norm_eps"]))
    x = np.concatenate([s["bert.cls_embedding.weight"][:1], x])
    out = {"embed": x, **bert.run_encoder(CONFIG, state, "bert.encoder.", x, dtype)}
    last = out[f"blocks.{CONFIG['num_hidden_layers'] - 1}.resid_post"].astype(real)
    out["cell_embedding"] = last[0]
    out["cell_embedding.gene_mean"] = last[1:].mean(0)

    def transform(name):
        h = bert.gelu(bert.linear(last, s, name + ".dense"))
        return bert.layer_norm(h, s[name + ".LayerNorm.weight"], s[name + ".LayerNorm.bias"], real(CONFIG["layer_norm_eps"]))

    h = transform("cls.predictions.transform")
    out["readout.mlm_transform"] = h
    out["readout.mlm_logits"] = h @ s[e + "word_embeddings.weight"].T + s["cls.predictions.bias"]
    h = transform("cls4value.predictions.transform")
    out["readout.value"] = (h @ s["cls4value.predictions.decoder.weight"].T + s["cls4value.predictions.bias"])[:, 0]
    return out


tokens = [tokenise(row) for row in counts]
expected, differences = bert.run_cells(tokens, forward)
expected["gene_embedding"] = state["bert.embeddings.word_embeddings.weight"]

folder = HERE / "checkpoint"
folder.mkdir(exist_ok=True)
(folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
tensors = {k: torch.tensor(v) for k, v in state.items()}
tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
for head in ("cls", "cls4value"):
    tensors[f"{head}.predictions.decoder.bias"] = tensors[f"{head}.predictions.bias"]
tensors["bert.embeddings.position_ids"] = torch.arange(CONFIG["max_position_embeddings"])[None]
tensors["bert.embeddings.homologous_index"] = torch.arange(n)
torch.save(tensors, folder / "pytorch_model.bin")
bert.save_pickle(folder / "human_mouse_tokens.pickle", dictionary)
bert.save_pickle(folder / "human_gene_median_after_filter.pickle", {k: np.float64(v) for k, v in medians.items()})
bert.save_pickle(folder / "Gene_id_name_dict.pickle", {g: f"SYM{i}" for i, g in enumerate(human + mouse)})
bert.write_h5ad(HERE / "cells.h5ad", counts, genes, {"n_counts": counts.sum(1).astype(np.float64)})
bert.save_kit(HERE, {
    "family": "genecompass",
    "case": HERE.name,
    "reference": bert.REFERENCE,
    "config": CONFIG,
    "layout": "config.json and pytorch_model.bin as save_pretrained of BertForMaskedLM would write them, buffers of prior knowledge included "
              "(that published files hold these is not verified); dictionaries under their published names",
    "seed": SEED,
    "norm_placement": "post-LN, norm on the embedding of genes, none on the species token, no final norm",
    "sites": {
        "tokens.ids": "[cell, token] species token of human (numbered vocab_size here) first, then genes by rank; right padded with 0",
        "tokens.values": "[cell, token] log2(1 + count / median), median 1 where there is none; 0 for the species token",
        "embed": "[cell, token, d] row 0 of cls_embedding, then LayerNorm(mix + token type 0 + position), positions counted from the first "
                 "gene; mix = cat_proj(quick_gelu(LayerNorm(cat_fc [word; value; priors through linear1], eps 1e-5)))",
        **bert.BLOCK_SITES,
        "cell_embedding": "[cell, d] position 0 after the last block",
        "cell_embedding.gene_mean": "[cell, d] mean over the genes after the last block",
        "readout.mlm_transform": "[cell, token, d] LayerNorm(gelu(dense)) of cls",
        "readout.mlm_logits": "[cell, token, vocab] decoder tied to the word table, with bias",
        "readout.value": "[cell, token] the same kind of head with one output (cls4value)",
        "gene_embedding": "[token, d] word table",
    },
    "tokenisation": {"smallest_relative_gap": bert.smallest_gap(tokens, 1)},
    "checks": {"float64_vs_float32_max_abs": differences},
}, expected)
