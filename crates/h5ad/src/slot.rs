//! Names of the matrices of a data set.

use std::fmt;
use std::str::FromStr;

use microtome_core::{Error, Result};

/// Where a matrix of cells x genes lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// `X`, the main matrix.
    #[default]
    X,
    /// `layers[name]`, same genes as `X`.
    Layer(String),
    /// `raw.X`, which has its own genes.
    Raw,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::X => f.write_str("X"),
            Self::Layer(name) => write!(f, "layers/{name}"),
            Self::Raw => f.write_str("raw"),
        }
    }
}

impl FromStr for Slot {
    type Err = Error;

    /// Reads `X`, `raw` (or `raw/X`) and `layers/NAME`.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "X" => Ok(Self::X),
            "raw" | "raw/X" | "raw.X" => Ok(Self::Raw),
            _ => match text.strip_prefix("layers/") {
                Some(name) if !name.is_empty() => Ok(Self::Layer(name.to_string())),
                _ => Err(Error::usage("not a matrix of a data set")
                    .expected("X, raw or layers/NAME")
                    .found(format!("\"{text}\""))
                    .remedy(if text.eq_ignore_ascii_case("x") {
                        "write a capital X".to_string()
                    } else {
                        format!("a layer is named layers/{text}")
                    })),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for name in ["X", "raw", "layers/counts", "layers/a/b"] {
            assert_eq!(name.parse::<Slot>().unwrap().to_string(), name);
        }
        let e = "counts".parse::<Slot>().unwrap_err();
        assert!(e.to_string().contains("layers/counts"), "{e}");
        assert!("layers/".parse::<Slot>().is_err());
    }
}
