//! What the figures say, in words; only what was measured, and always beside the untrained twin.

use microtome_core::{Result, Role};

use super::figures::Source;
use super::medians::{self, Of, median};

/// The first sentence is the headline.
pub(super) fn of(source: &Source<'_>) -> Result<Vec<String>> {
    let models: Vec<&str> = source
        .store
        .manifest()
        .models
        .iter()
        .filter(|m| m.role == Role::Model)
        .map(|m| m.name.as_str())
        .collect();
    let n = source.results.len();
    let smallest = source.results.iter().map(|r| r.genes.len()).min().unwrap_or(0);
    let mut out = vec![format!(
        "{} over {n} {} of cells and at least {smallest} shared genes, each beside an untrained twin.",
        many(models.len(), "model", "models"),
        if n == 1 { "category" } else { "categories" }
    )];
    let at = source.ks.len() / 2;
    for (i, name) in models.iter().enumerate() {
        let kept = |of: Of| {
            median(source.results, source.seed, |c| {
                let cka = &of.side(c).geometry.cka[i];
                cka.at(0, cka.names.len() - 1).value
            })
        };
        let (model, twin) = (kept(Of::Models)?, kept(Of::Twins)?);
        let mut text = format!(
            "{name}: gene geometry of the last block keeps {} of the embedding's (debiased CKA; untrained twin {})",
            number(model.value),
            number(twin.value)
        );
        let near = |of: Of| {
            median(source.results, source.seed, |c| {
                let r = of.side(c).routes.as_ref()?;
                let near = |a: usize, b: usize| a.abs_diff(b) == 1;
                medians::within(r, i, near, |a, b| medians::agreement(r, at, a, b))
            })
        };
        let (model, twin) = (near(Of::Models)?, near(Of::Twins)?);
        if model.value.is_some() {
            text.push_str(&format!(
                "; the strongest {} edges of a block rank at {} in its neighbours (untrained twin {})",
                source.ks[at],
                number(model.value),
                number(twin.value)
            ));
        }
        text.push('.');
        out.push(text);
    }
    Ok(out)
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "an undefined share".into(), |v| format!("{v:.2}"))
}

fn many(n: usize, one: &str, more: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { more })
}
