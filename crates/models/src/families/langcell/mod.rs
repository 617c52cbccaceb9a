//! LangCell: a BERT over ranked genes, trained together with a text encoder on descriptions of cells. The cell tower is read here.
//!
//! - Paper: Zhao et al. 2024, arXiv:2405.06708.
//! - Reference: PharMolix/LangCell@69e41ef, read and not run: `LangCell-annotation-zeroshot/zero-shot.ipynb` (pooling and
//!   projection), `data_preprocess` (tokens); network: Hugging Face `BertModel` without pooler.
//! - Licence: MIT for code; the weights' terms are not stated.
//! - Norm placement: post-LN, a norm on the embedding, none after the last block.
//! - Tokens: those of the first Geneformer (`x / total * 10000 / median`, descending) behind `<cls>`, which is the dictionary's next
//!   free number; cut to the positions afterwards.
//! - The published cell vector is `Linear(hidden, 256)` of `<cls>` after the last block, divided by its length.
//! - The text tower (`text_bert`, `text_proj.bin`, `ctm_head.bin`) takes text and is not read.

mod card;
mod files;
mod init;
mod model;
mod network;
#[cfg(test)]
mod tests;

pub use card::FAMILY;
