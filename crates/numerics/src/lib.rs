//! kNN, PCA, graphs, diffusion, ranks, UMAP, regression, resampling.
//!
//! The only crate that does linear algebra. Everything is deterministic: random choices come from a seed
//! through [`resample::Rng`], and results do not depend on the number of threads, because sums over rows are
//! always taken over the same chunks in the same order.
//!
//! Undefined statistics are `None`, and NaN in an input is an error; NaN never comes out silently.

mod dense;
mod features;
mod krylov;
mod lbfgs;
mod loess;
mod subset;

pub mod bbknn;
pub mod class_means;
pub mod class_projection;
pub mod diffusion;
pub mod distances;
pub mod graph;
pub mod harmony;
pub mod hierarchical;
pub mod hvg;
pub mod kmeans;
pub mod knn;
pub mod leiden;
pub mod logistic;
pub mod negative_binomial;
pub mod normalise;
pub mod ordinal;
pub mod palantir;
pub mod pca;
pub mod products;
pub mod rank_normal;
pub mod ranks;
pub mod resample;
pub mod residuals;
pub mod ridge;
pub mod ridge_sums;
pub mod subgraph;
pub mod svd;
pub mod umap;

pub use bbknn::{BbknnOptions, bbknn};
pub use class_projection::{ClassProjection, class_columns};
pub use diffusion::{DiffusionMap, diffusion_map, dpt, pseudotime};
pub use graph::{Components, Graph, components, gaussian_weights, umap_weights};
pub use harmony::{Harmony, HarmonyOptions, Version, harmony};
pub use hvg::{Flavour, highly_variable, highly_variable_by, highly_variable_in_batches};
pub use knn::{Knn, Metric, exact_knn, knn_between};
pub use normalise::{Normalised, detected, log1p_cp10k, totals};
pub use palantir::{PalantirOptions, palantir};
pub use pca::{Pca, pca, pca_rank_normal, pca_sparse, random_projection};
pub use rank_normal::{RankNormal, rank_normal};
pub use ranks::{average_ranks, kendall_tau_b, spearman};
pub use residuals::pearson_residuals;
pub use ridge::{Ridge, RidgeOptions};
pub use subset::select_genes;
