//! Small YAML configuration files as JSON values. Aliases are refused (they make small files large), as are several documents in one file.

use std::path::Path;

use microtome_core::{Error, Result};
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

use crate::json::JsonConfig;

/// Largest configuration that is read.
const MAX_BYTES: u64 = 1 << 20;
/// Deepest nesting that is read.
const MAX_DEPTH: usize = 32;

/// Reads a YAML file that is one mapping.
pub(crate) fn read(path: &Path) -> Result<JsonConfig> {
    let unreadable = |e: std::io::Error| {
        Error::unreadable("cannot read the model's configuration").in_file(path).caused_by(e)
    };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_BYTES {
        return Err(Error::unreadable("the configuration is too large to be one")
            .in_file(path)
            .expected(format!("at most {MAX_BYTES} bytes"))
            .found(format!("{size} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    match parse(&text).map_err(|e| e.in_file(path))? {
        Value::Object(map) => Ok(JsonConfig::of(map, path)),
        _ => Err(Error::unreadable("the configuration is not a YAML mapping").in_file(path)),
    }
}

/// The mapping in a small YAML file.
///
/// # Errors
/// When the file is larger than 1 MiB, is no YAML, is no mapping, or uses aliases.
pub fn read_mapping(path: &Path) -> Result<Map<String, Value>> {
    Ok(read(path)?.into_map())
}

/// What is being filled.
enum Open {
    List(Vec<Value>),
    Map { map: Map<String, Value>, key: Option<String> },
}

fn parse(text: &str) -> Result<Value> {
    let mut open: Vec<Open> = vec![];
    let mut root = None;
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|e| Error::unreadable("the configuration is not YAML").caused_by(e))?;
        let at = format!("line {}", span.start.line());
        let finished = match event {
            Event::Scalar(text, style, _, _) => scalar(&text, style),
            Event::SequenceStart(..) => {
                open.push(Open::List(vec![]));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Map { map: Map::new(), key: None });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(list)) => Value::Array(list),
                Some(Open::Map { map, .. }) => Value::Object(map),
                None => continue,
            },
            Event::Alias(_) => {
                return Err(Error::unsupported("the configuration uses YAML aliases").at_key(at));
            }
            _ => continue,
        };
        if open.len() > MAX_DEPTH {
            return Err(Error::unsupported("the configuration is nested too deeply").at_key(at));
        }
        match open.last_mut() {
            Some(Open::List(list)) => list.push(finished),
            Some(Open::Map { key: key @ None, .. }) => match finished {
                Value::String(name) => *key = Some(name),
                Value::Object(_) | Value::Array(_) => {
                    return Err(Error::unsupported("a key of the configuration is not a text").at_key(at));
                }
                other => *key = Some(other.to_string()),
            },
            Some(Open::Map { map, key }) => {
                let name = key.take().unwrap_or_default();
                if map.insert(name.clone(), finished).is_some() {
                    return Err(Error::unreadable("the configuration names a field twice")
                        .at_key(name)
                        .found(at));
                }
            }
            None if root.is_none() => root = Some(finished),
            None => {
                return Err(Error::unsupported("the configuration holds several YAML documents").at_key(at));
            }
        }
    }
    root.ok_or_else(|| Error::unreadable("the configuration is empty"))
}

/// Plain scalars are null, booleans or numbers where they look like it; quoted ones are texts.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::String(text.to_string());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    if let Ok(n) = text.parse::<i64>() {
        return n.into();
    }
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    let float = text.parse::<f64>().ok().filter(|_| numeric);
    float.and_then(Number::from_f64).map_or_else(|| Value::String(text.to_string()), Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn mappings_lists_and_scalars() {
        let text = "# comment\na: 1\nb:\n  c: 1.0e-05\n  d: ~\n  \"e\": 'true'\nf: [x, 2, -3.5]\ng:\n- true\n- {h: i}\nk: 1e-5\n";
        let expected = json!({
            "a": 1, "b": {"c": 1e-5, "d": null, "e": "true"}, "f": ["x", 2, -3.5], "g": [true, {"h": "i"}], "k": 1e-5
        });
        assert_eq!(parse(text).unwrap(), expected);
        assert_eq!(parse("a: inf\nb: 1.2.3\n").unwrap(), json!({"a": "inf", "b": "1.2.3"}));
    }

    #[test]
    fn hostile_files_are_refused() {
        for (text, what) in [
            ("a: &x [1]\nb: *x\n", "aliases"),
            ("a: 1\na: 2\n", "twice"),
            ("a: 1\n---\nb: 2\n", "several"),
            ("? [1]\n: 2\n", "not a text"),
            ("a: [1\n", "not YAML"),
            ("", "empty"),
        ] {
            let e = parse(text).unwrap_err().to_string();
            assert!(e.contains(what), "{text:?}: {e}");
        }
        assert!(parse(&"[".repeat(5000)).is_err());
        assert!(parse(&format!("{}{}", "[".repeat(500), "]".repeat(500))).is_err());
    }
}
