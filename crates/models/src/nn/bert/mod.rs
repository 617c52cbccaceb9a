//! The BERT encoder as Hugging Face's `BertModel` defines and stores it (transformers, `models/bert/modeling_bert.py`): embeddings
//! under a norm, then post-LN blocks.

mod config;
mod embedding;
mod layout;
mod plan;
mod weights;

pub(crate) use config::BertConfig;
pub(crate) use embedding::BertEmbedding;
pub(crate) use layout::block_layout;
pub(crate) use plan::{add_blocks, add_embedding, add_linear, add_masked_head, add_norm};
pub(crate) use weights::{blocks, masked_head};
