//! The fused post-norm block against its parts (bit for bit) and against f64.

mod reference;

use microtome_kernels::{
    Activation, AttentionShape, Isa, LayerNorm, Linear, Mask, PostLnBlock, Precision, Rows, Scratch,
    attention, with_isa,
};
use reference::{Random, View, bits, difference, layer_norm, on_every_isa};

struct Weights {
    d: usize,
    hidden: usize,
    shape: AttentionShape,
    maps: [(Vec<f32>, Vec<f32>); 4],
    norms: [(Vec<f32>, Vec<f32>); 2],
    activation: Activation,
}

impl Weights {
    fn new(
        random: &mut Random,
        d: usize,
        hidden: usize,
        shape: AttentionShape,
        activation: Activation,
    ) -> Self {
        let z = shape.n_heads * shape.d_head;
        let qkv = z + 2 * shape.n_kv_heads * shape.d_head;
        let maps = [(qkv, d), (d, z), (hidden, d), (d, hidden)]
            .map(|(o, i)| (random.normals(o * i, 1.0 / (i as f32).sqrt()), random.normals(o, 0.1)));
        let norms = [(); 2].map(|()| (random.normals(d, 1.0), random.normals(d, 0.1)));
        Self { d, hidden, shape, maps, norms, activation }
    }

    fn block(&self, precision: Precision) -> PostLnBlock {
        let pack = |(w, b): &(Vec<f32>, Vec<f32>)| {
            Linear::pack_as(w, b.len(), w.len() / b.len(), Some(b), precision)
        };
        let [qkv, out, up, down] = self.maps.each_ref().map(pack);
        let [norm1, norm2] = self.norms.each_ref().map(|(w, b)| LayerNorm::new(w.clone(), b.clone(), 1e-12));
        PostLnBlock { shape: self.shape, qkv, out, norm1, up, activation: self.activation, down, norm2 }
    }

    fn exact(&self, x: &[f32], offsets: &[usize]) -> Vec<f64> {
        let rows = x.len() / self.d;
        let single = |x: &[f64]| x.iter().map(|&v| v as f32).collect::<Vec<f32>>();
        let map = |x: &[f32], i: usize| {
            let (w, b) = &self.maps[i];
            reference::linear(x, w, Some(b), rows, w.len() / b.len(), b.len())
        };
        let norm = |x: &[f64], y: &[f32], i: usize| {
            let sum: Vec<f64> = x.iter().zip(y).map(|(a, b)| a + f64::from(*b)).collect();
            sum.chunks(self.d)
                .flat_map(|r| layer_norm(r, &self.norms[i].0, &self.norms[i].1, 1e-12))
                .collect::<Vec<f64>>()
        };
        let qkv = single(&map(x, 0));
        let (z, kv) = (self.shape.n_heads * self.shape.d_head, self.shape.n_kv_heads * self.shape.d_head);
        let view = |start| View(&qkv, z + 2 * kv, start);
        let z = reference::attention(view(0), view(z), view(z + kv), offsets, &self.shape, &Mask::FULL);
        let mid = single(&norm(&map(&single(&z), 1), x, 0));
        let hidden: Vec<f64> =
            map(&mid, 2).iter().map(|&v| reference::activation(self.activation, v)).collect();
        assert_eq!(hidden.len(), rows * self.hidden);
        norm(&map(&single(&hidden), 3), &mid, 1)
    }
}

/// The block from its public parts.
fn unfused(block: &PostLnBlock, x: &[f32], offsets: &[usize], mask: Mask<'_>) -> Vec<f32> {
    let rows = offsets[offsets.len() - 1];
    let (width, d) = (block.qkv.n_out(), block.norm1.width());
    let (q, kv) = (block.shape.n_heads * block.shape.d_head, block.shape.n_kv_heads * block.shape.d_head);
    let mut qkv = vec![0.0; rows * width];
    block.qkv.apply(x, rows, Activation::None, &mut qkv);
    let columns = |start| Rows::columns(&qkv, width, start);
    let mut z = vec![0.0; rows * q];
    attention(columns(0), columns(q), columns(q + kv), offsets, &block.shape, mask, &mut z);
    let mut attn_out = vec![0.0; rows * d];
    block.out.apply(&z, rows, Activation::None, &mut attn_out);
    let mut mid = vec![0.0; rows * d];
    block.norm1.apply_residual(&attn_out, x, rows, &mut mid);
    let mut hidden = vec![0.0; rows * block.up.n_out()];
    block.up.apply(&mid, rows, block.activation, &mut hidden);
    let mut mlp_out = vec![0.0; rows * d];
    block.down.apply(&hidden, rows, Activation::None, &mut mlp_out);
    let mut out = vec![0.0; rows * d];
    block.norm2.apply_residual(&mlp_out, &mid, rows, &mut out);
    out
}

#[test]
fn fused_is_unfused_bit_for_bit_and_matches_f64() {
    let grouped = AttentionShape { n_kv_heads: 1, ..AttentionShape::new(2, 9) };
    let cases: [(usize, usize, AttentionShape, &[usize]); 4] = [
        (64, 256, AttentionShape::new(8, 8), &[0, 5, 5, 150, 151]),
        (20, 33, grouped, &[0, 97]),
        (200, 800, AttentionShape::new(10, 64), &[0, 30]),
        (520, 1100, AttentionShape::new(4, 130), &[0, 60, 100]),
    ];
    on_every_isa(|| {
        let mut random = Random(11);
        let mut scratch = Scratch::default();
        for (d, hidden, shape, offsets) in &cases {
            for activation in [Activation::Relu, Activation::GeluErf] {
                let weights = Weights::new(&mut random, *d, *hidden, *shape, activation);
                let block = weights.block(Precision::F32);
                let x = random.normals(offsets[offsets.len() - 1] * d, 1.0);
                let mut fused = x.clone();
                block.forward(&mut fused, offsets, Mask::FULL, &mut scratch);
                assert_eq!(bits(&fused), bits(&unfused(&block, &x, offsets, Mask::FULL)));
                let worst = difference(&fused, &weights.exact(&x, offsets));
                assert!(worst < 2e-5, "d {d}: {worst:e}");
                let mut causal = x.clone();
                block.forward(&mut causal, offsets, Mask::CAUSAL, &mut scratch);
                assert_eq!(bits(&causal), bits(&unfused(&block, &x, offsets, Mask::CAUSAL)));
                assert_ne!(bits(&causal), bits(&fused), "the mask was dropped");
            }
        }
    });
}

#[test]
fn bf16_fused_is_unfused_bit_for_bit_and_near_f32() {
    on_every_isa(|| {
        let mut random = Random(14);
        let offsets = [0, 5, 150];
        for (d, hidden) in [(64, 256), (520, 1101)] {
            let weights =
                Weights::new(&mut random, d, hidden, AttentionShape::new(8, d / 8), Activation::GeluErf);
            let block = weights.block(Precision::Bf16);
            let x = random.normals(150 * d, 1.0);
            let mut fused = x.clone();
            block.forward(&mut fused, &offsets, Mask::FULL, &mut Scratch::default());
            assert_eq!(bits(&fused), bits(&unfused(&block, &x, &offsets, Mask::FULL)));
            let worst = difference(&fused, &weights.exact(&x, &offsets));
            assert!(worst > 1e-4 && worst < 0.2, "d {d}: {worst:e}");
        }
    });
}

#[test]
fn bf16x3_fused_is_unfused_bit_for_bit_and_as_near_as_f32() {
    on_every_isa(|| {
        let mut random = Random(15);
        let offsets = [0, 5, 150];
        for (d, hidden) in [(64, 256), (520, 1101)] {
            let weights =
                Weights::new(&mut random, d, hidden, AttentionShape::new(8, d / 8), Activation::GeluErf);
            let mut block = weights.block(Precision::Bf16x3);
            let x = random.normals(150 * d, 1.0);
            let mut fused = x.clone();
            block.forward(&mut fused, &offsets, Mask::FULL, &mut Scratch::default());
            assert_eq!(bits(&fused), bits(&unfused(&block, &x, &offsets, Mask::FULL)));
            let worst = difference(&fused, &weights.exact(&x, &offsets));
            assert!(worst < 2e-5, "d {d}: {worst:e}");
            // Hidden numbers that cannot be split.
            let mut bias = vec![0.0; hidden];
            bias[hidden - 1] = 1e15;
            block.up =
                Linear::pack_as(&random.normals(hidden * d, 0.05), hidden, d, Some(&bias), Precision::Bf16x3);
            let mut fused = x.clone();
            block.forward(&mut fused, &offsets, Mask::FULL, &mut Scratch::default());
            assert!(fused.iter().all(|x| x.is_finite()));
            assert_eq!(bits(&fused), bits(&unfused(&block, &x, &offsets, Mask::FULL)));
        }
    });
}

#[test]
fn a_cell_is_the_same_alone_in_company_and_on_any_number_of_threads() {
    on_every_isa(|| {
        let mut random = Random(12);
        for precision in [Precision::F32, Precision::Bf16x3, Precision::Bf16] {
            let weights = Weights::new(&mut random, 64, 256, AttentionShape::new(4, 16), Activation::GeluErf);
            alone_and_in_company(&weights.block(precision), &random.normals(700 * 64, 1.0));
        }
    });
}

#[allow(clippy::unwrap_used, reason = "a failure is a failure of the test")]
fn alone_and_in_company(block: &PostLnBlock, x: &[f32]) {
    let offsets = [0, 40, 41, 700];
    let mut all = x.to_vec();
    block.forward(&mut all, &offsets, Mask::FULL, &mut Scratch::default());
    for cell in offsets.windows(2) {
        let range = cell[0] * 64..cell[1] * 64;
        let mut alone = x[range.clone()].to_vec();
        block.forward(&mut alone, &[0, cell[1] - cell[0]], Mask::FULL, &mut Scratch::default());
        assert_eq!(bits(&alone), bits(&all[range]));
    }
    let isa = Isa::current();
    for threads in [1, 7] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut out = x.to_vec();
        let run = || block.forward(&mut out, &offsets, Mask::FULL, &mut Scratch::default());
        pool.install(|| with_isa(isa, run));
        assert_eq!(bits(&out), bits(&all));
    }
}

#[test]
fn instruction_sets_agree() {
    let mut random = Random(13);
    let block = Weights::new(&mut random, 96, 384, AttentionShape::new(4, 24), Activation::GeluErf)
        .block(Precision::F32);
    let x = random.normals(130 * 96, 1.0);
    let results: Vec<Vec<f32>> = Isa::available()
        .into_iter()
        .map(|isa| {
            let mut y = x.clone();
            with_isa(isa, || block.forward(&mut y, &[0, 130], Mask::FULL, &mut Scratch::default()));
            y
        })
        .collect();
    for other in &results[1..] {
        let want: Vec<f64> = results[0].iter().map(|&v| f64::from(v)).collect();
        assert!(difference(other, &want) < 1e-5);
    }
}

#[test]
#[should_panic(expected = "block: x has 63 numbers, expected 1 x 64")]
fn wrong_input_panics() {
    let block = Weights::new(&mut Random(1), 64, 64, AttentionShape::new(1, 64), Activation::Relu)
        .block(Precision::F32);
    block.forward(&mut [0.0; 63], &[0, 1], Mask::FULL, &mut Scratch::default());
}
