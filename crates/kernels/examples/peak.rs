//! Measures the kernels on this machine: GEMM alone on every instruction set, and a stack of 12 post-norm blocks (FFN 4x, exact GELU, one cell).
//!
//! `peak` measures a table; `peak D_MODEL N_TOKENS THREADS [bf16|bf16x3]` one stack, printing only its GFLOP/s.
//! Operations are counted as blocks x tokens x (24 d^2 + 4 L d). Figures are medians.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::time::Instant;

use microtome_kernels::{
    Activation, AttentionShape, Isa, LayerNorm, Linear, Mask, PostLnBlock, Precision, Scratch, isa, with_isa,
};

const BLOCKS: usize = 12;
const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16x3, Precision::Bf16];

/// Numbers in -1..1, the same every time.
fn noise(n: usize, scale: f32) -> Vec<f32> {
    let mut state = 0x1234_5678_9abc_def0u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * scale
    };
    (0..n).map(next).collect()
}

fn linear(n_out: usize, n_in: usize, precision: Precision) -> Linear {
    Linear::pack_as(
        &noise(n_out * n_in, 1.0 / (n_in as f32).sqrt()),
        n_out,
        n_in,
        Some(&noise(n_out, 0.1)),
        precision,
    )
}

/// Median GFLOP/s of `work`, which does `flop` operations.
fn rate(flop: f64, mut work: impl FnMut()) -> f64 {
    work();
    let mut times: Vec<f64> = Vec::new();
    let start = Instant::now();
    while times.len() < 3 || (start.elapsed().as_secs_f64() < 2.0 && times.len() < 50) {
        let start = Instant::now();
        work();
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    flop / times[times.len() / 2] / 1e9
}

fn on_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}

fn gemm(level: Isa, threads: usize, precision: Precision) -> f64 {
    let (rows, n_in, n_out) = (1920, 512, 2048);
    let map = with_isa(level, || linear(n_out, n_in, precision));
    let x = noise(rows * n_in, 1.0);
    let mut out = vec![0.0; rows * n_out];
    let flop = 2.0 * rows as f64 * n_in as f64 * n_out as f64;
    let work = || rate(flop, || map.apply(&x, rows, Activation::None, &mut out));
    on_threads(threads, || with_isa(level, work))
}

fn stack(d: usize, n_tokens: usize, threads: usize, precision: Precision) -> f64 {
    let norm = || LayerNorm::new(vec![1.0; d], vec![0.0; d], 1e-12);
    let block = || PostLnBlock {
        shape: AttentionShape { precision, ..AttentionShape::new(d / 64, 64) },
        qkv: linear(3 * d, d, precision),
        out: linear(d, d, precision),
        norm1: norm(),
        up: linear(4 * d, d, precision),
        activation: Activation::GeluErf,
        down: linear(d, 4 * d, precision),
        norm2: norm(),
    };
    let blocks: Vec<PostLnBlock> = (0..BLOCKS).map(|_| block()).collect();
    let input = noise(n_tokens * d, 1.0);
    let (mut x, mut scratch) = (input.clone(), Scratch::default());
    let flop = (BLOCKS * n_tokens) as f64 * (24.0 * (d * d) as f64 + 4.0 * (n_tokens * d) as f64);
    on_threads(threads, || {
        rate(flop, || {
            x.copy_from_slice(&input);
            for block in &blocks {
                block.forward(&mut x, &[0, n_tokens], Mask::FULL, &mut scratch);
            }
        })
    })
}

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let named = |name: Option<&String>| PRECISIONS.into_iter().find(|p| name.is_some_and(|n| n == p.name()));
    let precision = named(args.last());
    args.truncate(args.len() - usize::from(precision.is_some()));
    let precision = precision.unwrap_or_default();
    let sizes: Vec<usize> = args.iter().map(|a| a.parse().unwrap()).collect();
    if let [d, n_tokens, threads] = sizes[..] {
        println!("{:.1}", stack(d, n_tokens, threads, precision));
        return;
    }
    println!("instruction set: {}", isa());
    for level in Isa::available() {
        for precision in PRECISIONS {
            let rate = gemm(level, 2, precision);
            let (level, precision) = (level.name(), precision.name());
            println!("{level}, {precision}, 2 threads, GEMM 1920 x 512 x 2048: {rate:.0} GFLOP/s");
        }
    }
    for precision in PRECISIONS {
        for threads in [1, 2] {
            let peak = gemm(Isa::current(), threads, precision);
            let name = precision.name();
            println!("{name}, {threads} threads, GEMM 1920 x 512 x 2048: {peak:.0} GFLOP/s");
            for (d, n_tokens) in [(512, 512), (512, 2048), (768, 2048)] {
                let rate = stack(d, n_tokens, threads, precision);
                let share = 100.0 * rate / peak;
                println!(
                    "{name}, {threads} threads, d {d}, {n_tokens} tokens: {rate:.0} GFLOP/s ({share:.0}% of GEMM)"
                );
            }
        }
    }
}
