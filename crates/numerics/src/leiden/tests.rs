use super::*;
use crate::graph::components;

fn graph(n: usize, edges: &[(usize, usize, f64)]) -> Graph {
    let mut rows: Vec<Vec<(u32, f64)>> = vec![vec![]; n];
    for &(a, b, w) in edges {
        rows[a].push((b as u32, w));
        rows[b].push((a as u32, w));
    }
    let (mut indptr, mut indices, mut weights) = (vec![0], vec![], vec![]);
    for mut row in rows {
        row.sort_by_key(|e| e.0);
        for (j, w) in row {
            indices.push(j);
            weights.push(w);
        }
        indptr.push(indices.len());
    }
    Graph::new(indptr, indices, weights).unwrap()
}

/// Zachary's karate club (1977), vertices from 1.
const KARATE: &[(usize, usize)] = &[
    (2, 1),
    (3, 1),
    (3, 2),
    (4, 1),
    (4, 2),
    (4, 3),
    (5, 1),
    (6, 1),
    (7, 1),
    (7, 5),
    (7, 6),
    (8, 1),
    (8, 2),
    (8, 3),
    (8, 4),
    (9, 1),
    (9, 3),
    (10, 3),
    (11, 1),
    (11, 5),
    (11, 6),
    (12, 1),
    (13, 1),
    (13, 4),
    (14, 1),
    (14, 2),
    (14, 3),
    (14, 4),
    (17, 6),
    (17, 7),
    (18, 1),
    (18, 2),
    (20, 1),
    (20, 2),
    (22, 1),
    (22, 2),
    (26, 24),
    (26, 25),
    (28, 3),
    (28, 24),
    (28, 25),
    (29, 3),
    (30, 24),
    (30, 27),
    (31, 2),
    (31, 9),
    (32, 1),
    (32, 25),
    (32, 26),
    (32, 29),
    (33, 3),
    (33, 9),
    (33, 15),
    (33, 16),
    (33, 19),
    (33, 21),
    (33, 23),
    (33, 24),
    (33, 30),
    (33, 31),
    (33, 32),
    (34, 9),
    (34, 10),
    (34, 14),
    (34, 15),
    (34, 16),
    (34, 19),
    (34, 20),
    (34, 21),
    (34, 23),
    (34, 24),
    (34, 27),
    (34, 28),
    (34, 29),
    (34, 30),
    (34, 31),
    (34, 32),
    (34, 33),
];

fn karate() -> Graph {
    let edges: Vec<_> = KARATE.iter().map(|&(a, b)| (a - 1, b - 1, 1.0)).collect();
    graph(34, &edges)
}

#[test]
fn reaches_the_proven_optimum_of_the_karate_club() {
    // Brandes et al. 2008 (IEEE TKDE 20:172): maximum modularity 0.4198 with four communities.
    let g = karate();
    let best = (0..10).map(|seed| leiden(&g, &LeidenOptions { seed, ..Default::default() }).unwrap());
    let best = best.max_by(|a, b| a.quality.partial_cmp(&b.quality).unwrap()).unwrap();
    assert_eq!(best.n, 4);
    assert!((best.quality.unwrap() - 0.419_789_612_097_304).abs() < 1e-12, "{best:?}");
}

#[test]
fn modularity_of_known_partitions() {
    let g = karate();
    assert!(modularity(&g, &[7; 34], 1.0).unwrap().unwrap().abs() < 1e-12);
    let triangles = graph(6, &[(0, 1, 1.0), (1, 2, 1.0), (0, 2, 1.0), (3, 4, 1.0), (4, 5, 1.0), (3, 5, 1.0)]);
    assert!((modularity(&triangles, &[0, 0, 0, 1, 1, 1], 1.0).unwrap().unwrap() - 0.5).abs() < 1e-15);
    assert_eq!(modularity(&graph(3, &[]), &[0, 1, 2], 1.0).unwrap(), None);
    assert!(modularity(&g, &[0], 1.0).is_err());
}

fn planted(n: usize, k: usize, seed: u64) -> Graph {
    let mut rng = Rng::new(seed);
    let mut edges = vec![];
    for i in 0..n {
        for j in 0..i {
            let p = if i % k == j % k { 0.3 } else { 0.01 };
            if rng.uniform() < p {
                edges.push((i, j, 0.5 + rng.uniform()));
            }
        }
    }
    graph(n, &edges)
}

#[test]
fn finds_planted_communities_the_same_on_every_run() {
    let g = planted(400, 8, 1);
    let found = leiden(&g, &LeidenOptions::default()).unwrap();
    assert!(found.n == 8 && found.converged, "{} communities", found.n);
    for i in 0..400 {
        for j in 0..i {
            assert_eq!(found.labels[i] == found.labels[j], i % 8 == j % 8);
        }
    }
    assert_eq!(found, leiden(&g, &LeidenOptions::default()).unwrap());
}

#[test]
fn no_single_move_improves_and_communities_hang_together() {
    let g = planted(150, 5, 2);
    for resolution in [0.2, 1.0, 3.0] {
        let found = leiden(&g, &LeidenOptions { resolution, ..Default::default() }).unwrap();
        let quality = modularity(&g, &found.labels, resolution).unwrap().unwrap();
        assert!((quality - found.quality.unwrap()).abs() < 1e-15);
        for i in 0..150 {
            for c in 0..=found.n as u32 {
                let mut moved = found.labels.clone();
                moved[i] = c;
                let other = modularity(&g, &moved, resolution).unwrap().unwrap();
                assert!(other <= quality + 1e-12, "moving {i} to {c} at {resolution}");
            }
        }
        for c in 0..found.n as u32 {
            let members: Vec<usize> = (0..150).filter(|&i| found.labels[i] == c).collect();
            assert_eq!(components(&g.subgraph(&members).unwrap()).n(), 1);
        }
    }
}

#[test]
fn resolution_splits_and_edges_cases_hold() {
    let g = planted(200, 4, 3);
    let n = |resolution| leiden(&g, &LeidenOptions { resolution, ..Default::default() }).unwrap().n;
    assert!(n(0.0) == 1 && n(0.1) < n(1.0) && n(1.0) < n(5.0));
    let lonely = leiden(&graph(3, &[]), &LeidenOptions::default()).unwrap();
    assert!(lonely.n == 3 && lonely.quality.is_none());
    assert_eq!(leiden(&graph(0, &[]), &LeidenOptions::default()).unwrap().n, 0);
    assert!(leiden(&g, &LeidenOptions { resolution: f64::NAN, ..Default::default() }).is_err());
}
