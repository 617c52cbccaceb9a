//! Drawing the weights of untrained models: a list of tensors, each with its own random stream, so that a tensor's values depend on
//! the seed and its place in the list only.

use std::path::Path;

use microtome_core::{Error, Result, closest};
use microtome_weights::{TensorData, write_safetensors};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal, Uniform};
use rayon::prelude::*;

use crate::Variant;

/// How a tensor is filled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Normal distribution.
    Normal { mean: f32, sd: f32 },
    /// Rows of this width from a normal distribution around zero, but the first (padding) of zeros.
    Table { sd: f32, width: usize },
    /// Uniform between minus and plus this bound.
    Uniform(f32),
    /// One number everywhere.
    Constant(f32),
    /// Sine in even and cosine in odd columns of rows of this width (Vaswani et al. 2017).
    Sinusoids(usize),
}

impl Kind {
    fn values(self, n: usize, seed: u64, stream: u64) -> Result<Vec<f32>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Ok(match self {
            Self::Constant(x) => vec![x; n],
            Self::Sinusoids(width) => (0..n).map(|i| sinusoid(i / width, i % width, width)).collect(),
            Self::Table { sd, width } => {
                let mut rows = Self::Normal { mean: 0.0, sd }.values(n, seed, stream)?;
                rows.iter_mut().take(width).for_each(|v| *v = 0.0);
                rows
            }
            Self::Normal { mean, sd } => Normal::new(mean, sd)
                .map_err(|e| Error::usage("cannot draw weights").caused_by(e))?
                .sample_iter(&mut rng)
                .take(n)
                .collect(),
            Self::Uniform(bound) => Uniform::new_inclusive(-bound, bound)
                .map_err(|e| Error::usage("cannot draw weights").caused_by(e))?
                .sample_iter(&mut rng)
                .take(n)
                .collect(),
        })
    }
}

fn sinusoid(position: usize, column: usize, width: usize) -> f32 {
    let angle = position as f64 * 10_000f64.powf(-((column / 2 * 2) as f64) / width as f64);
    (if column.is_multiple_of(2) { angle.sin() } else { angle.cos() }) as f32
}

/// The published size of this name.
pub(crate) fn preset<'v>(family: &str, variants: &'v [Variant], id: &str) -> Result<&'v Variant> {
    variants.iter().find(|v| v.id == id).ok_or_else(|| {
        let ids: Vec<&str> = variants.iter().map(|v| v.id).collect();
        let near = closest(id, ids.iter().copied());
        Error::usage(format!("no such preset of {family}"))
            .expected(format!("one of: {}", ids.join(", ")))
            .found(format!("\"{id}\""))
            .remedy(near.map_or("choose a published size".into(), |n| format!("did you mean {n}?")))
    })
}

/// Name, shape and values of a tensor.
pub(crate) type Drawn = (String, Vec<usize>, Vec<f32>);

/// Tensors to draw, in file order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan(Vec<(String, Vec<usize>, Kind)>);

impl Plan {
    pub(crate) fn add(&mut self, name: String, shape: &[usize], kind: Kind) {
        self.0.push((name, shape.to_vec(), kind));
    }

    /// Names, shapes and values.
    pub(crate) fn draw(&self, seed: u64) -> Result<Vec<Drawn>> {
        self.0
            .par_iter()
            .enumerate()
            .map(|(stream, (name, shape, kind))| {
                let values = kind.values(shape.iter().product(), seed, stream as u64)?;
                Ok((name.clone(), shape.clone(), values))
            })
            .collect()
    }

    /// Draws and writes a safetensors file in the way Hugging Face does.
    pub(crate) fn write_safetensors(&self, seed: u64, path: &Path) -> Result<()> {
        self.write_safetensors_with(seed, &[], path)
    }

    /// [`Plan::write_safetensors`] with further tensors that are not drawn.
    pub(crate) fn write_safetensors_with(&self, seed: u64, others: &[Drawn], path: &Path) -> Result<()> {
        let drawn = self.draw(seed)?;
        let tensors: Vec<(String, Vec<usize>, TensorData<'_>)> = drawn
            .iter()
            .chain(others)
            .map(|(n, shape, v)| (n.clone(), shape.clone(), TensorData::F32(v)))
            .collect();
        write_safetensors(path, &tensors, &[("format".into(), "pt".into())])
    }
}

/// Makes the rows of each block of `d` orthogonal and gives them the lengths of independent normal vectors (Choromanski et al. 2021,
/// section 2.4).
pub(crate) fn orthogonal_features(rows: &mut [f32], lengths: &[f32], d: usize) {
    let norm = |r: &[f32]| r.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    for (block, lengths) in rows.chunks_mut(d * d).zip(lengths.chunks(d * d)) {
        for i in 0..block.len() / d {
            let (before, row) = block.split_at_mut(i * d);
            let row = &mut row[..d];
            // Twice, because one pass of Gram-Schmidt leaves rounding errors.
            for earlier in before.chunks_exact(d).chain(before.chunks_exact(d)) {
                let dot: f64 =
                    earlier.iter().zip(row.iter()).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                row.iter_mut().zip(earlier).for_each(|(x, e)| *x -= (dot * f64::from(*e)) as f32);
            }
            let n = norm(row);
            row.iter_mut().for_each(|x| *x = (f64::from(*x) / n) as f32);
        }
        for (row, length) in block.chunks_exact_mut(d).zip(lengths.chunks_exact(d)) {
            let length = norm(length);
            row.iter_mut().for_each(|x| *x = (f64::from(*x) * length) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_kind_seed_and_place() {
        let mut plan = Plan::default();
        plan.add("a".into(), &[100, 100], Kind::Normal { mean: 1.0, sd: 0.5 });
        plan.add("b".into(), &[100, 100], Kind::Normal { mean: 1.0, sd: 0.5 });
        plan.add("c".into(), &[50], Kind::Uniform(0.25));
        plan.add("d".into(), &[3], Kind::Constant(2.0));
        plan.add("e".into(), &[2, 4], Kind::Sinusoids(4));
        let drawn = plan.draw(7).unwrap();
        assert_eq!(drawn[4].2, [0.0, 1.0, 0.0, 1.0, 1f32.sin(), 1f32.cos(), 0.01f32.sin(), 0.01f32.cos()]);
        assert_eq!(drawn, plan.draw(7).unwrap());
        assert_ne!(drawn[0].2, plan.draw(8).unwrap()[0].2);
        assert_ne!(drawn[0].2, drawn[1].2);
        let a = &drawn[0].2;
        let mean = a.iter().sum::<f32>() / 1e4;
        let sd = (a.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 1e4).sqrt();
        assert!((mean - 1.0).abs() < 0.025 && (sd - 0.5).abs() < 0.02, "{mean} {sd}");
        assert!(drawn[2].2.iter().all(|v| v.abs() <= 0.25) && drawn[2].2.iter().any(|v| v.abs() > 0.1));
        assert_eq!(drawn[3].2, [2.0; 3]);
    }

    #[test]
    fn features_are_orthogonal_within_blocks_and_as_long_as_normal_vectors() {
        let drawn = {
            let mut plan = Plan::default();
            plan.add("p".into(), &[20, 4], Kind::Normal { mean: 0.0, sd: 1.0 });
            plan.draw(3).unwrap().remove(0).2
        };
        let (mut rows, lengths) = (drawn[..40].to_vec(), &drawn[40..]);
        orthogonal_features(&mut rows, lengths, 4);
        let dot = |i: usize, j: usize| -> f32 { (0..4).map(|c| rows[i * 4 + c] * rows[j * 4 + c]).sum() };
        for i in 0..10 {
            let length: f32 = lengths[i * 4..i * 4 + 4].iter().map(|x| x * x).sum();
            assert!((dot(i, i) - length).abs() < 1e-5);
            for j in (i / 4 * 4)..i {
                assert!(dot(i, j).abs() < 1e-5, "{i} {j}");
            }
        }
        assert!(dot(0, 5).abs() > 1e-4, "blocks are independent of each other");
    }
}
