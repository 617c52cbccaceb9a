//! Parity kits of this family: contexts of `obs`, whole numbers of padded cells, and the other published paddings.

use microtome_core::Result;

use super::contexts::{COLUMNS, UNKNOWN, is_known};
use super::model::Nicheformer;
use super::tokens::ATTENTION_MASK;
use crate::parity::{KitCase, KitPlan, padded_per_token};
use crate::{Model, TokenizeOptions, Tokens};

/// Prefixes of further runs, and the recipe of each.
const RUNS: [(&str, &str); 2] =
    [("alt_pad1_masked", "hf-training-pads"), ("alt_helical_2_2_0", "hf-helical-2.2.0")];

pub(super) fn plan(model: &Nicheformer, case: &KitCase<'_>) -> Result<KitPlan> {
    let steps = case.manifest["tokenisation"]["steps"].to_string();
    let recipe = match (steps.contains("half up"), steps.contains("log1p")) {
        (true, _) => "paper-notebook",
        (_, true) => "hf-default",
        _ => "repo-dataset",
    };
    // The Hugging Face tokenizer takes what it does not know for padding; the other code is given numbers and has no such case.
    let value = |column: &str, value: String| match recipe {
        "hf-default" if !is_known(&model.vocabulary.specials, column, &value) => UNKNOWN.to_string(),
        _ => value,
    };
    let contexts = COLUMNS
        .iter()
        .map(|(column, _)| {
            let values = case.obs_texts(column)?.into_iter().map(|v| value(column, v)).collect();
            Ok(((*column).to_string(), values))
        })
        .collect::<Result<_>>()?;
    let options = |recipe: &str| TokenizeOptions {
        recipe: Some(recipe.into()),
        contexts: std::collections::BTreeMap::clone(&contexts),
        ..TokenizeOptions::default()
    };
    let tokens = |recipe: &str| model.tokenize(case.cells.counts, None, case.genes, &options(recipe));
    let plain = tokens(recipe)?;
    let mut plan = KitPlan::new(plain.clone());
    let lengths = plain.offsets.windows(2).map(|w| real(&plain, w[0]..w[1]));
    let lengths: Vec<i64> = lengths.collect();
    plan.ints("tokens.len", vec![lengths.len()], lengths);
    add_mask(&mut plan, "tokens.attention_mask", &plain);
    for (prefix, recipe) in RUNS {
        if case.names().iter().any(|n| n.starts_with(prefix)) {
            let other = tokens(recipe)?;
            add_mask(&mut plan, &format!("{prefix}.tokens.attention_mask"), &other);
            plan.runs.push((prefix.into(), other));
        }
    }
    Ok(plan)
}

/// Tokens that are not padding.
fn real(tokens: &Tokens, span: std::ops::Range<usize>) -> i64 {
    tokens.per_token[ATTENTION_MASK][span].iter().filter(|m| **m != 0.0).count() as i64
}

fn add_mask(plan: &mut KitPlan, name: &str, tokens: &Tokens) {
    let mask: Vec<i64> = tokens.per_token[ATTENTION_MASK].iter().map(|&m| m as i64).collect();
    let (shape, values) = padded_per_token(tokens, &mask, 0);
    plan.ints(name, shape, values);
}
