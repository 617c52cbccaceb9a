//! The text encodings of pickle protocol 0.

use microtome_core::{Error, Result};

fn damaged(what: &str) -> Error {
    Error::unreadable(format!("the pickle holds {what} that cannot be decoded"))
}

/// UTF-8 text.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| damaged("text that is not UTF-8,"))
}

/// `raw-unicode-escape`: Latin-1 with `\uXXXX` and `\UXXXXXXXX`.
pub(super) fn raw_unicode_escape(bytes: &[u8]) -> Result<String> {
    let mut out = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        let digits = match (first, tail.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                out.push(char::from(*first));
                rest = tail;
                continue;
            }
        };
        out.push(tail.get(1..=digits).and_then(hex).ok_or_else(|| damaged("an escape"))?);
        rest = &tail[1 + digits..];
    }
    Ok(out)
}

/// A quoted Python 2 string literal with its backslash escapes, as bytes.
pub(super) fn quoted(bytes: &[u8]) -> Result<Vec<u8>> {
    let inner = match bytes {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => return Err(damaged("an unquoted string")),
    };
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let [code, tail @ ..] = tail else { return Err(damaged("an escape")) };
        rest = tail;
        out.push(match code {
            b'\\' | b'\'' | b'"' => *code,
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'v' => 11,
            b'x' => {
                let byte = tail.get(..2).and_then(hex).ok_or_else(|| damaged("an escape"))?;
                rest = &tail[2..];
                u8::try_from(u32::from(byte)).map_err(|_| damaged("an escape"))?
            }
            b'0'..=b'7' => {
                let n = 1 + tail.iter().take(2).take_while(|b| matches!(b, b'0'..=b'7')).count();
                let value = std::iter::once(code)
                    .chain(tail.iter().take(n - 1))
                    .fold(0u32, |v, d| v * 8 + u32::from(d - b'0'));
                rest = &tail[n - 1..];
                u8::try_from(value).map_err(|_| damaged("an escape"))?
            }
            _ => return Err(damaged("an escape")),
        });
    }
    Ok(out)
}

fn hex(digits: &[u8]) -> Option<char> {
    let digits = std::str::from_utf8(digits).ok().filter(|d| !d.starts_with('+'))?;
    char::from_u32(u32::from_str_radix(digits, 16).ok()?)
}

/// A decimal integer line (`L` suffix allowed).
pub(super) fn integer(line: &[u8]) -> Result<i128> {
    let text = utf8(line)?.trim();
    text.strip_suffix('L').unwrap_or(text).parse().map_err(|_| damaged("a number"))
}

/// A float line.
pub(super) fn float(line: &[u8]) -> Result<f64> {
    utf8(line)?.trim().parse().map_err(|_| damaged("a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_follow_python() {
        assert_eq!(raw_unicode_escape(b"a\\u00e9\\U0001f600\xe9\\n").unwrap(), "a\u{e9}\u{1f600}\u{e9}\\n");
        assert!(raw_unicode_escape(b"\\u12").is_err());
        assert!(raw_unicode_escape(b"\\ud800").is_err());
        assert_eq!(quoted(b"'a\\'\\x41\\101\\0\\n'").unwrap(), b"a'AA\0\n");
        for bad in [&b"a"[..], b"'", b"'\\'", b"'\\x4'", b"'\\777'", b"'\\q'"] {
            assert!(quoted(bad).is_err(), "{bad:?}");
        }
        assert_eq!(integer(b"12L").unwrap(), 12);
        assert!(integer(b"1e3").is_err());
        assert!(hex(b"+f").is_none());
    }
}
