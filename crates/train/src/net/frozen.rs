//! Weights that stay as they are, under what is trained of some of them.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::{Device, Tensor, Var};
use microtome_core::{Error, Result};

use super::{NamedTensor, failed};

/// How some rows of a frozen tensor are trained.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// `W + scale B A` (Hu et al. 2021), by the names of `A` `[rank, n_in]` and `B` `[n_out, rank]`.
    LowRank {
        /// Name of `A`.
        a: String,
        /// Name of `B`.
        b: String,
        /// Factor of the change: `alpha / rank`.
        scale: f64,
    },
    /// Another tensor in their place, by its name.
    Whole(String),
}

/// Rows of a frozen tensor that are trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// Rows, where a row is an output.
    pub rows: Range<usize>,
    /// The tensor keeps outputs in its columns.
    pub transposed: bool,
    /// How they are trained.
    pub change: Change,
}

/// Frozen weights by their names, and the pieces of them that are trained. Copies share the numbers.
#[derive(Clone, Debug, Default)]
pub struct Frozen {
    tensors: BTreeMap<String, Tensor>,
    pieces: BTreeMap<String, Vec<Piece>>,
}

impl Frozen {
    /// Takes weights. Errors when shape and number of values disagree.
    pub fn new(tensors: Vec<NamedTensor>) -> Result<Self> {
        let read = |t: NamedTensor| {
            let tensor = Tensor::from_vec(t.values, t.shape, &Device::Cpu).map_err(failed)?;
            Ok((t.name, tensor))
        };
        Ok(Self { tensors: tensors.into_iter().map(read).collect::<Result<_>>()?, pieces: BTreeMap::new() })
    }

    /// Declares rows of a tensor as trained. Errors when the tensor is missing, has fewer rows, or some are declared twice.
    pub fn train(&mut self, name: &str, piece: Piece) -> Result<()> {
        let rows = self.tensors.get(name).and_then(|t| t.dims().get(usize::from(piece.transposed)).copied());
        let pieces = self.pieces.entry(name.to_owned()).or_default();
        let at = pieces.partition_point(|p| p.rows.start < piece.rows.start);
        let before = at.checked_sub(1).map_or(0, |i| pieces[i].rows.end);
        let behind = pieces.get(at).map_or(rows.unwrap_or(0), |p| p.rows.start);
        if piece.rows.start < before || piece.rows.end > behind || piece.rows.is_empty() {
            return Err(Error::unsupported("these rows of a tensor cannot be trained")
                .at_key(name)
                .expected(format!("rows from {before} to {behind}"))
                .found(format!("{:?}", piece.rows)));
        }
        pieces.insert(at, piece);
        Ok(())
    }

    /// A tensor with what is trained of it; none where there is no such tensor.
    pub(super) fn get(&self, name: &str, vars: &BTreeMap<String, Var>) -> Result<Option<Tensor>> {
        let Some(tensor) = self.tensors.get(name) else { return Ok(None) };
        match self.pieces.get(name) {
            None => Ok(Some(tensor.clone())),
            Some(pieces) => assemble(tensor, pieces, vars).map(Some),
        }
    }
}

/// Frozen rows and trained ones in their order.
fn assemble(tensor: &Tensor, pieces: &[Piece], vars: &BTreeMap<String, Var>) -> Result<Tensor> {
    let of = |name: &str| {
        vars.get(name)
            .map(Var::as_tensor)
            .ok_or_else(|| Error::unreadable("a tensor of the adapter is missing").at_key(name))
    };
    let transposed = pieces.iter().any(|p| p.transposed);
    let turned = if transposed { tensor.t().map_err(failed)? } else { tensor.clone() };
    let frozen = |rows: Range<usize>| turned.narrow(0, rows.start, rows.len()).map_err(failed);
    let (mut parts, mut done) = (vec![], 0);
    for piece in pieces {
        if piece.rows.start > done {
            parts.push(frozen(done..piece.rows.start)?);
        }
        done = piece.rows.end;
        parts.push(match &piece.change {
            Change::Whole(name) => of(name)?.clone(),
            Change::LowRank { a, b, scale } => {
                let change = of(b)?.matmul(of(a)?).and_then(|c| c * *scale).map_err(failed)?;
                (frozen(piece.rows.clone())? + change).map_err(failed)?
            }
        });
    }
    let n = turned.dim(0).map_err(failed)?;
    if done < n {
        parts.push(frozen(done..n)?);
    }
    let whole = match &parts[..] {
        [one] => one.clone(),
        all => Tensor::cat(all, 0).map_err(failed)?,
    };
    if transposed { whole.t().map_err(failed) } else { Ok(whole) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Params;

    fn named(name: &str, shape: &[usize], first: f32) -> NamedTensor {
        let n: usize = shape.iter().product();
        NamedTensor {
            name: name.into(),
            shape: shape.to_vec(),
            values: (0..n).map(|i| first + i as f32).collect(),
        }
    }

    fn low_rank(rows: Range<usize>, transposed: bool) -> Piece {
        let change = Change::LowRank { a: "a".into(), b: "b".into(), scale: 0.5 };
        Piece { rows, transposed, change }
    }

    fn values(t: &Tensor) -> Vec<f32> {
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn rows_of_a_fused_tensor_are_changed_and_the_others_stay() {
        // B A = [1 2]' [3 4] = [3 4; 6 8], halved.
        let trained = || vec![named("a", &[1, 2], 3.0), named("b", &[2, 1], 1.0)];
        let mut frozen = Frozen::new(vec![named("w", &[4, 2], 0.0)]).unwrap();
        frozen.train("w", low_rank(1..3, false)).unwrap();
        let params = Params::new(trained()).unwrap().over(frozen);
        let w = params.get("w", &[4, 2]).unwrap();
        assert_eq!(values(&w), [0.0, 1.0, 3.5, 5.0, 7.0, 9.0, 6.0, 7.0]);
        // The gradient reaches A and B alone.
        let grads = w.sum_all().unwrap().backward().unwrap();
        let all: Vec<Vec<f32>> = params.iter().map(|(_, v)| values(grads.get(v).unwrap())).collect();
        assert_eq!(all, [vec![1.5, 1.5], vec![3.5, 3.5]]);
        // The same the other way round.
        let mut frozen = Frozen::new(vec![named("w", &[2, 3], 0.0)]).unwrap();
        frozen.train("w", low_rank(1..3, true)).unwrap();
        let params = Params::new(trained()).unwrap().over(frozen);
        assert_eq!(values(&params.get("w", &[2, 3]).unwrap()), [0.0, 2.5, 5.0, 3.0, 6.0, 9.0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut frozen = Frozen::new(vec![named("w", &[4, 2], 0.0), named("n", &[2], 0.0)]).unwrap();
        frozen.train("w", low_rank(2..4, false)).unwrap();
        frozen.train("w", low_rank(0..2, false)).unwrap();
        assert!(frozen.train("w", low_rank(1..3, false)).is_err());
        assert!(frozen.train("n", low_rank(0..3, false)).is_err());
        assert!(frozen.train("none", low_rank(0..1, false)).is_err());
        frozen
            .train("n", Piece { rows: 0..2, transposed: false, change: Change::Whole("m".into()) })
            .unwrap();
        let params = Params::new(vec![named("m", &[2], 7.0)]).unwrap().over(frozen);
        assert_eq!(values(&params.get("n", &[2]).unwrap()), [7.0, 8.0]);
        let missing = params.get("w", &[4, 2]).unwrap_err().to_string();
        assert!(missing.contains("adapter is missing"), "{missing}");
    }
}
