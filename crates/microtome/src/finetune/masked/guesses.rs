//! Guesses that know no network, counted over the training units of every fold.

use microtome_core::{Progress, Result};
use microtome_train::pretrain::{Cell, Guessed, Objective, Questions, by_neighbours, guesses};

use super::cells::Held;
use super::frozen::put;

/// Training cells among which neighbours are looked for, at most: at even distances.
const REFERENCE_CELLS: usize = 2048;

/// Names, and sums of losses by cell.
pub(super) fn read(
    objective: &Objective,
    questions: &Questions,
    folds: &[Vec<usize>],
    cells: &Held,
    progress: &dyn Progress,
) -> Result<Vec<(String, Vec<f64>)>> {
    let mut all: Vec<(String, Vec<f64>)> = vec![];
    progress.begin("simple baselines", folds.len() as u64, "folds");
    for test in folds {
        progress.check()?;
        let mut is_test = vec![false; cells.len()];
        test.iter().for_each(|&c| is_test[c] = true);
        let train: Vec<usize> = (0..cells.len()).filter(|&c| !is_test[c]).collect();
        let counted: Vec<Cell> = cells.some(&train);
        let mut of_fold = guesses(objective, &counted, questions, test);
        let step = counted.len().div_ceil(REFERENCE_CELLS).max(1);
        let reference: Vec<Cell> = counted.into_iter().step_by(step).collect();
        of_fold.extend(by_neighbours(objective, &reference, questions, test));
        for (i, Guessed { by, losses }) in of_fold.into_iter().enumerate() {
            if all.len() <= i {
                all.push((by, vec![0.0; cells.len()]));
            }
            put(&mut all[i].1, test, losses);
        }
        progress.advance(1);
    }
    progress.end();
    Ok(all)
}
