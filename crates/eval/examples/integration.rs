//! Times all integration metrics of one embedding. `bench/integration.py` runs it beside scib-metrics.
//!
//! `integration FILE CELLS FEATURES`: the file holds the embedding before and after integration (f32, row-major, both
//! `CELLS x FEATURES`), then the label and the batch of every cell (u32); all little-endian. Prints the seconds of every
//! repeat and, as JSON, every score.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::time::Instant;

use microtome_core::Matrix;
use microtome_eval::metrics::integration::{Integration, integration};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [path, n, d] = &args[..] else { panic!("usage: integration FILE CELLS FEATURES") };
    let (n, d): (usize, usize) = (n.parse().unwrap(), d.parse().unwrap());
    let bytes = std::fs::read(path).unwrap();
    let words: Vec<[u8; 4]> = bytes.as_chunks().0.to_vec();
    assert_eq!(words.len(), 2 * n * d + 2 * n, "the file has another size");
    let matrix = |at: usize| {
        let values = words[at * n * d..(at + 1) * n * d].iter().map(|&w| f32::from_le_bytes(w)).collect();
        Matrix::new(n, d, values).unwrap()
    };
    let codes = |at: usize| -> Vec<u32> {
        let from = 2 * n * d + at * n;
        words[from..from + n].iter().map(|&w| u32::from_le_bytes(w)).collect()
    };
    let (before, embedding, labels, batches) = (matrix(0), matrix(1), codes(0), codes(1));
    let input = Integration {
        embedding: &embedding,
        before: Some(&before),
        labels: &labels,
        batches: &batches,
        k_purity: 15,
        seed: 0,
    };
    let start = Instant::now();
    let scores = integration(&input).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let values: serde_json::Map<String, serde_json::Value> =
        scores.iter().map(|(d, s)| (d.id.to_string(), s.value.into())).collect();
    println!("{seconds}\n{}", serde_json::Value::from(values));
}
