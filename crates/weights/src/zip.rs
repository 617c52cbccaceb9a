//! Zip directories, as `torch.save` and `numpy.savez` write them.
//!
//! Nothing is extracted: an entry is a byte range of the file. Every range is checked against the file, against
//! the central directory and against every other entry.

use std::collections::HashMap;
use std::io::Read;

use flate2::{Crc, read::DeflateDecoder};
use microtome_core::{Error, Result};

use crate::bytes::{u16_at, u32_at, u64_at};

/// The most deflate can shrink anything (a stream of length-258 matches).
const MAX_RATIO: usize = 1032;

/// One file of the archive.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) start: usize,
    /// Bytes in the archive.
    pub(crate) packed: usize,
    /// Bytes when unpacked.
    pub(crate) len: usize,
    pub(crate) crc: u32,
    pub(crate) deflated: bool,
}

impl Entry {
    /// The stored bytes, or the unpacked ones if they are at most `limit` long.
    pub(crate) fn read<'a>(&self, archive: &'a [u8], limit: usize) -> Result<std::borrow::Cow<'a, [u8]>> {
        let packed = archive
            .get(self.start..self.start + self.packed)
            .ok_or_else(|| broken("a zip entry lies outside of the file"))?;
        if !self.deflated {
            return Ok(packed.into());
        }
        if self.len > limit {
            return Err(Error::unreadable("a compressed zip entry is too large")
                .at_key(&self.name)
                .expected(format!("at most {limit} bytes"))
                .found(format!("{} bytes", self.len)));
        }
        inflate(packed, self.len, self.crc).map(Into::into).map_err(|e| e.at_key(&self.name))
    }
}

/// The checked directory of an archive.
#[derive(Debug)]
pub(crate) struct Archive {
    entries: Vec<Entry>,
    index: HashMap<String, usize>,
}

impl Archive {
    /// Reads and checks the central directory of `bytes`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let Directory { count, start, end } = Directory::find(bytes)?;
        let mut entries = Vec::new();
        let mut spans = Vec::new();
        let mut index = HashMap::new();
        let mut at = start;
        for _ in 0..count {
            let (entry, header_start, next) = read_entry(bytes, at, start)?;
            at = next;
            if next > end {
                return Err(broken("the zip directory is damaged"));
            }
            spans.push((header_start, entry.start + entry.packed));
            if index.insert(entry.name.clone(), entries.len()).is_some() {
                return Err(broken("two zip entries share a name").at_key(entry.name));
            }
            entries.push(entry);
        }
        spans.sort_unstable();
        if spans.windows(2).any(|w| w[1].0 < w[0].1) {
            return Err(broken("zip entries overlap"));
        }
        Ok(Self { entries, index })
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.index.get(name).and_then(|i| self.entries.get(*i))
    }
}

struct Directory {
    count: u64,
    start: usize,
    end: usize,
}

impl Directory {
    /// End-of-central-directory record, in its 32- or 64-bit form.
    fn find(bytes: &[u8]) -> Result<Self> {
        let lost = || {
            Error::unreadable("the zip directory at the end of the file is missing or damaged")
                .remedy("the file is probably cut short: fetch it again")
        };
        // A comment of up to 65,535 bytes may follow the 22-byte record.
        let lowest = bytes.len().saturating_sub(22 + 65_535);
        let at = (lowest..(bytes.len() + 1).saturating_sub(22))
            .rev()
            .find(|at| {
                bytes[*at..].starts_with(b"PK\x05\x06")
                    && u16_at(bytes, at + 20).is_some_and(|n| at + 22 + usize::from(n) == bytes.len())
            })
            .ok_or_else(lost)?;
        let read = |at: usize| -> Option<(u64, u64, u64, usize)> {
            let short = (
                u64::from(u16_at(bytes, at + 10)?),
                u64::from(u32_at(bytes, at + 12)?),
                u64::from(u32_at(bytes, at + 16)?),
            );
            let locator = at.checked_sub(20).filter(|l| bytes[*l..].starts_with(b"PK\x06\x07"));
            let Some(locator) = locator else { return Some((short.0, short.1, short.2, at)) };
            let record = usize::try_from(u64_at(bytes, locator + 8)?).ok().filter(|r| *r < locator)?;
            bytes.get(record..)?.starts_with(b"PK\x06\x06").then_some(())?;
            Some((
                u64_at(bytes, record + 32)?,
                u64_at(bytes, record + 40)?,
                u64_at(bytes, record + 48)?,
                record,
            ))
        };
        let (count, size, start, limit) = read(at).ok_or_else(lost)?;
        let start = usize::try_from(start).map_err(|_| lost())?;
        let end = usize::try_from(size).ok().and_then(|s| start.checked_add(s)).ok_or_else(lost)?;
        // Each directory entry takes at least 46 bytes.
        if end > limit || count > (end - start) as u64 / 46 {
            return Err(lost());
        }
        Ok(Self { count, start, end })
    }
}

/// One central directory record: the entry, where its local header starts, and where the next record starts.
fn read_entry(bytes: &[u8], at: usize, directory: usize) -> Result<(Entry, usize, usize)> {
    let cut = || broken("the zip directory is damaged");
    if !bytes.get(at..).is_some_and(|b| b.starts_with(b"PK\x01\x02")) {
        return Err(cut());
    }
    let short = |o: usize| u16_at(bytes, at + o).ok_or_else(cut);
    let long = |o: usize| u32_at(bytes, at + o).map(u64::from).ok_or_else(cut);
    let (flags, method) = (short(8)?, short(10)?);
    let crc = u32_at(bytes, at + 16).ok_or_else(cut)?;
    let (mut packed, mut len, mut header) = (long(20)?, long(24)?, long(42)?);
    let (n_name, n_extra, n_comment) =
        (usize::from(short(28)?), usize::from(short(30)?), usize::from(short(32)?));
    let name = bytes.get(at + 46..at + 46 + n_name).ok_or_else(cut)?;
    let name_bytes = name;
    let name = std::str::from_utf8(name).map_err(|_| broken("a zip entry has a name that is not UTF-8"))?;
    let extra = bytes.get(at + 46 + n_name..at + 46 + n_name + n_extra).ok_or_else(cut)?;
    widen(extra, [&mut len, &mut packed, &mut header]).ok_or_else(cut)?;
    if flags & 1 != 0 {
        return Err(Error::unsupported("the zip archive is encrypted").at_key(name));
    }
    if method != 0 && method != 8 {
        return Err(Error::unsupported("a zip entry uses an unknown compression")
            .at_key(name)
            .expected("stored or deflate")
            .found(format!("method {method}")));
    }
    if name.starts_with(['/', '\\'])
        || name.split(['/', '\\']).any(|part| part == "..")
        || name.contains('\0')
    {
        return Err(broken("a zip entry name leads outside of the archive").at_key(name));
    }
    let place = || -> Option<(usize, usize, usize, usize)> {
        let header = usize::try_from(header).ok()?;
        let (packed, len) = (usize::try_from(packed).ok()?, usize::try_from(len).ok()?);
        bytes.get(header..)?.starts_with(b"PK\x03\x04").then_some(())?;
        let local_name = usize::from(u16_at(bytes, header + 26)?);
        let local_extra = usize::from(u16_at(bytes, header + 28)?);
        let start = header.checked_add(30)?.checked_add(local_name)?.checked_add(local_extra)?;
        (bytes.get(header + 30..header + 30 + local_name)? == name_bytes).then_some(())?;
        (start.checked_add(packed)? <= directory).then_some(())?;
        Some((header, start, packed, len))
    };
    let (header, start, packed, len) = place()
        .ok_or_else(|| broken("a zip entry lies outside of the file or its headers disagree").at_key(name))?;
    let deflated = method == 8;
    if (!deflated && packed != len) || (deflated && len > packed.saturating_mul(MAX_RATIO)) {
        return Err(broken("a zip entry declares an impossible size")
            .at_key(name)
            .found(format!("{len} bytes unpacked from {packed}")));
    }
    let entry = Entry { name: name.to_owned(), start, packed, len, crc, deflated };
    Ok((entry, header, at + 46 + n_name + n_extra + n_comment))
}

/// The zip64 extra field replaces the 32-bit fields that hold all ones, in this order.
fn widen(mut extra: &[u8], fields: [&mut u64; 3]) -> Option<()> {
    while extra.len() >= 4 {
        let (id, n) = (u16_at(extra, 0)?, usize::from(u16_at(extra, 2)?));
        let body = extra.get(4..4 + n)?;
        if id == 1 {
            let mut at = 0;
            for field in fields {
                if *field == u64::from(u32::MAX) {
                    *field = u64_at(body, at)?;
                    at += 8;
                }
            }
            return Some(());
        }
        extra = &extra[4 + n..];
    }
    Some(())
}

/// Unpacks exactly `len` bytes whose checksum is `crc`; memory grows with what is really there.
pub(crate) fn inflate(packed: &[u8], len: usize, crc: u32) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(len.min(1 << 20));
    let limit = u64::try_from(len).unwrap_or(u64::MAX).saturating_add(1);
    DeflateDecoder::new(packed)
        .take(limit)
        .read_to_end(&mut out)
        .map_err(|e| Error::unreadable("a compressed zip entry is damaged").caused_by(e))?;
    let mut sum = Crc::new();
    sum.update(&out);
    if out.len() != len || sum.sum() != crc {
        return Err(Error::unreadable("a compressed zip entry does not match its size or checksum")
            .expected(format!("{len} bytes"))
            .found(format!("{} bytes", out.len())));
    }
    Ok(out)
}

fn broken(what: &str) -> Error {
    Error::unreadable(what.to_owned()).expected("a zip archive as torch or numpy write it")
}
