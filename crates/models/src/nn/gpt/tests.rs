//! Against the formula in double precision, in both layouts, and the names of an untrained stack.

use std::path::Path;

use microtome_kernels::Activation;
use microtome_weights::{Checkpoint, Loader, TensorData, write_safetensors};

use super::{Gpt, GptLayout, GptShape};
use crate::Tokens;
use crate::nn::Wanted;
use crate::taps::Recorder;
use crate::untrained::{Drawn, Plan};

const D: usize = 6;
const SHAPE: GptShape = GptShape {
    n_blocks: 2,
    d_model: D,
    n_heads: 2,
    d_mlp: 10,
    eps: 1e-3,
    activation: Activation::GeluTanh,
    bias: true,
};

fn drawn(shape: &GptShape, layout: GptLayout) -> Vec<Drawn> {
    let mut plan = Plan::default();
    Gpt::plan(&mut plan, "t.", shape, layout);
    let mut drawn = plan.draw(3).unwrap();
    // Untrained biases are zero and untrained maps are small: neither would show a mistake.
    for (i, (name, _, values)) in drawn.iter_mut().enumerate() {
        let wave = |j: usize| ((i * 31 + j) as f32 * 0.7).sin();
        let is_norm = name.contains("ln_") && name.ends_with("weight");
        values.iter_mut().enumerate().for_each(|(j, v)| *v = f32::from(u8::from(is_norm)) + 0.4 * wave(j));
    }
    drawn
}

fn stack(drawn: &[Drawn], shape: &GptShape, layout: GptLayout) -> (Gpt, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let tensors: Vec<(String, Vec<usize>, TensorData<'_>)> =
        drawn.iter().map(|(n, s, v)| (n.clone(), s.clone(), TensorData::F32(v))).collect();
    write_safetensors(&path, &tensors, &[]).unwrap();
    let checkpoint = Checkpoint::open(Path::new(&path)).unwrap();
    let loader = Loader::new(&checkpoint);
    let gpt = Gpt::load(&loader, "t.", shape, layout).unwrap();
    (gpt, loader.finish(true).unwrap().used.len())
}

fn run(gpt: &Gpt, x: &[f32], lens: &[usize]) -> Vec<f32> {
    let mut tokens = Tokens::new();
    lens.iter().for_each(|&n| tokens.push(&vec![0; n], &vec![0.0; n], 0, 0));
    let mut tap = Recorder::new([]);
    gpt.run(x.to_vec(), &tokens, &Wanted::nothing(), true, &mut tap).unwrap().unwrap()
}

/// The formula in `f64`, over tensors in torch's layout.
struct Naive<'a>(&'a [Drawn]);

impl Naive<'_> {
    fn get(&self, name: &str) -> Vec<f64> {
        let found = self.0.iter().find(|(n, _, _)| n == &format!("t.{name}")).unwrap();
        found.2.iter().map(|v| f64::from(*v)).collect()
    }

    fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let (w, b) = (self.get(&format!("{name}.weight")), self.get(&format!("{name}.bias")));
        let rows = w.chunks_exact(x.len()).zip(&b);
        rows.map(|(w, b)| b + w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()).collect()
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let (w, b) = (self.get(&format!("{name}.weight")), self.get(&format!("{name}.bias")));
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
        let root = (variance + f64::from(SHAPE.eps)).sqrt();
        x.iter().zip(w.iter().zip(&b)).map(|(x, (w, b))| (x - mean) / root * w + b).collect()
    }

    fn attention(&self, name: &str, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let qkv: Vec<Vec<f64>> = rows.iter().map(|r| self.linear(&format!("{name}.c_attn"), r)).collect();
        let d_head = D / SHAPE.n_heads;
        let head = |i: usize, part: usize, h: usize| &qkv[i][part * D + h * d_head..][..d_head];
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let one = |i: usize| {
            let mut z = vec![];
            for h in 0..SHAPE.n_heads {
                let e: Vec<f64> = (0..=i)
                    .map(|j| (dot(head(i, 0, h), head(j, 1, h)) / (d_head as f64).sqrt()).exp())
                    .collect();
                let sum: f64 = e.iter().sum();
                z.extend((0..d_head).map(|c| (0..=i).map(|j| e[j] / sum * head(j, 2, h)[c]).sum::<f64>()));
            }
            self.linear(&format!("{name}.c_proj"), &z)
        };
        (0..rows.len()).map(one).collect()
    }

    fn run(&self, mut x: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        let gelu = |x: f64| {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
        };
        for i in 0..SHAPE.n_blocks {
            let normed: Vec<_> = x.iter().map(|r| self.norm(&format!("h.{i}.ln_1"), r)).collect();
            let add = |x: &mut Vec<f64>, y: Vec<f64>| x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
            x.iter_mut().zip(self.attention(&format!("h.{i}.attn"), &normed)).for_each(|(x, y)| add(x, y));
            for row in &mut x {
                let normed = self.norm(&format!("h.{i}.ln_2"), row);
                let hidden: Vec<f64> =
                    self.linear(&format!("h.{i}.mlp.c_fc"), &normed).into_iter().map(gelu).collect();
                add(row, self.linear(&format!("h.{i}.mlp.c_proj"), &hidden));
            }
        }
        x.iter().map(|r| self.norm("ln_f", r)).collect()
    }
}

#[test]
fn follows_the_formula_in_both_layouts_cell_by_cell() {
    let tensors = drawn(&SHAPE, GptLayout::Linear);
    let (gpt, n_used) = stack(&tensors, &SHAPE, GptLayout::Linear);
    assert_eq!(n_used, 2 * 12 + 2);
    let lens = [5, 0, 1, 7];
    let x: Vec<f32> = (0..13 * D).map(|i| (i as f32 * 0.9).cos()).collect();
    let got = run(&gpt, &x, &lens);
    let mut at = 0;
    for n in lens {
        let rows = x[at * D..(at + n) * D].chunks_exact(D).map(|r| r.iter().map(|v| f64::from(*v)).collect());
        let expected: Vec<f64> = Naive(&tensors).run(rows.collect()).concat();
        for (g, e) in got[at * D..].iter().zip(&expected) {
            assert!((f64::from(*g) - e).abs() < 1e-5, "{g} {e}");
        }
        at += n;
    }
    let mut other = drawn(&SHAPE, GptLayout::Conv1d);
    for ((name, shape, values), (_, of, from)) in other.iter_mut().zip(&tensors) {
        match (&shape[..], &of[..]) {
            (&[n_in, n_out], &[_, _]) => {
                (0..n_in * n_out).for_each(|k| values[k] = from[k % n_out * n_in + k / n_out]);
            }
            _ => assert!(name.contains("ln_") || name.ends_with("bias")),
        }
    }
    assert_eq!(run(&stack(&other, &SHAPE, GptLayout::Conv1d).0, &x, &lens), got);
}

#[test]
fn without_biases_there_are_none_to_load() {
    let shape = GptShape { bias: false, ..SHAPE };
    let (gpt, n_used) = stack(&drawn(&shape, GptLayout::Linear), &shape, GptLayout::Linear);
    assert_eq!((n_used, &gpt.norm.bias[..]), (2 * 6 + 1, &[0.0; D][..]));
}

#[test]
fn an_untrained_stack_is_narrower_towards_the_stream() {
    let shape = GptShape { d_model: 64, d_mlp: 256, n_blocks: 8, ..SHAPE };
    let mut plan = Plan::default();
    Gpt::plan(&mut plan, "t.", &shape, GptLayout::Conv1d);
    let drawn = plan.draw(0).unwrap();
    let sd = |name: &str| {
        let (_, _, v) = drawn.iter().find(|(n, _, _)| n == name).unwrap();
        (v.iter().map(|v| v * v).sum::<f32>() / v.len() as f32).sqrt()
    };
    assert!((sd("t.h.0.mlp.c_fc.weight") - 0.02).abs() < 0.001);
    assert!((sd("t.h.7.mlp.c_proj.weight") - 0.005).abs() < 0.0003);
}
