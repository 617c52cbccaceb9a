//! Ready-made listeners to a forward pass.

mod gene_mean;
mod mean_qk;
mod pool;
mod recorder;
mod tee;

pub use gene_mean::{Averaged, GeneMeanTap, GeneMeans};
pub use mean_qk::{MeanQueryKey, MeanQueryKeyTap};
pub use pool::{PoolTap, Pooled, Pooling};
pub use recorder::{Recorded, Recorder};
pub use tee::Tee;
