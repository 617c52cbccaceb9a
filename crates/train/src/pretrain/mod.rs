//! Pretraining: hidden genes, hidden values, next genes.
//!
//! A cell is a list of tokens, with numbers where the family takes them, made by whoever calls ([`Cells`]). What the network is asked is
//! an [`Objective`]: which gene was hidden (of the chosen genes most become the mask, some another gene, some stay; Devlin et al. 2019;
//! Theodoris et al. 2023), which value or bin of a value was hidden (Cui et al. 2024), or which gene follows (Radford et al. 2019). An
//! [`Annotation`] is learned besides where cells have labels. [`Task`] joins them with the network ([`crate::net::Architecture`]).
//!
//! Everything random is drawn from `(seed, purpose, epoch or step, cell)` and not from a running generator, so that a
//! position in the data is all that a resumed run needs: it gives the losses of a run that nothing happened to, to the
//! last bit. Gradients are summed over parts of a step in a fixed order, so that they do not depend on the number of
//! threads either.
//!
//! Besides training, [`Questions`] asks a frozen or trained network the same questions at every depth, and [`guesses`] asks what knows no
//! network.
//!
//! This module writes no file. [`Watcher`] hears of every step, validation and state to be kept.

pub(crate) mod adamw;
mod baselines;
pub(crate) mod draws;
pub(crate) mod gradient;
mod neighbours;
mod objective;
mod question;
mod questions;
mod recipe;
mod run;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod validation;

pub use baselines::{Baselines, Guess, Guessed, guesses};
pub use neighbours::{NEIGHBOURS, by_neighbours};
pub use objective::{ANNOTATION_HEAD, Annotation, BINS_HEAD, Masking, Objective, Task, Vocabulary};
pub use questions::{AtDepth, Questions, Reader};
pub use recipe::{Decay, Recipe};
pub use run::{Outcome, Watcher, pretrain};
pub use state::{Kept, Position, Record, Validated};
pub use stream::{Cell, Cells};
