//! Which representations belong together: the depths of one model under one pooling, its fixed rules, its twins.

use microtome_core::{Error, Matrix, Result, Role, Site};

use crate::Representation;
use crate::representation::Twin;
use crate::tasks::Task;

/// Site name of the mean over all block outputs.
const MEAN_OF_BLOCKS: &str = "mean_of_blocks";

/// The depths of one model under one pooling. Representations by index.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slot {
    /// Model name, with the pooling where the model comes under several.
    pub(crate) name: String,
    /// Representations among which the depth is chosen, from shallow to deep; the reference is the last.
    pub(crate) depths: Vec<usize>,
    /// Rules that need no choice: name and representation.
    pub(crate) rules: Vec<(&'static str, usize)>,
    /// Twins of each depth by what was taken from them; only kinds that are there.
    pub(crate) twins: Vec<(Twin, Vec<Vec<usize>>)>,
}

impl Slot {
    /// What users take by habit: the final norm where it was given, otherwise the deepest block.
    pub(crate) fn reference(&self) -> usize {
        self.depths[self.depths.len() - 1]
    }
}

/// The slots of every model, in the order of the representations. A model without any depth has none.
pub(crate) fn slots(representations: &[Representation]) -> Vec<Slot> {
    let mut keys: Vec<(&str, Option<&str>)> = vec![];
    for r in representations.iter().filter(|r| r.role == Role::Model && r.depth.is_some()) {
        let key = (r.model.as_str(), r.pooling.as_deref());
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys.iter()
        .map(|&(model, pooling)| {
            let several = keys.iter().filter(|k| k.0 == model).count() > 1;
            let name = match pooling {
                Some(p) if several => format!("{model} ({p})"),
                _ => model.to_string(),
            };
            let own: Vec<usize> = (0..representations.len())
                .filter(|&i| {
                    let r = &representations[i];
                    r.role == Role::Model && r.model == model && r.pooling.as_deref() == pooling
                })
                .collect();
            slot(name, &own, representations)
        })
        .collect()
}

fn slot(name: String, own: &[usize], all: &[Representation]) -> Slot {
    let depth = |i: usize| all[i].depth.unwrap_or(f64::NAN);
    let is = |i: usize, site: &Site| all[i].site.as_ref() == Some(site);
    let mut depths: Vec<usize> = own.iter().copied().filter(|&i| all[i].depth.is_some()).collect();
    let last = |i: usize| is(i, &Site::FinalNorm);
    depths.sort_by(|&a, &b| depth(a).total_cmp(&depth(b)).then(last(a).cmp(&last(b))).then(a.cmp(&b)));
    let find = |site: Site| own.iter().copied().find(|&i| is(i, &site));
    let sixty = depths
        .iter()
        .copied()
        .filter(|&i| all[i].is_block_output())
        .min_by(|&a, &b| (depth(a) - 0.6).abs().total_cmp(&(depth(b) - 0.6).abs()));
    let rules = [
        ("the final block", depths.last().copied()),
        ("the embedding", find(Site::Embed)),
        ("the block at 60% depth", sixty),
        ("the mean of all blocks", find(Site::Extra(MEAN_OF_BLOCKS.into()))),
        ("the published cell vector", find(Site::CellEmbedding)),
    ];
    let rules = rules.into_iter().filter_map(|(n, i)| i.map(|i| (n, i))).collect();
    let of_kind = |kind| (kind, depths.iter().map(|&d| twins(kind, d, all)).collect::<Vec<_>>());
    let twins = Twin::ALL.map(of_kind).into_iter().filter(|(_, t)| t.iter().any(|t| !t.is_empty())).collect();
    Slot { name, depths, rules, twins }
}

/// Controls of one kind with the site and pooling of `of` that belong to its model: their name starts with the model's
/// name, or they are of its family and no other model is.
fn twins(kind: Twin, of: usize, all: &[Representation]) -> Vec<usize> {
    let model = &all[of];
    let only_of_family = model.family.is_some()
        && !all.iter().any(|r| r.role == Role::Model && r.family == model.family && r.model != model.model);
    let belongs = |r: &Representation| {
        r.role == Role::Control
            && r.site.is_some()
            && r.site == model.site
            && r.pooling == model.pooling
            && Twin::of(&r.model) == kind
            && (r.model.starts_with(&model.model) || (only_of_family && r.family == model.family))
    };
    (0..all.len()).filter(|&i| belongs(&all[i])).collect()
}

/// Adds, for every model and pooling with at least two block outputs of one width, the mean of their vectors as a
/// fixed rule that competes with the choice of a depth.
pub(crate) fn add_mean_of_blocks(representations: &mut Vec<Representation>) -> Result<()> {
    for slot in slots(representations) {
        let blocks: Vec<&Representation> = slot
            .depths
            .iter()
            .map(|&i| &representations[i])
            .filter(|r| r.is_block_output() && r.defect().is_none())
            .collect();
        let Some(first) = blocks.first() else { continue };
        if blocks.len() < 2 || blocks.iter().any(|r| r.matrix.cols() != first.matrix.cols()) {
            continue;
        }
        let mut sum = vec![0.0f64; first.matrix.data().len()];
        for r in &blocks {
            sum.iter_mut().zip(r.matrix.data()).for_each(|(s, &v)| *s += f64::from(v));
        }
        let data = sum.iter().map(|s| (s / blocks.len() as f64) as f32).collect();
        let mean = Representation {
            site: Some(Site::Extra(MEAN_OF_BLOCKS.into())),
            block: None,
            depth: None,
            matrix: Matrix::new(first.matrix.rows(), first.matrix.cols(), data)?,
            model: first.model.clone(),
            family: first.family.clone(),
            role: first.role,
            pooling: first.pooling.clone(),
        };
        representations.push(mean);
    }
    Ok(())
}

/// The representations of a task of cells with everything that is added to them: the mean of all blocks of every model, and
/// the two controls that test the task, made of the truth of all cells (NaN where it is missing).
///
/// # Errors
/// As [`check_representations`].
pub(crate) fn with_controls(
    task: &Task,
    representations: &[Representation],
    truth_of_all: &[f64],
    seed: u64,
) -> Result<Vec<Representation>> {
    check_representations(representations, truth_of_all.len())?;
    let mut all = representations.to_vec();
    add_mean_of_blocks(&mut all)?;
    for control in [task.negative_control, task.positive_control] {
        all.extend(control.from_truth(truth_of_all, seed));
    }
    Ok(all)
}

/// Some rows of every representation, or what is wrong with it.
pub(crate) fn rows_of(
    representations: &[Representation],
    rows: &[usize],
) -> Vec<std::result::Result<Matrix, String>> {
    let of = |r: &Representation| r.defect().map_or_else(|| Ok(r.matrix.select_rows(rows)), Err);
    representations.iter().map(of).collect()
}

/// Errors when the representations do not all hold `n` cells or when a baseline is missing.
pub(crate) fn check_representations(representations: &[Representation], n: usize) -> Result<()> {
    if let Some(r) = representations.iter().find(|r| r.matrix.rows() != n) {
        return Err(Error::usage("a representation does not hold the cells of the data set")
            .at_key(format!("{} {}", r.model, r.label()))
            .expected(format!("{n} rows"))
            .found(format!("{} rows", r.matrix.rows())));
    }
    if !representations.iter().any(|r| r.role == Role::Baseline) {
        return Err(Error::usage("no baseline to compare with")
            .expected("at least one representation of role baseline")
            .remedy("add controls::baselines(counts, ...) to the representations"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(model: &str, role: Role, site: Site, n_blocks: usize) -> Representation {
        Representation {
            model: model.into(),
            family: Some("f".into()),
            role,
            block: site.block(),
            depth: site.depth(n_blocks),
            site: Some(site),
            pooling: Some("mean".into()),
            matrix: Matrix::zeros(3, 2),
        }
    }

    #[test]
    fn depths_are_sorted_and_the_final_norm_is_the_reference() {
        let all = [
            at("m", Role::Model, Site::FinalNorm, 2),
            at("m", Role::Model, Site::resid_post(1), 2),
            at("m", Role::Model, Site::Embed, 2),
            at("m", Role::Model, Site::resid_post(0), 2),
            at("m untrained", Role::Control, Site::resid_post(0), 2),
            at("m (genes permuted)", Role::Control, Site::Embed, 2),
            at("m (weights shuffled)", Role::Control, Site::FinalNorm, 2),
        ];
        let s = &slots(&all)[0];
        assert_eq!(s.depths, [2, 3, 1, 0]);
        assert_eq!(s.reference(), 0);
        let of =
            |i: usize, at: usize| (0..4).map(|d| if d == at { vec![i] } else { vec![] }).collect::<Vec<_>>();
        let twins =
            [(Twin::Untrained, of(4, 1)), (Twin::WeightsShuffled, of(6, 3)), (Twin::GenesPermuted, of(5, 0))];
        assert_eq!(s.twins, twins);
        assert!(s.rules.contains(&("the block at 60% depth", 3)), "0.5 is nearer to 0.6 than 1");
    }
}
