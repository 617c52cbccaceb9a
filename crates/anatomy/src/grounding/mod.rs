//! Do edges and gene neighbourhoods mean anything outside the model: enrichment in networks and gene sets against matched
//! nulls.

mod network;
mod sets;

pub use network::{EdgeEnrichment, EnrichmentOptions, Network, edge_enrichment};
pub use sets::{GeneSet, SetEnrichment, SetOptions, SetsEnrichment, set_enrichment};
