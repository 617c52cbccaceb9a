//! Datasets of one axis and known length, written from their beginning to their end.

use microtome_core::Result;
use rust_hdf5::H5Dataset;
use rust_hdf5::format::messages::datatype::DatatypeMessage;
use rust_hdf5::types::H5Type;

use super::sink::{Sink, encode, failed};

/// Numbers or booleans.
pub(super) struct Numbers<T> {
    dataset: H5Dataset,
    key: String,
    written: usize,
    kind: std::marker::PhantomData<T>,
}

impl<T: H5Type> Numbers<T> {
    pub(super) fn begin(parent: &Sink, name: &str, n: usize) -> Result<Self> {
        let key = parent.child_key(name);
        let dataset = parent.group().new_dataset::<T>().shape([n]).create(name).map_err(failed(&key))?;
        Ok(Self { dataset, key, written: 0, kind: std::marker::PhantomData })
    }

    pub(super) fn append(&mut self, values: &[T]) -> Result<()> {
        if !values.is_empty() {
            let written = self.dataset.write_slice(&[self.written], &[values.len()], values);
            written.map_err(failed(&self.key))?;
        }
        self.written += values.len();
        Ok(())
    }

    pub(super) fn finish(self) -> Result<()> {
        encode(&self.dataset, &self.key, "array")
    }
}

/// Texts.
pub(super) struct Texts {
    dataset: H5Dataset,
    key: String,
    written: usize,
}

impl Texts {
    pub(super) fn begin(parent: &Sink, name: &str, n: usize) -> Result<Self> {
        let (group, key) = (parent.group(), parent.child_key(name));
        let dataset = if n == 0 {
            group.write_vlen_strings(name, &[])
        } else {
            group.new_dataset::<u8>().datatype(DatatypeMessage::vlen_string_utf8()).shape([n]).create(name)
        };
        Ok(Self { dataset: dataset.map_err(failed(&key))?, key, written: 0 })
    }

    pub(super) fn append(&mut self, values: &[&str]) -> Result<()> {
        let written = self.dataset.write_vlen_strings_slice(self.written, values);
        written.map_err(failed(&self.key))?;
        self.written += values.len();
        Ok(())
    }

    pub(super) fn finish(self) -> Result<()> {
        encode(&self.dataset, &self.key, "string-array")
    }
}
