//! Python dictionaries.

use std::collections::HashMap;
use std::sync::Arc;

use super::value::Value;

/// A dictionary in file order; a repeated key keeps its first place and its last value, as in Python.
#[derive(Clone, Debug, Default)]
pub struct Dict {
    entries: Vec<(Value, Value)>,
    /// Made once there are more than a few entries.
    index: Option<HashMap<Key, usize>>,
}

/// Up to this many entries are searched one by one.
const FEW: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Text(Arc<str>),
    Number(i64),
}

impl Key {
    /// The keys that files repeat; others are taken as distinct.
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Str(s) => Some(Self::Text(Arc::clone(s))),
            Value::Int(i) => Some(Self::Number(*i)),
            Value::Bool(b) => Some(Self::Number(i64::from(*b))),
            _ => None,
        }
    }
}

impl Dict {
    pub(crate) fn insert(&mut self, key: Value, value: Value) {
        let known = Key::of(&key);
        match known.as_ref().and_then(|k| self.position(k)).and_then(|i| self.entries.get_mut(i)) {
            Some(entry) => entry.1 = value,
            None => {
                if let (Some(index), Some(k)) = (&mut self.index, known) {
                    index.insert(k, self.entries.len());
                }
                self.entries.push((key, value));
                if self.index.is_none() && self.entries.len() > FEW {
                    let keys = self.entries.iter().enumerate();
                    self.index = Some(keys.filter_map(|(i, e)| Some((Key::of(&e.0)?, i))).collect());
                }
            }
        }
    }

    fn position(&self, key: &Key) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(key).copied(),
            None => self.entries.iter().position(|e| Key::of(&e.0).as_ref() == Some(key)),
        }
    }

    /// The value of a text key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.position(&Key::Text(key.into())).and_then(|i| self.entries.get(i)).map(|e| &e.1)
    }

    /// Keys and values in file order.
    pub fn entries(&self) -> &[(Value, Value)] {
        &self.entries
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
