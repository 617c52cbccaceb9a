//! Cache-line aligned buffers, and a pool of them per thread so that the hot loops never allocate.

use std::cell::RefCell;

/// One cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// A growable, zero-initialised `[f32]` that starts on a cache line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    /// Makes room for `len` numbers; what they are is not defined (but initialised).
    pub(crate) fn resize(&mut self, len: usize) {
        if self.lines.len() < len.div_ceil(16) {
            self.lines = vec![Line([0.0; 16]); len.div_ceil(16)];
        }
        self.len = len;
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        // SAFETY: `lines` holds at least `len` initialised f32 without padding (`repr(C)`, 64 bytes each).
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        // SAFETY: as in `as_slice`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

thread_local! {
    static POOL: RefCell<Vec<Buffer>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with buffers of the given lengths (contents not defined), which this thread keeps for the next call.
pub(crate) fn with_buffers<const N: usize, R>(lens: [usize; N], f: impl FnOnce([&mut [f32]; N]) -> R) -> R {
    let mut buffers = lens.map(|_| POOL.with_borrow_mut(Vec::pop).unwrap_or_default());
    for (buffer, len) in buffers.iter_mut().zip(lens) {
        buffer.resize(len);
    }
    let result = f(buffers.each_mut().map(Buffer::as_mut_slice));
    // Last in, first out: the next call of the same kind meets each buffer in its old role.
    POOL.with_borrow_mut(|pool| pool.extend(buffers.into_iter().rev()));
    result
}
