//! tGPT: a GPT-2 over the symbols of a cell's most expressed genes.
//!
//! - Paper: Shen et al. 2023, "Generative pretraining from large-scale transcriptomes for single-cell deciphering",
//!   doi:10.1016/j.isci.2023.106536.
//! - Reference: deeplearningplus/tGPT@9714a98 (`README.md`, `gpt2tokenizer/tokenizer.json`, `data/val.txt`).
//! - Licence: GPL-3.0 (code); the weights on Hugging Face carry none of their own.
//! - Variants: see [`FAMILY`].
//! - Norm placement: pre-LN with a norm behind the last block.
//! - A cell is its 62 most expressed genes between `</b>` and `</s>`; its published vector is their mean in `final_norm`. Attention is
//!   causal: a gene sees more expressed ones only.
//!
//! Unverified against reference: there is no kit by the authors' code. The network and the tokeniser are Hugging Face's own
//! (`GPT2LMHeadModel`, `tokenizers`), which made the kit of the repository; the text of a cell is from the specification.

mod card;
mod config;
mod init;
mod model;
#[cfg(test)]
mod tests;
mod tokens;
mod vocabulary;

pub use card::FAMILY;
pub use init::write_untrained;
