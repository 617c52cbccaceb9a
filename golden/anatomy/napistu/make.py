"""Runs Napistu-Torch 0.4.0 on a toy of 300 genes and 12 blocks and stores what it finds.

    python make.py            # writes golden.json beside itself

Inputs are not stored: both sides make them from the same formula (`uniform`), in float64, cast to float32. Keys are related
to queries, so that genes score highly with themselves and quirk D8 (ranks count self pairs) shows.
Variants: raw signed, raw by magnitude, self pairs selected, softmax (D2 taken at its word), weights in the order of the store
(D1), ranks without self pairs (D8 mended: the diagonal is set to minus infinity before the package's own functions run).
"""

import json
import pathlib
import tempfile

import numpy as np
import pandas as pd
import torch
from napistu_torch.foundation_models.attention_patterns import LayerwiseAttentionInputs
from napistu_torch.foundation_models.foundation_models import (
    AttentionLayer,
    FoundationModel,
    FoundationModelWeights,
)
from napistu_torch.foundation_models.gene_embeddings import GeneEmbeddings, GeneEmbeddingsSet
from napistu_torch.utils.statistics import compare_top_k_union_ranks
from napistu_torch.utils.tensor_utils import (
    compute_correlation_matrix,
    compute_tensor_ranks_for_indices,
)

N, L, D, H = 300, 12, 32, 4
KS = [100, 1000]
MASK = (1 << 64) - 1


def uniform(stream, count):
    """SplitMix64 at positions stream * 2^32 + i, upper 24 bits, in [-0.5, 0.5)."""
    with np.errstate(over="ignore"):
        z = np.arange(count, dtype=np.uint64) + np.uint64((stream << 32) & MASK)
        z = (z + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / (1 << 24) - 0.5


def stream(layer):
    """A base shared by all blocks, plus noise that grows with depth, plus one direction shared by all genes."""
    base, own = uniform(0, N * D), uniform(1 + layer, N * D)
    x = 2.0 * base + 0.25 * (layer + 1) * own + 0.125 * layer
    return x.astype(np.float32).reshape(N, D)


def weights(layer):
    q = uniform(100 + layer, D * D)
    k = 0.5 * q + uniform(200 + layer, D * D)
    v, o = uniform(300 + layer, D * D), uniform(400 + layer, D * D)
    return {n: m.astype(np.float32).reshape(D, D) for n, m in dict(W_q=q, W_k=k, W_v=v, W_o=o).items()}


GENES = [f"ENSG{i:011d}" for i in range(N)]
TABLE = pd.DataFrame({"ensembl_gene": GENES, "vocab_name": GENES})


def embeddings(x, layer):
    return GeneEmbeddings(
        embedding=x, ordered_gene_ids=GENES, gene_annotations=TABLE, model_name="toy",
        layer_idx=layer, dataset_name="toy", category="all" if layer is not None else None,
    )


def model():
    static = GeneEmbeddings(embedding=stream(0), ordered_gene_ids=GENES, gene_annotations=TABLE, model_name="toy")
    layers = [AttentionLayer(layer_idx=i, **weights(i)) for i in range(L)]
    meta = dict(
        model_name="toy", model_variant=None, n_genes=N, n_vocab=N, ordered_vocabulary=GENES, embed_dim=D, n_layers=L, n_heads=H
    )
    return FoundationModel(FoundationModelWeights(static_gene_embeddings=static, attention_layers=layers), TABLE, meta)


def edges(df):
    at = {g: i for i, g in enumerate(GENES)}
    return [int(at[f]) * N + int(at[t]) for f, t in zip(df.from_gene, df.to_gene)]


def within(inputs, k, absolute, ignore_self, softmax=False, rank_self=True):
    """What `compare_layer_attention_consistency` does, with the switches that it does not offer."""
    top = inputs.get_top_attentions(
        k=k, by_absolute_value=absolute, ignore_self_attention=ignore_self, apply_softmax=softmax
    )
    union = inputs.get_specific_attentions(
        top[["from_gene", "to_gene"]].drop_duplicates(), compute_ranks=True, by_absolute_value=absolute, apply_softmax=softmax
    )
    max_rank = N**2
    if not rank_self:
        at = {g: i for i, g in enumerate(GENES)}
        for layer in range(L):
            a = inputs.compute_attention(layer, apply_softmax=softmax, return_tensor=True).clone()
            a = a.abs() if absolute else a
            a.fill_diagonal_(float("-inf"))
            rows = union.layer == layer
            index = tuple(torch.tensor([at[g] for g in union.loc[rows, c]]) for c in ("from_gene", "to_gene"))
            union.loc[rows, "attention_rank"] = compute_tensor_ranks_for_indices(a, index, by_absolute_value=False).numpy()
        max_rank = N**2 - N
    wide = union.pivot(index=["from_gene", "to_gene"], columns="layer", values="attention")
    corr = compute_correlation_matrix(wide.to_numpy())
    ranks = compare_top_k_union_ranks(
        union, grouping_vars=["layer"], defining_vars=["from_gene", "to_gene"], max_rank=max_rank, top_k=k,
        rank_col="attention_rank",
    )
    columns = ["query_layer", "eval_layer", "mean_quantile", "median_quantile", "min_quantile", "max_quantile"]
    out = {
        "k": k,
        "union": len(wide),
        "spearman": corr.tolist(),
        "agreement": ranks[columns].astype(float).values.tolist(),
        "top_sizes": [int((top.layer == i).sum()) for i in range(L)],
    }
    if k == KS[0]:
        out["top"] = [edges(top[top.layer == i]) for i in range(L)]
        out["scores"] = [top[top.layer == i].attention.astype(float).tolist() for i in range(L)]
    return out


def consensus(inputs, method):
    a = inputs.compute_consensus_attention(consensus_method=method).clone()
    a.fill_diagonal_(float("-inf"))
    flat = a.flatten()
    order = torch.argsort(flat, descending=True)[:100]
    return {"top": order.tolist(), "scores": flat[order].double().tolist()}


def main():
    streams = {i: embeddings(stream(i), i) for i in range(L)}
    toy = model()
    inputs = LayerwiseAttentionInputs(streams, toy)
    out = {"genes": N, "blocks": L, "width": D, "heads": H, "variants": {}}
    v = out["variants"]
    v["raw_signed"] = [within(inputs, k, False, True) for k in KS]
    v["raw_absolute"] = [within(inputs, k, True, True) for k in KS]
    v["raw_signed_with_self"] = [within(inputs, k, False, False) for k in KS]
    v["softmax_signed"] = [within(inputs, k, False, True, softmax=True) for k in KS]
    v["raw_signed_ranks_without_self"] = [within(inputs, k, False, True, rank_self=False) for k in KS]
    # The package's own path must agree with the one written out above.
    corr, ranks = inputs.compare_layer_attention_consistency(top_k=100, by_absolute_value=False, ignore_self_attention=True)
    assert np.allclose(corr, v["raw_signed"][0]["spearman"], atol=1e-7)
    assert np.allclose(ranks.median_quantile, [r[3] for r in v["raw_signed"][0]["agreement"]])
    with tempfile.TemporaryDirectory() as directory:
        store = str(pathlib.Path(directory) / "toy")  # `save` refuses a directory that exists
        toy.save(store)
        stored = FoundationModel.load(store)
    out["stored_order"] = [
        next(i for i in range(L) if np.array_equal(layer.W_q, weights(i)["W_q"])) for layer in stored.weights.attention_layers
    ]
    v["raw_signed_stored_order"] = [within(LayerwiseAttentionInputs(streams, stored), k, False, True) for k in KS]
    for method in ("sum", "max", "absolute-argmax"):
        out.setdefault("consensus", {})[method] = consensus(inputs, method)
    distances = GeneEmbeddingsSet.from_gene_embeddings(list(streams.values())).compare_embeddings()
    out["similarity"] = {key.replace("layer_", ""): value for key, value in distances.items()}
    path = pathlib.Path(__file__).with_name("golden.json")
    path.write_text(json.dumps(out, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size, "bytes; stored order", out["stored_order"])


main()
