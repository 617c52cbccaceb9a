//! Tests over the parity kits, and over shared data where it is present.

mod checkpoints;
mod forward;
mod init;
mod kit;
mod parity;
mod sabotage;
mod tokens;
