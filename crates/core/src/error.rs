//! One error type for the whole project, so that every message says the same five things.

use std::fmt;
use std::path::{Path, PathBuf};

/// Result with the project's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of thing went wrong. Decides the exit code, never the wording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request itself makes no sense (unknown option value, column that does not exist).
    Usage,
    /// A file is missing, truncated, corrupt or hostile.
    Unreadable,
    /// A file is fine but holds something this version does not read or run.
    Unsupported,
    /// Data and model do not fit together (species, gene overlap, non-counts, vocabulary size).
    Mismatch,
    /// Something could not be written.
    Output,
    /// The user asked to stop.
    Interrupted,
    /// The work was done, but a check that was asked for did not hold.
    CheckFailed,
}

/// What went wrong, where, what was expected, what was found and what to do next.
///
/// Boxed inside, so that a `Result` stays small.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    what: String,
    file: Option<PathBuf>,
    key: Option<String>,
    expected: Option<String>,
    found: Option<String>,
    remedy: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A new error; `what` is lower-case and without a full stop.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            what: what.into(),
            file: None,
            key: None,
            expected: None,
            found: None,
            remedy: None,
            source: None,
        }))
    }

    /// Shorthand for [`ErrorKind::Usage`].
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, what)
    }

    /// Shorthand for [`ErrorKind::Unreadable`].
    pub fn unreadable(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unreadable, what)
    }

    /// Shorthand for [`ErrorKind::Unsupported`].
    pub fn unsupported(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, what)
    }

    /// Shorthand for [`ErrorKind::Mismatch`].
    pub fn mismatch(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Mismatch, what)
    }

    /// Shorthand for [`ErrorKind::Output`].
    pub fn output(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Output, what)
    }

    /// The file it happened in. Keeps an innermost file that is already set.
    #[must_use]
    pub fn in_file(mut self, file: impl AsRef<Path>) -> Self {
        self.0.file.get_or_insert_with(|| file.as_ref().to_path_buf());
        self
    }

    /// The key path inside the file, such as `obs["cell_type"]`. Keeps an innermost key that is already set.
    #[must_use]
    pub fn at_key(mut self, key: impl Into<String>) -> Self {
        self.0.key.get_or_insert_with(|| key.into());
        self
    }

    /// What would have been right.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.0.expected = Some(expected.into());
        self
    }

    /// What was there instead.
    #[must_use]
    pub fn found(mut self, found: impl Into<String>) -> Self {
        self.0.found = Some(found.into());
        self
    }

    /// What to do next.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.0.remedy = Some(remedy.into());
        self
    }

    /// The underlying error; its message is shown as well.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The sentence without place and advice.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// The file, where one is known.
    pub fn file(&self) -> Option<&Path> {
        self.0.file.as_deref()
    }

    /// The key path inside the file, where one is known.
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// 1 when the work was done but a check did not hold, 130 when the user stopped it, otherwise 2.
    pub fn exit_code(&self) -> u8 {
        match self.0.kind {
            ErrorKind::CheckFailed => 1,
            ErrorKind::Interrupted => 130,
            _ => 2,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let e = &self.0;
        if let Some(file) = &e.file {
            write!(f, "{}: ", file.display())?;
        }
        if let Some(key) = &e.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&e.what)?;
        if let Some(source) = &e.source {
            write!(f, "\n  cause: {source}")?;
        }
        for (label, text) in [("expected", &e.expected), ("found", &e.found), ("try", &e.remedy)] {
            if let Some(text) = text {
                write!(f, "\n  {label}: {text}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|s| s.as_ref() as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_says_where_expected_found_and_remedy() {
        let e = Error::unreadable("indices out of range")
            .in_file("cells.h5ad")
            .in_file("outer.h5ad")
            .at_key("X/indices")
            .expected("every index below 10")
            .found("12")
            .remedy("write the file again");
        assert_eq!(
            e.to_string(),
            "cells.h5ad: X/indices: indices out of range\n  expected: every index below 10\n  found: 12\n  try: write the file again"
        );
        assert_eq!(e.exit_code(), 2);
    }
}
