//! Mean queries and keys over cells that hold the same tokens.

use microtome_core::{BlockSite, Error, Result, Site};

use crate::{SiteData, Tap, Tokens};

/// Queries and keys of every block, averaged over cells.
#[derive(Clone, Debug, PartialEq)]
pub struct MeanQueryKey {
    /// The tokens that all cells hold.
    pub tokens: Vec<u32>,
    /// Cells that were averaged.
    pub n_cells: u64,
    /// Query heads.
    pub n_heads: usize,
    /// Width of a head.
    pub d_head: usize,
    /// Per block `[token, head, d_head]`.
    pub queries: Vec<Vec<f32>>,
    /// Per block `[token, head, d_head]`; shared key heads are repeated for every query head.
    pub keys: Vec<Vec<f32>>,
}

/// Accumulates queries and keys in `f64`, over cells that must all hold the same tokens in the same order.
/// Memory grows with blocks x tokens x width, never with the number of cells.
#[derive(Debug)]
pub struct MeanQueryKeyTap {
    blocks: Vec<usize>,
    tokens: Option<Vec<u32>>,
    n_cells: u64,
    sums: Vec<[Sum; 2]>,
}

#[derive(Clone, Debug, Default)]
struct Sum {
    values: Vec<f64>,
    n_heads: usize,
    d_head: usize,
}

impl MeanQueryKeyTap {
    /// Listens to these blocks.
    pub fn new(blocks: impl IntoIterator<Item = usize>) -> Self {
        let blocks: Vec<usize> = blocks.into_iter().collect();
        let sums = vec![[Sum::default(), Sum::default()]; blocks.len()];
        Self { blocks, tokens: None, n_cells: 0, sums }
    }

    fn place(&self, site: &Site) -> Option<(usize, usize)> {
        let Site::Block(block, place) = site else { return None };
        let which = match place {
            BlockSite::Q => 0,
            BlockSite::K => 1,
            _ => return None,
        };
        self.blocks.iter().position(|b| b == block).map(|b| (b, which))
    }

    /// The means. Errors when no cell was seen or a block is missing.
    pub fn finish(self) -> Result<MeanQueryKey> {
        let tokens = self
            .tokens
            .filter(|_| self.n_cells > 0)
            .ok_or_else(|| Error::usage("queries and keys cannot be averaged over no cells"))?;
        let (n_heads, d_head) = self.sums.first().map_or((0, 0), |s| (s[0].n_heads, s[0].d_head));
        let n = self.n_cells as f64;
        let mean = |sum: &Sum| -> Result<Vec<f32>> {
            if sum.values.is_empty() || sum.d_head != d_head || !n_heads.is_multiple_of(sum.n_heads.max(1)) {
                return Err(Error::usage("a block did not offer queries and keys of one shape"));
            }
            let group = n_heads / sum.n_heads;
            let row = sum.n_heads * d_head;
            let at = |t: usize, h: usize, j: usize| (sum.values[t * row + h / group * d_head + j] / n) as f32;
            Ok((0..tokens.len())
                .flat_map(|t| (0..n_heads).flat_map(move |h| (0..d_head).map(move |j| (t, h, j))))
                .map(|(t, h, j)| at(t, h, j))
                .collect())
        };
        let queries = self.sums.iter().map(|s| mean(&s[0])).collect::<Result<_>>()?;
        let keys = self.sums.iter().map(|s| mean(&s[1])).collect::<Result<_>>()?;
        Ok(MeanQueryKey { tokens, n_cells: self.n_cells, n_heads, d_head, queries, keys })
    }
}

impl Tap for MeanQueryKeyTap {
    fn wants(&self, site: &Site) -> bool {
        self.place(site).is_some()
    }

    fn offer(&mut self, site: &Site, tokens: &Tokens, data: SiteData<'_>) -> Result<()> {
        let Some((block, which)) = self.place(site) else { return Ok(()) };
        let SiteData::Heads { data, n_heads, d_head } = data else {
            return Err(Error::usage("queries and keys come by head").at_key(site.to_string()));
        };
        for cell in 0..tokens.n_cells() {
            let ids = tokens.cell(cell).0;
            match &self.tokens {
                Some(first) if first != ids => {
                    return Err(Error::usage(
                        "queries and keys are averaged over cells with the same tokens only",
                    )
                    .expected("one list of genes for all cells"));
                }
                Some(_) => {}
                None => self.tokens = Some(ids.to_vec()),
            }
            let sum = &mut self.sums[block][which];
            let row = n_heads * d_head;
            let rows = &data[tokens.offsets[cell] * row..tokens.offsets[cell + 1] * row];
            if sum.values.is_empty() {
                *sum = Sum { values: vec![0.0; rows.len()], n_heads, d_head };
            }
            for (s, &v) in sum.values.iter_mut().zip(rows) {
                *s += f64::from(v);
            }
        }
        if (block, which) == (0, 0) {
            self.n_cells += tokens.n_cells() as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_over_cells_and_repeats_shared_keys() {
        let mut tap = MeanQueryKeyTap::new([3]);
        let mut tokens = Tokens::new();
        tokens.push(&[7, 8], &[0.0; 2], 0, 0);
        tokens.push(&[7, 8], &[0.0; 2], 0, 0);
        let q: Vec<f32> = (0..16).map(|i| i as f32).collect();
        let k: Vec<f32> = (0..8).map(|i| i as f32).collect();
        let (qs, ks) = (Site::Block(3, BlockSite::Q), Site::Block(3, BlockSite::K));
        assert!(tap.wants(&qs) && !tap.wants(&Site::Block(2, BlockSite::Q)));
        tap.offer(&qs, &tokens, SiteData::Heads { data: &q, n_heads: 2, d_head: 2 }).unwrap();
        tap.offer(&ks, &tokens, SiteData::Heads { data: &k, n_heads: 1, d_head: 2 }).unwrap();
        let m = tap.finish().unwrap();
        assert_eq!((m.n_cells, m.n_heads, m.tokens.as_slice()), (2, 2, &[7, 8][..]));
        assert_eq!(m.queries[0], (0..8).map(|i| i as f32 + 4.0).collect::<Vec<_>>());
        assert_eq!(m.keys[0], [2.0, 3.0, 2.0, 3.0, 4.0, 5.0, 4.0, 5.0]);
    }

    #[test]
    fn other_tokens_and_no_cells_are_refused() {
        assert!(MeanQueryKeyTap::new([0]).finish().is_err());
        let mut tap = MeanQueryKeyTap::new([0]);
        let mut tokens = Tokens::new();
        tokens.push(&[1], &[0.0], 0, 0);
        tokens.push(&[2], &[0.0], 0, 0);
        let data = SiteData::Heads { data: &[0.0; 2], n_heads: 1, d_head: 1 };
        assert!(tap.offer(&Site::Block(0, BlockSite::Q), &tokens, data).is_err());
    }
}
