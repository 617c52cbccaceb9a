//! A computed value as a node of the graph.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail};

/// Gradients of the inputs given the gradient of the value; `None` for inputs that need none.
type Backward<const N: usize> = Box<dyn Fn(&Tensor) -> Result<[Option<Tensor>; N]> + Send + Sync>;

/// A value that was computed already, with its derivative.
struct Node<const N: usize> {
    name: &'static str,
    /// Handed over when the node enters the graph.
    value: Mutex<Option<Vec<f32>>>,
    shape: Shape,
    backward: Backward<N>,
}

impl<const N: usize> Node<N> {
    fn take(&self) -> Result<(CpuStorage, Shape)> {
        let value = self.value.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(value) = value else { bail!("{}: the value was handed over already", self.name) };
        Ok((CpuStorage::F32(value), self.shape.clone()))
    }
}

impl CustomOp1 for Node<1> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.take()
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let [a] = (self.backward)(&grad.contiguous()?)?;
        Ok(a)
    }
}

impl CustomOp3 for Node<3> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.take()
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [a, b, c] = (self.backward)(&grad.contiguous()?)?;
        Ok((a, b, c))
    }
}

/// A function of one tensor.
pub(super) fn of_one(
    name: &'static str,
    input: &Tensor,
    value: Vec<f32>,
    shape: impl Into<Shape>,
    backward: impl Fn(&Tensor) -> Result<[Option<Tensor>; 1]> + Send + Sync + 'static,
) -> Result<Tensor> {
    let (value, shape) = (Mutex::new(Some(value)), shape.into());
    input.apply_op1(Node { name, value, shape, backward: Box::new(backward) })
}

/// A function of three tensors.
pub(super) fn of_three(
    name: &'static str,
    inputs: [&Tensor; 3],
    value: Vec<f32>,
    shape: impl Into<Shape>,
    backward: impl Fn(&Tensor) -> Result<[Option<Tensor>; 3]> + Send + Sync + 'static,
) -> Result<Tensor> {
    let (value, shape) = (Mutex::new(Some(value)), shape.into());
    inputs[0].apply_op3(inputs[1], inputs[2], Node { name, value, shape, backward: Box::new(backward) })
}

/// Looks at the numbers of a contiguous tensor without copying them.
pub(super) fn with_values<R>(t: &Tensor, look: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = t.storage_and_layout();
    let (Storage::Cpu(CpuStorage::F32(all)), Some((from, to))) = (&*storage, layout.contiguous_offsets())
    else {
        bail!("a contiguous f32 tensor on the CPU is needed");
    };
    Ok(look(&all[from..to]))
}
