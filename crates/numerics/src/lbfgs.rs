//! L-BFGS (Liu and Nocedal 1989) for smooth convex functions.

/// A function with its gradient.
pub(crate) trait Objective {
    fn value_and_gradient(&self, at: &[f64]) -> (f64, Vec<f64>);
}

/// Where the search ended.
pub(crate) struct Minimum {
    pub(crate) at: Vec<f64>,
    /// Largest entry of the gradient there.
    pub(crate) gradient: f64,
    pub(crate) iterations: usize,
    pub(crate) converged: bool,
}

/// Pairs of steps and gradient changes that are remembered.
const MEMORY: usize = 10;
/// Sufficient decrease and curvature (Nocedal and Wright 2006, section 3.1).
const DECREASE: f64 = 1e-4;
const CURVATURE: f64 = 0.9;
/// Halvings and doublings of one step.
const MAX_TRIALS: usize = 50;
/// Share of the value within which two values count as equal: rounding decides which of them is smaller.
const ROUNDING: f64 = 1e-12;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn largest(v: &[f64]) -> f64 {
    v.iter().fold(0.0, |m, x| m.max(x.abs()))
}

/// Step, change of the gradient, and 1 over their product.
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    inverse: f64,
}

/// Minimises from `at` until no gradient entry exceeds `tolerance`.
pub(crate) fn minimise(
    f: &impl Objective,
    mut at: Vec<f64>,
    tolerance: f64,
    max_iterations: usize,
) -> Minimum {
    let (mut value, mut gradient) = f.value_and_gradient(&at);
    let mut pairs: Vec<Pair> = vec![];
    for iterations in 0..max_iterations {
        if largest(&gradient) <= tolerance {
            return Minimum { at, gradient: largest(&gradient), iterations, converged: true };
        }
        let mut direction = downhill(&gradient, &pairs);
        if dot(&direction, &gradient) >= 0.0 {
            // Rounding has spoilt the memory: start again from the slope.
            pairs.clear();
            direction = gradient.iter().map(|g| -g).collect();
        }
        let first = if pairs.is_empty() { (1.0 / largest(&gradient)).min(1.0) } else { 1.0 };
        let Some(next) = line_search(f, &at, value, &gradient, &direction, first) else { break };
        let step: Vec<f64> = next.at.iter().zip(&at).map(|(b, a)| b - a).collect();
        let change: Vec<f64> = next.gradient.iter().zip(&gradient).map(|(b, a)| b - a).collect();
        let product = dot(&step, &change);
        if product > f64::EPSILON * dot(&change, &change) {
            if pairs.len() == MEMORY {
                pairs.remove(0);
            }
            pairs.push(Pair { step, change, inverse: 1.0 / product });
        }
        (at, value, gradient) = (next.at, next.value, next.gradient);
    }
    let gradient = largest(&gradient);
    Minimum { at, gradient, iterations: max_iterations, converged: gradient <= tolerance }
}

/// Minus the inverse Hessian's estimate times the gradient (two-loop recursion).
fn downhill(gradient: &[f64], pairs: &[Pair]) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut alphas = vec![];
    for p in pairs.iter().rev() {
        let alpha = p.inverse * dot(&p.step, &q);
        q.iter_mut().zip(&p.change).for_each(|(q, c)| *q -= alpha * c);
        alphas.push(alpha);
    }
    if let Some(p) = pairs.last() {
        let scale = 1.0 / (p.inverse * dot(&p.change, &p.change));
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for (p, alpha) in pairs.iter().zip(alphas.into_iter().rev()) {
        let beta = p.inverse * dot(&p.change, &q);
        q.iter_mut().zip(&p.step).for_each(|(q, s)| *q += (alpha - beta) * s);
    }
    q
}

struct Place {
    at: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
}

/// A step that decreases the value enough and flattens the slope (weak Wolfe conditions), by bisection. Where values are equal
/// up to rounding, the slope there stands in for the decrease (approximate Wolfe conditions, Hager and Zhang 2005). `None`
/// when rounding leaves no better place.
fn line_search(
    f: &impl Objective,
    at: &[f64],
    value: f64,
    gradient: &[f64],
    direction: &[f64],
    first: f64,
) -> Option<Place> {
    let slope = dot(direction, gradient);
    let (mut low, mut high, mut t) = (0.0, f64::INFINITY, first);
    let mut best: Option<Place> = None;
    for _ in 0..MAX_TRIALS {
        let there: Vec<f64> = at.iter().zip(direction).map(|(a, d)| a + t * d).collect();
        let (v, g) = f.value_and_gradient(&there);
        let slope_there = dot(direction, &g);
        let level = v <= value + ROUNDING * value.abs() && slope_there <= (2.0 * DECREASE - 1.0) * slope;
        // A NaN counts as too far.
        if !(v <= value + DECREASE * t * slope || level) {
            high = t;
        } else if slope_there < CURVATURE * slope {
            low = t;
            best = Some(Place { at: there, value: v, gradient: g });
        } else {
            return Some(Place { at: there, value: v, gradient: g });
        }
        t = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * t };
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sum of `scale * (x - 1)^2 + (x - 1)^4`.
    struct Bowl(Vec<f64>);

    impl Objective for Bowl {
        fn value_and_gradient(&self, at: &[f64]) -> (f64, Vec<f64>) {
            let d: Vec<f64> = at.iter().map(|x| x - 1.0).collect();
            let value = self.0.iter().zip(&d).map(|(s, d)| s * d * d + d.powi(4)).sum();
            (value, self.0.iter().zip(&d).map(|(s, d)| 2.0 * s * d + 4.0 * d.powi(3)).collect())
        }
    }

    #[test]
    fn a_narrow_valley_is_followed_to_its_end() {
        let bowl = Bowl((0..20).map(|i| 10f64.powf(f64::from(i) / 5.0)).collect());
        // 701 iterations; L-BFGS-B of scipy with the same memory needs 681.
        let found = minimise(&bowl, vec![-3.0; 20], 1e-10, 1000);
        assert!(found.converged && found.iterations > 3, "{}", found.gradient);
        assert!(found.at.iter().all(|x| (x - 1.0).abs() < 1e-9));
        assert!(!minimise(&bowl, vec![-3.0; 20], 1e-10, 2).converged);
    }
}
