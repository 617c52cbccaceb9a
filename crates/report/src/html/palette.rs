//! Colours: cool hues for models, warm ones for baselines, greys for controls, a perceptually even ramp for numbers.
//! Okabe-Ito and Tol's muted set, both made for colour-blind readers; every line also has its own marker or dash.

use std::fmt::Write;

/// Number of steps of the ramp for numbers.
pub(crate) const STEPS: usize = 24;
/// Number of colours for models, for baselines and for categories.
pub(crate) const MODELS: usize = 6;
pub(crate) const BASELINES: usize = 6;
pub(crate) const CATEGORIES: usize = 12;

const MODEL: [[&str; 2]; MODELS] = [
    ["#0067a5", "#6cb6f0"],
    ["#00805c", "#46d1a3"],
    ["#5b4bb5", "#b1a5f7"],
    ["#2a93b8", "#8ee0f5"],
    ["#3f6b1e", "#a7d672"],
    ["#8a3a8f", "#e19be6"],
];
const BASELINE: [[&str; 2]; BASELINES] = [
    ["#b54708", "#ff9d5c"],
    ["#9a6b00", "#eec04a"],
    ["#a8326e", "#f58fbd"],
    ["#7a4b2a", "#d3a27c"],
    ["#c23b3b", "#ff8f8f"],
    ["#6f6200", "#cfc257"],
];
const CATEGORY: [[&str; 2]; CATEGORIES] = [
    ["#0072b2", "#57a9e2"],
    ["#cc6677", "#e58a99"],
    ["#117733", "#4fb872"],
    ["#b8860b", "#ddcc77"],
    ["#332288", "#8f84e8"],
    ["#2f9fc4", "#88ccee"],
    ["#d55e00", "#ff8a3d"],
    ["#aa4499", "#d77fc8"],
    ["#2f9484", "#5fd0bd"],
    ["#882255", "#c9588f"],
    ["#7d7d1e", "#c2c24f"],
    ["#5a5f66", "#b9bec5"],
];
/// Viridis at every tenth.
const VIRIDIS: [[u8; 3]; 11] = [
    [68, 1, 84],
    [72, 36, 117],
    [65, 68, 135],
    [53, 95, 141],
    [42, 120, 142],
    [33, 145, 140],
    [34, 168, 132],
    [68, 191, 112],
    [122, 209, 81],
    [189, 223, 38],
    [253, 231, 37],
];

/// The rules for one theme: custom properties for lines, so that a page can change its theme without being drawn again.
fn variables(dark: usize) -> String {
    let mut out = String::new();
    for (prefix, colours) in [("m", &MODEL[..]), ("b", &BASELINE[..]), ("k", &CATEGORY[..])] {
        for (i, pair) in colours.iter().enumerate() {
            let _ = write!(out, "--{prefix}{i}:{};", pair[dark]);
        }
    }
    // The ends that would vanish into the background are left out: pale yellow on paper, deep purple on black.
    let (from, to) = if dark == 1 { (0.2, 1.0) } else { (0.0, 0.94) };
    for i in 0..STEPS {
        let [r, g, b] = viridis(from + (to - from) * i as f64 / (STEPS - 1) as f64);
        let _ = write!(out, "--v{i}:#{r:02x}{g:02x}{b:02x};");
    }
    out
}

/// Style sheet of all colours that figures use, light first.
pub(crate) fn css() -> String {
    let (light, dark) = (variables(0), variables(1));
    let mut out = format!(
        ":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}\n@media screen{{:root[data-theme=dark]{{{dark}}}}}\n"
    );
    for (prefix, n) in [("m", MODELS), ("b", BASELINES), ("k", CATEGORIES), ("v", STEPS)] {
        for i in 0..n {
            let _ = write!(out, ".{prefix}{i}{{--c:var(--{prefix}{i})}}");
        }
    }
    out
}

fn viridis(at: f64) -> [u8; 3] {
    let scaled = at.clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f64;
    let i = (scaled as usize).min(VIRIDIS.len() - 2);
    let t = scaled - i as f64;
    std::array::from_fn(|c| {
        (f64::from(VIRIDIS[i][c]) * (1.0 - t) + f64::from(VIRIDIS[i + 1][c]) * t).round() as u8
    })
}
