//! Tables of everything that was measured, beside those behind figures.

use std::fmt::Write;

use microtome_anatomy::routing::Routing;
use microtome_core::Result;

use super::{Source, numbers};
use crate::anatomy::cell_view::CellSide;
use crate::anatomy::geometry::{CURVES, Geometry};
use crate::anatomy::grounding::Grounded;
use crate::anatomy::medians::{Of, median};
use crate::perturb::quoted;

/// Edges whose lengths are listed per place.
const LISTED: usize = 1000;

impl Source<'_> {
    /// File below `tables/` and text of each.
    pub(in crate::anatomy) fn tables(&self) -> Result<Vec<(String, String)>> {
        let mut out = vec![
            ("geometry.csv".to_string(), self.geometry_table()?),
            ("geometry_pairs.csv".to_string(), self.pairs_table()?),
            ("genes_lost.csv".to_string(), self.losses_table()),
        ];
        if self.results.iter().any(|c| c.models.routes.is_some()) {
            out.push(("routing.csv".into(), self.routing_table()));
            out.push(("routing_chance.csv".into(), self.chance_table()));
            out.push(("routing_heads.csv".into(), self.heads_table()));
            out.push(("routing_edges.csv".into(), self.edges_table()));
            out.push(("edges_of_several_models.csv".into(), self.recovered_table()));
        }
        if !self.references.is_empty() {
            out.push(("grounding.csv".into(), self.grounding_table()));
        }
        Ok(out)
    }

    /// Every number per site: per category, the median over categories, and of cells.
    fn geometry_table(&self) -> Result<String> {
        let mut out = String::from("rows,model,category,site,metric,value,low,high,n\n");
        for of in [Of::Models, Of::Twins] {
            for (m, entry) in self.entries(of).iter().enumerate() {
                for (i, site) in entry.sites.iter().enumerate() {
                    for (at, curve) in CURVES.iter().enumerate() {
                        let mut line = |rows: &str, category: &str, numbers: String| {
                            let (model, category) = (quoted(&entry.name), quoted(category));
                            let _ = writeln!(
                                out,
                                "{rows},{model},{category},{},{},{numbers}",
                                site.site, curve.id
                            );
                        };
                        line("genes", "median over categories", numbers(&self.of_genes(curve, of, m, i)?));
                        for c in self.results {
                            let g = &of.side(c).geometry;
                            if let Some(v) = (curve.read)(g, m, i) {
                                line("genes", &c.category, format!("{v},,,{}", g.n));
                            }
                        }
                        if let Some(cells) = self.side_of_cells(of) {
                            line("cells", "all categories", numbers(&cells.curves[at][m][i]));
                        }
                    }
                }
                let about = |rows: &str, category: &str, g: &Geometry| {
                    let (model, category) = (quoted(&entry.name), quoted(category));
                    format!("{rows},{model},{category},,curvature_along_depth,{}\n", numbers(&g.curvature[m]))
                };
                for c in self.results {
                    out.push_str(&about("genes", &c.category, &of.side(c).geometry));
                }
                if let Some(cells) = self.side_of_cells(of) {
                    out.push_str(&about("cells", "all categories", &cells.geometry));
                }
            }
        }
        Ok(out)
    }

    fn side_of_cells(&self, of: Of) -> Option<&CellSide> {
        Some(&self.cells?[usize::from(of == Of::Twins)])
    }

    /// Every comparison of two sites of a model.
    fn pairs_table(&self) -> Result<String> {
        let mut out = String::from("rows,model,site,other,metric,value,low,high,n\n");
        let of_metric = |g: &Geometry, m: usize, metric: usize, a: usize, b: usize| match metric {
            0 => g.rsa.at(g.span(m).start + a, g.span(m).start + b).value,
            1 => g.cka[m].at(a, b).value,
            2 => g.neighbours[m].at(a, b).value,
            _ => g.procrustes[m].at(a, b).value,
        };
        for of in [Of::Models, Of::Twins] {
            for (m, entry) in self.entries(of).iter().enumerate() {
                for a in 0..entry.sites.len() {
                    for b in a + 1..entry.sites.len() {
                        for (at, metric) in
                            ["rsa", "cka_debiased", "mutual_knn", "procrustes"].iter().enumerate()
                        {
                            let value = median(self.results, self.seed, |c| {
                                of_metric(&of.side(c).geometry, m, at, a, b)
                            })?;
                            let (x, y) = (&entry.sites[a].site, &entry.sites[b].site);
                            let model = quoted(&entry.name);
                            if value.value.is_some() {
                                let _ = writeln!(out, "genes,{model},{x},{y},{metric},{}", numbers(&value));
                            }
                            if let Some(cells) = self.side_of_cells(of)
                                && let Some(v) = of_metric(&cells.geometry, m, at, a, b)
                            {
                                let _ = writeln!(
                                    out,
                                    "cells,{model},{x},{y},{metric},{v},,,{}",
                                    cells.geometry.n
                                );
                            }
                        }
                    }
                }
            }
        }
        Ok(out)
    }

    fn losses_table(&self) -> String {
        let mut out = String::from(
            "category,model,genes,unnamed,ambiguous,usable,shared_by_all,not_shared,shared_without_it,compared\n",
        );
        for c in self.results {
            for l in &c.losses {
                let (category, model) = (quoted(&c.category), quoted(&l.model));
                let _ = writeln!(
                    out,
                    "{category},{model},{},{},{},{},{},{},{},{}",
                    l.listed,
                    l.unnamed,
                    l.ambiguous,
                    l.usable,
                    l.shared,
                    l.not_shared,
                    l.costs,
                    c.genes.len()
                );
            }
        }
        out
    }

    /// Names of the places of one side, `model,block`.
    fn places(&self, of: Of) -> Vec<String> {
        let entries = self.entries(of);
        let routes = self.results.first().and_then(|c| of.side(c).routes.as_ref());
        let places = routes.map_or(&[][..], |r| &r.places);
        places.iter().map(|(m, b)| format!("{},{b}", quoted(&entries[*m].name))).collect()
    }

    fn routing_table(&self) -> String {
        let mut out = String::from(
            "category,k,model,block,other_model,other_block,edges,mean_quantile,median_quantile,min_quantile,max_quantile,spearman_of_union,union\n",
        );
        for of in [Of::Models, Of::Twins] {
            let places = self.places(of);
            for c in self.results {
                let Some(r) = &of.side(c).routes else { continue };
                for at in &r.routing.at {
                    for a in &at.agreement {
                        let [mean, median, min, max, rho] =
                            [a.mean, a.median, a.min, a.max, at.spearman.at(a.query, a.eval).value]
                                .map(|v| v.map(|v| v.to_string()).unwrap_or_default());
                        let _ = writeln!(
                            out,
                            "{},{},{},{},{},{mean},{median},{min},{max},{rho},{}",
                            quoted(&c.category),
                            at.k,
                            places[a.query],
                            places[a.eval],
                            a.n,
                            at.union
                        );
                    }
                }
            }
        }
        out
    }

    /// Where null edges and baselines stand in every block.
    fn chance_table(&self) -> String {
        let mut out = String::from(
            "category,set,drawn_for_model,drawn_for_block,in_model,in_block,edges,median_quantile\n",
        );
        for of in [Of::Models, Of::Twins] {
            let (places, entries) = (self.places(of), self.entries(of));
            for c in self.results {
                let Some(r) = &of.side(c).routes else { continue };
                out.push_str(&sets_of(&c.category, "", &r.routing, &places));
                let members: Vec<String> =
                    r.members.iter().map(|&m| format!("{},", quoted(&entries[m].name))).collect();
                for (rule, routing) in &r.consensus {
                    out.push_str(&sets_of(&c.category, &format!("consensus {rule}: "), routing, &members));
                }
            }
        }
        out
    }

    fn heads_table(&self) -> String {
        let mut out = String::from(
            "category,model,block,head,entropy,entropy_normalised,effective_keys,top10_mass,sink_gene,sink_mass\n",
        );
        for of in [Of::Models, Of::Twins] {
            let places = self.places(of);
            for c in self.results {
                let Some(r) = &of.side(c).routes else { continue };
                for (place, heads) in places.iter().zip(&r.heads) {
                    for h in heads {
                        let [entropy, normalised, keys, top] =
                            [&h.entropy, &h.entropy_normalised, &h.effective_keys, &h.top_mass]
                                .map(|e| e.value.map(|v| v.to_string()).unwrap_or_default());
                        let sink = self.id(c.genes[h.sink as usize]);
                        let _ = writeln!(
                            out,
                            "{},{place},{},{entropy},{normalised},{keys},{top},{sink},{}",
                            quoted(&c.category),
                            h.head,
                            h.sink_mass
                        );
                    }
                }
            }
        }
        out
    }

    fn id(&self, row: usize) -> String {
        quoted(&self.store.genes().genes[row].id)
    }

    /// The strongest edges of every block with what they move.
    fn edges_table(&self) -> String {
        let mut out =
            String::from("category,model,block,rank,query_gene,key_gene,score,value_weighted_norm\n");
        let places = self.places(Of::Models);
        for c in self.results {
            let Some(r) = &c.models.routes else { continue };
            for ((place, top), moved) in places.iter().zip(&r.routing.top).zip(&r.moved) {
                for (i, e) in top.iter().take(self.k().min(LISTED)).enumerate() {
                    let length = moved.as_ref().and_then(|m| m.lengths.get(i));
                    let length = length.map(|v| v.to_string()).unwrap_or_default();
                    let (from, to) = (c.genes[e.edge.from as usize], c.genes[e.edge.to as usize]);
                    let _ = writeln!(
                        out,
                        "{},{place},{},{},{},{},{length}",
                        quoted(&c.category),
                        i + 1,
                        self.id(from),
                        self.id(to),
                        e.score
                    );
                }
            }
        }
        out
    }

    /// Edges that several models have among the strongest of their consensus.
    fn recovered_table(&self) -> String {
        let mut out = String::from(
            "category,models,edges,expected,expected_low,expected_high,draws,p,query_gene,key_gene\n",
        );
        for c in self.results {
            for found in c.models.routes.iter().flat_map(|r| &r.recovered) {
                let head = format!(
                    "{},{},{},{},{}",
                    quoted(&c.category),
                    found.models,
                    found.edges.len(),
                    numbers(&found.expected),
                    found.p
                );
                let _ = writeln!(out, "{head},,");
                for e in found.edges.iter().take(LISTED) {
                    let (from, to) = (c.genes[e.from as usize], c.genes[e.to as usize]);
                    let _ = writeln!(out, "{head},{},{}", self.id(from), self.id(to));
                }
            }
        }
        out
    }

    fn grounding_table(&self) -> String {
        let mut out = String::from(
            "reference,category,what,model,block_or_site,edges_or_sets,known,rate,rate_low,rate_high,null,null_low,null_high,enrichment_or_excess,low,high,p\n",
        );
        let number = |v: Option<f64>| v.map(|v| v.to_string()).unwrap_or_default();
        for of in [Of::Models, Of::Twins] {
            let (places, entries) = (self.places(of), self.entries(of));
            for c in self.results {
                for (reference, found) in self.references.iter().zip(&of.side(c).grounded) {
                    let head = format!("{},{}", quoted(&reference.name), quoted(&c.category));
                    match found {
                        Grounded::Edges { places: all, baselines } => {
                            let of_places = places.iter().zip(all).map(|(p, e)| (format!("edges,{p}"), e));
                            let simple = baselines.iter().map(|(name, member, e)| {
                                let model = member.map_or(String::new(), |m| quoted(&entries[m].name));
                                (format!("{},{model},", quoted(name)), e)
                            });
                            for (what, e) in of_places.chain(simple) {
                                let _ = writeln!(
                                    out,
                                    "{head},{what},{},{},{},{},{},{},{},{},{},{},{},{}",
                                    e.n,
                                    e.known,
                                    number(e.rate.value),
                                    number(e.rate.low),
                                    number(e.rate.high),
                                    number(e.null_rate.value),
                                    number(e.null_rate.low),
                                    number(e.null_rate.high),
                                    number(e.enrichment.value),
                                    number(e.enrichment.low),
                                    number(e.enrichment.high),
                                    number(e.p)
                                );
                            }
                        }
                        Grounded::Neighbours { sites, baselines } => {
                            let of_sites = entries.iter().zip(sites).flat_map(|(e, all)| {
                                e.sites
                                    .iter()
                                    .zip(all)
                                    .map(|(s, x)| (format!("neighbours,{},{}", quoted(&e.name), s.site), x))
                            });
                            let simple = baselines.iter().map(|(name, x)| (format!("{},,", quoted(name)), x));
                            for (what, x) in of_sites.chain(simple) {
                                let e = &x.excess;
                                let _ = writeln!(
                                    out,
                                    "{head},{what},{},,,,,,,,{},{},{},",
                                    x.sets.len(),
                                    number(e.value),
                                    number(e.low),
                                    number(e.high)
                                );
                            }
                        }
                    }
                }
            }
        }
        out
    }
}

/// Rows of the table of chance: where every set of edges stands in every place.
fn sets_of(category: &str, what: &str, routing: &Routing, places: &[String]) -> String {
    let mut out = String::new();
    for set in &routing.sets {
        let drawn = set.block.map_or(",", |b| places[b].as_str());
        for a in &set.ranks {
            let median = a.median.map(|v| v.to_string()).unwrap_or_default();
            let set = quoted(&format!("{what}{}", set.name));
            let _ = writeln!(out, "{},{set},{drawn},{},{},{median}", quoted(category), places[a.eval], a.n);
        }
    }
    out
}
