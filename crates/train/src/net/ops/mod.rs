//! Functions with hand-written derivatives.
//!
//! Every one computes its value first and enters the graph as one node. Its derivative is written in matrix products of
//! the framework and plain loops, which are compiled for the instruction sets that the processor may have.

mod activation;
mod affine;
mod attention;
mod cross_entropy;
mod layer_norm;
mod node;
mod simd;
mod softmax;

pub use activation::Activation;
pub use affine::affine;
pub use attention::{AttentionShape, attention};
pub use cross_entropy::{cross_entropy, token_losses};
pub use layer_norm::{layer_norm, rms_norm};
