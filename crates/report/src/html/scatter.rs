//! Cells in the plane. Points of one colour share a path, so that twenty thousand cells stay small and quick.

use std::fmt::Write;

use super::escape::{esc, shorten};
use super::figure::plural;
use super::labels::spread;
use super::palette::{CATEGORIES, STEPS};
use crate::number::{count, decimal, tick};
use crate::{Colour, Scatter};

/// Points drawn at most; beyond that every k-th cell is drawn and the caption says so.
const MOST: usize = 20_000;
/// Side of the drawing in its own units.
const SIDE: f64 = 960.0;
/// Colours are drawn in turns, so that none lies on top of all others.
const TURNS: usize = 8;
/// Class index of missing values and of categories without a colour of their own.
const MISSING: usize = usize::MAX;
const OTHER: usize = usize::MAX - 1;

/// `first` is the number of the first drawing on the page.
pub(crate) fn section(scatters: &[Scatter], first: usize, out: &mut String) {
    if scatters.is_empty() {
        return;
    }
    out.push_str("<section class=\"scatters\"><h2>Cells</h2><div class=\"grid\">");
    for (i, s) in (first..).zip(scatters) {
        // Drawings of the same categories (true labels, predicted labels) share their colours.
        let alike = scatters.iter().find(|o| same_categories(o, s)).unwrap_or(s);
        figure(s, &coloured(alike), i, out);
    }
    out.push_str("</div></section>");
}

fn same_categories(a: &Scatter, b: &Scatter) -> bool {
    match (&a.colour, &b.colour) {
        (Colour::Categories { names: a, .. }, Colour::Categories { names: b, .. }) => a == b,
        _ => false,
    }
}

/// Cells with a place.
fn placed(s: &Scatter) -> Vec<usize> {
    (0..s.x.len().min(s.y.len())).filter(|&i| s.x[i].is_finite() && s.y[i].is_finite()).collect()
}

/// Code of a cell's category.
fn code(names: &[String], codes: &[Option<u32>], cell: usize) -> Option<usize> {
    codes.get(cell).copied().flatten().map(|c| c as usize).filter(|&c| c < names.len())
}

/// Cells of every category.
fn sizes(names: &[String], codes: &[Option<u32>], cells: &[usize]) -> Vec<usize> {
    let mut out = vec![0usize; names.len()];
    cells.iter().filter_map(|&i| code(names, codes, i)).for_each(|c| out[c] += 1);
    out
}

/// Categories with a colour of their own, by code: all that have cells, or the largest where they are too many.
fn coloured(s: &Scatter) -> Vec<usize> {
    let Colour::Categories { names, codes, .. } = &s.colour else { return vec![] };
    let sizes = sizes(names, codes, &placed(s));
    let mut shown: Vec<usize> = (0..names.len()).filter(|&c| sizes[c] > 0).collect();
    if shown.len() > CATEGORIES {
        shown.sort_by_key(|&c| (std::cmp::Reverse(sizes[c]), c));
        shown.truncate(CATEGORIES - 1);
        shown.sort_unstable();
    }
    shown
}

fn figure(s: &Scatter, coloured: &[usize], id: usize, out: &mut String) {
    let cells = placed(s);
    let drawn: Vec<usize> = thinned(&cells);
    let place = placement(s, &drawn);
    let _ = write!(
        out,
        "<figure class=\"scatter\"><h3>{0}</h3><svg class=\"cells\" viewBox=\"0 0 {SIDE:.0} {SIDE:.0}\" role=\"img\" aria-labelledby=\"s{id}t s{id}d\"><title id=\"s{id}t\">{0}</title>",
        esc(&s.title)
    );
    let lost = s.x.len().max(s.y.len()) - cells.len();
    let caption = caption(s, cells.len(), drawn.len(), lost);
    let _ = write!(out, "<desc id=\"s{id}d\">Scatter plot. {}</desc>", esc(&caption));
    let size = (300.0 / (drawn.len().max(1) as f64).sqrt()).clamp(4.5, 16.0);
    let _ = write!(out, "<g class=\"points\" stroke-width=\"{size:.1}\">");
    let legend = match &s.colour {
        Colour::Continuous { values, .. } => numbers(values, &cells, &drawn, &place, out),
        Colour::Categories { names, codes, .. } => {
            categories((names, codes), coloured, (&cells, &drawn), &place, out)
        }
    };
    let _ = write!(
        out,
        "</svg><p class=\"colour-name\">{}</p>{legend}<figcaption>{}</figcaption></figure>",
        esc(s.colour.name()),
        esc(&caption)
    );
}

impl Colour {
    fn name(&self) -> &str {
        match self {
            Self::Continuous { name, .. } | Self::Categories { name, .. } => name,
        }
    }
}

fn caption(s: &Scatter, finite: usize, drawn: usize, lost: usize) -> String {
    let mut out = s.note.trim().to_string();
    if !out.is_empty() {
        if !out.ends_with(['.', '!', '?']) {
            out.push('.');
        }
        out.push(' ');
    }
    if drawn < finite {
        let _ =
            write!(out, "{} of {} cells drawn, evenly picked.", count(drawn as u64), count(finite as u64));
    } else {
        let _ = write!(out, "{}.", plural(finite, "cell"));
    }
    if lost > 0 {
        let _ = write!(out, " {} without a position left out.", count(lost as u64));
    }
    out
}

fn thinned(cells: &[usize]) -> Vec<usize> {
    if cells.len() <= MOST {
        return cells.to_vec();
    }
    (0..MOST).map(|i| cells[(i as u128 * cells.len() as u128 / MOST as u128) as usize]).collect()
}

/// Pixel of every drawn cell: one scale for both directions, the cloud in the middle.
fn placement(s: &Scatter, drawn: &[usize]) -> Vec<(i32, i32)> {
    let range = |v: &[f32]| {
        let (low, high) = drawn
            .iter()
            .map(|&i| f64::from(v[i]))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
        ((low + high) / 2.0, high - low)
    };
    let ((cx, wx), (cy, wy)) = (range(&s.x), range(&s.y));
    let scale = (SIDE - 48.0) / wx.max(wy).max(f64::MIN_POSITIVE);
    let scale = if scale.is_finite() { scale } else { 0.0 };
    let at = |v: f32, c: f64, sign: f64| (SIDE / 2.0 + sign * (f64::from(v) - c) * scale).round() as i32;
    drawn.iter().map(|&i| (at(s.x[i], cx, 1.0), at(s.y[i], cy, -1.0))).collect()
}

/// Every second category is drawn with squares.
fn is_square(category: usize) -> bool {
    category < CATEGORIES && category % 2 == 1
}

/// Writes the points of each class as one path per turn; missing values lie at the bottom.
fn paths(classes: &[usize], place: &[(i32, i32)], name: impl Fn(usize) -> String, out: &mut String) {
    let mut kinds = classes.to_vec();
    kinds.sort_unstable_by(|a, b| b.cmp(a));
    kinds.dedup();
    let (below, above): (Vec<usize>, Vec<usize>) = kinds.into_iter().partition(|&k| k >= OTHER);
    let mut turn = |kind: usize, keep: &dyn Fn(usize) -> bool| {
        let (mut d, mut last, class) = (String::new(), (0, 0), name(kind));
        for (_, &(x, y)) in place.iter().enumerate().filter(|(i, _)| classes[*i] == kind && keep(*i)) {
            // A stroke of no length with a round cap is a dot; PDF readers leave out square ones that have no length.
            let length = i32::from(class.ends_with("square"));
            let _ = write!(d, "m{} {}h{length}", x - last.0, y - last.1);
            last = (x + length, y);
        }
        if !d.is_empty() {
            let _ = write!(out, "<path class=\"{class}\" d=\"{d}\"/>");
        }
    };
    for kind in below {
        turn(kind, &|_| true);
    }
    for t in 0..TURNS {
        for &kind in above.iter().rev() {
            turn(kind, &|i| i % TURNS == t);
        }
    }
}

fn numbers(
    values: &[f64],
    cells: &[usize],
    drawn: &[usize],
    place: &[(i32, i32)],
    out: &mut String,
) -> String {
    let value = |i: usize| values.get(i).copied().filter(|v| v.is_finite());
    let (low, high) = cells
        .iter()
        .filter_map(|&i| value(i))
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    let width = high / 2.0 - low / 2.0;
    let class = |i: usize| match value(i) {
        None => MISSING,
        Some(_) if width <= 0.0 => STEPS / 2,
        Some(v) => (((v / 2.0 - low / 2.0) / width * STEPS as f64) as usize).min(STEPS - 1),
    };
    let classes: Vec<usize> = drawn.iter().map(|&i| class(i)).collect();
    paths(&classes, place, |k| if k == MISSING { "none".into() } else { format!("v{k}") }, out);
    out.push_str("</g>");
    let missing = cells.iter().filter(|&&i| value(i).is_none()).count();
    if missing == cells.len() {
        return "<p class=\"note\">No cell has a value.</p>".into();
    }
    // Days, stages and counts read better without decimals.
    let whole = cells.iter().filter_map(|&i| value(i)).all(|v| v.fract() == 0.0 && v.abs() < 1e6);
    let end = |v: f64| if whole { tick(v, if v.fract() == 0.0 { 1.0 } else { 0.1 }) } else { decimal(v) };
    let mut bar = String::from(
        "<div class=\"bar\"><svg width=\"100%\" height=\"12\" viewBox=\"0 0 24 1\" preserveAspectRatio=\"none\" aria-hidden=\"true\">",
    );
    for i in 0..STEPS {
        let _ = write!(bar, "<rect class=\"v{i}\" x=\"{i}\" width=\"1.05\" height=\"1\"/>");
    }
    let _ = write!(
        bar,
        "</svg><div class=\"ends\"><span>{}</span><span>{}</span><span>{}</span></div>",
        end(low),
        end(low / 2.0 + high / 2.0),
        end(high)
    );
    if missing > 0 {
        let _ = write!(bar, "<p class=\"note\">Grey: {} without a value.</p>", plural(missing, "cell"));
    }
    bar + "</div>"
}

fn categories(
    (names, codes): (&[String], &[Option<u32>]),
    shown: &[usize],
    (cells, drawn): (&[usize], &[usize]),
    place: &[(i32, i32)],
    out: &mut String,
) -> String {
    let sizes = sizes(names, codes, cells);
    let code = |i: usize| code(names, codes, i);
    let others = (0..names.len()).filter(|c| sizes[*c] > 0 && !shown.contains(c)).count();
    let mut colour = vec![OTHER; names.len()];
    shown.iter().enumerate().for_each(|(k, &c)| colour[c] = k);
    let classes: Vec<usize> = drawn.iter().map(|&i| code(i).map_or(MISSING, |c| colour[c])).collect();
    let class = |k: usize| match k {
        MISSING => "none".to_string(),
        OTHER => "other".to_string(),
        k if is_square(k) => format!("k{k} square"),
        k => format!("k{k}"),
    };
    paths(&classes, place, class, out);
    out.push_str("</g>");
    tags(shown.len(), &classes, place, out);
    let mut list = String::from("<ul class=\"legend categories\">");
    let mut item = |class: &str, key: &str, name: &str, n: usize| {
        let _ = write!(
            list,
            "<li data-key=\"{}\"><span class=\"tag {class}\">{key}</span><span>{}</span> <span class=\"quiet\">{}</span></li>",
            class.split(' ').next().unwrap_or_default(),
            esc(&shorten(name, 60)),
            count(n as u64)
        );
    };
    for (k, &c) in shown.iter().enumerate().filter(|(_, c)| sizes[**c] > 0) {
        item(&class(k), &(k + 1).to_string(), &names[c], sizes[c]);
    }
    let named: usize = shown.iter().map(|&c| sizes[c]).sum();
    let known: usize = sizes.iter().sum();
    if others > 0 {
        let name = if others == 1 {
            "one other category".into()
        } else {
            format!("{} other categories", count(others as u64))
        };
        item("other", "\u{b7}", &name, known - named);
    }
    if known < cells.len() {
        item("none", "\u{b7}", "missing", cells.len() - known);
    }
    list + "</ul>"
}

/// Numbers of the legend at the middle of their cells, so that the figure can be read without colour.
fn tags(n: usize, classes: &[usize], place: &[(i32, i32)], out: &mut String) {
    let middles: Vec<(f64, f64)> = (0..n)
        .map(|k| {
            let at = classes.iter().zip(place).filter(|(c, _)| **c == k).map(|(_, p)| *p);
            let (mut xs, mut ys): (Vec<i32>, Vec<i32>) = at.unzip();
            (middle(&mut xs), middle(&mut ys))
        })
        .collect();
    // Tags that would touch are moved apart vertically within their column.
    let mut y: Vec<f64> = middles.iter().map(|m| m.1).collect();
    for k in 0..n {
        let near: Vec<usize> = (0..n).filter(|&j| (middles[j].0 - middles[k].0).abs() < 44.0).collect();
        let crowded = near.iter().any(|&j| j != k && (y[j] - y[k]).abs() < 44.0);
        if crowded {
            let wanted: Vec<f64> = near.iter().map(|&j| y[j]).collect();
            let places = spread(&wanted, 44.0, 24.0, SIDE - 24.0);
            near.iter().zip(places).for_each(|(&j, p)| y[j] = p);
        }
    }
    for k in 0..n {
        let _ = write!(
            out,
            "<g class=\"tag-on k{k}\"><circle cx=\"{0:.0}\" cy=\"{1:.0}\" r=\"20\"/><text text-anchor=\"middle\" x=\"{0:.0}\" y=\"{2:.0}\">{3}</text></g>",
            middles[k].0,
            y[k],
            y[k] + 9.0,
            k + 1
        );
    }
}

fn middle(values: &mut [i32]) -> f64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().map_or(SIDE / 2.0, f64::from)
}
