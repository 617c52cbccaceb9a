//! Genes of a cell in the order of a falling value, for families in which the order is all that remains of expression.

/// Tokens of one cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Falling {
    pub(crate) ids: Vec<u32>,
    pub(crate) values: Vec<f32>,
    /// Neighbours of exactly equal value, the pair across the cut included: their order is a convention.
    pub(crate) n_ties: u32,
    pub(crate) n_cut: u32,
}

/// How equal values are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ties {
    /// By token, so that the order of columns does not matter.
    ByToken,
    /// As they come.
    AsTheyCome,
}

/// The first `room` of `found` by falling value.
pub(crate) fn falling(mut found: Vec<(u32, f32)>, ties: Ties, room: usize) -> Falling {
    match ties {
        Ties::ByToken => found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))),
        Ties::AsTheyCome => found.sort_by(|a, b| b.1.total_cmp(&a.1)),
    }
    let kept = found.len().min(room);
    let n_ties = found.windows(2).take(kept).filter(|w| w[0].1 == w[1].1).count() as u32;
    let n_cut = (found.len() - kept) as u32;
    found.truncate(kept);
    let (ids, values) = found.into_iter().unzip();
    Falling { ids, values, n_ties, n_cut }
}

/// Adds up the values of one token; the result is in the order in which tokens first came.
pub(crate) fn added_up(found: Vec<(u32, f32)>) -> Vec<(u32, f32)> {
    let mut place = std::collections::HashMap::new();
    let mut out: Vec<(u32, f32)> = Vec::with_capacity(found.len());
    for (token, value) in found {
        let at = *place.entry(token).or_insert(out.len());
        match out.get_mut(at) {
            Some(entry) => entry.1 += value,
            None => out.push((token, value)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn falls_and_reports_ties_and_what_is_cut() {
        let found = vec![(7, 2.0), (3, 5.0), (5, 2.0), (1, 2.0)];
        let by_token = falling(found.clone(), Ties::ByToken, 3);
        assert_eq!((&by_token.ids[..], by_token.n_ties, by_token.n_cut), (&[3, 1, 5][..], 2, 1));
        let as_they_come = falling(found.clone(), Ties::AsTheyCome, 9);
        assert_eq!((&as_they_come.ids[..], as_they_come.n_ties), (&[3, 7, 5, 1][..], 2));
        assert_eq!(as_they_come.values, [5.0, 2.0, 2.0, 2.0]);
        assert_eq!(falling(vec![], Ties::ByToken, 3), Falling::default());
        assert_eq!(falling(found, Ties::ByToken, 0).n_cut, 4);
    }

    #[test]
    fn adds_up_where_a_token_came_first() {
        assert_eq!(added_up(vec![(2, 1.0), (9, 3.0), (2, 4.0)]), [(2, 5.0), (9, 3.0)]);
    }
}
