//! Does the best depth shift with a state? The advantage of every depth over the final block in one stratum is compared
//! with that in another, on the same resamples. Two argmaxes are never compared: they differ by chance alone.

use microtome_core::{Record, Result};

use super::headline::difference;
use super::records::{find, put_interval};
use super::slots::slots;
use super::{Assessment, Prediction, Scored};
use crate::metrics::Metric;
use crate::protocol::bands::simultaneous;
use crate::protocol::bootstrap::{Replicates, bootstrap};
use crate::protocol::{Lanes, Scale, ScoreSet, Weights};
use crate::{Groups, TaskOutcome};

/// Most pairs of strata that are compared.
const MAX_PAIRS: usize = 10;
/// Fewest cells of a stratum.
const MIN_STRATUM: usize = 20;

/// Records and sentences of a comparison between strata.
#[derive(Default)]
pub(crate) struct Interactions {
    pub(crate) records: Vec<Record>,
    /// Model and what is said about it.
    pub(crate) sentences: Vec<(String, String)>,
}

impl Interactions {
    /// Adds those of another comparison.
    pub(crate) fn extend(&mut self, other: Self) {
        self.records.extend(other.records);
        self.sentences.extend(other.sentences);
    }

    /// Puts sentences and records where a reader finds them.
    pub(crate) fn add_to(self, outcome: &mut TaskOutcome) {
        for (model, sentence) in self.sentences {
            let own = outcome.summaries.iter_mut().filter(|s| s.model == model);
            own.for_each(|s| s.sentences.push(sentence.clone()));
        }
        outcome.records.extend(self.records);
    }
}

/// Makes the scores of predictions.
type MakeSet<'a> = dyn Fn(&[&[f64]]) -> Box<dyn ScoreSet> + 'a;

/// Scores of the cells of one stratum alone.
struct Stratum {
    inner: Box<dyn ScoreSet>,
    member: Vec<bool>,
}

impl Stratum {
    fn only(&self, weights: &Weights) -> Weights {
        let keep = |(w, m): (&Lanes, &bool)| if *m { *w } else { [0.0; crate::protocol::LANES] };
        Weights::from_cells(weights.cells().iter().zip(&self.member).map(keep).collect())
    }
}

impl ScoreSet for Stratum {
    fn scale(&self) -> Scale {
        self.inner.scale()
    }
    fn len(&self) -> usize {
        self.inner.len()
    }
    fn weighted(&self, weights: &Weights) -> Vec<Lanes> {
        self.inner.weighted(&self.only(weights))
    }
    /// Strata are compared by resampling only.
    fn permuted(&self, _: &[Vec<u32>]) -> Vec<Lanes> {
        vec![[f64::NAN; crate::protocol::LANES]; self.len()]
    }
}

impl Assessment<'_> {
    /// Compares groups of cells by predictions that were made for all cells together. `rows` are the scored cells as rows of
    /// the data set, `set` makes the scores.
    ///
    /// # Errors
    /// When the user stops.
    pub(crate) fn strata(
        &self,
        groups: &Groups,
        rows: &[usize],
        metric: &'static Metric,
        predictions: &[std::result::Result<Prediction, String>],
        set: &MakeSet<'_>,
    ) -> Result<Interactions> {
        let mut strata = vec![];
        for (code, name) in groups.names.iter().enumerate() {
            let member: Vec<bool> = rows.iter().map(|&i| groups.codes[i] as usize == code).collect();
            if member.iter().filter(|m| **m).count() < MIN_STRATUM {
                continue;
            }
            let scored = Scored::with(metric, rows.len(), predictions, |used| {
                Box::new(Stratum { inner: set(used), member })
            });
            strata.push((name.clone(), scored));
        }
        let why = format!("groups of at least {MIN_STRATUM} scored cells");
        self.interactions(&groups.name, &strata, &why)
    }

    /// Compares strata pair by pair; each is scored over the same units and representations.
    ///
    /// # Errors
    /// When the user stops.
    pub(crate) fn interactions(
        &self,
        name: &str,
        strata: &[(String, Scored)],
        why: &str,
    ) -> Result<Interactions> {
        let mut out = Interactions::default();
        for slot in slots(self.representations).iter().filter(|s| s.depths.len() > 1) {
            if strata.len() < 2 {
                let found = strata.len();
                out.sentences.push((
                    slot.name.clone(),
                    format!("Whether the best depth differs between groups of {name} cannot be said: it needs two {why}, there are {found}."),
                ));
                continue;
            }
            let reference = slot.reference();
            let others: Vec<usize> = slot.depths.iter().copied().filter(|&d| d != reference).collect();
            let mut by_stratum: Vec<Vec<(usize, Replicates)>> = vec![];
            for (_, scored) in strata {
                let series: Vec<_> =
                    others.iter().filter_map(|&d| difference(scored, d, &[reference])).collect();
                let found =
                    bootstrap(scored.set.as_ref(), &series, self.units, self.protocol, self.progress)?;
                let of = |&d: &usize| Some((d, find(&found, &difference(scored, d, &[reference])?)?.clone()));
                by_stratum.push(others.iter().filter_map(of).collect());
            }
            let pairs = (0..strata.len()).flat_map(|a| (a + 1..strata.len()).map(move |b| (a, b)));
            for (a, b) in pairs.take(MAX_PAIRS) {
                self.pair(&slot.name, [&strata[a], &strata[b]], [&by_stratum[a], &by_stratum[b]], &mut out);
            }
        }
        Ok(out)
    }

    fn pair(
        &self,
        model: &str,
        strata: [&(String, Scored); 2],
        replicates: [&[(usize, Replicates)]; 2],
        out: &mut Interactions,
    ) {
        let both: Vec<(usize, Replicates)> = replicates[0]
            .iter()
            .filter_map(|(d, a)| {
                let b = &replicates[1].iter().find(|(other, _)| other == d)?.1;
                Some((*d, minus(a, b)))
            })
            .collect();
        let banded = simultaneous(&both.iter().map(|r| &r.1).collect::<Vec<_>>(), self.protocol.level);
        let split = format!("{} minus {}", strata[0].0, strata[1].0);
        let mut least: Option<(f64, usize)> = None;
        for ((d, _), b) in both.iter().zip(&banded) {
            let mut record = self.record(*d, strata[0].1.metric, &split);
            record.metric = format!("{}_interaction", strata[0].1.metric.id);
            record.value = Some(b.estimate).filter(|v| v.is_finite());
            put_interval(&mut record, b.band);
            (record.p, record.p_adj) = (b.p, b.p_adj);
            record.reason =
                Some("advantage over the final block in one stratum minus that in the other".into());
            if let Some(p) = b.p_adj
                && least.is_none_or(|(l, _)| p < l)
            {
                least = Some((p, *d));
            }
            out.records.push(record);
        }
        let words = match least {
            None => format!(
                "Whether the best depth differs between {} and {} cannot be said: too few units, or a score is undefined.",
                strata[0].0, strata[1].0
            ),
            Some((p, d)) => format!(
                "The advantage of a depth over the final block {} between {} and {} (most at {}, p = {p:.4} adjusted over depths).",
                if p <= 1.0 - self.protocol.level { "differs" } else { "is not shown to differ" },
                strata[0].0,
                strata[1].0,
                self.representations[d].label(),
            ),
        };
        out.sentences.push((model.to_string(), words));
    }
}

/// Replicates of a difference of differences: both were drawn with the same units in every replicate.
fn minus(a: &Replicates, b: &Replicates) -> Replicates {
    Replicates {
        series: a.series.clone(),
        scale: a.scale,
        estimate: a.estimate - b.estimate,
        se: (a.se * a.se + b.se * b.se).sqrt(),
        values: a.values.iter().zip(&b.values).map(|(a, b)| a - b).collect(),
        // Standard errors within replicates do not subtract; the spread of the replicates serves instead.
        ses: vec![],
        jackknife: a.jackknife.iter().zip(&b.jackknife).map(|(a, b)| a - b).collect(),
    }
}
