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

/// Numbers by which reused memory grows, so that minibatches of about one size meet memory that fits.
const GRAIN: usize = 1 << 18;
/// Most buffers that a thread keeps.
const KEPT: usize = 8;

thread_local! {
    static REUSED: RefCell<Vec<Buffer>> = const { RefCell::new(Vec::new()) };
}

/// Activations of a forward pass: memory that goes back to this thread when dropped and serves the next pass. Fresh memory of this size
/// would come from the system page by page, each time.
#[derive(Debug, Default)]
pub struct Activations(Buffer);

impl Activations {
    /// Makes room for `len` numbers; what they are is not defined.
    pub fn resize(&mut self, len: usize) {
        if self.0.lines.len() * 16 < len {
            let fits = |b: &Buffer| b.lines.len() * 16 >= len;
            let kept = REUSED.with_borrow_mut(|kept| {
                let at = (0..kept.len()).filter(|&i| fits(&kept[i])).min_by_key(|&i| kept[i].lines.len());
                at.or_else(|| kept.len().checked_sub(1)).map(|i| kept.swap_remove(i))
            });
            // One that is too small makes way for the larger one, so that what is kept does not pile up.
            self.0 = kept.filter(fits).unwrap_or_default();
            if self.0.lines.is_empty() {
                self.0.resize(len.next_multiple_of(GRAIN));
            }
        }
        self.0.len = len;
    }
}

/// Gives back what this thread keeps of [`Activations`], once the model has run.
pub fn release_activations() {
    REUSED.with_borrow_mut(Vec::clear);
}

impl Drop for Activations {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        // Where the thread is ending there is nobody to keep it for.
        let _ = REUSED.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < KEPT && !buffer.lines.is_empty() {
                kept.push(buffer);
            }
        });
    }
}

impl std::ops::Deref for Activations {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.0.as_slice()
    }
}

impl std::ops::DerefMut for Activations {
    fn deref_mut(&mut self) -> &mut [f32] {
        self.0.as_mut_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_what_is_kept_stays_small() {
        std::thread::spawn(|| {
            let place = |len: usize| {
                let mut a = Activations::default();
                a.resize(len);
                assert_eq!(a.len(), len);
                a.fill(1.0);
                a.as_ptr() as usize
            };
            let first = place(1000);
            assert_eq!(place(GRAIN), first, "as large as its grain");
            place(5 * GRAIN);
            assert_eq!(REUSED.with_borrow(Vec::len), 1, "the small one made way");
            let many: Vec<Activations> = (0..20)
                .map(|i| {
                    let mut a = Activations::default();
                    a.resize(i + 1);
                    a
                })
                .collect();
            drop(many);
            assert_eq!(REUSED.with_borrow(Vec::len), KEPT);
            release_activations();
            assert_eq!(REUSED.with_borrow(Vec::len), 0);
            let mut a = Activations::default();
            a.resize(0);
            assert!(a.is_empty());
        })
        .join()
        .unwrap();
    }
}
