//! Named weights that can be trained.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use microtome_core::{Error, Result};

use super::failed;
use super::frozen::Frozen;

/// A tensor outside of any framework.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Name in the checkpoint.
    pub name: String,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Row-major values.
    pub values: Vec<f32>,
}

/// Weights by their names in the checkpoint, in the order of the names. Only those that are trained are listed, counted, copied and set;
/// [`Params::get`] finds frozen ones too.
#[derive(Clone, Debug, Default)]
pub struct Params {
    vars: BTreeMap<String, Var>,
    frozen: Frozen,
}

impl Params {
    /// Takes the weights of a checkpoint. Errors when a name comes twice, or shape and number of values disagree.
    pub fn new(tensors: Vec<NamedTensor>) -> Result<Self> {
        let mut vars = BTreeMap::new();
        for t in tensors {
            let n: usize = t.shape.iter().product();
            if n != t.values.len() {
                return Err(Error::unreadable("a tensor has another number of values than its shape says")
                    .at_key(t.name)
                    .expected(n.to_string())
                    .found(t.values.len().to_string()));
            }
            let tensor = Tensor::from_vec(t.values, t.shape, &Device::Cpu).map_err(failed)?;
            let var = Var::from_tensor(&tensor).map_err(failed)?;
            if vars.insert(t.name.clone(), var).is_some() {
                return Err(Error::unreadable("two tensors share a name").at_key(t.name));
            }
        }
        Ok(Self { vars, frozen: Frozen::default() })
    }

    /// The same over frozen weights, which are resolved with what is trained of them.
    pub fn over(self, frozen: Frozen) -> Self {
        Self { frozen, ..self }
    }

    /// A weight as part of the graph. Errors when it is not there or has another shape.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let found = match self.vars.get(name) {
            Some(var) => Some(var.as_tensor().clone()),
            None => self.frozen.get(name, &self.vars)?,
        };
        let tensor = found.ok_or_else(|| {
            Error::unreadable("a tensor of the network is missing")
                .at_key(name)
                .remedy("use a whole checkpoint")
        })?;
        if tensor.dims() != shape {
            return Err(Error::unreadable("a tensor has another shape than the configuration says")
                .at_key(name)
                .expected(format!("{shape:?}"))
                .found(format!("{:?}", tensor.dims())));
        }
        Ok(tensor)
    }

    /// Whether there is a trained weight of this name.
    pub fn has(&self, name: &str) -> bool {
        self.vars.contains_key(name)
    }

    /// All weights in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.vars.iter().map(|(n, v)| (n.as_str(), v))
    }

    /// Numbers in all weights.
    pub fn n_parameters(&self) -> u64 {
        self.vars.values().map(|v| v.elem_count() as u64).sum()
    }

    /// Copies of all weights in the order of their names.
    pub fn to_named(&self) -> Result<Vec<NamedTensor>> {
        self.vars
            .iter()
            .map(|(name, var)| {
                let values = var.flatten_all().and_then(|t| t.to_vec1()).map_err(failed)?;
                Ok(NamedTensor { name: name.clone(), shape: var.dims().to_vec(), values })
            })
            .collect()
    }

    /// Sets weights to new values, in place.
    pub fn set(&self, tensors: &[NamedTensor]) -> Result<()> {
        for t in tensors {
            self.get(&t.name, &t.shape)?;
            self.set_values(&t.name, t.values.clone())?;
        }
        Ok(())
    }

    /// Sets one weight; errors when the number of values is another.
    pub(crate) fn set_values(&self, name: &str, values: Vec<f32>) -> Result<()> {
        let Some(var) = self.vars.get(name) else {
            return Err(Error::unreadable("a tensor of the network is missing").at_key(name));
        };
        let new = Tensor::from_vec(values, var.dims(), &Device::Cpu).map_err(failed)?;
        var.set(&new).map_err(failed)
    }
}
