//! Which genes stay when a cell is longer than the model's window and the published tokeniser draws a random subset.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::TokenizeOptions;

/// Random numbers that depend on a seed and on a cell's own counts, and on nothing else.
pub(crate) fn cell_rng(seed: u64, ids: &[u32], values: &[f32]) -> ChaCha8Rng {
    let words = ids.iter().map(|&i| u64::from(i)).chain(values.iter().map(|v| u64::from(v.to_bits())));
    ChaCha8Rng::seed_from_u64(words.fold(mix(seed), |hash, word| mix(hash ^ word)))
}

/// Uniform number of `[0, 1)` with 53 random bits.
pub(crate) fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Places of the tokens that stay, ascending: at most `room` of `ids`. By default the choice is one fixed order of the vocabulary
/// for all cells (by a hash of the token and the seed), so that cells keep the same genes where they can and the order of columns does not
/// matter; as published it is a draw of its own for every cell.
pub(crate) fn kept(ids: &[u32], values: &[f32], room: usize, options: &TokenizeOptions) -> Vec<usize> {
    let mut places: Vec<usize> = (0..ids.len()).collect();
    if ids.len() <= room {
        return places;
    }
    if options.as_published {
        let mut rng = cell_rng(options.seed ^ SUBSET, ids, values);
        for i in 0..room {
            let other = i + (uniform(&mut rng) * (places.len() - i) as f64) as usize;
            places.swap(i, other);
        }
    } else {
        places.sort_by_key(|&p| (mix(mix(options.seed ^ SUBSET) ^ u64::from(ids[p])), p));
    }
    places.truncate(room);
    places.sort_unstable();
    places
}

/// Keeps these draws apart from those of bins.
const SUBSET: u64 = 0x5b5e_7000_0000_0001;

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_choice_follows_the_genes_and_the_published_one_the_cell() {
        let ids: Vec<u32> = (0..40).collect();
        let back: Vec<u32> = ids.iter().rev().copied().collect();
        let values = [1.0f32; 40];
        let genes = |ids: &[u32], values: &[f32], options: &TokenizeOptions| {
            let mut genes: Vec<u32> = kept(ids, values, 10, options).into_iter().map(|p| ids[p]).collect();
            genes.sort_unstable();
            genes
        };
        let fixed = TokenizeOptions::default();
        assert_eq!(genes(&ids, &values, &fixed), genes(&back, &[7.0; 40], &fixed));
        assert_ne!(
            genes(&ids, &values, &fixed),
            genes(&ids, &values, &TokenizeOptions { seed: 1, ..fixed.clone() })
        );
        let drawn = TokenizeOptions { as_published: true, ..fixed.clone() };
        assert_eq!(genes(&ids, &values, &drawn), genes(&ids, &values, &drawn));
        assert_ne!(genes(&ids, &values, &drawn), genes(&ids, &[7.0; 40], &drawn));
        assert_eq!(kept(&ids, &values, 40, &drawn).len(), 40);
        assert_eq!(kept(&ids, &values, 0, &fixed).len(), 0);
    }

    #[test]
    fn draws_are_uniform_over_places() {
        let ids: Vec<u32> = (0..10).collect();
        let mut times = [0usize; 10];
        for seed in 0..4000 {
            let options = TokenizeOptions { as_published: true, seed, ..TokenizeOptions::default() };
            kept(&ids, &[1.0; 10], 3, &options).into_iter().for_each(|p| times[p] += 1);
        }
        // 1200 expected, standard deviation 29.
        assert!(times.iter().all(|n| n.abs_diff(1200) < 150), "{times:?}");
    }
}
