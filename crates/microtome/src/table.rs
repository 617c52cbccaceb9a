//! `report --from-table`: published scores by layer under a stated uncertainty.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result, RunCard, Summary};
use microtome_eval::table::{Curve, TableOptions, assess_curve};
use microtome_report::{Page, TableBlock};

use crate::card::{self, VERSION};
use crate::hash;
use crate::render;

/// Largest table that is read.
const MAX_BYTES: u64 = 64 << 20;
/// Columns that are understood; the first name of each is the one that is documented.
const COLUMNS: [(&str, &[&str]); 6] = [
    ("model", &["model"]),
    ("layer", &["layer", "site", "block", "depth"]),
    ("score", &["score", "value"]),
    ("sd", &["sd", "std", "se"]),
    ("dataset", &["dataset", "state", "condition"]),
    ("metric", &["metric", "task"]),
];

/// A table and what is assumed about it.
#[derive(Clone, Debug)]
pub struct FromTable {
    /// CSV or TSV with a header: `layer` and `score`, and where there are several curves `model`, `dataset`, `metric`; `sd`
    /// where it differs from row to row. Rows of a curve come from shallow to deep.
    pub path: PathBuf,
    /// Standard deviation of a score, for rows without their own.
    pub sd: Option<f64>,
    /// Other assumptions.
    pub assumptions: TableOptions,
    /// Report to write; the ending chooses the format.
    pub out: PathBuf,
    /// The command line, for the report.
    pub command: Vec<String>,
}

/// Reads the table, assesses every curve and writes the report. Errors name the line.
pub fn report_table(options: &FromTable) -> Result<Vec<Summary>> {
    let curves = read(options)?;
    let inputs = hash::inputs("table", &options.path)?;
    let mut choices = serde_json::Map::new();
    choices.insert("sd".into(), options.sd.into());
    choices.insert("correlation".into(), options.assumptions.correlation.into());
    choices.insert("level".into(), options.assumptions.level.into());
    choices.insert("margin".into(), options.assumptions.margin.into());
    let run_card = RunCard {
        microtome: VERSION.into(),
        command: options.command.clone(),
        inputs,
        seed: options.assumptions.seed,
        precision: "f64".into(),
        choices,
    };
    let hash = card::card_hash(&run_card)?;
    let (mut records, mut summaries) = (vec![], vec![]);
    for curve in &curves {
        let (r, s) =
            assess_curve(curve, &options.assumptions, &hash).map_err(|e| e.in_file(&options.path))?;
        records.extend(r);
        summaries.push(s);
    }
    let page = Page {
        title: "Published scores by layer: which optima can be told apart?".into(),
        command: card::shell(&options.command),
        tables: vec![overview(&summaries)],
        warnings: vec![
            "These are scores from a table, not measurements of this program. Intervals follow from the stated standard \
             deviation and correlation alone."
                .into(),
        ],
        summaries: summaries.clone(),
        records,
        run_card,
        ..Page::default()
    };
    render::write(&page, &options.out)?;
    Ok(summaries)
}

fn overview(summaries: &[Summary]) -> TableBlock {
    let rows = summaries.iter().map(|s| {
        let gain = s.gain_over_final.as_ref().map(|g| g.estimate);
        vec![
            s.dataset.clone(),
            s.model.clone(),
            s.metric.clone(),
            s.oracle_site.clone().unwrap_or_default(),
            gain.map_or("none".into(), |g| format!("{:+.4}", g.value)),
            gain.and_then(|g| Some(format!("{:+.4} to {:+.4}", g.low?, g.high?))).unwrap_or_default(),
            s.confidence_set.join(", "),
            s.depth_verdict.words().into(),
        ]
    });
    TableBlock {
        title: "Optima".into(),
        note: "Layers that cannot be told from the best one, and the gain of the highest score over the last layer with its \
               simultaneous band."
            .into(),
        header: ["data", "model", "metric", "highest", "gain over last", "band", "could be best", "verdict"]
            .map(String::from)
            .to_vec(),
        rows: rows.collect(),
        ..TableBlock::default()
    }
}

fn read(options: &FromTable) -> Result<Vec<Curve>> {
    let path = &options.path;
    let failed = |e: std::io::Error| Error::unreadable("cannot read the table").in_file(path).caused_by(e);
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > MAX_BYTES {
        return Err(Error::unreadable("the table is too large")
            .in_file(path)
            .expected(format!("at most {MAX_BYTES} bytes"))
            .found(bytes.to_string()));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    parse(&text, options.sd, path)
}

fn parse(text: &str, sd: Option<f64>, path: &Path) -> Result<Vec<Curve>> {
    let mut lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty());
    let Some((_, head)) = lines.next() else {
        return Err(Error::unreadable("the table is empty").in_file(path).expected("a header and rows"));
    };
    let separator = if head.contains('\t') { '\t' } else { ',' };
    let header: Vec<String> = fields(head, separator).iter().map(|f| f.trim().to_lowercase()).collect();
    let place = |names: &[&str]| header.iter().position(|h| names.contains(&h.as_str()));
    let at = COLUMNS.map(|(_, names)| place(names));
    for (i, (name, names)) in COLUMNS.iter().enumerate() {
        if at[i].is_none() && ["layer", "score"].contains(name) {
            return Err(Error::unreadable("the table lacks a column")
                .in_file(path)
                .at_key(*name)
                .expected(format!("a column named {}", names.join(" or ")))
                .found(header.join(", ")));
        }
    }
    let mut curves: Vec<Curve> = vec![];
    for (number, line) in lines {
        let row = fields(line, separator);
        let text =
            |i: usize| at[i].and_then(|c| row.get(c)).map(|f| f.trim().to_string()).filter(|f| !f.is_empty());
        let number_of = |i: usize| -> Result<Option<f64>> {
            let Some(t) = text(i) else { return Ok(None) };
            t.parse().map(Some).map_err(|_| wrong(path, number, COLUMNS[i].0, "a number", &t))
        };
        let layer = text(1).ok_or_else(|| wrong(path, number, "layer", "a name", ""))?;
        let score = number_of(2)?.ok_or_else(|| wrong(path, number, "score", "a number", ""))?;
        let sd = number_of(3)?.or(sd).ok_or_else(|| {
            wrong(path, number, "sd", "a number above 0", "")
                .remedy("state the standard deviation of a score with --sd, or give a column sd")
        })?;
        let key = [4, 0, 5].map(|i| text(i).unwrap_or_default());
        let found =
            curves.iter().position(|c| c.dataset == key[0] && c.model == key[1] && c.metric == key[2]);
        let i = found.unwrap_or_else(|| {
            let [dataset, model, metric] = key;
            curves.push(Curve { dataset, model, metric, layers: vec![], scores: vec![], sd: vec![] });
            curves.len() - 1
        });
        curves[i].layers.push(layer);
        curves[i].scores.push(score);
        curves[i].sd.push(sd);
    }
    if curves.is_empty() {
        return Err(Error::unreadable("the table has no rows").in_file(path).expected("one row per layer"));
    }
    for curve in &mut curves {
        for (name, fallback) in
            [(&mut curve.model, "model"), (&mut curve.metric, "score"), (&mut curve.dataset, "table")]
        {
            if name.is_empty() {
                *name = fallback.into();
            }
        }
    }
    Ok(curves)
}

fn wrong(path: &Path, line: usize, column: &str, expected: &str, found: &str) -> Error {
    Error::unreadable("a row of the table cannot be read")
        .in_file(path)
        .at_key(format!("line {}, column {column}", line + 1))
        .expected(expected)
        .found(if found.is_empty() { "nothing".into() } else { format!("\"{found}\"") })
}

/// Fields of one line; a quoted field may hold the separator and doubled quotes.
fn fields(line: &str, separator: char) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let last = out.len() - 1;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                out[last].push('"');
            }
            '"' => quoted = !quoted,
            c if c == separator && !quoted => out.push(String::new()),
            c => out[last].push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_gathered_and_lines_named() {
        let text = "model,state,layer,score\n\"a, b\",Rest,0,0.1\n\"a, b\",Rest,1,0.2\nc,Rest,0,0.3\n";
        let curves = parse(text, Some(0.03), Path::new("t.csv")).unwrap();
        assert_eq!(curves.len(), 2);
        assert_eq!((curves[0].model.as_str(), curves[0].scores.as_slice()), ("a, b", &[0.1, 0.2][..]));
        assert_eq!((curves[1].metric.as_str(), curves[1].dataset.as_str()), ("score", "Rest"));
        let e = |t: &str, sd| parse(t, sd, Path::new("t.csv")).unwrap_err().to_string();
        assert!(e("layer,score\n0,x\n", Some(0.1)).contains("line 2, column score"));
        assert!(e("layer,score\n0,0.1\n", None).contains("--sd"));
        assert!(e("layer\n0\n", Some(0.1)).contains("a column named score"));
        assert!(e("", None).contains("empty") && e("layer,score\n", None).contains("no rows"));
        let tabs = parse("depth\tvalue\tsd\n0.5\t1\t0.2\n", None, Path::new("t")).unwrap();
        assert_eq!((tabs[0].layers[0].as_str(), tabs[0].sd[0]), ("0.5", 0.2));
    }
}
