//! The answer in words, with the numbers behind it.

use std::fmt::Write;

use microtome_core::{BlockSite, Site, Summary, Verdict};

use super::escape::esc;
use super::figure::plural;
use crate::number::{count, decimal, estimate, signed};
use crate::panel::site_words;
use crate::{Page, Question};

pub(crate) fn section(page: &Page, out: &mut String) {
    out.push_str("<section class=\"verdict\">");
    if page.summaries.is_empty() {
        let none = "This page shows scores without a verdict.".to_string();
        let lead = page.findings.first().unwrap_or(&none);
        let _ = write!(out, "<article class=\"answer first\"><p class=\"lead\">{}</p>", esc(lead));
        for sentence in page.findings.iter().skip(1) {
            let _ = write!(out, "<p>{}</p>", esc(sentence));
        }
        out.push_str("</article>");
    }
    let several = page.summaries.len() > 1;
    for (i, s) in page.summaries.iter().enumerate() {
        summary(s, several, i == 0, out);
        if i == 0 {
            warnings(page, out);
        }
    }
    if page.summaries.is_empty() {
        warnings(page, out);
    }
    out.push_str("</section>");
}

/// The first sentence of every answer with a link to its section, and the warnings about the whole run.
pub(crate) fn overview(page: &Page, tasks: &[Question], out: &mut String) {
    out.push_str("<section class=\"overview\"><ul class=\"answers\">");
    for (i, task) in tasks.iter().enumerate() {
        let _ = write!(out, "<li><a href=\"#task{i}\">{}</a>", esc(&task.words));
        let answers: Vec<&Summary> = page.summaries.iter().filter(|s| s.task == task.task).collect();
        if answers.is_empty() {
            out.push_str("<p class=\"quiet\">Scores without a verdict.</p>");
        }
        for s in answers {
            let said = s.sentences.first().map_or("No answer.", String::as_str);
            let _ = write!(out, "<p>{}</p>", esc(said));
        }
        out.push_str("</li>");
    }
    out.push_str("</ul>");
    warnings(&Page { warnings: page.warnings.clone(), ..Page::default() }, out);
    out.push_str("</section>");
}

fn summary(s: &Summary, named: bool, first: bool, out: &mut String) {
    let _ = write!(out, "<article class=\"answer{}\">", if first { " first" } else { "" });
    if named {
        let _ = write!(
            out,
            "<h2>{} <span class=\"quiet\">{} \u{b7} {}</span></h2>",
            esc(&s.model),
            esc(&s.task),
            esc(&s.metric)
        );
    }
    out.push_str("<p class=\"chips\">");
    chip("Depth", s.depth_verdict, out);
    chip("Model", s.model_verdict, out);
    out.push_str("</p>");
    let mut sentences = s.sentences.iter();
    if let Some(lead) = sentences.next() {
        let _ = write!(out, "<p class=\"lead\">{}</p>", esc(lead));
    }
    for sentence in sentences {
        let _ = write!(out, "<p>{}</p>", esc(sentence));
    }
    out.push_str("<dl class=\"numbers\">");
    for (name, value, detail) in key_numbers(s) {
        let _ = write!(out, "<div><dt>{}</dt><dd><b>{}</b>", esc(&name), esc(&value));
        if let Some(detail) = detail {
            let _ = write!(out, "<span>{}</span>", esc(&detail));
        }
        out.push_str("</dd></div>");
    }
    out.push_str("</dl></article>");
}

/// Sign, shade and words, so that the verdict does not hang on the colour.
fn chip(about: &str, verdict: Verdict, out: &mut String) {
    let (class, sign) = match verdict {
        Verdict::DepthMatters | Verdict::ModelRecommended => ("yes", "\u{2713}"),
        Verdict::CannotDistinguishDepths | Verdict::TieWithBaseline => ("tie", "\u{2248}"),
        Verdict::BaselineWins => ("no", "\u{2717}"),
        Verdict::OneDepth => ("tie", "\u{b7}"),
        Verdict::NotEnoughUnits => ("open", "?"),
    };
    let _ = write!(
        out,
        "<span class=\"chip {class}\"><span aria-hidden=\"true\">{sign}</span> <span class=\"about\">{about}</span> {}</span> ",
        verdict.words()
    );
}

/// Name, value and detail of the numbers a reader asks for first.
pub(crate) fn key_numbers(s: &Summary) -> Vec<(String, String, Option<String>)> {
    let mut out = vec![];
    if let Some(e) = &s.nested_score {
        let (value, range) = estimate(e, false);
        out.push(("Nested score".into(), value, Some(range.unwrap_or_else(|| "no interval".into()))));
    }
    let gains = [
        ("Gain over final block", &s.gain_over_final),
        ("Gain over best baseline", &s.gain_over_best_baseline),
    ];
    for (name, gain) in gains {
        if let Some(g) = gain {
            let (value, range) = estimate(&g.estimate, true);
            let range = range.unwrap_or_else(|| "no interval".into());
            out.push((name.into(), value, Some(format!("{range} against {}", site_words(&g.against)))));
        }
    }
    if let Some(optimism) = s.optimism {
        out.push((
            "Optimism of the naive choice".into(),
            signed(optimism),
            s.oracle_site.as_deref().map(|o| format!("oracle: {}", site_words(o))),
        ));
    }
    if let Some(detectable) = s.detectable {
        let detail = "difference to the final block found in 80% of such experiments".into();
        out.push(("Smallest detectable gain".into(), decimal(detectable), Some(detail)));
    }
    if s.chosen_site.is_some() || !s.confidence_set.is_empty() {
        let chosen = s.chosen_site.as_deref().map_or_else(|| "none".into(), site_words);
        let set = (!s.confidence_set.is_empty())
            .then(|| format!("confidence set: {}", site_ranges(&s.confidence_set)));
        out.push(("Chosen depth".into(), chosen, set));
    }
    out.push(("Independent units".into(), count(s.n_units as u64), Some(format!("unit: {}", s.unit))));
    out.push(("Cells".into(), count(s.n_cells as u64), Some(s.dataset.clone())));
    out
}

/// Sites with neighbouring blocks folded: `embedding, blocks 3\u{2013}7`.
pub(crate) fn site_ranges(sites: &[String]) -> String {
    let block = |s: &String| match s.parse() {
        Ok(Site::Block(i, BlockSite::ResidPost)) => Some(i),
        _ => None,
    };
    let mut parts: Vec<String> = vec![];
    let mut i = 0;
    while i < sites.len() {
        let start = block(&sites[i]);
        let mut end = i;
        while let (Some(a), Some(b)) = (block(&sites[end]), sites.get(end + 1).and_then(block)) {
            if a.checked_add(1) != Some(b) {
                break;
            }
            end += 1;
        }
        parts.push(match (start, block(&sites[end])) {
            (Some(a), Some(b)) if b > a => format!("blocks\u{a0}{a}\u{2060}\u{2013}\u{2060}{b}"),
            _ => site_words(&sites[i]),
        });
        i = end + 1;
    }
    parts.join(", ")
}

/// Every warning once, with the model it is about where there are several.
pub(crate) fn all_warnings(page: &Page) -> Vec<String> {
    let mut out: Vec<String> = vec![];
    let shared = |w: &String| page.summaries.iter().all(|s| s.warnings.contains(w));
    let own = page.summaries.iter().flat_map(|s| {
        s.warnings
            .iter()
            .map(move |w| if shared(w) { w.clone() } else { format!("{} ({}): {w}", s.model, s.metric) })
    });
    for w in page.warnings.iter().cloned().chain(own) {
        if !out.contains(&w) {
            out.push(w);
        }
    }
    out
}

fn warnings(page: &Page, out: &mut String) {
    let all = all_warnings(page);
    if all.is_empty() {
        return;
    }
    let _ = write!(
        out,
        "<aside class=\"warnings\" aria-label=\"Warnings\"><h2>Keep in mind <span class=\"quiet\">{}</span></h2><ul>",
        plural(all.len(), "note")
    );
    for w in all {
        let _ = write!(out, "<li>{}</li>", esc(&w));
    }
    out.push_str("</ul></aside>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_blocks_are_folded() {
        let sites =
            ["embed", "blocks.2.resid_post", "blocks.3.resid_post", "blocks.5.resid_post", "final_norm"];
        let sites: Vec<String> = sites.iter().map(ToString::to_string).collect();
        assert_eq!(
            site_ranges(&sites),
            "embedding, blocks\u{a0}2\u{2060}\u{2013}\u{2060}3, block\u{a0}5, final\u{a0}norm"
        );
    }
}
