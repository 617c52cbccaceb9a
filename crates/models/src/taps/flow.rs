//! How the stream of real cells moves through blocks, token by token: what attention and feed-forward add, how far and how long it goes.

use microtome_core::{BlockSite, Error, Result, Site};

use crate::{GENE_MASK, Model, SiteData, Tap, Tokens};

/// One block, means over the gene tokens of all cells. NaN where the family does not offer a site.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockFlow {
    /// Length of `attn_out` over the length of `resid_pre`.
    pub attn_share: f64,
    /// Length of `mlp_out` over the length of `resid_mid`.
    pub mlp_share: f64,
    /// Length of `resid_post` over the length of `resid_pre`.
    pub growth: f64,
    /// `1 - cos` between `resid_pre` and `resid_post`.
    pub speed: f64,
    /// Gene tokens with a length.
    pub n_tokens: u64,
}

/// Sums of one block.
#[derive(Clone, Copy, Default)]
struct Sums {
    attn: f64,
    mlp: f64,
    growth: f64,
    speed: f64,
    n: [u64; 4],
}

/// Measures every block in one pass. Memory: the stream of one minibatch.
pub struct FlowTap<'a> {
    model: &'a dyn Model,
    blocks: Vec<Sums>,
    /// Stream that entered the block, of the minibatch that runs.
    before: Vec<f32>,
    /// Lengths of the rows of the last stream that was offered.
    lengths: Vec<f64>,
}

impl<'a> FlowTap<'a> {
    /// Listens to all blocks.
    pub fn new(model: &'a dyn Model) -> Self {
        let blocks = vec![Sums::default(); model.info().n_blocks];
        Self { model, blocks, before: vec![], lengths: vec![] }
    }

    /// The means so far, one per block.
    pub fn finish(self) -> Vec<BlockFlow> {
        let mean = |sum: f64, n: u64| if n == 0 { f64::NAN } else { sum / n as f64 };
        self.blocks
            .into_iter()
            .map(|b| BlockFlow {
                attn_share: mean(b.attn, b.n[0]),
                mlp_share: mean(b.mlp, b.n[1]),
                growth: mean(b.growth, b.n[2]),
                speed: mean(b.speed, b.n[3]),
                n_tokens: b.n[2],
            })
            .collect()
    }
}

fn row(values: &[f32], at: usize, width: usize) -> &[f32] {
    &values[at * width..(at + 1) * width]
}

fn length(row: &[f32]) -> f64 {
    row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt()
}

/// Rows of the minibatch that are genes of a cell.
pub fn gene_rows_of(model: &dyn Model, tokens: &Tokens, cell: usize) -> Vec<usize> {
    let span = tokens.offsets[cell]..tokens.offsets[cell + 1];
    let mask = tokens.column(GENE_MASK, cell);
    let own = model.gene_tokens(span.len()).filter(|&at| mask.is_none_or(|m| m[at] != 0.0));
    own.map(|at| span.start + at).collect()
}

impl Tap for FlowTap<'_> {
    fn wants(&self, site: &Site) -> bool {
        use BlockSite::{AttnOut, MlpOut, ResidMid, ResidPost, ResidPre};
        matches!(site, Site::Block(i, ResidPre | AttnOut | ResidMid | MlpOut | ResidPost) if *i < self.blocks.len())
    }

    fn offer(&mut self, site: &Site, tokens: &Tokens, data: SiteData<'_>) -> Result<()> {
        let (Site::Block(block, place), SiteData::Tokens { data, width }) = (site, data) else {
            return Ok(());
        };
        let Some(sums) = self.blocks.get_mut(*block) else { return Ok(()) };
        let width = width.max(1);
        match place {
            BlockSite::ResidPre => {
                self.before = data.to_vec();
                self.lengths = data.chunks_exact(width).map(length).collect();
            }
            BlockSite::ResidMid => self.lengths = data.chunks_exact(width).map(length).collect(),
            BlockSite::AttnOut | BlockSite::MlpOut | BlockSite::ResidPost => {
                if self.before.len() != data.len() {
                    return Err(Error::usage("a block changes the number or width of its tokens")
                        .at_key(site.to_string()));
                }
                for at in (0..tokens.n_cells()).flat_map(|cell| gene_rows_of(self.model, tokens, cell)) {
                    let out = length(row(data, at, width));
                    let (sum, n, stream) = match place {
                        BlockSite::AttnOut => (&mut sums.attn, &mut sums.n[0], self.lengths[at]),
                        BlockSite::MlpOut => (&mut sums.mlp, &mut sums.n[1], self.lengths[at]),
                        _ => (&mut sums.growth, &mut sums.n[2], length(row(&self.before, at, width))),
                    };
                    if stream > 0.0 {
                        *sum += out / stream;
                        *n += 1;
                    }
                    if *place == BlockSite::ResidPost && stream > 0.0 && out > 0.0 {
                        let (a, b) = (row(&self.before, at, width), row(data, at, width));
                        let dot: f64 = a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
                        sums.speed += 1.0 - (dot / (out * stream)).clamp(-1.0, 1.0);
                        sums.n[3] += 1;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
