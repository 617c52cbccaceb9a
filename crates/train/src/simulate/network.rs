//! Which regulators drive which targets.

use super::catalog::Gene;
use super::draws::{Draws, Purpose};
use super::options::SimulateOptions;
use super::programs::{Course, Program};
use super::tree::Tree;

/// Most regulators a program has.
const MAX_REGULATORS: usize = 8;

/// A gene that drives others.
#[derive(Clone, Debug)]
pub(super) struct Regulator {
    pub(super) gene: usize,
    pub(super) program: usize,
    /// Effect of its level on its own expression.
    pub(super) own_weight: f64,
}

/// An effect of a regulator's level on the log expression of a target; negative for repression.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    /// Index into the regulators.
    pub(super) regulator: usize,
    pub(super) weight: f64,
}

/// Programs, their regulators and the edges to their targets.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) programs: Vec<Program>,
    pub(super) regulators: Vec<Regulator>,
    /// Program of each gene, none for genes outside programs.
    pub(super) program_of: Vec<Option<usize>>,
    /// Edges into each gene. Regulators have none: their own weight takes the place.
    pub(super) edges: Vec<Vec<Edge>>,
    /// Index into the regulators for each gene that is one.
    pub(super) regulator_of: Vec<Option<usize>>,
}

impl Network {
    pub(super) fn draw(
        options: &SimulateOptions,
        tree: &Tree,
        programs: Vec<Program>,
        genes: &[Gene],
    ) -> Self {
        let draws = &mut Draws::new(options.seed, Purpose::Network, 0);
        let mut network = Self {
            regulators: vec![],
            program_of: vec![None; genes.len()],
            edges: vec![vec![]; genes.len()],
            regulator_of: vec![None; genes.len()],
            programs,
        };
        let n_in_programs = (genes.len() as f64 * options.program_share) as usize;
        let mut order: Vec<usize> = (0..genes.len()).collect();
        draws.shuffle(&mut order);
        network.choose_regulators(options, genes, &order, n_in_programs, draws);
        network.choose_targets(genes, &order, n_in_programs);
        network.connect(options, tree, draws);
        network
    }

    /// Effect scale of a program.
    fn scale(&self, options: &SimulateOptions, program: usize) -> f64 {
        match self.programs[program].course {
            Course::SPhase | Course::G2mPhase => options.cell_cycle,
            Course::Identity(_) => options.signal * self.programs[program].strength,
            _ => options.signal,
        }
    }

    fn choose_regulators(
        &mut self,
        options: &SimulateOptions,
        genes: &[Gene],
        order: &[usize],
        n_in_programs: usize,
        draws: &mut Draws,
    ) {
        let mut factors: Vec<usize> =
            order.iter().copied().filter(|&g| genes[g].is_transcription_factor()).collect();
        let n_programs = self.programs.len();
        let per_program =
            (n_in_programs / n_programs / 3).min(factors.len() / n_programs).clamp(2, MAX_REGULATORS);
        for program in 0..n_programs {
            // Stable, so that the order within equals stays the drawn one. Best last, to be popped.
            factors.sort_by_key(|&g| self.fit(program, &genes[g]));
            for _ in 0..per_program {
                let Some(gene) = factors.pop() else { return };
                let own_weight = draws.between(0.8, 1.6) * self.scale(options, program);
                self.program_of[gene] = Some(program);
                self.regulator_of[gene] = Some(self.regulators.len());
                self.regulators.push(Regulator { gene, program, own_weight });
            }
        }
    }

    /// Deals genes to programs in turn: cell cycle genes to their phase, then to the other programs evenly, markers of
    /// their lineage first, then any gene without a fixed role.
    fn choose_targets(&mut self, genes: &[Gene], order: &[usize], n_in_programs: usize) {
        let mut left = n_in_programs.saturating_sub(self.regulators.len());
        let is_cell_cycle = |p: &Program| matches!(p.course, Course::SPhase | Course::G2mPhase);
        for &gene in order {
            let phase = self.programs.iter().position(|p| is_cell_cycle(p) && p.is_known_for(&genes[gene]));
            if self.program_of[gene].is_none() && phase.is_some() {
                self.program_of[gene] = phase;
                left = left.saturating_sub(1);
            }
        }
        let mut pool: Vec<usize> = order
            .iter()
            .copied()
            .filter(|&g| {
                let gene = &genes[g];
                self.program_of[g].is_none()
                    && !gene.is_housekeeping()
                    && !gene.is_mitochondrial()
                    && !gene.is_transcription_factor()
            })
            .collect();
        let open: Vec<usize> =
            (0..self.programs.len()).filter(|&p| !is_cell_cycle(&self.programs[p])).collect();
        let share = left / open.len();
        for &program in &open {
            pool.sort_by_key(|&g| self.fit(program, &genes[g]));
            for gene in pool.split_off(pool.len() - share.min(pool.len())) {
                self.program_of[gene] = Some(program);
            }
        }
    }

    /// 2 for a gene known to belong to such a program, 0 for one known to belong to another of the tree, 1 otherwise.
    fn fit(&self, program: usize, gene: &Gene) -> u8 {
        if self.programs[program].is_known_for(gene) {
            2
        } else {
            u8::from(!self.programs.iter().any(|p| p.is_known_for(gene)))
        }
    }

    fn connect(&mut self, options: &SimulateOptions, tree: &Tree, draws: &mut Draws) {
        for gene in 0..self.program_of.len() {
            let Some(program) = self.program_of[gene] else { continue };
            if self.regulator_of[gene].is_some() {
                continue;
            }
            let scale = self.scale(options, program);
            let total = draws.between(0.8, 2.0) * scale;
            let mut own: Vec<usize> =
                (0..self.regulators.len()).filter(|&r| self.regulators[r].program == program).collect();
            draws.shuffle(&mut own);
            own.truncate(1 + draws.below(2));
            let share = draws.between(0.35, 0.65);
            let shares = if own.len() == 1 { vec![1.0] } else { vec![share, 1.0 - share] };
            let mut edges: Vec<Edge> =
                own.iter().zip(shares).map(|(&regulator, s)| Edge { regulator, weight: total * s }).collect();
            if draws.uniform() < options.repressed_share {
                let others: Vec<usize> = (0..self.regulators.len())
                    .filter(|&r| self.represses(tree, self.regulators[r].program, program))
                    .collect();
                if !others.is_empty() {
                    let regulator = others[draws.below(others.len())];
                    edges.push(Edge { regulator, weight: -draws.between(0.4, 1.0) * scale });
                }
            }
            self.edges[gene] = edges;
        }
    }

    /// Whether regulators of program `a` may repress targets of program `b`: those of other branches, and those of
    /// branches on genes of the stem.
    fn represses(&self, tree: &Tree, a: usize, b: usize) -> bool {
        let segment = |p: usize| match self.programs[p].course {
            Course::Early(s) | Course::Late(s) | Course::Identity(s) => Some(s),
            _ => None,
        };
        match (segment(a), segment(b)) {
            (Some(a), Some(b)) => !tree.passes(a, b) && !tree.passes(b, a),
            (Some(_), None) => self.programs[b].course == Course::Stem,
            _ => false,
        }
    }
}
