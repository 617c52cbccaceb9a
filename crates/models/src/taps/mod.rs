//! Ready-made listeners to a forward pass.

mod edges;
mod flow;
mod gene_mean;
mod mean_qk;
mod pool;
mod recorder;
mod tee;

pub use edges::{BlockEdges, EdgeMeanTap, HeadMeans};
pub use flow::{BlockFlow, FlowTap, gene_rows_of};
pub use gene_mean::{Averaged, GeneMeanTap, GeneMeans};
pub use mean_qk::{MeanQueryKey, MeanQueryKeyTap};
pub use pool::{PoolTap, Pooled, Pooling};
pub use recorder::{Recorded, Recorder};
pub use tee::Tee;
