//! Times the comparison of residual streams and the routing analysis at full size on random data, with peak memory.
//!
//!     cargo run --release -p microtome-anatomy --example full_size -- [GENES] [BLOCKS] [WIDTH] [HEADS] [rsa|raw|softmax]...
//!
//! Defaults: 19264 genes, 16 blocks, width 512, 8 heads, `rsa raw`; K = 1,000, 5,000, 10,000 and 50,000 at once. Blocks are a
//! shared random base with growing noise. Seconds are wall time; peak memory is `VmHWM` of the process (Linux).
#![allow(clippy::print_stdout, reason = "an example prints what it measured")]

use microtome_anatomy::geometry::{RsaOptions, rsa};
use microtome_anatomy::routing::{MeanStream, RoutingOptions, ScoreOptions, route};
use microtome_anatomy::{AttentionWeights, Blocks};
use microtome_core::{Error, Matrix, Result, Silent};
use microtome_numerics::resample::Rng;
use rayon::prelude::*;
use std::time::Instant;

fn random(rows: usize, cols: usize, seed: u64, scale: f32) -> Matrix {
    let mut out = Matrix::zeros(rows, cols);
    let fill = |(row, values): (usize, &mut [f32])| {
        let mut rng = Rng::stream(seed, row as u64);
        values.iter_mut().for_each(|v| *v = scale * rng.normal() as f32);
    };
    out.data_mut().par_chunks_mut(cols.max(1)).enumerate().for_each(fill);
    out
}

fn peak_mebibytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|k| k / 1024)
}

fn report(what: &str, start: Instant) {
    let peak = peak_mebibytes().map_or_else(|| "unknown".to_owned(), |m| format!("{m} MiB"));
    println!("{what}: {:.2} s, peak memory so far {peak}", start.elapsed().as_secs_f64());
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: usize| match arguments.get(i) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| Error::usage("not a number").found(text.clone())),
    };
    let (n, l, d, h) = (number(0, 19_264)?, number(1, 16)?, number(2, 512)?, number(3, 8)?);
    let chosen: Vec<&str> = arguments.iter().skip(4).map(String::as_str).collect();
    let chosen = if chosen.is_empty() { vec!["rsa", "raw"] } else { chosen };

    let base = random(n, d, 0, 1.0);
    let streams: Vec<Matrix> = (0..l)
        .map(|b| {
            let mut x = random(n, d, 1 + b as u64, 0.1 * (b + 1) as f32);
            x.data_mut().iter_mut().zip(base.data()).for_each(|(v, w)| *v += w);
            x
        })
        .collect();
    drop(base);
    let scale = 1.0 / (d as f32).sqrt();
    let weights: Vec<AttentionWeights> = (0..l)
        .map(|b| AttentionWeights {
            n_heads: h,
            n_kv_heads: h,
            w_q: random(d, d, 1000 + b as u64, scale),
            w_k: random(d, d, 2000 + b as u64, scale),
            w_v: None,
            w_o: None,
            b_q: None,
            b_k: None,
            b_v: None,
            scale: None,
            norm: None,
        })
        .collect();
    println!("{n} genes, {l} blocks, width {d}, {h} heads, {} threads", rayon::current_num_threads());
    let names: Vec<String> = (0..l).map(|b| format!("blocks.{b}.resid_pre")).collect();
    let blocks = Blocks::new(names, streams.iter().collect())?;

    for what in chosen {
        let start = Instant::now();
        match what {
            "rsa" => {
                let out = rsa(&blocks, &RsaOptions::default(), &Silent)?;
                let first = out.at(0, l.min(2) - 1);
                println!("similarity of blocks 0 and 1: {:?} over {} gene pairs", first.value, first.n);
            }
            "raw" | "softmax" => {
                let options = RoutingOptions::exact(vec![1_000, 5_000, 10_000, 50_000]);
                let scoring = ScoreOptions::napistu(what == "softmax");
                let source = MeanStream::new(blocks.clone(), weights.iter().collect(), scoring)?;
                let out = route(&source, &options, None, &Silent)?;
                for at in &out.at {
                    let next = at.consecutive().first().and_then(|a| a.agreement());
                    println!("K {}: union {}, agreement of block 0 in 1: {next:?}", at.k, at.union);
                }
            }
            other => {
                return Err(Error::usage("unknown measurement").expected("rsa, raw or softmax").found(other));
            }
        }
        report(what, start);
    }
    Ok(())
}
