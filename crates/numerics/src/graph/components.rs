//! Connected components.

use super::Graph;

/// Which vertices hang together.
#[derive(Clone, Debug, PartialEq)]
pub struct Components {
    /// Component of every vertex, numbered by first appearance.
    pub labels: Vec<u32>,
    /// Vertices per component.
    pub sizes: Vec<usize>,
}

impl Components {
    /// Number of components.
    pub fn n(&self) -> usize {
        self.sizes.len()
    }
}

/// Components of the graph; an edge of weight 0 does not connect.
pub fn components(graph: &Graph) -> Components {
    let mut labels = vec![u32::MAX; graph.n()];
    let mut sizes = Vec::new();
    let mut stack = Vec::new();
    for start in 0..graph.n() {
        if labels[start] != u32::MAX {
            continue;
        }
        let label = sizes.len() as u32;
        labels[start] = label;
        stack.push(start);
        let mut size = 0;
        while let Some(i) = stack.pop() {
            size += 1;
            let (columns, weights) = graph.row(i);
            for (&j, &w) in columns.iter().zip(weights) {
                if w > 0.0 && labels[j as usize] == u32::MAX {
                    labels[j as usize] = label;
                    stack.push(j as usize);
                }
            }
        }
        sizes.push(size);
    }
    Components { labels, sizes }
}
