//! Geometry of the residual stream: how rows lie at every block, and how that differs between blocks. Rows are the genes
//! of one category, or cells; every function serves both.

mod cka;
mod flow;
mod neighbours;
mod procrustes;
mod rsa;
mod rsa_sampled;
mod shape;

pub use cka::cka;
pub use flow::{Share, Step, curvature, depth_curvature, share, steps};
pub use neighbours::{IntrinsicDimension, intrinsic_dimension, neighbour_overlap};
pub use procrustes::{procrustes, procrustes_of};
pub use rsa::{RsaOptions, rsa};
pub use rsa_sampled::{SampledRsaOptions, rsa_sampled};
pub use shape::{Shape, Spectrum, shapes};
