//! Genes of two species.

use std::collections::HashMap;

/// Which orthologs stand for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Rule {
    /// The first pair of every gene on each side, as the study does.
    #[default]
    First,
    /// Genes with exactly one ortholog on both sides.
    OneToOne,
    /// Every gene of the basis with the mean over all of its orthologs in the target.
    Mean,
}

impl Rule {
    /// For a reader.
    pub fn words(self) -> &'static str {
        match self {
            Self::First => "first ortholog on each side",
            Self::OneToOne => "strictly one to one",
            Self::Mean => "mean over all orthologs",
        }
    }
}

/// Genes of a basis and the genes of a target that stand for them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Orthologs {
    /// Column of the basis, ascending, and columns of the target (at least one).
    pub pairs: Vec<(usize, Vec<usize>)>,
}

impl Orthologs {
    /// From pairs (basis gene, target gene) in the order of their source.
    pub fn new(pairs: &[(usize, usize)], rule: Rule) -> Self {
        let mut left: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut right: HashMap<usize, Vec<usize>> = HashMap::new();
        for &(a, b) in pairs {
            let (of_a, of_b) = (left.entry(a).or_default(), right.entry(b).or_default());
            if !of_a.contains(&b) {
                of_a.push(b);
                of_b.push(a);
            }
        }
        let mut out = vec![];
        match rule {
            Rule::Mean => out.extend(left),
            Rule::OneToOne => {
                let only = |(a, b): &(usize, Vec<usize>)| {
                    b.len() == 1 && right.get(&b[0]).is_some_and(|r| r == &[*a])
                };
                out.extend(left.into_iter().filter(only));
            }
            Rule::First => {
                // Duplicates are dropped on the left first, then on the right, each keeping the first.
                let (mut seen_left, mut seen_right) = (HashMap::new(), HashMap::new());
                for &(a, b) in pairs {
                    if seen_left.insert(a, ()).is_none() && seen_right.insert(b, ()).is_none() {
                        out.push((a, vec![b]));
                    }
                }
            }
        }
        out.sort_unstable();
        Self { pairs: out }
    }

    /// Every gene stands for itself: two data sets of one species with the same genes.
    pub fn same_genes(n: usize) -> Self {
        Self { pairs: (0..n).map(|g| (g, vec![g])).collect() }
    }

    /// Number of genes that are kept.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_keep_what_they_say() {
        // 0-10; 1-11 and 1-12; 2-12; 3-13 and 4-13.
        let pairs = [(0, 10), (1, 11), (1, 12), (2, 12), (3, 13), (4, 13)];
        let of = |rule| Orthologs::new(&pairs, rule).pairs;
        assert_eq!(of(Rule::First), [(0, vec![10]), (1, vec![11]), (2, vec![12]), (3, vec![13])]);
        assert_eq!(of(Rule::OneToOne), [(0, vec![10])]);
        let mean = of(Rule::Mean);
        assert_eq!(mean, [(0, vec![10]), (1, vec![11, 12]), (2, vec![12]), (3, vec![13]), (4, vec![13])]);
    }
}
