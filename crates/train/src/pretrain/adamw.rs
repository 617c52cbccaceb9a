//! AdamW (Loshchilov and Hutter 2019), with the moments in plain memory so that they can be kept.

use microtome_core::Result;

use super::recipe::Recipe;
use crate::net::Params;

/// Weights and moments, in the order of the names.
#[derive(Clone, Debug)]
pub(crate) struct AdamW {
    pub(crate) names: Vec<String>,
    pub(crate) shapes: Vec<Vec<usize>>,
    pub(crate) weights: Vec<Vec<f32>>,
    pub(crate) mean: Vec<Vec<f32>>,
    pub(crate) square: Vec<Vec<f32>>,
}

impl AdamW {
    pub(crate) fn new(params: &Params) -> Result<Self> {
        let all = params.to_named()?;
        let zeros: Vec<Vec<f32>> = all.iter().map(|t| vec![0.0; t.values.len()]).collect();
        let names = all.iter().map(|t| t.name.clone()).collect();
        let shapes = all.iter().map(|t| t.shape.clone()).collect();
        let weights = all.into_iter().map(|t| t.values).collect();
        Ok(Self { names, shapes, weights, mean: zeros.clone(), square: zeros })
    }

    /// One step with gradients in the order of the names. `step` counts from 0.
    pub(crate) fn step(
        &mut self,
        grads: &[Vec<f32>],
        recipe: &Recipe,
        step: u64,
        params: &Params,
    ) -> Result<()> {
        let rate = recipe.rate(step);
        let (b1, b2) = (recipe.beta1, recipe.beta2);
        let t = i32::try_from(step + 1).unwrap_or(i32::MAX);
        let (c1, c2) = (1.0 - b1.powi(t), 1.0 - b2.powi(t));
        for (i, grad) in grads.iter().enumerate() {
            // Biases and norms are vectors.
            let shrink = if self.shapes[i].len() > 1 { rate * recipe.weight_decay } else { 0.0 };
            let moments = self.mean[i].iter_mut().zip(&mut self.square[i]);
            for ((w, (m, s)), g) in self.weights[i].iter_mut().zip(moments).zip(grad) {
                let g = f64::from(*g);
                *m = (b1 * f64::from(*m) + (1.0 - b1) * g) as f32;
                *s = (b2 * f64::from(*s) + (1.0 - b2) * g * g) as f32;
                let update = rate * (f64::from(*m) / c1) / ((f64::from(*s) / c2).sqrt() + 1e-8);
                *w = (f64::from(*w) * (1.0 - shrink) - update) as f32;
            }
            params.set_values(&self.names[i], self.weights[i].clone())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::NamedTensor;

    /// By hand: the first step moves every weight by the rate, whatever the gradient's size, after shrinking it.
    #[test]
    fn the_first_steps_are_those_of_the_formula() {
        let tensor = |name: &str, shape: &[usize]| NamedTensor {
            name: name.into(),
            shape: shape.to_vec(),
            values: vec![1.0, -2.0],
        };
        let params = Params::new(vec![tensor("a", &[1, 2]), tensor("b", &[2])]).unwrap();
        let mut optimiser = AdamW::new(&params).unwrap();
        let recipe = Recipe {
            learning_rate: 0.1,
            warm_up: 0.0,
            decay: super::super::Decay::Constant,
            ..Recipe::default()
        };
        let grads = vec![vec![0.5, -3.0], vec![0.5, -3.0]];
        optimiser.step(&grads, &recipe, 0, &params).unwrap();
        let near = |a: f32, b: f32| assert!((a - b).abs() < 1e-6, "{a} {b}");
        near(optimiser.weights[0][0], 1.0 * 0.999 - 0.1);
        near(optimiser.weights[0][1], -2.0 * 0.999 + 0.1);
        near(optimiser.weights[1][0], 0.9);
        // Second step with another gradient: m = 0.9 * 0.05 + 0.1 * 1, s = 0.98 * 0.005 + 0.02 * 1, corrected.
        optimiser.step(&[vec![1.0, 0.0], vec![1.0, 0.0]], &recipe, 1, &params).unwrap();
        let (m, s) = ((0.045 + 0.1) / 0.19f32, (0.0049 + 0.02) / (1.0 - 0.9604f32));
        near(optimiser.weights[1][0], 0.9 - 0.1 * m / s.sqrt());
        assert_eq!(params.to_named().unwrap()[1].values, optimiser.weights[1]);
    }
}
