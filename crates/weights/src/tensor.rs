//! A tensor known by shape, type and place, whose elements have not been read.

use std::borrow::Cow;
use std::sync::Arc;

use microtome_core::{Error, Result};

use crate::bytes::FileBytes;
use crate::dtype::DType;
use crate::zip::inflate;

/// Shape and element type of a stored tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Lengths of the dimensions, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// Element type in the file. `read_f32` rounds `f64` to nearest; `read_f64` keeps every bit.
    pub dtype: DType,
}

/// Where the bytes of a storage are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `len` bytes from `start` of a mapped file.
    Range { file: usize, start: usize, len: usize },
    /// Consecutive pieces of one file that belong together.
    Pieces { file: usize, pieces: Vec<(usize, usize)> },
    /// A deflated zip entry, unpacked when it is read; `skip` leading bytes are not part of the storage.
    Deflated { file: usize, start: usize, packed: usize, len: usize, crc: u32, skip: usize },
}

impl Place {
    /// Bytes in the storage.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Range { len, .. } => *len,
            Self::Pieces { pieces, .. } => pieces.iter().map(|(_, len)| len).sum(),
            Self::Deflated { len, skip, .. } => len.saturating_sub(*skip),
        }
    }

    /// The same place when the files of its checkpoint are appended to `by` others.
    pub(crate) fn shifted(&self, by: usize) -> Self {
        let mut place = self.clone();
        match &mut place {
            Self::Range { file, .. } | Self::Pieces { file, .. } | Self::Deflated { file, .. } => *file += by,
        }
        place
    }

    fn bytes<'a>(&self, files: &'a [FileBytes]) -> Result<Cow<'a, [u8]>> {
        let lost = || Error::unreadable("the tensor lies outside of its file");
        match self {
            Self::Range { file, start, len } => {
                let bytes = files.get(*file).and_then(|f| f.get(*start..start.checked_add(*len)?));
                bytes.map(Cow::Borrowed).ok_or_else(lost)
            }
            Self::Pieces { file, pieces } => {
                let file = files.get(*file).ok_or_else(lost)?;
                let mut all = Vec::with_capacity(self.len().min(file.len()));
                for (start, len) in pieces {
                    all.extend_from_slice(file.get(*start..start + len).ok_or_else(lost)?);
                }
                Ok(Cow::Owned(all))
            }
            Self::Deflated { file, start, packed, len, crc, skip } => {
                let packed = files
                    .get(*file)
                    .and_then(|f| f.get(*start..start.checked_add(*packed)?))
                    .ok_or_else(lost)?;
                let mut all = inflate(packed, *len, *crc)?;
                all.drain(..(*skip).min(all.len()));
                Ok(Cow::Owned(all))
            }
        }
    }
}

/// A view has at most this many elements more than its storage (an expanded view repeats elements by stride 0).
const MAX_EXPANDED: usize = 1 << 24;

/// A strided view of a storage.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) info: TensorInfo,
    /// Elements before the first one.
    offset: usize,
    /// Elements between neighbours, per dimension; `None` for row-major.
    strides: Option<Vec<usize>>,
    place: Arc<Place>,
    big_endian: bool,
}

impl Tensor {
    /// A view that was checked to lie inside its storage.
    pub(crate) fn new(
        info: TensorInfo,
        offset: usize,
        strides: Option<Vec<usize>>,
        place: Arc<Place>,
        big_endian: bool,
    ) -> Result<Self> {
        let strides = strides.filter(|s| row_major(&info.shape).as_ref() != Some(s));
        let tensor = Self { info, offset, strides, place, big_endian };
        tensor.check().ok_or_else(|| {
            Error::unreadable("the tensor reaches outside of its storage")
                .expected(format!("{} bytes of {}", tensor.place.len(), tensor.info.dtype))
                .found(format!(
                    "shape {:?}, strides {:?}, offset {}",
                    tensor.info.shape, tensor.strides, tensor.offset
                ))
        })?;
        Ok(tensor)
    }

    fn check(&self) -> Option<()> {
        let size = self.info.dtype.size();
        let stored = self.place.len() / size;
        let n = count(&self.info.shape)?;
        n.checked_mul(size.max(8)).filter(|b| isize::try_from(*b).is_ok())?;
        let end = match &self.strides {
            _ if n == 0 => self.offset,
            None => self.offset.checked_add(n)?,
            Some(strides) if strides.len() == self.info.shape.len() => {
                let mut last = self.offset;
                for (d, s) in self.info.shape.iter().zip(strides) {
                    last = last.checked_add((d - 1).checked_mul(*s)?)?;
                }
                last.checked_add(1)?
            }
            Some(_) => return None,
        };
        (end <= stored && n <= stored.max(MAX_EXPANDED)).then_some(())
    }

    /// The elements in row-major order; borrowed when they lie so in the file.
    pub(crate) fn bytes<'a>(&self, files: &'a [FileBytes]) -> Result<Cow<'a, [u8]>> {
        let size = self.info.dtype.size();
        let n = count(&self.info.shape).unwrap_or(0);
        let outside = || Error::unreadable("the tensor lies outside of its file");
        let storage = self.place.bytes(files)?;
        let Some(strides) = &self.strides else {
            let range = self.offset * size..(self.offset + n) * size;
            return match storage {
                Cow::Borrowed(b) => b.get(range).map(Cow::Borrowed),
                Cow::Owned(b) => b.get(range).map(|b| Cow::Owned(b.to_vec())),
            }
            .ok_or_else(outside);
        };
        let mut out = Vec::with_capacity(n * size);
        let mut index = vec![0usize; self.info.shape.len()];
        let mut at = self.offset;
        for _ in 0..n {
            out.extend_from_slice(storage.get(at * size..(at + 1) * size).ok_or_else(outside)?);
            for ((i, d), s) in index.iter_mut().zip(&self.info.shape).zip(strides).rev() {
                *i += 1;
                // Wrapping: a step past the last index is taken back below, and never read.
                at = at.wrapping_add(*s);
                if *i < *d {
                    break;
                }
                at = at.wrapping_sub(s.wrapping_mul(*i));
                *i = 0;
            }
        }
        Ok(Cow::Owned(out))
    }

    pub(crate) fn to_f32(&self, files: &[FileBytes]) -> Result<Vec<f32>> {
        self.info.dtype.to_f32(&self.bytes(files)?, self.big_endian)
    }

    /// Rows of a tensor of two dimensions. Nothing else is read unless the tensor is compressed, strided or in pieces.
    pub(crate) fn rows_f32(&self, rows: &[usize], files: &[FileBytes]) -> Result<Vec<f32>> {
        let &[n, width] = &self.info.shape[..] else {
            return Err(Error::mismatch("rows were asked of a tensor that has none")
                .expected("two dimensions")
                .found(format!("shape {:?}", self.info.shape)));
        };
        if let Some(row) = rows.iter().find(|r| **r >= n) {
            return Err(Error::mismatch("the tensor has no such row")
                .expected(format!("below {n}"))
                .found(row.to_string()));
        }
        let lies_open = self.strides.is_none() && matches!(*self.place, Place::Range { .. });
        let bytes = self.bytes(files)?;
        if !lies_open {
            let all = self.info.dtype.to_f32(&bytes, self.big_endian)?;
            return Ok(rows.iter().flat_map(|r| &all[r * width..(r + 1) * width]).copied().collect());
        }
        let size = width * self.info.dtype.size();
        let mut out = Vec::with_capacity(rows.len() * width);
        for row in rows {
            let row = bytes
                .get(row * size..(row + 1) * size)
                .ok_or_else(|| Error::unreadable("the tensor lies outside of its file"))?;
            out.extend(self.info.dtype.to_f32(row, self.big_endian)?);
        }
        Ok(out)
    }

    pub(crate) fn to_f64(&self, files: &[FileBytes]) -> Result<Vec<f64>> {
        self.info.dtype.to_f64(&self.bytes(files)?, self.big_endian)
    }

    pub(crate) fn to_i64(&self, files: &[FileBytes]) -> Result<Vec<i64>> {
        self.info.dtype.to_i64(&self.bytes(files)?, self.big_endian)
    }

    /// Same shape, type and bits. Views of the same place are equal without reading.
    pub(crate) fn same_bits(&self, other: &Self, files: &[FileBytes]) -> Result<bool> {
        if self.info != other.info || self.big_endian != other.big_endian {
            return Ok(false);
        }
        if self.place == other.place && self.offset == other.offset && self.strides == other.strides {
            return Ok(true);
        }
        Ok(self.bytes(files)? == other.bytes(files)?)
    }

    pub(crate) fn shifted(&self, by: usize) -> Self {
        Self { place: Arc::new(self.place.shifted(by)), ..self.clone() }
    }
}

/// Number of elements, unless it overflows.
pub(crate) fn count(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d))
}

fn row_major(shape: &[usize]) -> Option<Vec<usize>> {
    let mut strides = vec![1usize; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i].checked_mul(shape[i].max(1))?;
    }
    Some(strides)
}

/// Strides of a column-major (Fortran) array, unless they overflow.
pub(crate) fn column_major(shape: &[usize]) -> Option<Vec<usize>> {
    let mut strides = vec![1usize; shape.len()];
    for i in 1..shape.len() {
        strides[i] = strides[i - 1].checked_mul(shape[i - 1].max(1))?;
    }
    Some(strides)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(shape: &[usize], offset: usize, strides: &[usize]) -> Result<Tensor> {
        let place = Arc::new(Place::Range { file: 0, start: 0, len: 24 });
        let info = TensorInfo { shape: shape.to_vec(), dtype: DType::F32 };
        Tensor::new(info, offset, Some(strides.to_vec()), place, false)
    }

    #[test]
    fn strided_views_read_in_row_major_order_and_stay_inside() {
        let bytes: Vec<u8> = (0..6).flat_map(|v: u8| f32::from(v).to_le_bytes()).collect();
        let files = [FileBytes::Owned(bytes)];
        assert_eq!(view(&[2, 3], 0, &[3, 1]).unwrap().to_f32(&files).unwrap(), [0., 1., 2., 3., 4., 5.]);
        assert_eq!(view(&[3, 2], 0, &[1, 3]).unwrap().to_f32(&files).unwrap(), [0., 3., 1., 4., 2., 5.]);
        assert_eq!(view(&[2, 2], 1, &[3, 1]).unwrap().to_f32(&files).unwrap(), [1., 2., 4., 5.]);
        assert_eq!(view(&[3], 5, &[0]).unwrap().to_f32(&files).unwrap(), [5., 5., 5.]);
        assert_eq!(view(&[], 4, &[]).unwrap().to_f32(&files).unwrap(), [4.]);
        assert!(view(&[0, 5], 6, &[5, 1]).unwrap().to_f32(&files).unwrap().is_empty());
        let rows = |shape: &[usize], strides: &[usize], rows: &[usize]| {
            view(shape, 0, strides).unwrap().rows_f32(rows, &files)
        };
        assert_eq!(rows(&[3, 2], &[2, 1], &[2, 0, 2]).unwrap(), [4., 5., 0., 1., 4., 5.]);
        assert_eq!(rows(&[3, 2], &[1, 3], &[1]).unwrap(), [1., 4.]);
        assert!(rows(&[3, 2], &[2, 1], &[3]).is_err() && rows(&[6], &[1], &[0]).is_err());
        assert!(view(&[2, 3], 1, &[3, 1]).is_err());
        assert!(view(&[3], 0, &[3]).is_err());
        assert!(view(&[2], 0, &[usize::MAX]).is_err());
        assert!(view(&[1 << 40], 0, &[0]).is_err());
        assert!(view(&[usize::MAX, 2], 0, &[0, 0]).is_err());
        assert!(view(&[2, 3], 0, &[1]).is_err());
    }
}
