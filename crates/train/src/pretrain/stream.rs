//! Cells in a shuffled order, with a bounded number of them in memory.

use microtome_core::Result;

use super::draws::{Draws, Purpose};
use super::recipe::Recipe;
use super::state::Position;

/// A cell as training sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// Tokens, special ones included.
    pub ids: Vec<u32>,
    /// The number that goes with each token; empty for networks that take none.
    pub values: Vec<f32>,
    /// Whether each token is a gene that may be asked for.
    pub is_gene: Vec<bool>,
    /// Place of every token as the network counts positions; empty for 0, 1, 2, ...
    pub positions: Vec<u32>,
    /// Places of the tokens that the cell's vector is the mean of; needed where an annotation is trained.
    pub pooled: Vec<u32>,
    /// Class of the cell, where it is known and an annotation is trained.
    pub label: Option<u32>,
}

/// Where cells come from: anything that can give some of its cells.
pub trait Cells: Sync {
    /// Number of cells.
    fn n_cells(&self) -> usize;
    /// The cells at these ascending positions, in their order.
    fn read(&self, positions: &[usize]) -> Result<Vec<Cell>>;
}

/// Epoch after epoch over the training cells. Chunks of neighbouring cells are drawn in random order; a window of some
/// chunks is read and its cells are shuffled.
pub(super) struct Stream<'a> {
    cells: &'a dyn Cells,
    /// Training cells, ascending.
    train: &'a [usize],
    recipe: &'a Recipe,
    position: Position,
    window: Vec<(usize, Cell)>,
    loaded: Option<(u64, u64)>,
}

impl<'a> Stream<'a> {
    /// From a position on.
    pub(super) fn new(
        cells: &'a dyn Cells,
        train: &'a [usize],
        recipe: &'a Recipe,
        position: Position,
    ) -> Self {
        Self { cells, train, recipe, position, window: vec![], loaded: None }
    }

    /// Where the next cell is.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// The next cell: its epoch, its position among all cells, and what it holds. The training cells must not be none.
    pub(super) fn next(&mut self) -> Result<(u64, usize, Cell)> {
        loop {
            self.load()?;
            let at = self.position.cell as usize;
            if let Some((place, cell)) = self.window.get_mut(at) {
                self.position.cell += 1;
                return Ok((self.position.epoch, *place, std::mem::take(cell)));
            }
            let n_chunks = self.train.len().div_ceil(self.recipe.chunk_cells);
            let n_windows = n_chunks.div_ceil(self.recipe.window_chunks) as u64;
            self.position.cell = 0;
            self.position.window += 1;
            if self.position.window >= n_windows {
                self.position.window = 0;
                self.position.epoch += 1;
            }
        }
    }

    fn load(&mut self) -> Result<()> {
        let Position { epoch, window, .. } = self.position;
        if self.loaded == Some((epoch, window)) {
            return Ok(());
        }
        let r = self.recipe;
        let mut chunks: Vec<&[usize]> = self.train.chunks(r.chunk_cells).collect();
        Draws::new(r.seed, Purpose::Chunks, epoch, 0).shuffle(&mut chunks);
        self.window.clear();
        for chunk in chunks.iter().skip(window as usize * r.window_chunks).take(r.window_chunks) {
            self.window.extend(chunk.iter().copied().zip(self.cells.read(chunk)?));
        }
        Draws::new(r.seed, Purpose::Window, epoch, window).shuffle(&mut self.window);
        self.loaded = Some((epoch, window));
        Ok(())
    }
}
