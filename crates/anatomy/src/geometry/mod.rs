//! Geometry of the residual stream: how rows (genes of a category, or cells) lie at every block, and how that differs
//! between blocks.

mod rsa;
mod rsa_sampled;

pub use rsa::{RsaOptions, rsa};
pub use rsa_sampled::{SampledRsaOptions, rsa_sampled};
