//! Seeded streams of random numbers by name, so that no result depends on the order of the work.

use microtome_numerics::resample::Rng;

/// The stream of `what` (a stage of the protocol), item `index` (a replicate, a repeat).
pub(crate) fn stream(seed: u64, what: &str, index: u64) -> Rng {
    // FNV-1a of the name keeps streams of different stages apart.
    let name = what
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
    let mut stage = Rng::stream(seed, name);
    Rng::stream(stage.next_u64(), index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_repeat() {
        let draw = |what, index| stream(1, what, index).next_u64();
        assert_eq!(draw("a", 0), draw("a", 0));
        assert_ne!(draw("a", 0), draw("a", 1));
        assert_ne!(draw("a", 0), draw("b", 0));
    }
}
