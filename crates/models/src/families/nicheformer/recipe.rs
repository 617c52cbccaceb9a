//! The published ways of ranking genes and of filling cells up.

use microtome_core::{Error, Result, closest};

/// How scores are made of counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ranking {
    /// Tokenisation notebooks, which made the training data: whole-number technology means.
    Notebook,
    /// Packaged dataset class: technology means as they are, so that genes without one are in every cell.
    Dataset,
    /// Hugging Face tokenizer without technology means: by count alone.
    Plain,
}

/// How a cell becomes as long as the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Padding {
    /// With the vocabulary's padding token, hidden as keys.
    Own,
    /// With token 1, hidden as keys, as in training.
    Training,
    /// With token 1 and nothing hidden: what helical 2.2.0 makes of a `vocab.json` in which padding is 0.
    Visible,
    /// Not at all: the cell vector is then the mean over the genes alone.
    None,
}

/// One published way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recipe {
    pub(super) ranking: Ranking,
    pub(super) padding: Padding,
}

impl Recipe {
    pub(super) const ALL: [(&str, Self); 8] = [
        ("paper-notebook", Self { ranking: Ranking::Notebook, padding: Padding::Own }),
        ("repo-dataset", Self { ranking: Ranking::Dataset, padding: Padding::Own }),
        ("hf-default", Self { ranking: Ranking::Plain, padding: Padding::Own }),
        ("hf-training-pads", Self { ranking: Ranking::Plain, padding: Padding::Training }),
        ("hf-helical-2.2.0", Self { ranking: Ranking::Plain, padding: Padding::Visible }),
        ("paper-notebook-unpadded", Self { ranking: Ranking::Notebook, padding: Padding::None }),
        ("repo-dataset-unpadded", Self { ranking: Ranking::Dataset, padding: Padding::None }),
        ("hf-default-unpadded", Self { ranking: Ranking::Plain, padding: Padding::None }),
    ];

    /// The way called `name`.
    pub(super) fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|(n, _)| *n == name).map(|(_, r)| r).ok_or_else(|| {
            let names = Self::ALL.map(|(n, _)| n);
            Error::usage("no such recipe of nicheformer")
                .expected(format!("one of: {}", names.join(", ")))
                .found(format!("\"{name}\""))
                .remedy(
                    closest(name, names)
                        .map_or("choose a published recipe".into(), |n| format!("did you mean {n}?")),
                )
        })
    }
}

/// What counts are divided by, from a technology's mean of a gene.
pub(super) fn divisor(ranking: Ranking, mean: f64) -> f64 {
    let used = match ranking {
        Ranking::Plain => return 1.0,
        Ranking::Dataset => mean,
        Ranking::Notebook if mean.is_nan() => 0.0,
        // Half goes up, for negative means as well.
        Ranking::Notebook if mean - mean.floor() >= 0.5 => mean.floor() + 1.0,
        Ranking::Notebook => mean.floor(),
    };
    if used == 0.0 { 1.0 } else { used }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divisors_follow_the_recipe() {
        let cases = [
            (0.4, 1.0),
            (0.5, 1.0),
            (1.5, 2.0),
            (2.5, 3.0),
            (2.49, 2.0),
            (-1.5, -1.0),
            (-0.5, 1.0),
            (f64::NAN, 1.0),
        ];
        for (mean, whole) in cases {
            assert_eq!(divisor(Ranking::Notebook, mean), whole, "{mean}");
            assert_eq!(divisor(Ranking::Plain, mean), 1.0);
        }
        assert_eq!(divisor(Ranking::Dataset, 0.4), 0.4);
        assert_eq!(divisor(Ranking::Dataset, 0.0), 1.0);
        assert!(divisor(Ranking::Dataset, f64::NAN).is_nan());
    }

    #[test]
    fn a_slip_is_answered_with_a_suggestion() {
        assert_eq!(Recipe::parse("hf-default").unwrap().ranking, Ranking::Plain);
        assert!(
            Recipe::parse("paper-notebok").unwrap_err().to_string().contains("did you mean paper-notebook?")
        );
    }
}
