//! How straight the path through a cell's tokens is, for families that put them into an order.

use microtome_anatomy::geometry::curvature;
use microtome_core::{BlockSite, Matrix, Result, Site};
use microtome_models::taps::gene_rows_of;
use microtome_models::{Model, SiteData, Tap, Tokens};

/// Curvature after every block along the order of a cell's gene tokens: mean angle between successive differences, mean over cells
/// (Hosseini and Fedorenko 2023, arXiv 2311.04930). Listens to nothing where genes have no order.
pub(super) struct OrderTap<'a> {
    model: &'a dyn Model,
    /// Sum over cells, and how many there are.
    sums: Vec<(f64, u64)>,
}

impl<'a> OrderTap<'a> {
    pub(super) fn new(model: &'a dyn Model) -> Self {
        let n_blocks = if model.tokens_are_ordered() { model.info().n_blocks } else { 0 };
        Self { model, sums: vec![(0.0, 0); n_blocks] }
    }

    /// Radians per block; empty where genes have no order. NaN where no cell has three genes.
    pub(super) fn finish(self) -> Vec<f64> {
        self.sums.into_iter().map(|(sum, n)| if n == 0 { f64::NAN } else { sum / n as f64 }).collect()
    }
}

impl Tap for OrderTap<'_> {
    fn wants(&self, site: &Site) -> bool {
        matches!(site, Site::Block(i, BlockSite::ResidPost) if *i < self.sums.len())
    }

    fn offer(&mut self, site: &Site, tokens: &Tokens, data: SiteData<'_>) -> Result<()> {
        let (Site::Block(block, BlockSite::ResidPost), SiteData::Tokens { data, width }) = (site, data)
        else {
            return Ok(());
        };
        let Some((sum, n)) = self.sums.get_mut(*block) else { return Ok(()) };
        for cell in 0..tokens.n_cells() {
            let rows = gene_rows_of(self.model, tokens, cell);
            let path: Vec<f32> =
                rows.iter().flat_map(|&at| data[at * width..(at + 1) * width].iter().copied()).collect();
            if let Some(angle) = curvature(&Matrix::new(rows.len(), width, path)?)?.value {
                *sum += angle;
                *n += 1;
            }
        }
        Ok(())
    }
}
