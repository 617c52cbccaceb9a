//! The analyses against Napistu-Torch, naive dense references and cases whose answer is known.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;
mod dense;
mod geometry;
mod napistu;
