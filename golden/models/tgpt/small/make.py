"""Makes this kit: a small tGPT in the published layout, run by Hugging Face's GPT-2 over Hugging Face's tokeniser."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))
import independent_gpt as gpt  # noqa: E402

D, HEADS, BLOCKS, WINDOW = 24, 3, 2, 32

symbols = ["HLA-A", "HLA-DRB1", "RP11-34P13.7", "ACTB", "MT2A"] + [f"GENE{i}" for i in range(55)]
unknown = ["RPL3", "MT-CO1", "RPS27", "AC000.1"]
words = ["<pad>", "</b>", "</s>", "<unk>"] + [re.sub(r"-|\.", "_", s) for s in symbols]
rng = np.random.default_rng(3)
genes = list(rng.permutation(symbols + unknown))

checkpoint = HERE / "checkpoint"
checkpoint.mkdir(exist_ok=True)
marker = lambda t: {"SpecialToken": {"id": t, "type_id": 0}}
special = lambda t: {"id": t, "ids": [words.index(t)], "tokens": [t]}
added = [{"id": i, "special": True, "content": w, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
         for i, w in enumerate(words[:4])]
tokenizer = {
    "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": {
        "type": "TemplateProcessing",
        "single": [marker("</b>"), {"Sequence": {"id": "A", "type_id": 0}}, marker("</s>")],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {t: special(t) for t in ("</b>", "</s>")},
    },
    "decoder": None,
    "model": {"type": "WordLevel", "vocab": {w: i for i, w in enumerate(words)}, "unk_token": "<unk>"},
}
(checkpoint / "tokenizer.json").write_text(json.dumps(tokenizer))
config = {
    "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "layer_norm_epsilon": 1e-5, "model_type": "gpt2",
    "n_embd": D, "n_head": HEADS, "n_inner": None, "n_layer": BLOCKS, "n_positions": WINDOW, "vocab_size": len(words),
}
(checkpoint / "config.json").write_text(json.dumps(config, indent=1) + "\n")

weights = gpt.Weights(11, conv=True)
weights.normal("transformer.wte.weight", (len(words), D), 0.01)
weights.normal("transformer.wpe.weight", (WINDOW, D), 0.006)
weights.stack("transformer.", BLOCKS, D, 4 * D, 0.02)
state = weights.state
stored = {k: torch.tensor(v) for k, v in state.items()}
# Buffers and the tied map, as files of the library's version of 2021 hold them.
for i in range(BLOCKS):
    stored[f"transformer.h.{i}.attn.bias"] = torch.tril(torch.ones(WINDOW, WINDOW, dtype=torch.uint8)).view(1, 1, WINDOW, WINDOW)
    stored[f"transformer.h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
stored["lm_head.weight"] = stored["transformer.wte.weight"]
torch.save(stored, checkpoint / "pytorch_model.bin")

x = gpt.counts(5, 5, len(genes), 0.4)
gpt.write_cells(HERE / "cells.h5ad", x, genes)

reader = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
reader.enable_truncation(WINDOW)
cells, ids, values, vectors = [], [], [], []
for row in x:
    known = [(g, v) for g, v in zip(genes, row) if v > 0 and g in symbols]
    known.sort(key=lambda p: (-p[1], words.index(re.sub(r"-|\.", "_", p[0]))))
    text = re.sub(r"-|\.", "_", " ".join(g for g, _ in known))
    encoded = reader.encode(text).ids
    sites = gpt.hugging_face(config, state, encoded)
    cells.append(sites)
    ids.append(encoded)
    values.append([0.0, *(v for _, v in known[: len(encoded) - 2]), 0.0])
    end = len(encoded) - 1
    vectors.append(sites["final_norm"][1:end].astype(np.float64).mean(0))

manifest = {
    "reference": {
        "specification": "tGPT (deeplearningplus/tGPT@9714a98): stock GPT-2, word-level tokeniser, mean of the genes' last hidden states",
        "network": "PyPI transformers 5.24.0 GPT2LMHeadModel, eager attention", "tokeniser": "PyPI tokenizers 0.23.3",
    },
    "config": {"layers": BLOCKS, "d_model": D, "heads": HEADS, "ffn": 4 * D, "vocab": len(words), "max_len": WINDOW, "eps": 1e-5},
    "sites": {
        "tokens.ids": "[cell, token] </b>, genes of the vocabulary by falling count (ties by token), </s>; the window is the model's positions",
        "tokens.values": "[cell, token] counts, 0 for the markers",
        "cell_embedding": "[cell, d] mean of final_norm over the genes",
        "readout.lm_logits": "[cell, token, vocab]",
        "gene_embedding": "[vocab, d] the word table",
    },
    "seed": 11,
}
tolerances = {
    "embed": {"abs": 1e-8, "rel": 1e-6, "reason": "one addition"},
    "tokens.*": gpt.TOKENS,
    "default": gpt.DEFAULT,
}
extra = {"cell_embedding": np.array(vectors, np.float32), "gene_embedding": state["transformer.wte.weight"]}
gpt.write_kit(HERE, "tgpt", "small", cells, ids, values, extra, manifest, tolerances)
