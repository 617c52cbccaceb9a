//! One way to print numbers. What is not finite is never printed as a value.

use microtome_core::Estimate;

/// Shown where there is no value.
pub(crate) const MISSING: &str = "n/a";

/// A finite number only.
pub(crate) fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|v| v.is_finite())
}

/// Three decimals, a true minus sign, narrow spaces between thousands; powers of ten where three decimals would hide the number.
pub(crate) fn decimal(value: f64) -> String {
    if !value.is_finite() {
        return MISSING.into();
    }
    let size = value.abs();
    if size != 0.0 && !(5e-4..1e12).contains(&size) {
        return scientific(value);
    }
    let text = format!("{size:.3}");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, "000"));
    let sign = if value < 0.0 { "\u{2212}" } else { "" };
    format!("{sign}{}.{rest}", grouped(whole))
}

/// Like [`decimal`], with a plus sign for what is above zero.
pub(crate) fn signed(value: f64) -> String {
    let plus = if value.is_finite() && value > 0.0 { "+" } else { "" };
    format!("{plus}{}", decimal(value))
}

/// A P value; small ones are given as an upper bound.
pub(crate) fn p_value(value: f64) -> String {
    if value.is_finite() && value < 0.001 { "<\u{202f}0.001".into() } else { decimal(value) }
}

/// A whole number with narrow spaces between thousands from 10 000 on.
pub(crate) fn count(n: u64) -> String {
    let text = n.to_string();
    if text.len() > 4 { grouped(&text) } else { text }
}

/// `[low, high]`, or nothing when an end is missing.
pub(crate) fn interval(low: Option<f64>, high: Option<f64>) -> Option<String> {
    Some(format!("[{}, {}]", decimal(finite(low)?), decimal(finite(high)?)))
}

/// Value and interval of an estimate; `plus` marks a difference.
pub(crate) fn estimate(e: &Estimate, plus: bool) -> (String, Option<String>) {
    let value = if plus { signed(e.value) } else { decimal(e.value) };
    (value, interval(e.low, e.high))
}

/// A label on an axis with as many decimals as the step between labels needs.
pub(crate) fn tick(value: f64, step: f64) -> String {
    if step.abs() >= 1e6 || (step != 0.0 && step.abs() < 1e-6) {
        return if value == 0.0 { "0".into() } else { scientific(value) };
    }
    let decimals = if step >= 1.0 { 0 } else { (-step.log10()).ceil().clamp(0.0, 6.0) as usize };
    let text = format!("{:.decimals$}", value.abs());
    let zero = text.bytes().all(|b| b == b'0' || b == b'.');
    if value < 0.0 && !zero { format!("\u{2212}{text}") } else { text }
}

fn scientific(value: f64) -> String {
    let text = format!("{value:.1e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let superscript: String = exponent
        .chars()
        .map(|c| match c {
            '-' => '\u{207b}',
            '1' => '\u{b9}',
            '2' => '\u{b2}',
            '3' => '\u{b3}',
            digit => char::from_u32(0x2070 + digit.to_digit(10).unwrap_or(0)).unwrap_or(digit),
        })
        .collect();
    format!("{}\u{d7}10{superscript}", mantissa.replace('-', "\u{2212}"))
}

fn grouped(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_alike_everywhere() {
        assert_eq!(decimal(0.5), "0.500");
        assert_eq!(decimal(-0.0), "0.000");
        assert_eq!(decimal(-1234.5), "\u{2212}1\u{202f}234.500");
        assert_eq!(decimal(0.0005), "0.001");
        assert_eq!(decimal(0.00049), "4.9\u{d7}10\u{207b}\u{2074}");
        assert_eq!(decimal(-3e-12), "\u{2212}3.0\u{d7}10\u{207b}\u{b9}\u{b2}");
        assert_eq!(signed(0.1), "+0.100");
        assert_eq!(p_value(0.0002), "<\u{202f}0.001");
        assert_eq!(count(9_999), "9999");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(tick(0.30000000000000004, 0.1), "0.3");
        assert_eq!(tick(-1e-17, 0.1), "0.0");
    }

    #[test]
    fn what_is_not_finite_is_not_a_value() {
        for v in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(decimal(v), MISSING);
            assert_eq!(signed(v), MISSING);
            assert_eq!(p_value(v), MISSING);
            assert_eq!(interval(Some(v), Some(1.0)), None);
        }
    }
}
