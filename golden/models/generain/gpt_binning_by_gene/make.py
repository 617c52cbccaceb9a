"""Makes this kit: a small GeneRAIN-GPT in the published layout with a reference subsample, run by Hugging Face's GPT-2."""

import json
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))
import independent_gpt as gpt  # noqa: E402

D, HEADS, BLOCKS, WINDOW, N_GENES, N_BINS, N_REFERENCE = 24, 3, 2, 30, 60, 2000, 60

symbols = [f"GENE{i}" for i in range(N_GENES)]
rng = np.random.default_rng(29)
names = ["[PAD]", "[CLS]", "[MASK]", *rng.permutation(symbols)]
to_index = {str(n): i for i, n in enumerate(names)}
in_reference = [str(g) for g in rng.permutation(symbols[:-6] + ["ONLYHERE1"])]
genes = [str(g) for g in rng.permutation(symbols[:-2] + ["NOTINIT1", "NOTINIT2", "ONLYHERE1"])]

checkpoint = HERE / "checkpoint"
checkpoint.mkdir(exist_ok=True)
(checkpoint / "gene2vec_gene_to_idx.json").write_text(json.dumps(to_index))
params = {
    "GENE_EMB_NAME": "gene2vec", "TRANSFORMER_MODEL_NAME": "GPT", "LAYER_NORM_EPS": 1e-10, "TRANSFORMER_NORM_FIRST": True,
    "TRANSFORMER_HIDDEN_ACT_FUNC": "gelu", "HIDDEN_SIZE": D, "NUM_OF_GENES_SELECTED": WINDOW, "NUM_BINS": 100, "MODEL_DEPTH": BLOCKS,
    "NUM_HEADS": HEADS, "DIM_HEAD": 32, "EXPR_DISCRETIZATION_METHOD": "uniform_bin_count_keep_ones",
}
(checkpoint / "exp2_GPT_Binning_By_Gene.param_config.json").write_text(json.dumps(params, indent=1) + "\n")

weights = gpt.Weights(31, conv=True)
# So small that an epsilon of 1e-10 shows.
weights.normal("transformer.wte.weight", (len(names), D), 3e-5)
weights.normal("transformer.wpe.weight", (WINDOW, D), 2e-5)
weights.stack("transformer.", BLOCKS, D, 4 * D, 3e-5)
state = weights.state
stored = {f"gene_expr_transformer.gpt.{k}": torch.tensor(v) for k, v in state.items()}
stored["gene_expr_transformer.gpt.lm_head.weight"] = stored["gene_expr_transformer.gpt.transformer.wte.weight"]
for i in range(BLOCKS):
    mask = torch.tril(torch.ones(WINDOW, WINDOW, dtype=torch.bool)).view(1, 1, WINDOW, WINDOW)
    stored[f"gene_expr_transformer.gpt.transformer.h.{i}.attn.bias"] = mask
optimizer = {"state": {0: {"step": torch.tensor(5.0), "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
torch.save({"model_state_dict": stored, "optimizer_state_dict": optimizer}, checkpoint / "model.rank0.epoch50.pth")


def logged(x):
    """Samples to ten million counts, then log10."""
    return np.log10(x * (1e7 / x.sum(1, keepdims=True)) + 1).astype(np.float32)


reference = logged(gpt.counts(37, N_REFERENCE, len(in_reference), 0.55).astype(np.float64))
reference[:, 4] = 0  # A gene that the reference never saw.
prefix = "human_gene_v2.2_with_zero_expr_genes_bin_tot2000_gene2vec_0.005_subsampled"
np.save(checkpoint / f"{prefix}.npy", reference)
(checkpoint / f"{prefix}.gene_symbols.txt").write_text("\n".join(in_reference) + "\n")

x = gpt.counts(41, 6, len(genes), 0.5)
gpt.write_cells(HERE / "cells.h5ad", x, genes)


def bins_of(sample, subsample):
    """Ranks within the stack of one sample and the reference, gene by gene, as the specification puts it."""
    stack = np.concatenate([sample[:, None], subsample.T], 1).astype(np.float64)
    positive = stack > 0
    rank = np.argsort(np.argsort(stack, axis=1, kind="stable"), axis=1, kind="stable")
    rank = (rank - (stack.shape[1] - positive.sum(1))[:, None] * positive) * positive
    greatest = rank.max(1)
    width = np.where(greatest > 0, greatest / (N_BINS - 1), 1)
    return np.minimum((rank / width[:, None]).astype(int) + 1 + positive, N_BINS)[:, 0]


shared = [g for g in genes if g in to_index and g in in_reference]
columns = [genes.index(g) for g in shared]
subsample = reference[:, [in_reference.index(g) for g in shared]]
config = {
    "activation_function": "gelu", "layer_norm_epsilon": 1e-10, "n_embd": D, "n_head": HEADS, "n_inner": 4 * D, "n_layer": BLOCKS,
    "n_positions": WINDOW, "vocab_size": len(names),
}
cells, all_ids, values, vectors = [], [], [], []
for row in logged(x.astype(np.float64)):
    bins = bins_of(row[columns], subsample)
    order = sorted(range(len(shared)), key=lambda g: (-bins[g], to_index[shared[g]]))[:WINDOW]
    # As published the whole window runs, genes without expression last and hidden as keys; they change nothing before them.
    ids = [to_index[shared[g]] for g in order]
    sites = gpt.hugging_face(config, state, ids, [int(bins[g] > 1) for g in order])
    n = int(sum(bins[g] > 1 for g in order))
    cut = {}
    for name, a in sites.items():
        cut[name] = a[:n] if a.ndim == 2 else a[:, :n, :n] if name.endswith(("scores", "pattern")) else a[:, :n]
    cells.append(cut)
    all_ids.append(ids[:n])
    values.append([bins[g] for g in order[:n]])
    vectors.append(cut["final_norm"].astype(np.float64).mean(0))

manifest = {
    "reference": {
        "specification": "GeneRAIN (suzheng/GeneRAIN@f50e70e): Binning-By-Gene over a reference subsample, stock GPT-2 with exact GELU",
        "network": "PyPI transformers 5.24.0 GPT2LMHeadModel, eager attention",
    },
    "config": {"layers": BLOCKS, "d_model": D, "heads": HEADS, "ffn": 4 * D, "vocab": len(names), "max_len": WINDOW, "eps": 1e-10},
    "sites": {
        "tokens.ids": "[cell, token] expressed genes by falling bin (ties by token); every sample was binned alone with the reference",
        "tokens.values": "[cell, token] bins, 2 to 2000",
        "embed and others": "the published run holds the whole window; rows behind the expressed genes are left out",
        "cell_embedding": "[cell, d] mean of final_norm over the expressed genes: a convention of the reader, the authors publish none",
        "readout.lm_logits": "[cell, token, vocab]",
        "gene_embedding": "[vocab, d] the word table (GeneRAIN-vec)",
    },
    "seed": 31,
}
tiny = {"abs": 2e-10, "rel": 2e-5, "reason": "the stream is about 1e-4 on purpose, so that the epsilon shows"}
tolerances = {
    "embed": {"abs": 1e-11, "rel": 1e-6, "reason": "one addition"},
    "blocks.*.resid_*": tiny, "blocks.*.attn_out": tiny, "blocks.*.mlp_out": tiny, "readout.lm_logits": {**tiny, "abs": 1e-9},
    "tokens.*": gpt.TOKENS,
    "default": {"abs": 2e-5, "rel": 1e-5, "reason": "float32 of two implementations behind a norm that magnifies"},
}
extra = {"cell_embedding": np.array(vectors, np.float32), "gene_embedding": state["transformer.wte.weight"]}
gpt.write_kit(HERE, "generain", "gpt_binning_by_gene", cells, all_ids, values, extra, manifest, tolerances)
