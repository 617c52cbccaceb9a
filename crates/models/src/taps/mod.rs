//! Ready-made listeners to a forward pass.

mod gene_mean;
mod pool;
mod recorder;
mod tee;

pub use gene_mean::{GeneMeanTap, GeneMeans};
pub use pool::{PoolTap, Pooled, Pooling};
pub use recorder::{Recorded, Recorder};
pub use tee::Tee;
