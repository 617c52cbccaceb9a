//! How much is in memory at one time: tokens per minibatch and cells per chunk, under the user's budget.

use microtome_core::{Axis, Error, Result, Site};
use microtome_models::{Model, Precision};

use crate::data::Data;

/// How a run is carried out: nothing here says what is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Precision of the factors of linear maps and attention.
    pub precision: Precision,
    /// Bytes that the process may have in memory; as much as is quick when `None`.
    pub memory: Option<u64>,
}

/// What runs together. Results do not depend on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Budget {
    /// Tokens per minibatch.
    pub(crate) tokens: usize,
    /// Cells per chunk.
    pub(crate) chunk: usize,
    /// Bytes per token of a minibatch.
    per_token: u64,
    /// Bytes per cell of a chunk.
    per_cell: u64,
}

/// Tokens run together where memory is no concern: enough to keep the cores busy, and so few that chunks fill them to the brim, which
/// makes the peak of a run that of any chunk and not that of the largest one.
const TOKENS_PER_CORE: usize = 4096;
const TOKENS: std::ops::RangeInclusive<usize> = 8192..=16_384;

/// Tokens of a minibatch on this machine.
pub(crate) fn tokens_together() -> usize {
    (TOKENS_PER_CORE * rayon::current_num_threads()).clamp(*TOKENS.start(), *TOKENS.end())
}

/// Work per chunk in floating-point operations, about half a minute on two cores: what a killed run can lose at most.
const CHUNK_WORK: f64 = 6e12;

/// Chunks are multiples of this: UCE's published run pads within batches of 25.
const BATCH: usize = 25;

/// Chunks alive at one time: one runs, one is read.
const CHUNKS: u64 = 2;

/// What the allocator keeps and small things.
const SLACK: u64 = 24 << 20;

impl Budget {
    /// The sizes used where memory is no concern.
    pub(crate) fn free(model: &dyn Model, sites: &[Site], data: &Data) -> Self {
        let info = model.info();
        // Stream, q, k, v, z, a spare, two rows of the feed-forward part; readouts over the vocabulary where they are asked for.
        let is_readout = |axes: &[Axis]| axes.contains(&Axis::Vocab);
        let n_readouts =
            model.sites().iter().filter(|s| sites.contains(&s.site) && is_readout(&s.axes)).count();
        let per_token = 4 * (6 * info.d_model + 2 * info.d_mlp + n_readouts * info.d_vocab);
        let nnz = data.stored_per_cell();
        // Stored values as read, decompressed and tokenised; results twice, as they are written.
        let per_cell = 24.0 * nnz + (8 * sites.len() * info.d_model) as f64;
        Self {
            tokens: tokens_together().max(info.max_tokens),
            chunk: chunk_size(model),
            per_token: per_token as u64,
            per_cell: per_cell as u64 + 64,
        }
    }

    /// Sizes under a budget of `memory` bytes for the process, of which `kept` go to results that stay in memory.
    ///
    /// # Errors
    /// When what is there already (the model, tables of the data), `kept` and the smallest minibatch and chunk do not fit.
    pub(crate) fn plan(
        model: &dyn Model,
        sites: &[Site],
        data: &Data,
        memory: Option<u64>,
        kept: u64,
    ) -> Result<Self> {
        let mut budget = Self::free(model, sites, data);
        let Some(memory) = memory else { return Ok(budget) };
        let resident = resident(model);
        let fixed = resident + kept + SLACK;
        let longest = model.rows(model.info().max_tokens, sites) as u64;
        let least = fixed + longest * budget.per_token + CHUNKS * BATCH as u64 * budget.per_cell;
        if least > memory {
            let needs = megabytes(least);
            let kept = if kept > 0 {
                format!(", {} for representations that the tasks look at", megabytes(kept))
            } else {
                String::new()
            };
            return Err(Error::usage("the run does not fit into the memory it may use")
                .at_key("--memory")
                .expected(format!(
                    "at least {needs}: {} for the model and tables{kept}, the rest for one cell of {longest} tokens and {BATCH} cells of data",
                    megabytes(resident)
                ))
                .found(megabytes(memory))
                .remedy(format!(
                    "pass --memory {}MB or more{}",
                    least.div_ceil(1_000_000),
                    if kept.is_empty() { "" } else { ", or fewer cells with --max-cells" }
                )));
        }
        // Two thirds for minibatches, which decide the speed; a tenth stays free.
        let free = (memory - fixed) / 10 * 9;
        let tokens = (free / 3 * 2 / budget.per_token).max(longest);
        let rest = free.saturating_sub(tokens * budget.per_token);
        let cells = rest / (CHUNKS * budget.per_cell);
        budget.tokens = budget.tokens.min(usize::try_from(tokens).unwrap_or(usize::MAX));
        budget.chunk = whole_batches(budget.chunk.min(usize::try_from(cells).unwrap_or(usize::MAX)));
        Ok(budget)
    }

    /// The same with another number of cells per chunk (that of an unfinished run).
    pub(crate) fn with_chunk(self, chunk: usize) -> Self {
        Self { chunk, ..self }
    }

    /// Bytes of a minibatch and of the chunks that are alive, beside the model.
    pub(crate) fn working_bytes(&self, n_cells: usize) -> u64 {
        self.tokens as u64 * self.per_token + CHUNKS * self.chunk.min(n_cells) as u64 * self.per_cell
    }
}

/// Cells per chunk where memory is no concern: depends on the model only.
fn chunk_size(model: &dyn Model) -> usize {
    let info = model.info();
    let per_token =
        2.0 * info.n_parameters as f64 + 4.0 * (info.n_blocks * info.d_model * info.max_tokens) as f64;
    whole_batches(((CHUNK_WORK / (per_token * info.max_tokens as f64)) as usize).min(1000))
}

fn whole_batches(cells: usize) -> usize {
    (cells / BATCH * BATCH).max(BATCH)
}

/// Bytes of this process in memory now; where the system does not say, the weights and a little.
pub(crate) fn resident(model: &dyn Model) -> u64 {
    of_process("VmRSS:").unwrap_or(model.info().n_parameters * 4 + (64 << 20))
}

/// A size that Linux states of this process, in bytes.
fn of_process(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// Bytes as a person reads them.
pub(crate) fn megabytes(bytes: u64) -> String {
    if bytes >= 10_000_000_000 {
        format!("{:.1} GB", bytes as f64 / 1e9)
    } else {
        format!("{} MB", bytes.div_ceil(1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_whole_batches_and_never_empty() {
        assert_eq!([0, 24, 25, 74, 1000].map(whole_batches), [25, 25, 25, 50, 1000]);
        assert_eq!(megabytes(1), "1 MB");
        assert_eq!(megabytes(12_340_000_000), "12.3 GB");
    }
}
