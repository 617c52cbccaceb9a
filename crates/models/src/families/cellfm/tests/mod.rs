mod checkpoints;
mod forward;
mod kit;
mod parity;
mod sabotage;
mod tokens;
