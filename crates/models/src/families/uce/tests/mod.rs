//! Tests over the parity kits, and over shared data where it is present.

mod init;
mod kit;
mod parity;
mod sabotage;
mod tokens;
