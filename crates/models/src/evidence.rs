//! What a family's implementation was held against.

use std::fmt;

use serde::Serialize;

/// What made the expected values of a family's parity kits. Says how far agreement with them reaches; what was compared is in
/// [`crate::Family::verified`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The authors' own code, run as published.
    AuthorsCode,
    /// The authors' code on a stand-in for libraries that could not be run.
    ReDerived,
    /// A forward pass written from the specification by other means. The authors' code was never run: an error of the
    /// specification would be in both.
    IndependentForward,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AuthorsCode => "held against the authors' code",
            Self::ReDerived => "re-derived: held against the authors' code on a stand-in for its libraries",
            Self::IndependentForward => {
                "unverified against reference: held against an independent forward pass made from the specification only"
            }
        })
    }
}
