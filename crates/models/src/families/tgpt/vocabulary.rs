//! `tokenizer.json`: a word-level vocabulary of gene symbols.

use std::collections::HashSet;
use std::path::Path;

use microtome_core::{Error, GeneTable, Result};

use serde_json::{Value, json};

use crate::dimensions::check_names;
use crate::json::JsonConfig;
use crate::tokenize::symbols::{Duplicates, match_symbols};
use crate::{GeneMatch, Overlap};

const BEGIN: &str = "</b>";
const END: &str = "</s>";

/// Symbols by token, and the markers around a cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Vocabulary {
    pub(super) names: Vec<String>,
    pub(super) begin: u32,
    pub(super) end: u32,
}

impl Vocabulary {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let file = JsonConfig::read(path)?;
        // What decides the tokens of a text besides the vocabulary.
        file.object("pre_tokenizer")?.one_of("type", &["Whitespace"])?;
        file.object("post_processor")?.one_of("type", &["TemplateProcessing"])?;
        let model = file.object("model")?;
        model.one_of("type", &["WordLevel"])?;
        let vocabulary = model.object("vocab")?;
        let n = vocabulary.entries().count();
        let mut names = vec![String::new(); n];
        let mut seen = HashSet::new();
        for (name, id) in vocabulary.entries() {
            let slot = id.as_u64().and_then(|i| usize::try_from(i).ok()).filter(|i| seen.insert(*i));
            let slot = slot.and_then(|i| names.get_mut(i)).ok_or_else(|| {
                Error::unreadable("the vocabulary does not number its entries one by one")
                    .in_file(path)
                    .at_key(name.clone())
                    .expected(format!("a number of its own below {n}"))
                    .found(id.to_string())
            })?;
            slot.clone_from(name);
        }
        let special = |text: &str| {
            names.iter().position(|n| n == text).map(|i| i as u32).ok_or_else(|| {
                Error::unreadable("the vocabulary lacks a marker of this family").in_file(path).at_key(text)
            })
        };
        Ok(Self { begin: special(BEGIN)?, end: special(END)?, names })
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    fn is_special(name: &str) -> bool {
        name.starts_with('<') && name.ends_with('>')
    }

    /// Symbols of the data as the authors write them, `-` and `.` as `_`, matched exactly. Columns of one symbol are added up.
    pub(super) fn match_genes(&self, genes: &GeneTable) -> Result<GeneMatch> {
        let written = |names: &[String]| names.iter().map(|n| as_written(n)).collect::<Vec<String>>();
        let genes = GeneTable {
            names: written(&genes.names),
            symbols: genes.symbols.as_deref().map(written),
            ..genes.clone()
        };
        let found = match_symbols(&self.names, &genes, Duplicates::Sum)?;
        let is_gene = |t: &u32| self.names.get(*t as usize).is_some_and(|n| !Self::is_special(n));
        let token_of_gene: Vec<Option<u32>> =
            found.token_of_gene.iter().map(|t| t.filter(is_gene)).collect();
        let overlap = found.overlap;
        let specials = self.names.iter().filter(|n| Self::is_special(n)).count();
        let source = overlap.source.split(',').next().unwrap_or_default();
        let overlap = Overlap {
            n_matched: token_of_gene.iter().flatten().count(),
            n_vocabulary: overlap.n_vocabulary - specials,
            source: format!("{source}, with - and . as _, matched exactly; genes outside the vocabulary are left out"),
            ..overlap
        };
        Ok(GeneMatch { token_of_gene, sum_duplicates: found.sum_duplicates, counted: found.counted, overlap })
    }
}

/// `tokenizer.json` over these symbols, in the layout of the published file. Symbols that become one in the authors' spelling are one entry.
pub(super) fn to_json(symbols: &[String]) -> Result<Value> {
    let mut seen = HashSet::new();
    let genes: Vec<String> =
        symbols.iter().map(|s| as_written(s)).filter(|s| seen.insert(s.clone())).collect();
    check_names(genes.iter().map(String::as_str))?;
    let specials = ["<pad>", BEGIN, END, "<unk>"];
    let names = specials.iter().map(|s| (*s).to_string()).chain(genes);
    let vocab: serde_json::Map<String, Value> = names.zip(0u32..).map(|(n, id)| (n, id.into())).collect();
    let added: Vec<Value> = specials
        .iter()
        .zip(0u32..)
        .map(|(s, id)| {
            json!({"id": id, "content": s, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false})
        })
        .collect();
    let marker = |name: &str, id: u32| json!({"id": name, "ids": [id], "tokens": [name]});
    let of = |name: &str| json!({"SpecialToken": {"id": name, "type_id": 0}});
    let text = |id: &str, type_id: u32| json!({"Sequence": {"id": id, "type_id": type_id}});
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [of(BEGIN), text("A", 0), of(END)],
            "pair": [text("A", 0), text("B", 1)],
            "special_tokens": {BEGIN: marker(BEGIN, 1), END: marker(END, 2)},
        },
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
    }))
}

/// `HLA-A` and `RP11-34P13.7` as `HLA_A` and `RP11_34P13_7`.
pub(super) fn as_written(symbol: &str) -> String {
    symbol.replace(['-', '.'], "_")
}
