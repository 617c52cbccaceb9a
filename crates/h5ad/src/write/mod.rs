//! Writing `.h5ad` files.

mod arrays;
mod column;
mod frame;
mod sink;
mod stream;
mod uns;
mod writer;

pub use writer::Writer;
