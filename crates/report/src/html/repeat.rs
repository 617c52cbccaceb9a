//! How to repeat the run, and what the words mean.

use std::fmt::Write;

use serde_json::Value;

use super::escape::esc;
use super::table::{Cell, table};
use crate::Page;
use crate::number::count;

pub(crate) fn section(page: &Page, out: &mut String) {
    let card = &page.run_card;
    out.push_str("<section class=\"repeat\"><h2>How to repeat this</h2>");
    if page.command.is_empty() {
        out.push_str("<p class=\"note\">No command was recorded.</p>");
    } else {
        copyable("command", &page.command, out);
    }
    out.push_str("<dl class=\"facts\">");
    let version = if card.microtome.is_empty() { "not recorded" } else { &card.microtome };
    let precision = if card.precision.is_empty() { "not recorded" } else { &card.precision };
    for (name, value) in [("Microtome", version), ("Seed", &card.seed.to_string()), ("Precision", precision)]
    {
        let _ = write!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", esc(value));
    }
    out.push_str("</dl>");
    if !card.inputs.is_empty() {
        out.push_str("<h3>Input files</h3>");
        let head = [("role", false), ("file", false), ("bytes", true), ("SHA-256", false)];
        let rows = card.inputs.iter().map(|f| {
            let bytes = Cell { text: count(f.bytes), sort: Some(f.bytes as f64), quiet: false };
            vec![Cell::text(&f.role), Cell::text(&f.path), bytes, Cell::text(&f.sha256)]
        });
        table("Input files", &head, rows, out);
    }
    if !card.choices.is_empty() {
        let _ = write!(out, "<details><summary>Choices ({})</summary>", count(card.choices.len() as u64));
        let rows = card.choices.iter().map(|(name, value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            vec![Cell::text(name), Cell::text(text)]
        });
        table("Choices", &[("choice", false), ("value", false)], rows, out);
        out.push_str("</details>");
    }
    if let Ok(json) = serde_json::to_string_pretty(card) {
        out.push_str("<details><summary>Run card</summary>");
        copyable("run card", &json, out);
        out.push_str("</details>");
    }
    out.push_str("</section>");
    glossary(out);
}

/// Text with a button that copies it; the button appears only where scripts run.
fn copyable(what: &str, text: &str, out: &mut String) {
    let _ = write!(
        out,
        "<div class=\"copyable\" data-what=\"{}\"><pre tabindex=\"0\">{}</pre></div>",
        esc(what),
        esc(text)
    );
}

const GLOSSARY: [(&str, &str); 13] = [
    ("block", "One of the stacked layers of the network. Blocks are counted from 0."),
    (
        "depth",
        "How far through the network: 0 is the input to the first block (the embedding), 1 is the output of the last block.",
    ),
    (
        "site",
        "A named place in the network where numbers are read, such as blocks.3.resid_post, the output of block 3.",
    ),
    (
        "unit",
        "What is independent in the data: a donor, a clone, a guide. Intervals come from resampling units, because cells of one unit are not independent.",
    ),
    ("interval", "The range of scores that chance in the choice of units could have produced."),
    (
        "baseline",
        "A simple method without a model. A model that does not beat it is not needed for this task.",
    ),
    (
        "control",
        "A model that cannot know the biology, such as the same network with random weights. Its score shows what the shape of the network gives for free.",
    ),
    (
        "nested",
        "The depth is chosen on some units and scored on others, so that choosing does not flatter the score.",
    ),
    ("confidence set", "The depths that cannot be told from the best one, given the noise."),
    ("oracle", "The depth that looks best on all data. It is known only afterwards and is never a headline."),
    (
        "optimism",
        "Score of the oracle minus the nested score: what choosing on the test data would have added.",
    ),
    ("pooling", "How the numbers of the many genes of a cell become one vector per cell."),
    ("final norm", "A rescaling after the last block that some networks have; a site of its own."),
];

fn glossary(out: &mut String) {
    out.push_str("<section class=\"glossary\"><details><summary>What the words mean</summary><dl>");
    for (word, meaning) in GLOSSARY {
        let _ = write!(out, "<dt>{word}</dt><dd>{meaning}</dd>");
    }
    out.push_str("</dl></details></section>");
}
