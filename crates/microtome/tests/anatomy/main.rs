//! Genes and cells inside models.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod common;
mod stores;
mod workflow;
