//! Dropout (Srivastava et al. 2014) whose masks can be drawn again.

use candle_core::{Device, Result, Tensor};

use crate::pretrain::draws::{Draws, Purpose};

/// Sets a share of the numbers of a stream to 0 and makes up for it in the others. A mask depends on the seed, the step, the part of
/// the step and the place in the network only, so that a resumed run draws the masks of an uninterrupted one.
#[derive(Clone, Debug)]
pub struct Dropout {
    rate: f64,
    seed: u64,
    step: u64,
    part: u64,
    place: u64,
}

impl Dropout {
    /// No number is dropped.
    pub fn none() -> Self {
        Self::new(0.0, 0, 0, 0)
    }

    /// Drops the share `rate`, 0 to below 1, in part `part` of step `step`.
    pub(crate) fn new(rate: f64, seed: u64, step: u64, part: u64) -> Self {
        Self { rate, seed, step, part, place: 0 }
    }

    /// The next place of the network.
    pub(super) fn apply(&mut self, x: &Tensor) -> Result<Tensor> {
        if self.rate <= 0.0 {
            return Ok(x.clone());
        }
        let mut draws = Draws::new(self.seed, Purpose::Dropout, self.step, self.part << 16 | self.place);
        self.place += 1;
        let (limit, kept) = ((self.rate * f64::from(u32::MAX)) as u32, (1.0 / (1.0 - self.rate)) as f32);
        let mask = draws.words(x.elem_count()).into_iter().map(|w| if w < limit { 0.0 } else { kept });
        x * Tensor::from_iter(mask.collect::<Vec<f32>>(), &Device::Cpu)?.reshape(x.dims())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_can_be_drawn_again_and_keep_the_mean() {
        let x = Tensor::ones((100, 200), candle_core::DType::F32, &Device::Cpu).unwrap();
        let draw = |step| {
            let mut dropout = Dropout::new(0.25, 7, step, 1);
            let first = dropout.apply(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let second = dropout.apply(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_ne!(first, second, "every place has its own mask");
            first
        };
        let mask = draw(3);
        assert_eq!(mask, draw(3));
        assert_ne!(mask, draw(4));
        let zeros = mask.iter().filter(|v| **v == 0.0).count() as f64 / 20_000.0;
        assert!((zeros - 0.25).abs() < 0.015, "{zeros}");
        assert!(mask.iter().all(|v| *v == 0.0 || (*v - 4.0 / 3.0).abs() < 1e-6));
        let same = Dropout::none().apply(&x).unwrap();
        assert_eq!(same.sum_all().unwrap().to_scalar::<f32>().unwrap(), 20_000.0);
    }
}
