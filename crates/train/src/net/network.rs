//! What training asks of a network, whatever its architecture.

use candle_core::{Device, Tensor};
use microtome_core::Result;

use super::{Dropout, Params, Ragged, failed};

/// What one pass runs over.
#[derive(Clone, Debug)]
pub struct Input {
    /// Token of every place of every cell.
    pub ids: Vec<u32>,
    /// The number that goes with each token; as many as tokens, or none for networks that take none.
    pub values: Vec<f32>,
    /// Place of every token within its cell, as the network counts positions.
    pub positions: Vec<u32>,
    /// Where the cells lie.
    pub cells: Ragged,
    /// Tokens whose answers are wanted, ascending.
    pub rows: Vec<u32>,
}

impl Input {
    /// Cells without numbers whose tokens lie at the places 0, 1, 2, ...; every token is asked.
    pub fn of_tokens(ids: Vec<u32>, cells: Ragged) -> Self {
        let (positions, rows) = (cells.places(), (0..ids.len() as u32).collect());
        Self { ids, values: vec![], positions, cells, rows }
    }

    /// The cell that every wanted row is of.
    pub(super) fn cell_of_rows(&self) -> Vec<u32> {
        let ends: Vec<usize> = self.cells.cells().map(|c| c.end).collect();
        self.rows.iter().map(|&r| ends.partition_point(|end| *end <= r as usize) as u32).collect()
    }
}

/// Names, sizes and arithmetic of a network, without its weights.
pub trait Architecture: Send + Sync {
    /// Name in the checkpoint and shape of every weight that is trained.
    fn tensors(&self) -> Vec<(String, Vec<usize>)>;
    /// Residual width.
    fn width(&self) -> usize;
    /// Blocks.
    fn n_blocks(&self) -> usize;
    /// The network over the weights of the moment, for one pass. Errors when a weight is missing or of another shape.
    fn over(&self, params: &Params) -> Result<Box<dyn Network>>;
}

/// A network as part of a graph.
pub trait Network {
    /// The embedding, the output of every block, and the last norm where there is one: `[token, d]` each. Tokens are below the
    /// vocabulary's size, positions below their table's.
    fn states(&self, input: &Input, dropout: &mut Dropout) -> Result<Vec<Tensor>>;
    /// The embedding or the output of a block as the native readout takes it: through the last norm where there is one.
    fn for_readout(&self, state: &Tensor) -> Result<Tensor> {
        Ok(state.clone())
    }
    /// What the native readout says of the wanted rows of the last state, `[row, answers]`: scores of all tokens, or one number.
    fn answers(&self, input: &Input, last: &Tensor) -> Result<Tensor>;
    /// The same asked of the cell's vector alone, `[row, 1]`, for networks that have such a readout.
    fn answers_of_cell(&self, _input: &Input, _last: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }
}

/// Rows of a table or of a stream.
pub(super) fn rows_of(table: &Tensor, rows: &[u32]) -> candle_core::Result<Tensor> {
    table.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)
}

/// A column of numbers, `[n, 1]`.
pub(super) fn column(values: &[f32]) -> candle_core::Result<Tensor> {
    Tensor::from_slice(values, (values.len(), 1), &Device::Cpu)
}

/// Mean of some tokens of every cell, `[cell, d]`; a cell without such tokens gets zeros. `pooled` are places within the cell.
pub fn pool(state: &Tensor, cells: &Ragged, pooled: &[Vec<u32>]) -> Result<Tensor> {
    let n = cells.n_tokens();
    let mut means = vec![0.0; cells.n_cells() * n];
    for ((row, cell), places) in means.chunks_exact_mut(n.max(1)).zip(cells.cells()).zip(pooled) {
        let share = 1.0 / places.len().max(1) as f32;
        let own = places.iter().map(|p| *p as usize).filter(|p| *p < cell.len());
        own.for_each(|p| row[cell.start + p] = share);
    }
    let means = Tensor::from_vec(means, (cells.n_cells(), n), &Device::Cpu).map_err(failed)?;
    means.matmul(state).map_err(failed)
}
