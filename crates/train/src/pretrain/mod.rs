//! Pretraining: masked genes.
//!
//! A cell is a list of tokens, made by whoever calls ([`Cells`]). Of its gene tokens a share is chosen; of the chosen, most
//! become the mask, some another gene, some stay (Devlin et al. 2019; Theodoris et al. 2023). The network is asked which
//! genes were there.
//!
//! Everything random is drawn from `(seed, purpose, epoch or step, cell)` and not from a running generator, so that a
//! position in the data is all that a resumed run needs: it gives the losses of a run that nothing happened to, to the
//! last bit. Gradients are summed over parts of a step in a fixed order, so that they do not depend on the number of
//! threads either.
//!
//! This module writes no file. [`Watcher`] hears of every step, validation and state to be kept.

pub(crate) mod adamw;
pub(crate) mod draws;
mod gradient;
mod mask;
mod recipe;
mod run;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod validation;

pub use mask::{Masking, Vocabulary};
pub use recipe::{Decay, Recipe};
pub use run::{Outcome, Watcher, pretrain};
pub use state::{Kept, Position, Record, Validated};
pub use stream::Cells;
pub use validation::Baselines;
