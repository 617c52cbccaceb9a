//! Derivatives against finite differences, and against candle's own where it has one.

use candle_core::{DType, Device, Tensor, Var};

use super::ops::{self, Activation, AttentionShape};
use super::{
    AidoCellShape, Architecture, BertShape, Dropout, GptShape, Input, NamedTensor, NicheformerShape, Params,
    Ragged, ScGptShape,
};

/// Numbers that look random and are the same everywhere.
fn numbers(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

fn var(shape: &[usize], seed: u32) -> Var {
    let n = shape.iter().product();
    Var::from_tensor(&Tensor::from_vec(numbers(n, seed), shape, &Device::Cpu).unwrap()).unwrap()
}

fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// A weighted sum of a tensor's numbers, so that every number has its own gradient.
fn weigh(t: &Tensor) -> Tensor {
    let n = t.elem_count();
    let weights = Tensor::from_vec(numbers(n, 99), t.dims(), &Device::Cpu).unwrap();
    (t * weights).unwrap().sum_all().unwrap()
}

/// Every derivative by central differences of the value in `f64`-summed `f32`.
fn check(vars: &[&Var], value: impl Fn() -> Tensor, tolerance: f32) {
    let grads = value().backward().unwrap();
    let h = 4e-3;
    for (which, v) in vars.iter().enumerate() {
        let got = values(grads.get(v.as_tensor()).expect("a gradient"));
        let at = values(v.as_tensor());
        for i in 0..at.len() {
            let moved = |by: f32| {
                let mut new = at.clone();
                new[i] += by;
                v.set(&Tensor::from_vec(new, v.dims(), &Device::Cpu).unwrap()).unwrap();
                value().to_scalar::<f32>().unwrap()
            };
            let numeric = (moved(h) - moved(-h)) / (2.0 * h);
            moved(0.0);
            let off = (got[i] - numeric).abs();
            assert!(
                off < tolerance * (1.0 + numeric.abs()),
                "input {which}, number {i}: {} {numeric}",
                got[i]
            );
        }
    }
}

fn closest(a: &Tensor, b: &Tensor) -> f32 {
    values(a).iter().zip(values(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn affine() {
    let (x, w, b) = (var(&[5, 7], 1), var(&[4, 7], 2), var(&[4], 3));
    let others = [Activation::GeluTanh, Activation::Relu, Activation::Silu, Activation::LeakyRelu(0.1)];
    for activation in [Activation::None, Activation::GeluErf].into_iter().chain(others) {
        check(&[&x, &w, &b], || weigh(&ops::affine(&x, &w, &b, activation).unwrap()), 4e-3);
    }
    let own = x.matmul(&w.t().unwrap()).unwrap().broadcast_add(&b).unwrap().relu().unwrap();
    let ours = ops::affine(&x, &w, &b, Activation::Relu).unwrap();
    assert!(closest(&own, &ours) < 1e-6);
    let (own, ours) = (weigh(&own).backward().unwrap(), weigh(&ours).backward().unwrap());
    for v in [&x, &w, &b] {
        assert!(closest(own.get(v).unwrap(), ours.get(v).unwrap()) < 1e-5);
    }
    assert!(ops::affine(&x, &w, &var(&[5], 1), Activation::None).is_err());
}

#[test]
fn what_is_frozen_gets_no_gradient() {
    let (x, w, b) = (var(&[5, 7], 1), var(&[4, 7], 2), var(&[4], 3));
    let y = ops::affine(&x, &w.detach(), &b, Activation::None).unwrap();
    let grads = weigh(&y).backward().unwrap();
    assert!(grads.get(&x).is_some() && grads.get(&w).is_none());
}

#[test]
fn layer_norm() {
    let (x, w, b) = (var(&[4, 19], 1), var(&[19], 2), var(&[19], 3));
    check(&[&x, &w, &b], || weigh(&ops::layer_norm(&x, &w, &b, 1e-5).unwrap()), 4e-3);
    let mean = x.mean_keepdim(1).unwrap();
    let centred = x.broadcast_sub(&mean).unwrap();
    let sd = (centred.sqr().unwrap().mean_keepdim(1).unwrap() + 1e-5).unwrap().sqrt().unwrap();
    let own = centred.broadcast_div(&sd).unwrap().broadcast_mul(&w).unwrap().broadcast_add(&b).unwrap();
    let ours = ops::layer_norm(&x, &w, &b, 1e-5).unwrap();
    assert!(closest(&own, &ours) < 2e-6);
    let (own, ours) = (weigh(&own).backward().unwrap(), weigh(&ours).backward().unwrap());
    for v in [&x, &w, &b] {
        assert!(closest(own.get(v).unwrap(), ours.get(v).unwrap()) < 1e-5);
    }
}

/// Attention of one cell out of candle's own steps.
fn plain_attention(qkv: &Tensor, shape: AttentionShape) -> Tensor {
    let n = qkv.dim(0).unwrap();
    let d = shape.n_heads * shape.d_head;
    let part = |i: usize| {
        let x = qkv.narrow(1, i * d, d).unwrap().reshape((n, shape.n_heads, shape.d_head)).unwrap();
        x.transpose(0, 1).unwrap().contiguous().unwrap()
    };
    let (q, k, v) = (part(0), part(1), part(2));
    let scores = (q.matmul(&k.t().unwrap()).unwrap() / (shape.d_head as f64).sqrt()).unwrap();
    let mask: Vec<f32> = (0..n * n).map(|i| if shape.causal && i % n > i / n { -1e9 } else { 0.0 }).collect();
    let mask = Tensor::from_vec(mask, (1, n, n), &Device::Cpu).unwrap();
    let e = scores.broadcast_add(&mask).unwrap().exp().unwrap();
    let p = e.broadcast_div(&e.sum_keepdim(2).unwrap()).unwrap();
    p.matmul(&v).unwrap().transpose(0, 1).unwrap().reshape((n, d)).unwrap()
}

#[test]
fn rms_norm() {
    let (x, w, b) = (var(&[4, 19], 1), var(&[19], 2), var(&[19], 3));
    check(&[&x, &w, &b], || weigh(&ops::rms_norm(&x, &w, &b, 1e-5).unwrap()), 4e-3);
    let size = (x.sqr().unwrap().mean_keepdim(1).unwrap() + 1e-5).unwrap().sqrt().unwrap();
    let own = x.broadcast_div(&size).unwrap().broadcast_mul(&w).unwrap().broadcast_add(&b).unwrap();
    assert!(closest(&own, &ops::rms_norm(&x, &w, &b, 1e-5).unwrap()) < 2e-6);
}

/// Shared keys, capped scores and biases of keys against candle's own steps, and every derivative.
#[test]
fn attention_with_all_it_may_have() {
    let bias = [0.5, f32::NEG_INFINITY, -1.0, 2.0, 0.0, f32::NEG_INFINITY, 0.3];
    for (causal, n_kv_heads, soft_cap) in
        [(false, 1, None), (true, 2, Some(0.8)), (false, 4, Some(0.8)), (true, 4, None)]
    {
        let shape = AttentionShape { n_kv_heads, causal, soft_cap, ..AttentionShape::new(4, 3) };
        let qkv = var(&[7, shape.qkv_width()], 5);
        // The second cell begins with a hidden token, which sees nothing under a causal mask.
        let cells = Ragged::of_lengths([5, 2]).with_key_bias(bias.to_vec()).unwrap();
        check(&[&qkv], || weigh(&ops::attention(&qkv, &cells, shape).unwrap()), 4e-3);
        let one = Ragged::of_lengths([7]).with_key_bias(bias.to_vec()).unwrap();
        let ours = ops::attention(&qkv, &one, shape).unwrap();
        let own = biased_attention(&qkv, shape, &bias);
        assert!(closest(&own, &ours) < 1e-6, "{shape:?}");
        let (own, grads) = (weigh(&own).backward().unwrap(), weigh(&ours).backward().unwrap());
        assert!(closest(own.get(&qkv).unwrap(), grads.get(&qkv).unwrap()) < 1e-5, "{shape:?}");
        let alone = ops::attention(&qkv, &cells, shape).unwrap().narrow(0, 5, 1).unwrap();
        assert_eq!(values(&alone).iter().all(|v| *v == 0.0), causal);
    }
    let shape = AttentionShape { n_kv_heads: 3, ..AttentionShape::new(4, 3) };
    let qkv = var(&[7, shape.qkv_width()], 5);
    assert!(ops::attention(&qkv, &Ragged::of_lengths([7]), shape).is_err());
    assert!(Ragged::of_lengths([7]).with_key_bias(vec![0.0; 6]).is_err());
}

fn biased_attention(qkv: &Tensor, shape: AttentionShape, bias: &[f32]) -> Tensor {
    let n = qkv.dim(0).unwrap();
    let (h, kv, w) = (shape.n_heads, shape.n_kv_heads, shape.d_head);
    let head = |first: usize| qkv.narrow(1, first * w, w).unwrap().contiguous().unwrap();
    let mut parts = vec![];
    for i in 0..h {
        let shared = i / (h / kv);
        let (q, k, v) = (head(i), head(h + shared), head(h + kv + shared));
        let finite: Vec<f32> = bias.iter().map(|b| if b.is_finite() { *b } else { 0.0 }).collect();
        let finite = Tensor::from_vec(finite, (1, n), &Device::Cpu).unwrap();
        let mut scores = (q.matmul(&k.t().unwrap()).unwrap() / (w as f64).sqrt()).unwrap();
        scores = scores.broadcast_add(&finite).unwrap();
        if let Some(cap) = shape.soft_cap.map(f64::from) {
            scores = ((scores / cap).unwrap().tanh().unwrap() * cap).unwrap();
        }
        let sees = |i: usize| !(shape.causal && i % n > i / n) && bias[i % n].is_finite();
        let mask: Vec<f32> = (0..n * n).map(|i| if sees(i) { 1.0 } else { 0.0 }).collect();
        let mask = Tensor::from_vec(mask, (n, n), &Device::Cpu).unwrap();
        let e = (scores.exp().unwrap() * mask).unwrap();
        let p = e.broadcast_div(&(e.sum_keepdim(1).unwrap() + 1e-30).unwrap()).unwrap();
        parts.push(p.matmul(&v).unwrap());
    }
    Tensor::cat(&parts, 1).unwrap()
}

#[test]
fn attention() {
    for causal in [false, true] {
        let shape = AttentionShape { causal, ..AttentionShape::new(2, 3) };
        let qkv = var(&[9, 18], 5);
        let cells = Ragged::of_lengths([4, 0, 1, 4]);
        check(&[&qkv], || weigh(&ops::attention(&qkv, &cells, shape).unwrap()), 4e-3);
        let one = Ragged::of_lengths([9]);
        let (own, ours) = (plain_attention(&qkv, shape), ops::attention(&qkv, &one, shape).unwrap());
        assert!(closest(&own, &ours) < 1e-6);
        let (own, ours) = (weigh(&own).backward().unwrap(), weigh(&ours).backward().unwrap());
        assert!(closest(own.get(&qkv).unwrap(), ours.get(&qkv).unwrap()) < 1e-5);
        // A cell does not see its neighbours.
        let together = ops::attention(&qkv, &cells, shape).unwrap().narrow(0, 5, 4).unwrap();
        let alone = ops::attention(&qkv.narrow(0, 5, 4).unwrap(), &Ragged::of_lengths([4]), shape).unwrap();
        assert_eq!(values(&together), values(&alone));
    }
}

#[test]
fn cross_entropy() {
    let logits = var(&[4, 6], 7);
    let (targets, weights) = ([1, 5, 0, 3], [1.0, 0.5, 0.0, 2.0]);
    check(&[&logits], || ops::cross_entropy(&logits, &targets, &weights).unwrap(), 4e-3);
    let e = logits.to_dtype(DType::F64).unwrap().exp().unwrap();
    let shares = e.broadcast_div(&e.sum_keepdim(1).unwrap()).unwrap().to_vec2::<f64>().unwrap();
    for (i, loss) in ops::token_losses(&logits, &targets).unwrap().into_iter().enumerate() {
        assert!((f64::from(loss) + shares[i][targets[i] as usize].ln()).abs() < 1e-6);
    }
    assert!(ops::cross_entropy(&logits, &[1, 6, 0, 3], &weights).is_err());
}

fn params_of(architecture: &dyn Architecture) -> Params {
    let tensors = architecture.tensors().into_iter().enumerate().map(|(i, (name, shape))| {
        let n = shape.iter().product();
        NamedTensor { name, values: numbers(n, i as u32 + 1), shape }
    });
    Params::new(tensors.collect()).unwrap()
}

fn input() -> Input {
    let ids = vec![1, 4, 2, 8, 3, 4, 0];
    let values = vec![1.0, -1.0, 2.5, 0.3, -1.0, 0.0, 1.5];
    Input { values, rows: vec![0, 5, 6], ..Input::of_tokens(ids, Ragged::of_lengths([3, 4])) }
}

/// Every parameter of every network has its derivative, and each is used.
#[test]
fn whole_networks() {
    let bert = BertShape {
        n_blocks: 2,
        d_model: 6,
        n_heads: 2,
        d_mlp: 5,
        max_positions: 8,
        vocab_size: 9,
        type_vocab_size: 2,
        eps: 1e-12,
        activation: Activation::GeluErf,
    };
    let gpt = GptShape {
        prefix: "transformer.".into(),
        n_blocks: 2,
        d_model: 6,
        n_heads: 2,
        d_mlp: 5,
        max_positions: 8,
        vocab_size: 9,
        eps: 1e-5,
        activation: Activation::GeluTanh,
    };
    let niche = NicheformerShape {
        n_blocks: 2,
        d_model: 6,
        n_heads: 2,
        d_mlp: 5,
        max_positions: 8,
        n_rows: 10,
        n_tokens: 9,
    };
    let all: [&dyn Architecture; 3] = [&bert, &gpt, &niche];
    for architecture in all {
        let params = params_of(architecture);
        let loss = || {
            let net = architecture.over(&params).unwrap();
            let states = net.states(&input(), &mut Dropout::none()).unwrap();
            let logits = net.answers(&input(), states.last().unwrap()).unwrap();
            ops::cross_entropy(&logits, &[7, 2, 2], &[1.0, 1.0, 1.0]).unwrap()
        };
        let vars: Vec<&Var> = params.iter().map(|(_, v)| v).collect();
        check(&vars, loss, 2e-2);
        assert_eq!(params.iter().count(), architecture.tensors().len());
    }
    let params = params_of(&bert);
    assert!(Params::new(params.to_named().unwrap()).unwrap().get("cls.predictions.bias", &[8]).is_err());
}

#[test]
fn whole_networks_over_values() {
    let scgpt = ScGptShape { n_blocks: 2, d_model: 6, n_heads: 2, d_mlp: 5, vocab_size: 9 };
    let aido = AidoCellShape {
        n_blocks: 2,
        d_model: 6,
        n_heads: 2,
        d_mlp: 5,
        n_tokens: 9,
        n_bins: 4,
        alpha: 0.7,
        eps: 1e-5,
    };
    let all: [&dyn Architecture; 2] = [&scgpt, &aido];
    for architecture in all {
        let params = params_of(architecture);
        let loss = || {
            let net = architecture.over(&params).unwrap();
            let states = net.states(&input(), &mut Dropout::none()).unwrap();
            let last = states.last().unwrap();
            let answers = weigh(&net.answers(&input(), last).unwrap());
            match net.answers_of_cell(&input(), last).unwrap() {
                Some(of_cell) => (answers + weigh(&of_cell)).unwrap(),
                None => answers,
            }
        };
        let vars: Vec<&Var> = params.iter().map(|(_, v)| v).collect();
        check(&vars, loss, 2e-2);
    }
}
