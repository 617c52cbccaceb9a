//! The tree that cells differentiate along.

use super::draws::Draws;
use super::options::{SimulateOptions, Topology};

/// Row of the cell at the root.
pub(super) const ROOT_CELL: usize = 0;

/// Share of a branch, from its start, whose cells are still precursors.
const PRECURSOR_SHARE: f64 = 0.4;

/// A stretch of the tree without forks.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Segment {
    pub(super) name: String,
    /// Index of the segment it comes from; none for the trunk.
    pub(super) parent: Option<usize>,
    /// Pseudotime of its start and end.
    pub(super) start: f64,
    pub(super) end: f64,
    /// Number of the branch that ends here, from 1; none for the trunk and inner stretches.
    pub(super) branch: Option<u32>,
    /// Index of its first cell type, and of the type of its later part.
    #[serde(skip)]
    pub(super) cell_types: [u32; 2],
    /// Share of the stretch that has the first cell type.
    #[serde(skip)]
    pub(super) first_share: f64,
}

/// Segments, parents before children; the first is the trunk.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) segments: Vec<Segment>,
    /// Segments from the trunk to each tip.
    pub(super) paths: Vec<Vec<usize>>,
    pub(super) cell_types: Vec<String>,
    /// Whether the segments are terms of a hierarchy of cell types, in which pseudotime means nothing.
    pub(super) is_hierarchy: bool,
}

/// Where a cell is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) pseudotime: f64,
    pub(super) segment: usize,
}

impl Tree {
    pub(super) fn new(options: &SimulateOptions) -> Self {
        let mut tree = Self { segments: vec![], paths: vec![], cell_types: vec![], is_hierarchy: false };
        if let Some(types) = &options.type_tree {
            return tree.hierarchy(&types.children);
        }
        let trunk = tree.grow("trunk".into(), None, 0.0, options.trunk, None);
        let n = options.n_branches;
        let tips: Vec<usize> = match options.topology {
            Topology::Star => (1..=n)
                .map(|b| tree.grow(format!("branch_{b}"), Some(trunk), options.trunk, 1.0, Some(b as u32)))
                .collect(),
            Topology::Bifurcating => {
                // Forks at equal steps of pseudotime; at each, one branch leaves and the stem goes on.
                let step = (1.0 - options.trunk) / n.saturating_sub(1).max(1) as f64;
                let mut stem = trunk;
                let mut tips = Vec::with_capacity(n);
                for b in 1..=n {
                    let start = tree.segments[stem].end;
                    tips.push(tree.grow(format!("branch_{b}"), Some(stem), start, 1.0, Some(b as u32)));
                    if b + 1 < n {
                        stem = tree.grow(format!("stem_{b}"), Some(stem), start, start + step, None);
                    }
                }
                tips
            }
        };
        tree.paths = tips.iter().map(|&tip| tree.path(tip)).collect();
        tree
    }

    /// Terms level by level, one cell type per term; the paths lead to the terms without children.
    fn hierarchy(mut self, children: &[usize]) -> Self {
        self.is_hierarchy = true;
        let mut above = vec![self.term("cell".into(), None, None)];
        for (level, &n) in children.iter().enumerate() {
            let mut below = Vec::with_capacity(above.len() * n);
            for &parent in &above {
                for k in 1..=n {
                    let name = match level {
                        0 => format!("type_{k}"),
                        _ => format!("{}_{k}", self.segments[parent].name),
                    };
                    let branch = if level == 0 { Some(k as u32) } else { self.segments[parent].branch };
                    below.push(self.term(name, Some(parent), branch));
                }
            }
            above = below;
        }
        for &leaf in &above {
            self.segments[leaf].end = 1.0;
        }
        self.paths = above.iter().map(|&leaf| self.path(leaf)).collect();
        self
    }

    fn term(&mut self, name: String, parent: Option<usize>, branch: Option<u32>) -> usize {
        let own = self.cell_types.len() as u32;
        self.cell_types.push(name.clone());
        let (start, end) = (0.0, 0.0);
        self.segments.push(Segment {
            name,
            parent,
            start,
            end,
            branch,
            cell_types: [own, own],
            first_share: 1.0,
        });
        self.segments.len() - 1
    }

    fn grow(
        &mut self,
        name: String,
        parent: Option<usize>,
        start: f64,
        end: f64,
        branch: Option<u32>,
    ) -> usize {
        let (types, first_share) = match (parent, branch) {
            (None, _) => (["stem".into(), "progenitor".into()], 0.5),
            (Some(_), Some(b)) => ([format!("precursor_{b}"), format!("mature_{b}")], PRECURSOR_SHARE),
            (Some(_), None) => ([format!("{name}_progenitor"), String::new()], 1.0),
        };
        let first = self.cell_types.len() as u32;
        self.cell_types.extend(types.into_iter().filter(|t| !t.is_empty()));
        let last = self.cell_types.len() as u32 - 1;
        self.segments.push(Segment {
            name,
            parent,
            start,
            end,
            branch,
            cell_types: [first, last],
            first_share,
        });
        self.segments.len() - 1
    }

    /// Segments from the trunk to `segment`.
    pub(super) fn path(&self, segment: usize) -> Vec<usize> {
        let mut path: Vec<usize> =
            std::iter::successors(Some(segment), |&s| self.segments[s].parent).collect();
        path.reverse();
        path
    }

    /// Whether `ancestor` lies on the way from the trunk to `segment` (a segment is on its own way).
    pub(super) fn passes(&self, segment: usize, ancestor: usize) -> bool {
        std::iter::successors(Some(segment), |&s| self.segments[s].parent).any(|s| s == ancestor)
    }

    /// A place for cell `i`: uniform in pseudotime from `earliest` on, the tip drawn by `tip_weights`.
    pub(super) fn draw(&self, i: usize, tip_weights: &[f64], earliest: f64, draws: &mut Draws) -> Place {
        let path = &self.paths[draws.choose(tip_weights)];
        let pseudotime = earliest + (1.0 - earliest) * draws.uniform();
        if i == ROOT_CELL && !self.is_hierarchy {
            return Place { pseudotime: 0.0, segment: 0 };
        }
        let segment =
            path.iter().copied().find(|&s| pseudotime < self.segments[s].end).unwrap_or(path[path.len() - 1]);
        Place { pseudotime, segment }
    }

    /// Index of the cell type at a place.
    pub(super) fn cell_type(&self, place: Place) -> u32 {
        let s = &self.segments[place.segment];
        let share = (place.pseudotime - s.start) / (s.end - s.start);
        s.cell_types[usize::from(share >= s.first_share)]
    }
}
