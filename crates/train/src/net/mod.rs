//! Differentiable networks: what is trained here has the arithmetic of the engine that runs it afterwards.
//!
//! Automatic differentiation is candle's (`candle_core::Var`, `Tensor::backward`). Steps of which candle has no
//! derivative, or only a slow one, are functions of our own with hand-written derivatives ([`ops`]): affine maps with
//! their activation, norms, attention over ragged cells, cross entropy. All are held against finite differences.
//!
//! - [`Params`]: named weights that can be trained, under a checkpoint's own names; [`Frozen`]: weights that stay, and what is trained of them.
//! - [`Ragged`]: cells of different length one after the other, without padding.
//! - [`Block`]: attention and feed-forward, plain or gated, pre-LN or post-LN.
//! - [`Architecture`] and [`Network`]: what training asks of a network. There are [`BertShape`] (Geneformer), [`ScGptShape`] (binned
//!   values), [`GptShape`] (causal: tGPT, GeneRAIN), [`AidoCellShape`] (continuous values) and [`NicheformerShape`] (context tokens).
//! - [`Dropout`]: masks that a resumed run draws again.
//!
//! A network is a value that borrows nothing and is made anew from [`Params`] for every pass: weights that are joined or
//! altered on the way (query, key and value; low-rank adapters) are then part of the graph. Everything runs in `f32` on
//! the CPU.

mod aido_cell;
mod bert;
mod block;
mod dropout;
mod frozen;
mod gpt;
mod linear;
mod network;
mod nicheformer;
pub mod ops;
mod params;
mod ragged;
mod scgpt;
#[cfg(test)]
mod tests;
mod torch_layer;

pub use aido_cell::AidoCellShape;
pub use bert::{Bert, BertShape};
pub use block::{Block, NormPlacement};
/// A tensor of the graph.
pub use candle_core::Tensor;
pub use dropout::Dropout;
pub use frozen::{Change, Frozen, Piece};
pub use gpt::GptShape;
pub use linear::{Linear, Norm};
pub use network::{Architecture, Input, Network, pool};
pub use nicheformer::NicheformerShape;
pub use ops::Activation;
pub use params::{NamedTensor, Params};
pub use ragged::Ragged;
pub use scgpt::ScGptShape;

use microtome_core::{Error, ErrorKind};

/// What to say when the framework refuses: shapes are checked before, so that this is about memory or a bug of ours.
pub fn failed(e: candle_core::Error) -> Error {
    Error::new(ErrorKind::Unsupported, "the network could not be computed").caused_by(e)
}
