//! kNN, PCA, graphs, diffusion, ranks, UMAP, regression, resampling.
