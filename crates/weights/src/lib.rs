//! Checkpoint bytes to named lazy tensors, with an audit of what was used.
//!
//! [`Checkpoint::open`] recognises a file by its content: safetensors (also sharded), torch zip archives and the older
//! bare torch pickles, `.npz`, `.npy`, and MindSpore checkpoints. Tensors are listed with shape and type at once and read when asked
//! for. [`Loader`] hands them to a model by name and expected shape and accounts for every tensor of the file.
//! Pickles are read as data and never executed; see [`pickle`].

mod array;
mod atomic;
mod audit;
mod bytes;
mod checkpoint;
mod dicts;
mod dtype;
mod glob;
mod loader;
mod mindspore;
pub mod npy;
mod npz;
mod npz_write;
pub mod pickle;
mod safetensors;
mod shards;
mod shuffle;
mod tensor;
mod torch;
mod walk;
mod zip;

pub use array::{Array, ArrayType};
pub use audit::{Audit, IgnoredTensor, UsedTensor};
pub use checkpoint::{Checkpoint, Format};
pub use dicts::{read_str_float_dict, read_str_int_dict, read_str_str_dict};
pub use dtype::DType;
pub use loader::Loader;
pub use npz_write::{NamedMatrix, NpzMember, write_npz};
pub use pickle::{Value, write_str_float_dict, write_str_int_dict, write_str_str_dict};
pub use safetensors::{TensorData, write_safetensors};
pub use shuffle::with_shuffled_tensors;
pub use tensor::TensorInfo;
