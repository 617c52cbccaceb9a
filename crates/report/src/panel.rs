//! Which records belong into one figure.

use microtome_core::{Record, Role, Site, Summary};

use crate::number::finite;

/// One score placed by its depth.
#[derive(Clone, Debug)]
pub(crate) struct Point<'a> {
    pub(crate) depth: f64,
    pub(crate) value: f64,
    pub(crate) interval: Option<(f64, f64)>,
    pub(crate) record: &'a Record,
}

/// The depths of one model or control.
#[derive(Debug)]
pub(crate) struct Series<'a> {
    pub(crate) name: String,
    pub(crate) model: &'a str,
    pub(crate) role: Role,
    /// Points of the residual stream, by depth.
    pub(crate) points: Vec<Point<'a>>,
    /// Sites with a depth that are not part of the line, such as `final_norm` beside the last block.
    pub(crate) extra: Vec<Point<'a>>,
    /// Scores of single units, which stand in for an interval where there are few.
    pub(crate) units: Vec<Point<'a>>,
    /// Depths that were asked for and have no value; the line has a gap there.
    pub(crate) missing: Vec<f64>,
    /// The answer for this model, where there is one.
    pub(crate) summary: Option<&'a Summary>,
}

/// A score without depth: a baseline, or a control that has no blocks.
#[derive(Debug)]
pub(crate) struct Level<'a> {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) value: f64,
    pub(crate) interval: Option<(f64, f64)>,
    pub(crate) record: &'a Record,
}

/// Everything of one data set, task, metric and transform.
#[derive(Debug)]
pub(crate) struct Panel<'a> {
    pub(crate) title: String,
    pub(crate) metric: &'a str,
    pub(crate) transform: String,
    pub(crate) higher_is_better: bool,
    pub(crate) series: Vec<Series<'a>>,
    pub(crate) levels: Vec<Level<'a>>,
    /// Scores of a rule for choosing a depth (nested, mean of blocks, ...), or of a model without depth.
    pub(crate) rules: Vec<&'a Record>,
    pub(crate) summaries: Vec<&'a Summary>,
}

/// Panels in the order in which their first record appears. A panel has at least one model or control with a depth or one level.
pub(crate) fn panels<'a>(records: &'a [Record], summaries: &'a [Summary]) -> Vec<Panel<'a>> {
    let mut keys: Vec<[&str; 4]> = vec![];
    for r in records.iter().filter(|r| is_curve(r)) {
        let key = key(r);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    // A page of baselines only still has a comparison to show.
    if keys.is_empty() {
        for r in records {
            let key = key(r);
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    let several = |i: usize| keys.iter().any(|k| k[i] != keys[0][i]);
    let named = [several(0), several(1), true, several(3)];
    let transforms: Vec<&str> = keys.iter().map(|k| k[3]).collect();
    let mut panels: Vec<Panel> = keys
        .iter()
        .map(|k| {
            let words = (0..4).filter(|&i| named[i] && (i < 3 || k[i] != AS_IT_IS)).map(|i| k[i]);
            panel(k, words.collect::<Vec<_>>().join(" \u{b7} "), &transforms, records, summaries)
        })
        .collect();
    // Headline metrics first, as they are before as transformed, otherwise as found.
    panels.sort_by_key(|p| (p.summaries.is_empty(), p.transform != AS_IT_IS));
    panels
}

fn key(r: &Record) -> [&str; 4] {
    [&r.dataset, &r.task, &r.metric, &r.transform]
}

fn is_curve(r: &Record) -> bool {
    r.role != Some(Role::Baseline) && finite(r.depth).is_some() && is_stream_split(r)
}

/// Scores on outer folds are for the comparison, not for the curve.
fn is_stream_split(r: &Record) -> bool {
    !matches!(r.split.as_str(), "outer" | "nested")
}

/// One unit by itself.
fn is_unit(r: &Record) -> bool {
    r.split.starts_with("unit:")
}

/// What a record has where its representation was left as it is.
const AS_IT_IS: &str = "none";

/// `transforms` are those that have a panel of their own.
fn panel<'a>(
    key: &[&str; 4],
    title: String,
    transforms: &[&str],
    records: &'a [Record],
    summaries: &'a [Summary],
) -> Panel<'a> {
    let same = |r: &Record| r.dataset == key[0] && r.task == key[1] && r.metric == key[2];
    let summaries: Vec<&Summary> =
        summaries.iter().filter(|s| s.dataset == key[0] && s.task == key[1] && s.metric == key[2]).collect();
    let mut out = Panel {
        title,
        metric: "",
        transform: key[3].into(),
        higher_is_better: true,
        series: vec![],
        levels: vec![],
        rules: vec![],
        summaries,
    };
    let poolings = |model: &str| {
        let mut seen: Vec<Option<&str>> = vec![];
        for r in
            records.iter().filter(|r| same(r) && r.transform == key[3] && r.model == model && is_curve(r))
        {
            if !seen.contains(&r.pooling.as_deref()) {
                seen.push(r.pooling.as_deref());
            }
        }
        seen.len()
    };
    // Simple baselines may not know the transform at all; one without the panel's transform is better than none.
    let own = records.iter().any(|r| same(r) && r.role == Some(Role::Baseline) && r.transform == key[3]);
    for r in records.iter().filter(|r| same(r)) {
        let in_transform = r.transform == key[3];
        if in_transform && out.metric.is_empty() {
            out.metric = &r.metric;
            out.higher_is_better = r.higher_is_better;
        }
        let role = r.role.unwrap_or(Role::Model);
        if is_curve(r) {
            if in_transform {
                place(&mut out, r, role, poolings(&r.model) > 1);
            }
        } else if role == Role::Model {
            // A rule may be named where the transform is.
            let of_another = transforms.contains(&r.transform.as_str());
            if in_transform || (finite(r.depth).is_none() && !of_another) {
                out.rules.push(r);
            }
        } else if role == Role::Control && r.site.is_some() {
            // A fixed rule of a control, such as its published vector, is one number too many here.
        } else if in_transform || (role == Role::Baseline && !own) {
            level(&mut out, r, role);
        }
    }
    for s in &mut out.series {
        s.points.sort_by(|a, b| a.depth.total_cmp(&b.depth));
        s.summary = (s.role == Role::Model)
            .then(|| out.summaries.iter().copied().find(|m| m.model == s.model))
            .flatten();
    }
    out.series.retain(|s| !s.points.is_empty() || !s.extra.is_empty());
    // Models before controls, otherwise as found.
    out.series.sort_by_key(|s| s.role);
    out
}

fn place<'a>(panel: &mut Panel<'a>, r: &'a Record, role: Role, with_pooling: bool) {
    let name = match (&r.pooling, with_pooling) {
        (Some(pooling), true) => format!("{} \u{b7} {pooling}", r.model),
        _ => r.model.clone(),
    };
    let at = match panel.series.iter().position(|s| s.name == name && s.role == role) {
        Some(at) => at,
        None => {
            panel.series.push(Series {
                name,
                model: &r.model,
                role,
                points: vec![],
                extra: vec![],
                units: vec![],
                missing: vec![],
                summary: None,
            });
            panel.series.len() - 1
        }
    };
    let series = &mut panel.series[at];
    let Some(depth) = finite(r.depth) else { return };
    let Some(value) = finite(r.value) else {
        if !is_unit(r) {
            series.missing.push(depth);
        }
        return;
    };
    let point = Point { depth, value, interval: bounds(r), record: r };
    if is_unit(r) {
        series.units.push(point);
        return;
    }
    let stream =
        !matches!(r.site.as_deref().map(str::parse), Some(Ok(Site::FinalNorm | Site::CellEmbedding)));
    if stream && !series.points.iter().any(|p| p.depth == depth) {
        series.points.push(point);
    } else {
        series.extra.push(point);
    }
}

fn level<'a>(panel: &mut Panel<'a>, r: &'a Record, role: Role) {
    let Some(value) = finite(r.value) else { return };
    if panel.levels.iter().any(|l| l.name == r.model && l.role == role) {
        return;
    }
    panel.levels.push(Level { name: r.model.clone(), role, value, interval: bounds(r), record: r });
}

/// Both ends, in order, or nothing.
pub(crate) fn bounds(r: &Record) -> Option<(f64, f64)> {
    let (low, high) = (finite(r.ci_low)?, finite(r.ci_high)?);
    Some((low.min(high), low.max(high)))
}

impl<'a> Series<'a> {
    /// The point of a site by name.
    pub(crate) fn at_site(&self, site: &str) -> Option<&Point<'a>> {
        self.points.iter().chain(&self.extra).find(|p| p.record.site.as_deref() == Some(site))
    }
}

/// Short name of a site on an axis or in a list: `embed`, `block 7`, `final norm`.
pub(crate) fn site_words(site: &str) -> String {
    match site.parse() {
        Ok(Site::Block(i, microtome_core::BlockSite::ResidPost)) => format!("block\u{a0}{i}"),
        Ok(Site::Embed) => "embedding".into(),
        Ok(Site::FinalNorm) => "final\u{a0}norm".into(),
        Ok(Site::CellEmbedding) => "cell embedding".into(),
        _ => site.to_string(),
    }
}
