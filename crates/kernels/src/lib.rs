//! CPU kernels: packed GEMM, blockwise attention, norms, activations.
//!
//! All arrays are row-major `f32`. Work spreads over the current rayon pool. Results depend neither on the number of threads nor
//! on what else is in a minibatch: a row or cell gives the same bits alone and in company. The instruction set is chosen at run
//! time ([`Isa`]); results of different sets differ in the last bits.
//!
//! Sizes that do not fit together are programming errors and panic.
#![allow(unsafe_code)]
#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

mod activation;
mod attention;
mod block;
mod buffer;
mod elementary;
mod embed;
mod gemm;
mod isa;
mod linear;
mod linear_attention;
mod norm;
mod precision;
mod simd;
mod unnormalised;

pub use activation::{Activation, add_assign};
pub use attention::{
    AttentionShape, AttentionStatistics, Mask, Rows, attention, attention_map, attention_rows,
    attention_statistics,
};
pub use block::{PostLnBlock, Scratch};
pub use buffer::{Activations, release_activations};
pub use embed::{Lookup, gather_sum};
pub use gemm::Precision;
pub use isa::{Isa, isa, with_isa};
pub use linear::Linear;
pub use linear_attention::{
    FeatureMap, KeyMaximum, RandomFeatures, Side, linear_attention, linear_attention_rows,
};
pub use norm::{LayerNorm, RmsNorm};
pub use precision::with_precision;
pub use unnormalised::unnormalised_attention;
