//! Fixed questions at every depth, and guesses that know no network.

use super::*;

#[test]
fn questions_are_those_of_a_validation_and_the_last_depth_is_the_network() {
    let (task, params) = (masked_genes(), params());
    let all: Vec<usize> = (0..40).collect();
    let questions = Questions::draw(&TwoKinds, &all, &task.objective, Masking::default(), 3).unwrap();
    let frozen = Params::default().over(crate::net::Frozen::new(params.to_named().unwrap()).unwrap());
    let reader = |params| Reader { params, task: &task, part_tokens: 30 };
    let losses = questions.losses(&reader(&frozen), &all, &Silent).unwrap();
    let recipe = Recipe { seed: 3, validation_cells: 40, ..Recipe::default() };
    let held_out = crate::pretrain::validation::HeldOut::new(&TwoKinds, &all, &task, &recipe).unwrap();
    let (mean, _) = held_out.look(&params, &task, &recipe).unwrap();
    let n: usize = questions.n_answers().iter().sum();
    assert!((losses.iter().sum::<f64>() / n as f64 - mean).abs() < 1e-6);
    // At every depth; a number that is the same for all classes changes nothing; probabilities add up to the answers.
    let mut depths = vec![];
    let of = |at: &AtDepth<'_>| {
        let (plain, moved) = (at.losses()?, at.losses_with(&[0.5; 22])?);
        assert!(plain.iter().zip(&moved).all(|(a, b)| (a - b).abs() < 1e-5));
        assert!((at.expected()?.iter().sum::<f64>() - at.classes.len() as f64).abs() < 1e-4);
        assert_eq!(at.rows()?.len(), at.classes.len() * 16);
        Ok((at.depth, plain))
    };
    questions
        .walk(&reader(&params), &all, 0..2, &of, &Silent, |part, made| {
            depths.extend(made.iter().map(|(depth, _)| *depth));
            let last = questions.per_cell(part, &made[1].1);
            assert!(part.iter().zip(last).all(|(c, l)| (losses[*c] - l).abs() < 1e-5));
            Ok(())
        })
        .unwrap();
    assert!(depths.chunks(2).all(|d| d == [0, 1]));
    assert!(Questions::draw(&Nothing, &[0], &task.objective, Masking::default(), 3).is_err());
}

#[test]
fn similar_cells_tell_kinds_apart_that_frequencies_do_not() {
    let task = masked_genes();
    let (train, test): (Vec<usize>, Vec<usize>) = ((0..150).collect(), (150..200).collect());
    let questions = Questions::draw(&TwoKinds, &test, &task.objective, Masking::default(), 3).unwrap();
    let (train, all) = (TwoKinds.read(&train).unwrap(), (0..50).collect::<Vec<usize>>());
    let sum = |g: &Guessed| g.losses.iter().sum::<f64>();
    let plain = guesses(&task.objective, &train, &questions, &all);
    let near = by_neighbours(&task.objective, &train, &questions, &all).unwrap();
    assert!(sum(&near) < 0.7 * sum(&plain[1]) && sum(&plain[1]) < sum(&plain[0]), "{near:?} {plain:?}");
    // Values that differ between kinds, not between the genes of a kind.
    let objective = Objective::MaskedValues { mask: -1.0 };
    let questions = Questions::draw(&TwoLevels, &test, &objective, Masking::of_values(0.4), 3).unwrap();
    let train = TwoLevels.read(&(0..150).collect::<Vec<_>>()).unwrap();
    let plain = guesses(&objective, &train, &questions, &all);
    let near = by_neighbours(&objective, &train, &questions, &all).unwrap();
    assert!(sum(&near) < 0.2 * sum(&plain[1]), "{near:?} {plain:?}");
    let bins = Objective::MaskedBins { mask: -1.0, n: 6 };
    let questions = Questions::draw(&TwoLevels, &test, &bins, Masking::of_values(0.4), 3).unwrap();
    let near = by_neighbours(&bins, &train, &questions, &all).unwrap();
    assert!(sum(&near) < 0.5 * sum(&guesses(&bins, &train, &questions, &all)[1]));
    assert!(by_neighbours(&Objective::NextGene(22), &train, &questions, &all).is_none());
}
