//! Marker shapes and dash patterns, so that no line depends on its colour.

/// Shapes in the order in which series get them.
const SHAPES: usize = 6;
/// Dashes of baselines; controls have their own.
pub(crate) const DASHES: [&str; 6] = ["7 3", "2 3", "10 3 2 3", "5 2 1 2 1 2", "14 4", "1 5"];
/// Dash of a control's line.
pub(crate) const CONTROL_DASH: &str = "4 3";

/// Path of marker `i` around a centre.
pub(crate) fn marker(i: usize, x: f64, y: f64, r: f64) -> String {
    match i % SHAPES {
        0 => format!("M{:.1} {y:.1}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0z", x - r, d = 2.0 * r),
        1 => format!("M{:.1} {:.1}h{d}v{d}h-{d}z", x - r * 0.9, y - r * 0.9, d = r * 1.8),
        2 => format!(
            "M{x:.1} {:.1}l{a:.1} {h:.1}h-{b:.1}z",
            y - r * 1.2,
            a = r * 1.15,
            h = r * 2.0,
            b = r * 2.3
        ),
        3 => diamond(x, y, r * 1.3),
        4 => format!(
            "M{x:.1} {:.1}l-{a:.1} -{h:.1}h{b:.1}z",
            y + r * 1.2,
            a = r * 1.15,
            h = r * 2.0,
            b = r * 2.3
        ),
        _ => format!(
            "M{:.1} {:.1}h{w:.1}v{l:.1}h{l:.1}v{w:.1}h-{l:.1}v{l:.1}h-{w:.1}v-{l:.1}h-{l:.1}v-{w:.1}h{l:.1}z",
            x - r * 0.4,
            y - r * 1.2,
            w = r * 0.8,
            l = r * 0.8
        ),
    }
}

/// A diamond, also the mark of the oracle.
pub(crate) fn diamond(x: f64, y: f64, r: f64) -> String {
    format!("M{x:.1} {:.1}l{r:.1} {r:.1}l-{r:.1} {r:.1}l-{r:.1} -{r:.1}z", y - r)
}
