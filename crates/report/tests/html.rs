//! The HTML page: structure, escaping, hostile and empty input, size, determinism.

mod common;

use common::sample::{depths, record, sample, scatters};
use common::{check, has_bad_number};
use microtome_core::{Estimate, Gain, Record, Role, Summary, Verdict};
use microtome_report::{Colour, Page, Question, Scatter, TableBlock, html};

const EVIL: &str =
    "</script><script>alert('x')</script>\"><img src=x onerror=alert(1)> & `|\u{202e}\u{0}\n{{}}";

#[test]
fn sample_page_is_well_formed_complete_and_deterministic() {
    let page = sample();
    let text = html(&page);
    let (tags, words) = check(&text);
    assert_eq!(text, html(&page.clone()));
    assert!(!has_bad_number(&words));
    for said in [
        "but not better than PCA",
        "depth matters",
        "tie with baseline",
        "baseline wins",
        "+0.058",
        "\u{2212}0.044",
        "[0.518, 0.594]",
        "confidence set: blocks",
        "18\u{202f}412",
        "Two donors contribute 41%",
        "chosen: block\u{a0}6",
        "oracle",
        "this variant publishes no cell vector",
        "Tensor audit",
        "microtome scan hematopoiesis.h5ad",
        &"a1".repeat(32),
        "What the words mean",
    ] {
        assert!(words.contains(said), "missing: {said}");
    }
    // Two metrics, each drawn for a wide and for a narrow page.
    let charts = tags.iter().filter(|t| t.get("class").is_some_and(|c| c.starts_with("chart"))).count();
    assert_eq!(charts, 4);
    let sections: Vec<&str> =
        tags.iter().filter(|t| t.name == "section").filter_map(|t| t.get("class")).collect();
    let wanted = [
        "verdict", "curves", "scatters", "tables", "block", "block", "block", "records", "repeat", "glossary",
    ];
    assert_eq!(sections, wanted);
}

#[test]
fn several_tasks_have_a_section_each_and_an_overview() {
    let mut page = sample();
    let question = |task: &str, words: &str| Question { task: task.into(), words: words.into() };
    page.questions =
        vec![question("trajectory", "orders cells by day"), question("annotation", "tells cell types apart")];
    let mut other = sample();
    other.summaries.truncate(1);
    other.summaries[0].task = "annotation".into();
    other.summaries[0].sentences[0] = "A simple baseline names the types better.".into();
    other.records.iter_mut().for_each(|r| r.task = "annotation".into());
    other.scatters.iter_mut().for_each(|s| s.task = "annotation".into());
    page.scatters.iter_mut().for_each(|s| s.task = "trajectory".into());
    let mut own = page.tables[0].clone();
    (own.task, own.title) = ("annotation".into(), "Excluded labels".into());
    page.summaries.extend(other.summaries);
    page.records.extend(other.records);
    page.scatters.extend(other.scatters);
    page.tables.push(own);
    let text = html(&page);
    let (tags, words) = check(&text);
    let sections: Vec<&str> =
        tags.iter().filter(|t| t.name == "section").filter_map(|t| t.get("class")).collect();
    let wanted = [
        "overview", "task", "verdict", "curves", "scatters", "task", "verdict", "curves", "scatters",
        "tables", "block", "tables", "block", "block", "block", "records", "repeat", "glossary",
    ];
    assert_eq!(sections, wanted);
    let mut ids: Vec<&str> = tags.iter().filter_map(|t| t.get("id")).collect();
    let n = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), n, "ids are unique");
    assert_eq!(words.matches("A simple baseline names the types better.").count(), 2);
    let at = |s: &str| words.find(s).unwrap();
    assert!(at("orders cells by day") < at("tells cell types apart"));
    assert!(at("Excluded labels") < at("Tensor audit"));
    // Without questions the same tasks are found under their ids.
    page.questions.clear();
    let (_, words) = check(&html(&page));
    assert!(words.contains("annotation"));
}

#[test]
fn nothing_points_outside() {
    let text = html(&sample());
    for word in ["http:", "https:", "//cdn", "url(", "@import", "fetch(", "XMLHttpRequest"] {
        assert!(!text.contains(word), "{word}");
    }
    assert!(text.contains("default-src 'none'"));
}

#[test]
fn names_from_data_never_become_markup() {
    let mut page = Page {
        title: EVIL.into(),
        command: EVIL.into(),
        warnings: vec![EVIL.into()],
        tables: vec![TableBlock {
            task: String::new(),
            title: EVIL.into(),
            note: EVIL.into(),
            header: vec![EVIL.into()],
            rows: vec![vec![EVIL.into(), "one too many".into()], vec![]],
        }],
        ..sample()
    };
    page.run_card.microtome = EVIL.into();
    page.run_card.precision = EVIL.into();
    page.run_card.choices.insert(EVIL.into(), EVIL.into());
    page.run_card.inputs[0].path = EVIL.into();
    for r in &mut page.records {
        for field in
            [&mut r.dataset, &mut r.task, &mut r.metric, &mut r.transform, &mut r.split, &mut r.run_card]
        {
            *field = format!("{EVIL}{field}");
        }
        r.model = format!("{EVIL}{}", r.model);
        for field in [&mut r.ci_method, &mut r.unit, &mut r.reason, &mut r.pooling, &mut r.family] {
            *field = Some(EVIL.into());
        }
    }
    page.records[3].site = Some(EVIL.into());
    for s in &mut page.summaries {
        for field in [&mut s.dataset, &mut s.task, &mut s.metric, &mut s.model] {
            *field = format!("{EVIL}{field}");
        }
        s.unit = EVIL.into();
        s.sentences = vec![EVIL.into(), EVIL.into()];
        s.warnings = vec![EVIL.into()];
        s.chosen_site = Some(EVIL.into());
        s.confidence_set.push(EVIL.into());
    }
    for s in &mut page.scatters {
        (s.title, s.note) = (EVIL.into(), EVIL.into());
        match &mut s.colour {
            Colour::Continuous { name, .. } => *name = EVIL.into(),
            Colour::Categories { name, names, .. } => {
                *name = EVIL.into();
                names.iter_mut().for_each(|n| *n = EVIL.into());
            }
        }
    }
    let text = html(&page);
    check(&text);
    assert!(!text.contains("<img") && !text.contains("alert('x')"));
    assert!(!text.contains('\u{202e}') && !text.contains('\u{0}'));
    assert!(text.contains("&lt;img src=x onerror=alert(1)&gt;"));
}

#[test]
fn empty_single_and_value_less_pages_render() {
    let (_, words) = check(&html(&Page::default()));
    assert!(words.contains("There are no records") && words.contains("without a verdict"));
    let one = record("PCA", Role::Baseline, "rho", 0.25, 0.1);
    let (_, words) = check(&html(&Page { records: vec![one], ..Page::default() }));
    assert!(words.contains("0.250") && words.contains("[0.150, 0.350]"));
    let lonely = depths("m", Role::Model, "rho", 1, 0.5, 0.4, 0.1).pop().unwrap();
    check(&html(&Page { records: vec![lonely.clone()], ..Page::default() }));
    let absent =
        Record { value: None, ci_low: None, ci_high: None, reason: Some("too few donors".into()), ..lonely };
    let (_, words) = check(&html(&Page { records: vec![absent], ..Page::default() }));
    assert!(words.contains("too few donors") && words.contains("n/a"));
    check(&html(&Page { records: vec![Record::default(), Record::default()], ..Page::default() }));
}

#[test]
fn what_is_not_finite_is_never_printed_as_a_value() {
    let mut page = sample();
    let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    for (i, r) in page.records.iter_mut().enumerate() {
        let b = bad[i % 3];
        match i % 6 {
            0 => r.value = Some(b),
            1 => r.ci_low = Some(b),
            2 => r.ci_high = Some(b),
            3 => (r.p, r.p_adj) = (Some(b), Some(b)),
            4 => r.depth = Some(b),
            _ => r.value = Some(f64::MAX),
        }
    }
    for s in &mut page.summaries {
        let nothing = Estimate { value: f64::NAN, low: Some(f64::NEG_INFINITY), high: Some(f64::INFINITY) };
        s.nested_score = Some(nothing);
        s.gain_over_final = Some(Gain { against: "final_norm".into(), estimate: nothing });
        s.optimism = Some(f64::NAN);
    }
    let mut scatter = scatters(50).remove(0);
    scatter.x[0] = f32::NAN;
    scatter.y[1] = f32::INFINITY;
    (scatter.x[2], scatter.x[3]) = (f32::MAX, f32::MIN);
    if let Colour::Continuous { values, .. } = &mut scatter.colour {
        (values[4], values[5], values[6]) = (f64::INFINITY, f64::MAX, f64::MIN);
    }
    page.scatters.push(scatter);
    let (_, words) = check(&html(&page));
    assert!(!has_bad_number(&words));
    assert!(words.contains("2 without a position left out"));
}

#[test]
fn many_categories_many_cells_and_uneven_columns_stay_small() {
    let n = 60_000;
    let names: Vec<String> = (0..4000).map(|i| format!("type {i}")).collect();
    let codes = (0..n).map(|i| (i % 11 != 0).then_some((i % 977 * (i % 977) % 4100) as u32)).collect();
    let crowd = Scatter {
        task: String::new(),
        title: "crowd".into(),
        note: String::new(),
        x: (0..n).map(|i| (i % 317) as f32).collect(),
        y: (0..n).map(|i| (i % 211) as f32).collect(),
        colour: Colour::Categories { name: "type".into(), names, codes },
    };
    let short = Scatter {
        task: String::new(),
        title: "short".into(),
        colour: Colour::Continuous { name: "v".into(), values: vec![1.0] },
        x: vec![1.0, 2.0, 3.0],
        y: vec![1.0, 2.0],
        note: String::new(),
    };
    let none = Scatter { x: vec![], y: vec![], ..short.clone() };
    let text = html(&Page { scatters: vec![crowd, short, none], ..Page::default() });
    let (_, words) = check(&text);
    assert!(text.len() < 600_000, "{} bytes", text.len());
    assert!(words.contains("20\u{202f}000 of 60\u{202f}000 cells drawn"));
    assert!(words.contains("other categories"));
    assert!(words.contains("1 without a position left out"));
}

#[test]
fn forty_eight_blocks_of_three_models_and_endless_names() {
    let long = "a-very-long-model-name-".repeat(20);
    let mut records = vec![];
    for (name, n) in [(long.as_str(), 48), ("second", 48), ("third", 24)] {
        records.extend(depths(name, Role::Model, "rho", n, 0.6, 0.4, 0.1));
    }
    for i in 0..40 {
        records.push(record(
            &format!("baseline {i}"),
            Role::Baseline,
            "rho",
            0.4 + 1e-4 * f64::from(i),
            0.01,
        ));
    }
    records.iter_mut().step_by(5).for_each(|r| r.ci_low = None);
    let (tags, words) = check(&html(&Page { records, ..Page::default() }));
    assert!(words.contains("more below"));
    // No two labels at the right edge of the wide figure share a line.
    let chart = tags.iter().position(|t| t.get("class") == Some("chart only-wide")).unwrap();
    let end = tags.iter().position(|t| t.get("class") == Some("chart only-narrow")).unwrap();
    let edge = |t: &&common::Tag| t.get("class").is_some_and(|c| c.starts_with("edge"));
    let mut y: Vec<f64> =
        tags[chart..end].iter().filter(edge).filter_map(|t| t.get("y")?.parse().ok()).collect();
    y.sort_by(f64::total_cmp);
    assert!(y.len() > 20 && y.windows(2).all(|w| w[1] - w[0] >= 14.9), "{y:?}");
}

#[test]
fn lower_is_better_turns_the_order_of_baselines_around() {
    let mut records: Vec<Record> = [("worse", 0.9), ("better", 0.1)]
        .map(|(name, value)| record(name, Role::Baseline, "error", value, 0.01))
        .to_vec();
    let position = |text: &str, name: &str| text.find(&format!("row\">{name}<")).unwrap();
    let text = html(&Page { records: records.clone(), ..Page::default() });
    assert!(position(&text, "worse") < position(&text, "better"));
    records.iter_mut().for_each(|r| r.higher_is_better = false);
    let text = html(&Page { records, ..Page::default() });
    assert!(position(&text, "better") < position(&text, "worse"));
}

#[test]
fn every_verdict_has_words_and_a_sign() {
    for verdict in [
        Verdict::DepthMatters,
        Verdict::CannotDistinguishDepths,
        Verdict::ModelRecommended,
        Verdict::TieWithBaseline,
        Verdict::BaselineWins,
        Verdict::NotEnoughUnits,
    ] {
        let summary = Summary { depth_verdict: verdict, ..sample().summaries[0].clone() };
        let text = html(&Page { summaries: vec![summary], ..Page::default() });
        assert!(text.contains(&format!("<span class=\"about\">Depth</span> {}</span>", verdict.words())));
    }
}

#[test]
fn a_missing_depth_breaks_the_line_instead_of_bridging_it() {
    let mut records = depths("m", Role::Model, "rho", 6, 0.5, 0.4, 0.1);
    let lines = |records: &[Record]| {
        let text = html(&Page { records: records.to_vec(), ..Page::default() });
        let chart = &text[text.find("chart only-wide").unwrap()..text.find("chart only-narrow").unwrap()];
        (chart.matches("class=\"line m0\"").count(), text.contains("1 depth without a value"))
    };
    assert_eq!(lines(&records), (1, false));
    records[3].value = None;
    assert_eq!(lines(&records), (2, true));
}
