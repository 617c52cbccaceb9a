//! Gene programs: what rises and falls along the tree and through the cell cycle.

use super::catalog::Gene;
use super::tree::{Place, Tree};

/// Cell cycle phases, as they are called in `obs`.
pub(super) const PHASES: [&str; 3] = ["G1", "S", "G2M"];

/// What a program follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Course {
    /// Full at the root, off where the trunk ends (at 0.3 of pseudotime when it is shorter).
    Stem,
    /// Up and down again around the end of the trunk.
    Transition,
    /// Rises in the second half of pseudotime, in every branch.
    Maturation,
    /// Rises in the first part of a segment and stays on beyond it.
    Early(usize),
    /// Rises in the later part of a segment and stays on beyond it.
    Late(usize),
    /// On in S phase.
    SPhase,
    /// On in G2 and M phase.
    G2mPhase,
    /// On in all cells of a term of a hierarchy.
    Identity(usize),
}

/// A program.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) name: String,
    pub(super) course: Course,
    /// Whose markers it prefers: 0 stem cells, `k` the `k`-th branch.
    pub(super) lineage: Option<u32>,
    /// Factor of its effects.
    pub(super) strength: f64,
}

/// All programs of a tree; `decay` is the factor of effects per level of a hierarchy.
pub(super) fn all(tree: &Tree, decay: f64) -> Vec<Program> {
    let program = |name: &str, course, lineage| Program { name: name.into(), course, lineage, strength: 1.0 };
    if tree.is_hierarchy {
        let mut programs = vec![
            program("cell_cycle_s", Course::SPhase, None),
            program("cell_cycle_g2m", Course::G2mPhase, None),
        ];
        for (s, segment) in tree.segments.iter().enumerate().skip(1) {
            let depth = tree.path(s).len() - 2;
            let strength = (0..depth).fold(1.0, |f, _| f * decay);
            programs
                .push(Program { strength, ..program(&segment.name, Course::Identity(s), segment.branch) });
        }
        return programs;
    }
    let mut programs = vec![
        program("stem", Course::Stem, Some(0)),
        program("transition", Course::Transition, None),
        program("maturation", Course::Maturation, None),
        program("cell_cycle_s", Course::SPhase, None),
        program("cell_cycle_g2m", Course::G2mPhase, None),
    ];
    for (s, segment) in tree.segments.iter().enumerate().skip(1) {
        programs.push(program(&format!("{}_early", segment.name), Course::Early(s), segment.branch));
        programs.push(program(&format!("{}_late", segment.name), Course::Late(s), segment.branch));
    }
    programs
}

impl Program {
    /// Whether the gene is known to belong to such a program in real cells.
    pub(super) fn is_known_for(&self, gene: &Gene) -> bool {
        match self.course {
            Course::SPhase => gene.is_s_phase(),
            Course::G2mPhase => gene.is_g2m_phase(),
            _ => self.lineage.is_some_and(|lineage| gene.is_marker(lineage)),
        }
    }

    /// How active it is at a place of the tree and a phase of the cell cycle, 0..1.
    pub(super) fn activity(&self, tree: &Tree, place: Place, phase: usize) -> f64 {
        let t = place.pseudotime;
        let trunk_end = tree.segments[0].end;
        match self.course {
            Course::Stem => 1.0 - smooth_step(t / trunk_end.max(0.3)),
            Course::Transition => {
                let half = (0.5 * trunk_end).max(0.15);
                smooth_step(1.0 - (t - trunk_end).abs() / half)
            }
            Course::Maturation => smooth_step((t - 0.5) / 0.5),
            Course::Early(s) | Course::Late(s) => {
                if !tree.passes(place.segment, s) {
                    return 0.0;
                }
                let segment = &tree.segments[s];
                let length = segment.end - segment.start;
                let delay = if matches!(self.course, Course::Late(_)) { 0.4 * length } else { 0.0 };
                smooth_step((t - segment.start - delay) / (0.6 * length))
            }
            Course::Identity(s) => f64::from(u8::from(tree.passes(place.segment, s))),
            Course::SPhase => f64::from(u8::from(phase == 1)),
            Course::G2mPhase => f64::from(u8::from(phase == 2)),
        }
    }
}

/// 0 below 0, 1 above 1, and `3x^2 - 2x^3` between.
fn smooth_step(x: f64) -> f64 {
    let x = x.clamp(0.0, 1.0);
    x * x * (3.0 - 2.0 * x)
}
