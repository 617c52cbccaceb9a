//! Which tokens of a cell are asked for, and what the network sees in their place.

use microtome_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::draws::Draws;

/// Shares of masked-token training (Devlin et al. 2019, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Masking {
    /// Share of a cell's gene tokens that are asked for; at least one is.
    pub share: f64,
    /// Of these, the share that becomes the mask.
    pub masked: f64,
    /// Of these, the share that becomes another gene drawn from the vocabulary. The rest stays as it is.
    pub replaced: f64,
}

impl Default for Masking {
    fn default() -> Self {
        Self { share: 0.15, masked: 0.8, replaced: 0.1 }
    }
}

/// What training must know of a vocabulary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    /// Entries, special ones included.
    pub size: usize,
    /// Token of the mask.
    pub mask: u32,
    /// Whether each entry is a gene.
    is_gene: Vec<bool>,
    genes: Vec<u32>,
}

impl Vocabulary {
    /// Of `size` entries, those of `genes`. Errors when there are fewer than two genes, or a token is out of range.
    pub fn new(size: usize, mask: u32, genes: Vec<u32>) -> Result<Self> {
        let mut is_gene = vec![false; size];
        for &g in &genes {
            match is_gene.get_mut(g as usize) {
                Some(slot) if g != mask => *slot = true,
                _ => {
                    return Err(Error::unreadable("a gene's token is out of range")
                        .expected(format!("below {size}, other than the mask {mask}"))
                        .found(g.to_string()));
                }
            }
        }
        if mask as usize >= size || genes.len() < 2 {
            return Err(Error::mismatch("a vocabulary needs a mask and at least two genes to be trained on")
                .found(format!("{} genes", genes.len())));
        }
        Ok(Self { size, mask, is_gene, genes })
    }

    /// Whether a token is a gene.
    pub fn is_gene(&self, token: u32) -> bool {
        self.is_gene.get(token as usize).copied().unwrap_or(false)
    }

    /// Tokens of all genes.
    pub fn genes(&self) -> &[u32] {
        &self.genes
    }
}

/// A cell with some tokens hidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hidden {
    /// What the network sees.
    pub(super) seen: Vec<u32>,
    /// Places that are asked for, ascending.
    pub(super) places: Vec<u32>,
    /// What was there.
    pub(super) targets: Vec<u32>,
}

impl Hidden {
    /// Chooses `share` of the gene tokens, rounded, without replacement. `None` for a cell of fewer than two genes:
    /// there would be nothing to tell the hidden one from.
    pub(super) fn draw(
        ids: &[u32],
        masking: Masking,
        vocabulary: &Vocabulary,
        mut draws: Draws,
    ) -> Option<Self> {
        let mut places: Vec<u32> =
            (0..ids.len() as u32).filter(|&p| vocabulary.is_gene(ids[p as usize])).collect();
        if places.len() < 2 {
            return None;
        }
        let n = ((places.len() as f64 * masking.share).round() as usize).clamp(1, places.len());
        for i in 0..n {
            let j = i + draws.below(places.len() - i);
            places.swap(i, j);
        }
        places.truncate(n);
        places.sort_unstable();
        let mut seen = ids.to_vec();
        let targets = places.iter().map(|&p| ids[p as usize]).collect();
        for &p in &places {
            let u = draws.uniform();
            if u < masking.masked {
                seen[p as usize] = vocabulary.mask;
            } else if u < masking.masked + masking.replaced {
                seen[p as usize] = vocabulary.genes[draws.below(vocabulary.genes.len())];
            }
        }
        Some(Self { seen, places, targets })
    }
}

#[cfg(test)]
mod tests {
    use super::super::draws::{Draws, Purpose};
    use super::*;

    #[test]
    fn shares_are_those_asked_for() {
        let vocabulary = Vocabulary::new(1002, 1, (2..1002).collect()).unwrap();
        let ids: Vec<u32> = (2..402).collect();
        let (mut masked, mut other, mut same) = (0, 0, 0);
        for cell in 0..200 {
            let h =
                Hidden::draw(&ids, Masking::default(), &vocabulary, Draws::new(1, Purpose::Mask, 0, cell))
                    .unwrap();
            assert_eq!(h.places.len(), 60);
            assert!(h.places.windows(2).all(|w| w[0] < w[1]));
            for (p, t) in h.places.iter().zip(&h.targets) {
                assert_eq!(ids[*p as usize], *t);
                match h.seen[*p as usize] {
                    1 => masked += 1,
                    s if s == *t => same += 1,
                    _ => other += 1,
                }
            }
            let kept =
                (0..400u32).filter(|p| !h.places.contains(p)).all(|p| h.seen[p as usize] == ids[p as usize]);
            assert!(kept, "what is not asked for is left alone");
        }
        let of = |n: i32| f64::from(n) / 12_000.0;
        assert!(
            (of(masked) - 0.8).abs() < 0.02
                && (of(other) - 0.1).abs() < 0.02
                && (of(same) - 0.1).abs() < 0.02
        );
    }

    #[test]
    fn special_tokens_are_never_asked_for_and_draws_can_be_repeated() {
        let vocabulary = Vocabulary::new(10, 1, (4..10).collect()).unwrap();
        let masking = Masking { share: 1.0, ..Masking::default() };
        let draw =
            |cell| Hidden::draw(&[2, 5, 7, 3], masking, &vocabulary, Draws::new(1, Purpose::Mask, 0, cell));
        assert_eq!(draw(1).unwrap().places, [1, 2]);
        assert_eq!(draw(1), draw(1));
        assert!((0..20).any(|c| draw(c) != draw(1)));
        assert!(Hidden::draw(&[2, 5, 3], masking, &vocabulary, Draws::new(1, Purpose::Mask, 0, 0)).is_none());
        assert!(Vocabulary::new(10, 1, vec![4]).is_err() && Vocabulary::new(10, 1, vec![1, 4]).is_err());
    }
}
