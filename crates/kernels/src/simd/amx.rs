//! AMX: detection, and the tile registers of a thread.
//!
//! Linux hands the tile registers only to processes that ask for them; where it refuses, or on other systems, there is no token.

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, _xgetbv};
use std::marker::PhantomData;

use super::Avx512;

/// Proof that AMX tiles with products of bf16 pairs, and AVX-512 with bf16 conversions, are there and permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Amx {
    /// What everything but products of bf16 runs on.
    pub(crate) vectors: Avx512,
}

/// Rows of a tile register.
const TILE_ROWS: usize = 16;
/// 32-bit words of a row of a tile register.
pub(crate) const TILE_WORDS: usize = 16;

impl Amx {
    /// The token, if this machine has the instructions and the system lets this process use them.
    pub(crate) fn detect() -> Option<Self> {
        let vectors = Avx512::detect().filter(|v| v.has_bf16())?;
        (has_tiles() && permitted()).then_some(Self { vectors })
    }
}

/// Processor and system know tiles of the size the kernels are written for.
#[allow(unused_unsafe, reason = "`__cpuid_count` is safe in newer compilers only")]
fn has_tiles() -> bool {
    // SAFETY: every processor with AVX-512 has these leaves of CPUID up to the greatest of leaf 0, which is checked first.
    let (features, palette, unit) = unsafe {
        if __cpuid_count(0, 0).eax < 0x1e {
            return false;
        }
        (__cpuid_count(7, 0), __cpuid_count(0x1d, 1), __cpuid_count(0x1e, 0))
    };
    let (tile, bf16) = (features.edx >> 24 & 1, features.edx >> 22 & 1);
    let sized = palette.eax >> 16 == 1024 && palette.ebx == 64 | 8 << 16 && palette.ecx & 0xffff == 16;
    let unit = unit.ebx & 0xff == 16 && unit.ebx >> 8 & 0xffff == 64;
    if tile == 0 || bf16 == 0 || !sized || !unit || !is_x86_feature_detected!("xsave") {
        return false;
    }
    #[target_feature(enable = "xsave")]
    fn enabled_state() -> u64 {
        // SAFETY: the function is called only where XSAVE was detected; register 0 always exists.
        unsafe { _xgetbv(0) }
    }
    const TILE_STATE: u64 = 3 << 17;
    // SAFETY: XSAVE was detected above.
    unsafe { enabled_state() & TILE_STATE == TILE_STATE }
}

/// Asks the system for the tile registers, for all threads of this process.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const TILE_DATA: u64 = 18;
    let result: i64;
    // SAFETY: the system call takes two numbers and touches no memory of ours; the kernel clobbers `rcx` and `r11` only.
    unsafe {
        asm!("syscall", inlateout("rax") ARCH_PRCTL => result, in("rdi") ARCH_REQ_XCOMP_PERM, in("rsi") TILE_DATA,
            out("rcx") _, out("r11") _, options(nostack));
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// The tile registers of this thread, all eight with 16 rows of 64 bytes, until dropped.
pub(crate) struct Tiles(PhantomData<*const ()>);

impl Tiles {
    /// Configures the tile registers. A thread holds at most one `Tiles` at a time.
    pub(crate) fn configure(_proof: Amx) -> Self {
        /// Palette 1; bytes per row from byte 16 on (two each), rows from byte 48 on.
        #[repr(C, align(64))]
        struct Configuration([u8; 64]);
        static EIGHT: Configuration = {
            let mut bytes = [0; 64];
            bytes[0] = 1;
            let mut tile = 0;
            while tile < 8 {
                bytes[16 + 2 * tile] = 4 * TILE_WORDS as u8;
                bytes[48 + tile] = TILE_ROWS as u8;
                tile += 1;
            }
            Configuration(bytes)
        };
        let bytes = EIGHT.0.as_ptr();
        // SAFETY: an `Amx` token exists only where the instruction exists and is permitted; it reads the 64 bytes of a valid
        // configuration and zeroes the tile registers, which the compiler never uses.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) bytes, options(nostack, readonly),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _);
        }
        Self(PhantomData)
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: a `Tiles` exists only where AMX does; giving the registers back keeps thread switches cheap.
        unsafe { asm!("tilerelease", options(nostack, nomem)) }
    }
}
