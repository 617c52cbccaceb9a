//! Keys that a bias of minus infinity hides stay hidden under a soft cap.

use microtome_kernels::{AttentionShape, Mask, Rows, attention, attention_map};

#[test]
fn a_soft_cap_does_not_bring_hidden_keys_back() {
    let (n, width) = (19, 6);
    let wave = |a: f32| -> Vec<f32> { (0..n * width).map(|i| 3.0 * (i as f32 * a).sin()).collect() };
    let (q, k, v) = (wave(0.7), wave(1.3), wave(2.1));
    let shape = AttentionShape { soft_cap: Some(2.0), ..AttentionShape::new(2, 3) };
    let mut bias = vec![0.0; n];
    bias[0] = f32::NEG_INFINITY;
    let mask = Mask::CAUSAL.with_key_bias(&bias);
    let rows = |x| Rows::dense(x, width);
    let mut out = vec![f32::NAN; n * width];
    attention(rows(&q), rows(&k), rows(&v), &[0, n], &shape, mask, &mut out);
    // The first query sees no key at all; the others see what they would without the hidden one.
    assert_eq!(out[..width], [0.0; 6]);
    let mut without = vec![f32::NAN; (n - 1) * width];
    let rest = |x| Rows::dense(x, width);
    let offsets = [0, n - 1];
    attention(
        rest(&q[width..]),
        rest(&k[width..]),
        rest(&v[width..]),
        &offsets,
        &shape,
        Mask::CAUSAL,
        &mut without,
    );
    for (a, b) in out[width..].iter().zip(&without) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
    let mut pattern = vec![f32::NAN; 2 * n * n];
    attention_map(rows(&q), rows(&k), &shape, mask, 0..n, None, &mut pattern);
    assert!(pattern.chunks_exact(n).all(|row| row[0] == 0.0));
    assert!(
        pattern.chunks_exact(n).skip(1).take(n - 1).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5)
    );
}

#[test]
fn a_bias_for_earlier_keys_still_hides_keys_from_every_query() {
    let (n, width) = (9, 4);
    let wave = |a: f32| -> Vec<f32> { (0..n * width).map(|i| (i as f32 * a).sin()).collect() };
    let (q, k) = (wave(0.7), wave(1.3));
    let mut bias: Vec<f32> = (0..n).map(|i| i as f32 / 4.0).collect();
    bias[0] = f32::NEG_INFINITY;
    bias[5] = f32::NEG_INFINITY;
    let rows = |x| Rows::dense(x, width);
    for soft_cap in [None, Some(2.0)] {
        let shape = AttentionShape { soft_cap, ..AttentionShape::new(1, width) };
        for causal in [true, false] {
            let mask = Mask { causal, bias_earlier_only: true, ..Mask::FULL.with_key_bias(&bias) };
            let mut pattern = vec![f32::NAN; n * n];
            attention_map(rows(&q), rows(&k), &shape, mask, 0..n, None, &mut pattern);
            assert!(
                pattern.chunks_exact(n).all(|row| row[0] == 0.0 && row[5] == 0.0),
                "{causal} {soft_cap:?}"
            );
            assert!(pattern[n + 1] > 0.0);
        }
    }
}
