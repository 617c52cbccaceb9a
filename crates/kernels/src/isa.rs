//! Which instruction set the kernels use: found at run time, overridable per thread for tests and benchmarks.

use std::cell::Cell;
use std::sync::OnceLock;

#[cfg(target_arch = "aarch64")]
use crate::simd::Neon;
use crate::simd::Portable;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Amx, Avx2, Avx512};

/// An instruction set for which there are kernels. A value exists only for sets this machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(pub(crate) Level);

/// The token of each instruction set; the tokens prove that the machine has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    #[cfg(target_arch = "x86_64")]
    Amx(Amx),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    Portable(Portable),
}

thread_local! {
    static FORCED: Cell<Option<Isa>> = const { Cell::new(None) };
}

impl Isa {
    /// Every instruction set with kernels that this machine has, best first. Never empty: the portable kernels run anywhere.
    pub fn available() -> Vec<Isa> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(Amx::detect().map(|t| Isa(Level::Amx(t))));
            all.extend(Avx512::detect().map(|t| Isa(Level::Avx512(t))));
            all.extend(Avx2::detect().map(|t| Isa(Level::Avx2(t))));
        }
        #[cfg(target_arch = "aarch64")]
        all.extend(Neon::detect().map(|t| Isa(Level::Neon(t))));
        all.push(Isa(Level::Portable(Portable)));
        all
    }

    /// The set the kernels called from this thread use: the one of [`with_isa`], otherwise the best available.
    pub fn current() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        FORCED.get().unwrap_or_else(|| *BEST.get_or_init(|| Isa::available()[0]))
    }

    /// The set for element-wise work: AVX-512 for AMX, otherwise the set itself.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn vectors(self) -> Isa {
        match self.0 {
            Level::Amx(amx) => Isa(Level::Avx512(amx.vectors)),
            _ => self,
        }
    }

    /// Short name: `amx` (matrix products in tiles, everything else in AVX-512), `avx512`, `avx2`, `neon` or `portable`.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Level::Amx(_) => "amx",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Level::Neon(_) => "neon",
            Level::Portable(_) => "portable",
        }
    }
}

/// Name of the instruction set in use on this thread.
pub fn isa() -> &'static str {
    Isa::current().name()
}

/// Runs `f` with the kernels that `f` calls on this thread pinned to `isa` (their worker threads follow). For a pool other than the
/// current one, call this inside `pool.install`, because the pin belongs to the calling thread.
pub fn with_isa<R>(isa: Isa, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<Isa>);
    impl Drop for Restore {
        fn drop(&mut self) {
            FORCED.set(self.0);
        }
    }
    let _restore = Restore(FORCED.replace(Some(isa)));
    f()
}

/// Defines a function that picks the widest kernel at run time: `fn name(isa, args...)` runs `generic(token, args...)` compiled for
/// that instruction set. `generic` must be `#[inline(always)]`, so that its body is compiled with the features enabled.
macro_rules! dispatch {
    ($(#[$meta:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $generic:path) => {
        $(#[$meta])*
        pub(crate) fn $name(isa: $crate::isa::Isa, $($arg: $ty),*) $(-> $ret)? {
            // The tiles of AMX are for matrix products; all else runs on its vectors.
            #[cfg(target_arch = "x86_64")]
            let isa = $crate::isa::Isa::vectors(isa);
            match isa.0 {
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Level::Amx(_) => unreachable!("the vectors of AMX are AVX-512"),
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Level::Avx512(token) => {
                    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                    fn run(token: $crate::simd::Avx512, $($arg: $ty),*) $(-> $ret)? {
                        $generic(token, $($arg),*)
                    }
                    // SAFETY: an `Avx512` token exists only where these features were detected.
                    unsafe { run(token, $($arg),*) }
                }
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Level::Avx2(token) => {
                    #[target_feature(enable = "avx2,fma")]
                    fn run(token: $crate::simd::Avx2, $($arg: $ty),*) $(-> $ret)? {
                        $generic(token, $($arg),*)
                    }
                    // SAFETY: an `Avx2` token exists only where these features were detected.
                    unsafe { run(token, $($arg),*) }
                }
                #[cfg(target_arch = "aarch64")]
                $crate::isa::Level::Neon(token) => {
                    #[target_feature(enable = "neon")]
                    fn run(token: $crate::simd::Neon, $($arg: $ty),*) $(-> $ret)? {
                        $generic(token, $($arg),*)
                    }
                    // SAFETY: a `Neon` token exists only where the feature was detected.
                    unsafe { run(token, $($arg),*) }
                }
                $crate::isa::Level::Portable(token) => $generic(token, $($arg),*),
            }
        }
    };
}
pub(crate) use dispatch;
