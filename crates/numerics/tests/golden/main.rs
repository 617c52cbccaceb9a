//! Against scanpy, umap-learn, scikit-learn and scipy; see golden/numerics/make.py.

mod expression;
mod neighbours;
mod statistics;
mod support;
mod trajectory;
