//! Small JSON configuration files: every field is asked for by name and type, and none is defaulted.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};
use serde_json::{Map, Value};

/// Largest configuration that is read.
const MAX_BYTES: u64 = 1 << 20;
/// Bound on dimensions, far above anything published, so that a hostile file cannot ask for the whole memory.
pub(crate) const MAX_DIMENSION: u64 = 1 << 24;

/// A JSON object read from a file.
#[derive(Clone, Debug)]
pub(crate) struct JsonConfig {
    map: Map<String, Value>,
    path: PathBuf,
}

impl JsonConfig {
    pub(crate) fn read(path: &Path) -> Result<Self> {
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
        match serde_json::from_str(&text) {
            Ok(Value::Object(map)) => Ok(Self { map, path: path.to_path_buf() }),
            Ok(_) => Err(Error::unreadable("the configuration is not a JSON object").in_file(path)),
            Err(e) => Err(Error::unreadable("the configuration is not JSON").in_file(path).caused_by(e)),
        }
    }

    /// An object that was read by other means from this file.
    pub(crate) fn of(map: Map<String, Value>, path: &Path) -> Self {
        Self { map, path: path.to_path_buf() }
    }

    /// The fields themselves.
    pub(crate) fn into_map(self) -> Map<String, Value> {
        self.map
    }

    /// A nested object.
    pub(crate) fn object(&self, key: &str) -> Result<Self> {
        let expected = "fields of its own";
        let value = self.field(key, expected)?;
        let map = value.as_object().ok_or_else(|| self.wrong(key, expected, value))?;
        Ok(Self { map: map.clone(), path: self.path.clone() })
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key)
    }

    /// All fields.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.map.iter()
    }

    fn field(&self, key: &str, expected: &str) -> Result<&Value> {
        self.map.get(key).ok_or_else(|| {
            Error::unreadable("the configuration lacks a field that decides the arithmetic")
                .in_file(&self.path)
                .at_key(key)
                .expected(expected)
                .remedy("take the configuration from the published model folder")
        })
    }

    fn wrong(&self, key: &str, expected: &str, found: &Value) -> Error {
        Error::unsupported("the configuration holds a value that this family does not have")
            .in_file(&self.path)
            .at_key(key)
            .expected(expected)
            .found(found.to_string())
    }

    /// A text that must be one of `choices`.
    pub(crate) fn one_of<'c>(&self, key: &str, choices: &[&'c str]) -> Result<&'c str> {
        let expected = choices.iter().map(|c| format!("\"{c}\"")).collect::<Vec<_>>().join(" or ");
        let value = self.field(key, &expected)?;
        let found = choices.iter().find(|c| value.as_str() == Some(**c));
        found.copied().ok_or_else(|| self.wrong(key, &expected, value))
    }

    /// A whole number that must be this one.
    pub(crate) fn exactly(&self, key: &str, wanted: i64) -> Result<()> {
        let expected = wanted.to_string();
        let value = self.field(key, &expected)?;
        if value.as_i64() == Some(wanted) { Ok(()) } else { Err(self.wrong(key, &expected, value)) }
    }

    /// A dimension: a positive whole number of sane size.
    pub(crate) fn dimension(&self, key: &str) -> Result<usize> {
        let expected = format!("a whole number from 1 to {MAX_DIMENSION}");
        let value = self.field(key, &expected)?;
        let n = value.as_u64().filter(|n| (1..=MAX_DIMENSION).contains(n));
        n.map(|n| n as usize).ok_or_else(|| self.wrong(key, &expected, value))
    }

    /// A finite number.
    pub(crate) fn number(&self, key: &str) -> Result<f32> {
        let expected = "a finite number";
        let value = self.field(key, expected)?;
        let x = value.as_f64().map(|x| x as f32).filter(|x| x.is_finite());
        x.ok_or_else(|| self.wrong(key, expected, value))
    }

    /// A number between 0 and 1 that is neither, such as an epsilon.
    pub(crate) fn epsilon(&self, key: &str) -> Result<f32> {
        let expected = "a number between 0 and 1 that f32 can hold";
        let value = self.field(key, expected)?;
        let x = value.as_f64().map(|x| x as f32).filter(|x| *x > 0.0 && *x < 1.0);
        x.ok_or_else(|| self.wrong(key, expected, value))
    }

    pub(crate) fn boolean(&self, key: &str) -> Result<bool> {
        let expected = "true or false";
        let value = self.field(key, expected)?;
        value.as_bool().ok_or_else(|| self.wrong(key, expected, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<JsonConfig> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        JsonConfig::read(&path)
    }

    #[test]
    fn fields_are_typed_and_never_defaulted() {
        let c =
            config(r#"{"n": 3, "x": 1e-5, "on": true, "kind": "a", "zero": 0, "big": 99999999999}"#).unwrap();
        assert_eq!(c.dimension("n").unwrap(), 3);
        assert_eq!(c.epsilon("x").unwrap(), 1e-5);
        assert_eq!(c.number("n").unwrap(), 3.0);
        assert!(c.boolean("on").unwrap());
        assert_eq!(c.one_of("kind", &["b", "a"]).unwrap(), "a");
        assert!(c.exactly("n", 3).is_ok() && c.exactly("n", 4).is_err());
        for key in ["zero", "big", "x", "kind", "absent"] {
            assert!(c.dimension(key).unwrap_err().to_string().contains(key), "{key}");
        }
        assert!(c.epsilon("n").is_err() && c.boolean("n").is_err() && c.number("kind").is_err());
        let e = c.one_of("kind", &["b"]).unwrap_err().to_string();
        assert!(e.contains("config.json") && e.contains("\"b\""), "{e}");
        assert!(c.boolean("absent").unwrap_err().to_string().contains("lacks"));
    }

    #[test]
    fn what_is_not_a_configuration_is_refused() {
        for text in ["", "[1]", "{", "nul"] {
            assert!(config(text).is_err(), "{text}");
        }
        assert!(
            config(&format!("{{\"a\": \"{}\"}}", "x".repeat(1 << 20)))
                .unwrap_err()
                .to_string()
                .contains("large")
        );
        assert!(JsonConfig::read(Path::new("/nowhere/config.json")).is_err());
    }
}
