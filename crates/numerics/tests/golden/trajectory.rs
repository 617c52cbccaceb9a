use crate::support::{cells, distance, json, npy, numbers, wide};
use microtome_core::Matrix;
use microtome_numerics::graph::{Graph, distance_graph, shortest_paths};
use microtome_numerics::resample::Rng;
use microtome_numerics::umap::{UmapOptions, layout};
use microtome_numerics::{
    Knn, Metric, PalantirOptions, components, diffusion_map, dpt, exact_knn, gaussian_weights, palantir,
    pseudotime, spearman, umap_weights,
};

fn knn() -> Knn {
    exact_knn(&cells(), 15, Metric::Euclidean).unwrap()
}

fn check_graph(graph: &Graph, method: &str, tolerance: f64) {
    let edges = npy(&format!("{method}_edges.npy")).0;
    let weights = npy(&format!("{method}_weights.npy")).0;
    let mut found = Vec::new();
    let mut found_weights = Vec::new();
    for i in 0..graph.n() {
        for (&j, &w) in graph.row(i).0.iter().zip(graph.row(i).1).filter(|(j, _)| **j as usize > i) {
            found.extend([i as f64, f64::from(j)]);
            found_weights.push(w);
            assert_eq!(graph.weight(j as usize, i), Some(w));
        }
    }
    assert_eq!(found, edges);
    assert!(distance(&found_weights, &weights) < tolerance, "{}", distance(&found_weights, &weights));
}

fn check_trajectory(graph: &Graph, method: &str, tolerance: f64) {
    let map = diffusion_map(graph, 15, 0).unwrap();
    let values = npy(&format!("{method}_eigenvalues.npy")).0;
    assert!(distance(&wide(&map.values), &values) < tolerance, "{}", distance(&wide(&map.values), &values));
    let expected = npy(&format!("{method}_pseudotime.npy")).0;
    let found = pseudotime(&map, 7, 10).unwrap();
    assert!(distance(&found, &expected) < 5.0 * tolerance, "{}", distance(&found, &expected));
    // The tolerance bites: one eigenpair more or less, or another root, is far outside.
    for (root, n_dcs) in [(7, 9), (7, 11), (8, 10)] {
        assert!(distance(&pseudotime(&map, root, n_dcs).unwrap(), &expected) > 100.0 * tolerance);
    }
}

/// Distances are rounded to f32 here and not in the reference: 6e-8 relative, times the steepness of the kernel.
#[test]
fn gaussian_kernel_and_pseudotime_match_scanpy() {
    let graph = gaussian_weights(&knn()).unwrap();
    check_graph(&graph, "gauss", 3e-7);
    check_trajectory(&graph, "gauss", 1e-6);
}

/// umap-learn keeps distances, widths and weights in f32 and stops its bisection at 1e-5.
#[test]
fn umap_kernel_and_pseudotime_match_scanpy() {
    let graph = umap_weights(&knn()).unwrap();
    check_graph(&graph, "umap", 2e-6);
    check_trajectory(&graph, "umap", 2e-6);
}

#[test]
fn islands_match_scanpy_and_are_at_infinity() {
    let golden = json("islands.json");
    let x = numbers(&golden["cells"]);
    let x = Matrix::new(x.len() / 3, 3, x.iter().map(|&v| v as f32).collect()).unwrap();
    let graph = gaussian_weights(&exact_knn(&x, 6, Metric::Euclidean).unwrap()).unwrap();
    let map = diffusion_map(&graph, 15, 0).unwrap();
    assert_eq!(map.components.sizes, [40, 25, 15]);
    assert!(distance(&wide(&map.values), &numbers(&golden["eigenvalues"])) < 1e-6);
    let found = pseudotime(&map, 50, 10).unwrap();
    assert!(distance(&found, &numbers(&golden["pseudotime"])) < 5e-6);
    assert!(found.iter().enumerate().all(|(i, t)| t.is_finite() == (40..65).contains(&i)));
}

#[test]
fn large_graphs_converge_from_any_start() {
    // A long strip: many cells, slowly falling eigenvalues, so the iteration has to work.
    let mut rng = Rng::new(5);
    let n = 3000;
    let data = (0..n).flat_map(|i| [i as f32 * 0.01, rng.normal() as f32 * 0.05]).collect();
    let x = Matrix::new(n, 2, data).unwrap();
    let graph = gaussian_weights(&exact_knn(&x, 10, Metric::Euclidean).unwrap()).unwrap();
    let map = diffusion_map(&graph, 15, 1).unwrap();
    let again = diffusion_map(&graph, 15, 99).unwrap();
    assert!(distance(&wide(&map.values), &wide(&again.values)) < 1e-6);
    let (t, u) = (pseudotime(&map, 0, 10).unwrap(), pseudotime(&again, 0, 10).unwrap());
    assert!(distance(&t, &u) < 1e-6, "{}", distance(&t, &u));
    // Eigenvectors hold A v = lambda v in the definition's own terms.
    let degrees = graph.degrees();
    let kernel = |i: usize, j: usize, w: f64| w / (degrees[i] * degrees[j]);
    let z: Vec<f64> = (0..n)
        .map(|i| {
            graph.row(i).0.iter().zip(graph.row(i).1).map(|(&j, &w)| kernel(i, j as usize, w)).sum::<f64>()
        })
        .map(f64::sqrt)
        .collect();
    for c in 0..15 {
        let residual: f64 = (0..n)
            .map(|i| {
                let sum: f64 = graph
                    .row(i)
                    .0
                    .iter()
                    .zip(graph.row(i).1)
                    .map(|(&j, &w)| {
                        let j = j as usize;
                        kernel(i, j, w) / (z[i] * z[j]) * f64::from(map.vectors.row(j)[c])
                    })
                    .sum();
                (sum - f64::from(map.values[c]) * f64::from(map.vectors.row(i)[c])).powi(2)
            })
            .sum();
        assert!(residual.sqrt() < 1e-6, "{c} {residual}");
    }
    // The first non-trivial eigenvector orders the strip.
    let first: Vec<f64> = (0..n).map(|i| f64::from(map.vectors.row(i)[1])).collect();
    let place: Vec<f64> = (0..n).map(|i| i as f64).collect();
    assert!(spearman(&first, &place).unwrap().unwrap().abs() > 0.99);
}

#[test]
fn same_map_for_any_number_of_threads() {
    let mut rng = Rng::new(5);
    let x = Matrix::new(2500, 4, (0..10_000).map(|_| rng.normal() as f32).collect()).unwrap();
    let graph = umap_weights(&exact_knn(&x, 8, Metric::Euclidean).unwrap()).unwrap();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| diffusion_map(&graph, 6, 1).unwrap())
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn duplicates_give_finite_weights() {
    let mut x = Matrix::zeros(30, 2);
    (20..30).for_each(|i| x.row_mut(i)[0] = i as f32);
    let knn = exact_knn(&x, 5, Metric::Euclidean).unwrap();
    for graph in [gaussian_weights(&knn).unwrap(), umap_weights(&knn).unwrap()] {
        assert!((0..30).all(|i| graph.row(i).1.iter().all(|w| w.is_finite() && *w >= 0.0)));
        let map = diffusion_map(&graph, 5, 0).unwrap();
        assert!(map.vectors.data().iter().all(|v| v.is_finite()));
        let t = dpt(&map, 25, 5).unwrap();
        assert!(t.iter().all(|v| !v.is_nan()) && t[25] == 0.0);
    }
}

#[test]
fn graphs_are_checked() {
    let knn = knn();
    let mut bad = knn.clone();
    bad.distances[4] = f32::NAN;
    assert!(gaussian_weights(&bad).is_err() && umap_weights(&bad).is_err() && distance_graph(&bad).is_err());
    let mut bad = knn.clone();
    bad.indices[0] = 0;
    assert!(gaussian_weights(&bad).is_err());
    bad.indices[0] = 4000;
    assert!(umap_weights(&bad).is_err());
    let map = diffusion_map(&gaussian_weights(&knn).unwrap(), 5, 0).unwrap();
    assert!(dpt(&map, 300, 5).is_err() && dpt(&map, 0, 6).is_err() && dpt(&map, 0, 0).is_err());
    assert!(Graph::new(vec![0, 1, 2], vec![1, 0], vec![1.0, 2.0]).is_err());
    assert!(Graph::new(vec![0, 1], vec![0], vec![1.0]).is_err());
    assert!(Graph::new(vec![], vec![], vec![]).is_err());
    let pair = Graph::new(vec![0, 1, 2, 2], vec![1, 0], vec![1.0, 1.0]).unwrap();
    assert_eq!(components(&pair).sizes, [2, 1]);
    let lonely = diffusion_map(&pair, 2, 0).unwrap();
    assert_eq!(dpt(&lonely, 2, 1).unwrap()[..2], [f64::INFINITY; 2]);
    assert_eq!(pseudotime(&lonely, 2, 1).unwrap()[2], 0.0);
}

#[test]
fn shortest_paths_follow_the_graph() {
    let x = Matrix::new(5, 1, vec![0.0, 1.0, 2.5, 3.0, 100.0]).unwrap();
    let graph = distance_graph(&exact_knn(&x, 1, Metric::Euclidean).unwrap()).unwrap();
    let lengths = shortest_paths(&graph, 0).unwrap();
    assert_eq!(lengths[..2], [0.0, 1.0]);
    assert!(lengths[2].is_infinite() && lengths[4].is_infinite());
    let graph = distance_graph(&exact_knn(&x, 2, Metric::Euclidean).unwrap()).unwrap();
    assert_eq!(shortest_paths(&graph, 0).unwrap(), [0.0, 1.0, 2.5, 3.0, 100.0]);
    assert!(shortest_paths(&graph, 5).is_err());
}

#[test]
fn layout_separates_groups_and_repeats() {
    let mut rng = Rng::new(2);
    let n = 240;
    let mut x = Matrix::zeros(n, 10);
    for i in 0..n {
        x.row_mut(i).iter_mut().for_each(|v| *v = rng.normal() as f32);
        x.row_mut(i)[i % 3] += 12.0;
    }
    let knn = exact_knn(&x, 14, Metric::Euclidean).unwrap();
    let options = UmapOptions { seed: 4, ..UmapOptions::default() };
    let points = layout(&knn, &options).unwrap();
    assert_eq!(points, layout(&knn, &options).unwrap());
    assert_ne!(points, layout(&knn, &UmapOptions { seed: 5, ..options.clone() }).unwrap());
    assert!(points.data().iter().all(|v| v.is_finite()));
    let near = exact_knn(&points, 10, Metric::Euclidean).unwrap();
    let same = (0..n)
        .flat_map(|i| near.row(i).0.iter().map(move |&j| (i, j as usize)))
        .filter(|(i, j)| i % 3 == j % 3);
    assert!(same.count() as f64 > 0.99 * (n * 10) as f64);
    assert!(layout(&knn, &UmapOptions { min_dist: 2.0, ..options.clone() }).is_err());
    assert!(layout(&knn, &UmapOptions { spread: f64::NAN, ..options }).is_err());
}

/// The reference's own seeds agree at 0.997; waypoints are random there and here.
#[test]
fn palantir_follows_its_reference() {
    let golden = json("palantir.json");
    let want = numbers(&golden["pseudotime"]);
    let options = PalantirOptions { waypoints: 150, ..PalantirOptions::default() };
    let found = palantir(&cells(), golden["early"].as_u64().unwrap() as usize, &options).unwrap();
    let rho = spearman(&want, &found).unwrap().unwrap();
    println!(
        "palantir: {rho:.4}, seeds of the reference {:.4}",
        golden["agreement_of_seeds"].as_f64().unwrap()
    );
    assert!(rho > 0.98, "{rho}");
}
