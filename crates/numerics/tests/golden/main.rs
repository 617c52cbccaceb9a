//! Against scanpy, umap-learn, scikit-learn and scipy; see golden/numerics/make.py.

#![allow(clippy::unwrap_used)]

mod baselines;
mod expression;
mod neighbours;
mod pseudobulk;
mod statistics;
mod support;
mod trajectory;
