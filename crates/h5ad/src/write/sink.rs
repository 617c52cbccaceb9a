//! Groups and datasets with the encoding attributes of AnnData.

use std::sync::Arc;

use microtome_core::{Error, Result};
use rust_hdf5::format::messages::datatype::DatatypeMessage;
use rust_hdf5::types::{H5Type, HBool, VarLenUnicode};
use rust_hdf5::{H5Dataset, H5Group, Hdf5Error};

/// A library error as an output error at a key.
pub(super) fn failed(key: &str) -> impl Fn(Hdf5Error) -> Error + '_ {
    move |e| {
        Error::output("cannot write")
            .at_key(key)
            .caused_by(e.to_string())
            .remedy("check free space and permissions of the output folder")
    }
}

/// Refuses names that HDF5 or AnnData would take for a path.
pub(super) fn check_name(place: &str, name: &str) -> Result<()> {
    let bad = name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']);
    if bad {
        return Err(Error::usage("name that cannot be stored")
            .at_key(format!("{place}[\"{name}\"]"))
            .expected("a name that is not empty, not \".\" or \"..\", and holds no slash")
            .found(format!("\"{name}\"")));
    }
    Ok(())
}

/// A group being written, with its path.
pub(super) struct Sink {
    group: Arc<H5Group>,
    key: String,
}

impl Sink {
    pub(super) fn root(group: H5Group) -> Self {
        Self { group: Arc::new(group), key: String::new() }
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn group(&self) -> &Arc<H5Group> {
        &self.group
    }

    pub(super) fn child_key(&self, name: &str) -> String {
        if self.key.is_empty() { name.to_string() } else { format!("{}/{name}", self.key) }
    }

    /// A group with an encoding.
    pub(super) fn create(&self, name: &str, encoding: &str, version: &str) -> Result<Self> {
        let key = self.child_key(name);
        let group = self.group.create_group(name).map_err(failed(&key))?;
        let sink = Self { group: Arc::new(group), key };
        sink.text_attribute("encoding-type", encoding)?;
        sink.text_attribute("encoding-version", version)?;
        Ok(sink)
    }

    pub(super) fn text_attribute(&self, name: &str, value: &str) -> Result<()> {
        self.group.set_attr_string(name, value).map_err(failed(&self.key))
    }

    pub(super) fn text_list_attribute(&self, name: &str, values: &[&str]) -> Result<()> {
        let result = if values.is_empty() {
            // As anndata stores an empty list.
            self.group.set_attr_array_numeric::<f64>(name, &[])
        } else {
            self.group.set_attr_string_array(name, values)
        };
        result.map_err(failed(&self.key))
    }

    pub(super) fn bool_attribute(&self, name: &str, value: bool) -> Result<()> {
        self.group.set_attr_numeric(name, &HBool::from(value)).map_err(failed(&self.key))
    }

    pub(super) fn shape_attribute(&self, shape: [usize; 2]) -> Result<()> {
        let shape = shape.map(|n| n as i64);
        self.group.set_attr_array_numeric("shape", &shape).map_err(failed(&self.key))
    }

    /// Numbers of one axis.
    pub(super) fn numbers<T: H5Type>(&self, name: &str, values: &[T]) -> Result<()> {
        self.array(name, values, &[values.len()])
    }

    /// Numbers of any shape.
    pub(super) fn array<T: H5Type>(&self, name: &str, values: &[T], shape: &[usize]) -> Result<()> {
        let key = self.child_key(name);
        let dataset = self.group.new_dataset::<T>().shape(shape).create(name).map_err(failed(&key))?;
        if !values.is_empty() {
            dataset.write_raw(values).map_err(failed(&key))?;
        }
        encode(&dataset, &key, "array")
    }

    pub(super) fn bools(&self, name: &str, values: &[bool]) -> Result<()> {
        let values: Vec<HBool> = values.iter().map(|&b| HBool::from(b)).collect();
        self.numbers(name, &values)
    }

    pub(super) fn texts(&self, name: &str, values: &[&str]) -> Result<()> {
        let key = self.child_key(name);
        let dataset = self.group.write_vlen_strings(name, values).map_err(failed(&key))?;
        encode(&dataset, &key, "string-array")
    }

    /// One number.
    pub(super) fn scalar<T: H5Type>(&self, name: &str, value: T) -> Result<()> {
        let key = self.child_key(name);
        let dataset = self.group.new_dataset::<T>().scalar().create(name).map_err(failed(&key))?;
        dataset.write_raw(&[value]).map_err(failed(&key))?;
        encode(&dataset, &key, "numeric-scalar")
    }

    /// One text, stored in a field of its own length.
    pub(super) fn text(&self, name: &str, value: &str) -> Result<()> {
        let key = self.child_key(name);
        let mut bytes = value.as_bytes().to_vec();
        if bytes.is_empty() {
            bytes.push(0);
        }
        let size =
            u32::try_from(bytes.len()).map_err(|_| Error::usage("text too long").at_key(key.clone()))?;
        // NUL-padded UTF-8.
        let datatype = DatatypeMessage::FixedString { size, padding: 1, charset: 1 };
        let dataset =
            self.group.new_dataset::<u8>().datatype(datatype).scalar().create(name).map_err(failed(&key))?;
        dataset.write_raw_bytes(&bytes).map_err(failed(&key))?;
        encode(&dataset, &key, "string")
    }
}

/// Encoding attributes of a dataset; all dataset encodings are at version 0.2.0.
pub(super) fn encode(dataset: &H5Dataset, key: &str, encoding: &str) -> Result<()> {
    for (name, value) in [("encoding-type", encoding), ("encoding-version", "0.2.0")] {
        let attribute = dataset.new_attr::<VarLenUnicode>().shape(()).create(name).map_err(failed(key))?;
        attribute.write_string(value).map_err(failed(key))?;
    }
    Ok(())
}
