//! Tests against the kits.

mod checkpoints;
mod forward;
mod init;
mod kit;
mod parity;
mod sabotage;
mod tokens;
