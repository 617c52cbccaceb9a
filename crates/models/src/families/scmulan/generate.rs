//! Greedy generation of the cell's type, on which the published cell vector depends.

use std::collections::HashSet;

use microtome_core::Result;
use microtome_kernels::Activation;

use super::model::ScMulan;
use crate::nn::Wanted;
use crate::taps::Recorder;
use crate::Tokens;

/// Most tokens that are generated: coarse type, fine type, end.
pub(super) const STEPS: usize = 3;
/// The token that ends a cell, whatever it is called.
const END: u32 = 0;
/// Greatest level of expression that a generated token can get.
const MAX_LEVEL: f32 = 10.0;

/// How a cell was continued.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Continuation {
    pub(super) tokens: [Option<u32>; STEPS],
    /// `ln_f` of the last pass at its last position but one; NaN where the pass had one position.
    pub(super) vector: Vec<f32>,
}

impl ScMulan {
    /// Continues every cell until the end token or [`STEPS`] tokens. A token of the input that is not its last is never
    /// generated; of equally likely tokens the first of the vocabulary is. `x` is `final_norm` of the tokens, `[token, d]`.
    pub(super) fn generate(&self, tokens: &Tokens, x: Vec<f32>) -> Result<Vec<Continuation>> {
        let d = self.network.stack.width();
        let mut out = vec![Continuation { tokens: [None; STEPS], vector: vec![f32::NAN; d] }; tokens.n_cells()];
        let mut active: Vec<usize> = (0..tokens.n_cells()).filter(|&c| tokens.len_of(c) > 0).collect();
        let (mut input, mut x) = (tokens.clone(), x);
        if active.len() < tokens.n_cells() {
            // Cells without a token have no rows, so that the rows stay those of the others.
            input = tokens.select(&active);
        }
        for step in 0..STEPS {
            let (mut longer, mut going) = (Tokens::new(), vec![]);
            for (at, &cell) in active.iter().enumerate() {
                let rows = &x[input.offsets[at] * d..input.offsets[at + 1] * d];
                let (ids, levels) = input.cell(at);
                let (next, level) = self.next(ids, &rows[rows.len() - d..]);
                out[cell].tokens[step] = Some(next);
                if next == END || step + 1 == STEPS {
                    if let Some(at) = ids.len().checked_sub(self.vector_from_end) {
                        out[cell].vector = rows[at * d..(at + 1) * d].to_vec();
                    }
                } else {
                    longer.push(&[ids, &[next]].concat(), &[levels, &[level]].concat(), 0, 0);
                    going.push(cell);
                }
            }
            if going.is_empty() {
                break;
            }
            let mut nobody = Recorder::new([]);
            let embedded = self.network.embed(&longer);
            let states = self.network.stack.run(embedded, &longer, &Wanted::nothing(), true, &mut nobody)?;
            (input, active, x) = (longer, going, states.unwrap_or_default());
        }
        Ok(out)
    }

    /// Next token and its level, from the tokens so far and `final_norm` at the last of them.
    fn next(&self, ids: &[u32], state: &[f32]) -> (u32, f32) {
        let n = self.network.next.n_out();
        let (mut logits, mut levels) = (vec![0.0; n], vec![0.0; n]);
        self.network.next.apply(state, 1, Activation::None, &mut logits);
        self.network.next_level.apply(state, 1, Activation::None, &mut levels);
        let before: HashSet<u32> = match self.repeats {
            true => HashSet::new(),
            false => ids[..ids.len() - 1].iter().copied().collect(),
        };
        let open = (0u32..).zip(&logits).filter(|(t, _)| !before.contains(t));
        let best = open.fold(None, |best: Option<(u32, f32)>, (t, &l)| match best {
            Some((_, top)) if top >= l || l.is_nan() => best,
            _ => Some((t, l)),
        });
        let token = best.map_or(END, |(t, _)| t);
        let top = MAX_LEVEL.min(self.config.n_levels as f32);
        // A half goes to the even neighbour, as in torch.
        let level = levels.get(token as usize).map_or(0.0, |l| l.round_ties_even().clamp(0.0, top));
        (token, if level.is_nan() { 0.0 } else { level })
    }
}
