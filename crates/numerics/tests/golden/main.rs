//! Against scanpy, umap-learn, scikit-learn and scipy; see golden/numerics/make.py.

#![allow(clippy::unwrap_used)]

mod expression;
mod neighbours;
mod statistics;
mod support;
mod trajectory;
