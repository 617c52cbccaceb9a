//! Python pickles read as data. Nothing in a pickle is ever executed.
//!
//! The reader is an interpreter for protocols 0 to 5 whose only "calls" are a dozen constructors it knows
//! (`OrderedDict`, `torch._utils._rebuild_tensor_v2`, `numpy.dtype`, ...). Every other class or function a pickle
//! names is looked up in an allow-list:
//!
//! # What a pickle may name
//!
//! 1. Constructors of plain data (containers, tensors, storages, NumPy arrays and scalars) are understood.
//! 2. Harmless classes that published single-cell checkpoints carry as metadata (`argparse.Namespace`,
//!    `pathlib.PosixPath`, `datetime.timedelta`, optimizer and scheduler states, and classes of the packages that
//!    write such checkpoints: omegaconf, lightning, transformers, composer, ...) become an inert [`Opaque`].
//!    Within a package only class names count: capitalised, and never in a module called `os`, `subprocess`, ...
//! 3. Anything else - `os.system`, `builtins.eval`, `builtins.getattr`, extension codes - is refused by name as
//!    soon as it is mentioned, whether or not it would be called. No honest checkpoint needs it, and whoever opens
//!    the same file in Python should know.

mod dict;
mod globals;
mod known;
mod lower;
mod machine;
mod node;
mod numpy;
mod persistent;
mod stack;
mod text;
mod value;
mod write;

use std::path::Path;

use microtome_core::{Error, Result};

use crate::bytes::FileBytes;

pub use dict::Dict;
pub(crate) use machine::{Machine, Outcome};
pub(crate) use value::TensorRef;
pub use value::{Opaque, TensorValue, Value};
pub use write::{write_str_float_dict, write_str_int_dict, write_str_str_dict};

/// Reads a pickle file without tensors: dictionaries, lists, NumPy scalars and arrays.
///
/// # Errors
/// When the file is not a pickle, is damaged, exceeds the limits, or names anything outside the allow-list.
pub fn read_file(path: &Path) -> Result<Value> {
    let bytes = FileBytes::open(path)?;
    parse(&bytes).map_err(|e| e.in_file(path))
}

/// Reads a pickle from memory; see [`read_file`].
///
/// # Errors
/// As [`read_file`].
pub fn parse(bytes: &[u8]) -> Result<Value> {
    if bytes.starts_with(b"PK\x03\x04") {
        return Err(Error::unreadable("this is a zip archive, not a bare pickle")
            .remedy("if torch wrote it, open it as a checkpoint"));
    }
    Ok(Machine::new(bytes, false).run()?.value)
}
