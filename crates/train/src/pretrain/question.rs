//! What is asked about a cell, and what the network sees of it.

use super::draws::Draws;
use super::objective::{Masking, Objective};
use super::stream::Cell;

/// A cell with what is asked about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Question {
    /// Tokens that the network sees.
    pub(super) ids: Vec<u32>,
    /// Values that the network sees; none for networks without.
    pub(super) values: Vec<f32>,
    /// Place of every token as the network counts positions.
    pub(super) positions: Vec<u32>,
    /// Places in the cell whose answers are wanted, ascending.
    pub(super) rows: Vec<u32>,
    /// The right answers where they are classes (tokens, bins); otherwise empty.
    pub(super) classes: Vec<u32>,
    /// The right answers where they are numbers; otherwise empty.
    pub(super) numbers: Vec<f32>,
    /// Places that the cell's vector is made of.
    pub(super) pooled: Vec<u32>,
    /// Class of the cell.
    pub(super) label: Option<u32>,
}

impl Question {
    /// `None` for a cell of fewer than two genes: there would be nothing to tell the hidden one from.
    pub(super) fn draw(cell: &Cell, objective: &Objective, masking: Masking, draws: Draws) -> Option<Self> {
        let genes: Vec<u32> = (0..cell.ids.len() as u32).filter(|&p| cell.is_gene[p as usize]).collect();
        if genes.len() < 2 {
            return None;
        }
        let positions = match &cell.positions[..] {
            [] => (0..cell.ids.len() as u32).collect(),
            given => given.to_vec(),
        };
        let mut out = Self {
            ids: cell.ids.clone(),
            values: cell.values.clone(),
            positions,
            pooled: cell.pooled.clone(),
            label: cell.label,
            ..Self::default()
        };
        match objective {
            Objective::NextGene(_) => {
                out.rows = (0..cell.ids.len() as u32 - 1).collect();
                out.classes = cell.ids[1..].to_vec();
            }
            _ => out.hide(genes, objective, masking, draws),
        }
        Some(out)
    }

    /// Places that are not asked for.
    pub(super) fn shown(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.ids.len()).filter(|p| self.rows.binary_search(&(*p as u32)).is_err())
    }

    /// Chooses a share of the genes, rounded, without replacement, and hides them.
    fn hide(&mut self, mut places: Vec<u32>, objective: &Objective, masking: Masking, mut draws: Draws) {
        let n = ((places.len() as f64 * masking.share).round() as usize).clamp(1, places.len());
        for i in 0..n {
            let j = i + draws.below(places.len() - i);
            places.swap(i, j);
        }
        places.truncate(n);
        places.sort_unstable();
        for &p in &places {
            let p = p as usize;
            match objective {
                Objective::MaskedGenes(vocabulary) => {
                    self.classes.push(self.ids[p]);
                    let u = draws.uniform();
                    if u < masking.masked {
                        self.ids[p] = vocabulary.mask;
                    } else if u < masking.masked + masking.replaced {
                        self.ids[p] = vocabulary.genes()[draws.below(vocabulary.genes().len())];
                    }
                }
                Objective::MaskedValues { mask } => {
                    self.numbers.push(std::mem::replace(&mut self.values[p], *mask));
                }
                Objective::MaskedBins { mask, n } => {
                    let bin = std::mem::replace(&mut self.values[p], *mask).max(0.0) as usize;
                    self.classes.push(bin.min(n - 1) as u32);
                }
                Objective::NextGene(_) => {}
            }
        }
        self.rows = places;
    }
}

#[cfg(test)]
mod tests {
    use super::super::draws::Purpose;
    use super::super::objective::Vocabulary;
    use super::*;

    fn genes(ids: Vec<u32>, from: u32) -> Cell {
        let is_gene = ids.iter().map(|t| *t >= from).collect();
        Cell { values: ids.iter().map(|t| *t as f32 / 2.0).collect(), ids, is_gene, ..Cell::default() }
    }

    fn draw(cell: &Cell, objective: &Objective, masking: Masking, place: u64) -> Option<Question> {
        Question::draw(cell, objective, masking, Draws::new(1, Purpose::Mask, 0, place))
    }

    #[test]
    fn shares_are_those_asked_for() {
        let objective = Objective::MaskedGenes(Vocabulary::new(1002, 1, (2..1002).collect()).unwrap());
        let cell = genes((2..402).collect(), 2);
        let (mut masked, mut other, mut same) = (0, 0, 0);
        for place in 0..200 {
            let h = draw(&cell, &objective, Masking::default(), place).unwrap();
            assert_eq!(h.rows.len(), 60);
            assert!(h.rows.windows(2).all(|w| w[0] < w[1]));
            for (p, t) in h.rows.iter().zip(&h.classes) {
                assert_eq!(cell.ids[*p as usize], *t);
                match h.ids[*p as usize] {
                    1 => masked += 1,
                    s if s == *t => same += 1,
                    _ => other += 1,
                }
            }
            let kept = (0..400u32)
                .filter(|p| !h.rows.contains(p))
                .all(|p| h.ids[p as usize] == cell.ids[p as usize]);
            assert!(kept, "what is not asked for is left alone");
        }
        let of = |n: i32| f64::from(n) / 12_000.0;
        assert!(
            (of(masked) - 0.8).abs() < 0.02
                && (of(other) - 0.1).abs() < 0.02
                && (of(same) - 0.1).abs() < 0.02
        );
    }

    #[test]
    fn special_tokens_are_never_asked_for_and_draws_can_be_repeated() {
        let objective = Objective::MaskedGenes(Vocabulary::new(10, 1, (4..10).collect()).unwrap());
        let masking = Masking { share: 1.0, ..Masking::default() };
        let cell = genes(vec![2, 5, 7, 3], 4);
        let drawn = |place| draw(&cell, &objective, masking, place);
        assert_eq!(drawn(1).unwrap().rows, [1, 2]);
        assert_eq!(drawn(1), drawn(1));
        assert!((0..20).any(|c| drawn(c) != drawn(1)));
        assert!(draw(&genes(vec![2, 5, 3], 4), &objective, masking, 0).is_none());
        assert!(Vocabulary::new(10, 1, vec![4]).is_err() && Vocabulary::new(10, 1, vec![1, 4]).is_err());
    }

    #[test]
    fn hidden_values_are_the_answers_and_stay_where_they_are_not_hidden() {
        let cell = genes((10..50).collect(), 12);
        let hidden =
            draw(&cell, &Objective::MaskedValues { mask: -1.0 }, Masking::of_values(0.4), 0).unwrap();
        assert_eq!((hidden.rows.len(), &hidden.ids), (15, &cell.ids));
        for (p, v) in (0..40).zip(&hidden.values) {
            let asked = hidden.rows.binary_search(&p).ok();
            assert_eq!(*v, asked.map_or(cell.values[p as usize], |_| -1.0));
            assert!(asked.is_none_or(|i| hidden.numbers[i] == cell.values[p as usize]));
        }
        let binned =
            draw(&cell, &Objective::MaskedBins { mask: -1.0, n: 10 }, Masking::of_values(0.4), 0).unwrap();
        assert_eq!((&binned.rows, &binned.values), (&hidden.rows, &hidden.values));
        let expected: Vec<u32> = hidden.numbers.iter().map(|v| (*v as u32).min(9)).collect();
        assert_eq!(binned.classes, expected);
    }

    #[test]
    fn the_next_token_is_asked_of_every_one_but_the_last() {
        let cell = genes(vec![1, 8, 6, 7, 2], 4);
        let next = draw(&cell, &Objective::NextGene(9), Masking::default(), 0).unwrap();
        assert_eq!((next.rows, next.classes, next.ids), (vec![0, 1, 2, 3], vec![8, 6, 7, 2], cell.ids));
    }
}
