//! Writing `.h5ad` files.

mod frame;
mod sink;
mod stream;
mod uns;
mod writer;

pub use writer::Writer;
