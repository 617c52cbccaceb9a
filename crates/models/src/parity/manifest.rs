//! `MANIFEST.json`: names and tolerances.

use std::path::Path;

use microtome_core::{Error, Result};
use serde_json::Value;

/// Largest manifest that is read.
const MAX_BYTES: u64 = 16 << 20;

/// `abs + rel * |expected|`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tolerance {
    pub(super) abs: f64,
    pub(super) rel: f64,
}

#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) family: String,
    pub(super) case: String,
    /// Token that is deleted and put in front, and one that some cells lack.
    pub(super) perturbed: Option<(u32, u32)>,
    /// The file.
    pub(super) text: Value,
    /// For tensors that no pattern names.
    default: Option<Tolerance>,
    /// Patterns in file order; the first that matches counts.
    patterns: Vec<(String, Tolerance)>,
}

impl Manifest {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let unreadable = |e: std::io::Error| {
            Error::unreadable("cannot read the kit's manifest").in_file(path).caused_by(e)
        };
        if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_BYTES {
            return Err(Error::unreadable("the manifest is too large to be one").in_file(path));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let value: Value = serde_json::from_str(&text)
            .map_err(|e| Error::unreadable("the manifest is not JSON").in_file(path).caused_by(e))?;
        Self::parse(&value).map_err(|e| e.in_file(path))
    }

    fn parse(value: &Value) -> Result<Self> {
        let text = |key: &str| {
            value[key]
                .as_str()
                .map(str::to_string)
                .ok_or_else(|| Error::unreadable("the manifest lacks a field").at_key(key).expected("a text"))
        };
        let token = |key: &str| value["isp"][key].as_u64().and_then(|t| u32::try_from(t).ok());
        // Tolerances may lie one level deeper; then a tensor without one must be exact.
        let nested = value["tolerances"]["sites"].is_object();
        let tolerances = if nested { &value["tolerances"]["sites"] } else { &value["tolerances"] };
        let tolerances = tolerances.as_object().ok_or_else(|| {
            Error::unreadable("the manifest states no tolerances").at_key("tolerances").expected("an object")
        })?;
        let mut default = nested.then_some(Tolerance { abs: 0.0, rel: 0.0 });
        let mut patterns = vec![];
        for (names, entry) in tolerances {
            let number = |key: &str| {
                entry[key].as_f64().filter(|x| x.is_finite() && *x >= 0.0).ok_or_else(|| {
                    Error::unreadable("not a tolerance")
                        .at_key(format!("tolerances.{names}.{key}"))
                        .expected("a number that is not negative")
                        .found(entry[key].to_string())
                })
            };
            let tolerance = Tolerance { abs: number("abs")?, rel: number("rel")? };
            for name in names.split(',').map(str::trim) {
                if name == "default" {
                    default = Some(tolerance);
                } else {
                    patterns.push((name.replace("{i}", "*").replace("{j}", "*"), tolerance));
                }
            }
        }
        Ok(Self {
            text: value.clone(),
            family: text("family")?,
            case: text("case")?,
            perturbed: token("token").zip(token("token_absent")),
            default,
            patterns,
        })
    }

    /// The tolerance of a tensor, if the manifest states one for it.
    pub(super) fn tolerance(&self, name: &str) -> Option<Tolerance> {
        self.patterns.iter().find(|(p, _)| matches(p, name)).map(|(_, t)| *t).or(self.default)
    }
}

/// Glob match with `*` only.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            rest.char_indices().map(|(i, _)| i).chain([rest.len()]).any(|i| matches(tail, &rest[i..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tolerances_by_pattern_with_a_default() {
        let m = Manifest::parse(&json!({
            "family": "f", "case": "c",
            "tolerances": {
                "default": {"abs": 2e-5, "rel": 2e-6},
                "tokens.*": {"abs": 0, "rel": 1e-6},
                "isp.*.cos, isp.*.shift_*": {"abs": 5e-6, "rel": 0}
            }
        }))
        .unwrap();
        assert_eq!(m.tolerance("embed").unwrap().abs, 2e-5);
        assert_eq!(m.tolerance("tokens.values").unwrap(), Tolerance { abs: 0.0, rel: 1e-6 });
        assert_eq!(m.tolerance("isp.delete.goal.shift_alt").unwrap().abs, 5e-6);
        assert_eq!(m.tolerance("isp.delete.cos").unwrap().abs, 5e-6);
        assert_eq!(m.tolerance("isp.delete.cos_full_original").unwrap().abs, 2e-5);
        assert!(m.perturbed.is_none());
    }

    #[test]
    fn a_manifest_without_tolerances_is_refused() {
        assert!(Manifest::parse(&json!({"family": "f", "case": "c"})).is_err());
        let none = json!({"family": "f", "case": "c", "tolerances": {"embed": {"abs": 1, "rel": 0}}});
        let m = Manifest::parse(&none).unwrap();
        assert!(m.tolerance("embed").is_some() && m.tolerance("final_norm").is_none());
        let nan = json!({"family": "f", "case": "c", "tolerances": {"default": {"abs": -1, "rel": 0}}});
        assert!(Manifest::parse(&nan).is_err());
    }
}
