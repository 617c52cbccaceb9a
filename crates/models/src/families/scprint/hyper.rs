//! Hyper-parameters of a checkpoint: what cannot be told from the shapes, and what must not be otherwise.

use microtome_core::{Error, Result};
use microtome_weights::{Checkpoint, Value};
use serde_json::{Map, Value as Json};

use super::layout::HYPER;

/// Classes whose tokens the authors' `Embedder` pools when nobody says otherwise.
const DEFAULT_POOLED: [&str; 4] = [
    "cell_type_ontology_term_id",
    "disease_ontology_term_id",
    "self_reported_ethnicity_ontology_term_id",
    "sex_ontology_term_id",
];

/// How counts become the numbers of the value encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Normalisation {
    /// `x / sum of x over the selected genes`.
    Sum,
    /// `log2(1 + x)`.
    Log,
}

/// One predicted class.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Class {
    pub(super) name: String,
    /// Leaf labels.
    pub(super) n: usize,
    /// Label per column of the head, where the file names them.
    pub(super) labels: Vec<String>,
}

/// What the network and the tokeniser need.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hyper {
    /// Ensembl ids of all organisms, one organism after the other.
    pub(super) genes: Vec<String>,
    pub(super) organisms: Vec<String>,
    pub(super) d_model: usize,
    pub(super) n_blocks: usize,
    pub(super) n_heads: usize,
    pub(super) normalisation: Normalisation,
    pub(super) classes: Vec<Class>,
    /// Indices into `classes`.
    pub(super) pooled: Vec<usize>,
    /// Whether the file itself says which classes are pooled.
    pub(super) pooled_by_file: bool,
    /// As in the file, for twins.
    pub(super) raw: Map<String, Json>,
}

/// Keys that are read, and kept for twins.
const KEYS: [&str; 29] = [
    "genes",
    "organisms",
    "d_model",
    "nlayers",
    "nhead",
    "num_heads_kv",
    "normalization",
    "classes",
    "label_counts",
    "label_decoders",
    "pred_embedding",
    "gene_pos_enc",
    "expr_encoder_layers",
    "layers_cls",
    "transformer",
    "expr_emb_style",
    "domain_spec_batchnorm",
    "n_input_bins",
    "cell_emb_style",
    "cell_specific_blocks",
    "compress_class_dim",
    "attn_bias",
    "prenorm",
    "zinb",
    "depth_atinput",
    "use_metacell_token",
    "freeze_embeddings",
    "precpt_gene_emb",
    "mvc_decoder",
];

impl Hyper {
    pub(super) fn read(checkpoint: &Checkpoint) -> Result<Self> {
        let raw = match checkpoint.metadata().iter().find(|(k, _)| k == HYPER) {
            Some((_, text)) => serde_json::from_str(text).map_err(|e| {
                Error::unreadable("the hyper-parameters are not JSON").at_key(HYPER).caused_by(e)
            })?,
            None => from_pickle(checkpoint)?,
        };
        Self::parse(raw)
    }

    pub(super) fn parse(raw: Map<String, Json>) -> Result<Self> {
        check_supported(&raw)?;
        let classes = classes(&raw)?;
        let named = raw.get("pred_embedding").and_then(Json::as_array).filter(|l| !l.is_empty());
        let pooled = match named {
            Some(names) => names.iter().map(|n| index_of(&classes, n)).collect::<Result<Vec<_>>>()?,
            None => (0..classes.len()).filter(|&i| DEFAULT_POOLED.contains(&classes[i].name.as_str())).collect(),
        };
        let normalisation = match raw.get("normalization") {
            // Files from before the option exist; the code of that time divided by the sum.
            None => Normalisation::Sum,
            Some(Json::String(s)) if s == "sum" => Normalisation::Sum,
            Some(Json::String(s)) if s == "log" => Normalisation::Log,
            Some(other) => return Err(unsupported("normalization", "\"sum\" or \"log\"", other)),
        };
        let hyper = Self {
            genes: texts(&raw, "genes")?,
            organisms: texts(&raw, "organisms")?,
            d_model: dimension(&raw, "d_model")?,
            n_blocks: dimension(&raw, "nlayers")?,
            n_heads: dimension(&raw, "nhead")?,
            normalisation,
            pooled_by_file: named.is_some(),
            classes,
            pooled,
            raw,
        };
        if hyper.pooled.is_empty() {
            return Err(Error::unsupported("no class token makes the cell vector")
                .at_key("hyper_parameters.pred_embedding")
                .expected("names of classes of the model"));
        }
        if !hyper.d_model.is_multiple_of(hyper.n_heads) {
            return Err(Error::unreadable("the width does not divide into the heads")
                .at_key("hyper_parameters.nhead")
                .expected(format!("a divisor of d_model {}", hyper.d_model))
                .found(hyper.n_heads.to_string()));
        }
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = hyper.genes.iter().find(|g| !seen.insert(g.as_str())) {
            return Err(Error::unreadable("a gene is listed twice").at_key("hyper_parameters.genes").found(twice.clone()));
        }
        Ok(hyper)
    }
}

fn from_pickle(checkpoint: &Checkpoint) -> Result<Map<String, Json>> {
    let value = checkpoint.value(HYPER).ok_or_else(|| {
        Error::unreadable("the checkpoint holds no hyper-parameters; heads and genes cannot be told without them")
            .at_key(HYPER)
            .expected("a Lightning file with hyper_parameters")
            .remedy("use the published .ckpt file rather than a bare state_dict")
    })?;
    Ok(KEYS.iter().filter_map(|k| Some(((*k).to_string(), json(value.get(k)?, 0)))).collect())
}

/// Plain data as JSON; whatever else a pickle may hold is null.
fn json(value: &Value, depth: usize) -> Json {
    if depth > 8 {
        return Json::Null;
    }
    let list = |items: &[Value]| Json::Array(items.iter().map(|v| json(v, depth + 1)).collect());
    match value {
        Value::Bool(b) => (*b).into(),
        Value::Int(i) => (*i).into(),
        Value::Float(f) => (*f).into(),
        Value::Str(s) => s.to_string().into(),
        Value::List(items) | Value::Tuple(items) | Value::Set(items) => list(items),
        Value::Dict(dict) => {
            let key = |k: &Value| match k {
                Value::Str(s) => Some(s.to_string()),
                Value::Int(i) => Some(i.to_string()),
                _ => None,
            };
            // A list of pairs keeps the order of the file, which is the order of the class tokens.
            let pairs = dict.entries().iter().filter_map(|(k, v)| {
                Some(Json::Array(vec![key(k)?.into(), json(v, depth + 1)]))
            });
            let mut out = Map::new();
            out.insert("pairs".into(), Json::Array(pairs.collect()));
            Json::Object(out)
        }
        _ => Json::Null,
    }
}

/// Entries of a dictionary that went through [`json`], in file order.
fn pairs(value: &Json) -> Option<Vec<(&str, &Json)>> {
    value.get("pairs")?.as_array()?.iter().map(|p| Some((p.get(0)?.as_str()?, p.get(1)?))).collect()
}

fn classes(raw: &Map<String, Json>) -> Result<Vec<Class>> {
    let wrong = |key: &str, expected: &str| {
        Error::unreadable("the classes of the model cannot be read")
            .at_key(format!("hyper_parameters.{key}"))
            .expected(expected)
    };
    let listed = raw.get("classes").ok_or_else(|| wrong("classes", "a dictionary or a list"))?;
    let sizes = match listed {
        // Newer files list the names and keep the sizes apart.
        Json::Array(names) => {
            let counts = raw.get("label_counts").and_then(pairs);
            let counts = counts.ok_or_else(|| wrong("label_counts", "the number of labels per class"))?;
            names
                .iter()
                .map(|n| {
                    let name = n.as_str().ok_or_else(|| wrong("classes", "names"))?;
                    let n = counts.iter().find(|(c, _)| *c == name);
                    Ok((name, n.ok_or_else(|| wrong("label_counts", &format!("an entry {name}")))?.1))
                })
                .collect::<Result<Vec<_>>>()?
        }
        other => pairs(other).ok_or_else(|| wrong("classes", "a dictionary or a list"))?,
    };
    let decoders = raw.get("label_decoders").and_then(pairs).unwrap_or_default();
    sizes
        .into_iter()
        .map(|(name, n)| {
            let n = n.as_u64().filter(|n| (1..=1 << 20).contains(n)).map(|n| n as usize);
            let n = n.ok_or_else(|| wrong("classes", "a positive number of labels"))?;
            let table = decoders.iter().find(|(c, _)| *c == name).and_then(|(_, d)| pairs(d));
            let label = |i: usize| {
                let key = i.to_string();
                table.as_ref()?.iter().find(|(k, _)| *k == key)?.1.as_str().map(str::to_string)
            };
            let labels = (0..n).map(label).collect::<Option<Vec<_>>>().unwrap_or_default();
            Ok(Class { name: name.to_string(), n, labels })
        })
        .collect()
}

fn index_of(classes: &[Class], name: &Json) -> Result<usize> {
    let known = |c: &Class| name.as_str() == Some(c.name.as_str());
    classes.iter().position(known).ok_or_else(|| {
        let all: Vec<&str> = classes.iter().map(|c| c.name.as_str()).collect();
        Error::unreadable("the cell vector is made of a class that the model does not have")
            .at_key("hyper_parameters.pred_embedding")
            .expected(all.join(", "))
            .found(name.to_string())
    })
}

/// Options under which the network would be another one.
fn check_supported(raw: &Map<String, Json>) -> Result<()> {
    let text = |allowed: &'static [&'static str]| {
        move |v: &Json| v.is_null() || v.as_str().is_some_and(|s| allowed.contains(&s))
    };
    let flag = |wanted: bool| move |v: &Json| v.as_bool() == Some(wanted);
    type Test = Box<dyn Fn(&Json) -> bool>;
    let rules: [(&str, &str, Test); 9] = [
        ("transformer", "\"flash\" or \"normal\"", Box::new(|v| matches!(v.as_str(), Some("flash" | "normal")))),
        ("expr_emb_style", "\"continuous\"", Box::new(text(&["continuous"]))),
        ("domain_spec_batchnorm", "none", Box::new(text(&["None", "none"]))),
        ("n_input_bins", "0", Box::new(|v| v.as_i64() == Some(0) || v.is_null())),
        ("cell_emb_style", "\"cls\"", Box::new(text(&["cls"]))),
        ("cell_specific_blocks", "false", Box::new(flag(false))),
        ("compress_class_dim", "none", Box::new(Json::is_null)),
        ("attn_bias", "\"none\"", Box::new(text(&["none", "None"]))),
        ("prenorm", "true", Box::new(flag(true))),
    ];
    for (key, expected, allowed) in &rules {
        // An option that a file does not have did not exist when the file was written, or was dropped since.
        if let Some(value) = raw.get(*key).filter(|v| !allowed(v)) {
            return Err(unsupported(key, expected, value));
        }
    }
    match raw.get("zinb") {
        Some(v) if v.as_bool() != Some(true) => Err(unsupported("zinb", "true", v)),
        _ => Ok(()),
    }
}

fn unsupported(key: &str, expected: &str, found: &Json) -> Error {
    Error::unsupported("this option of scPRINT is not implemented")
        .at_key(format!("hyper_parameters.{key}"))
        .expected(expected)
        .found(found.to_string())
}

fn dimension(raw: &Map<String, Json>, key: &str) -> Result<usize> {
    let n = raw.get(key).and_then(Json::as_u64).filter(|n| (1..=crate::json::MAX_DIMENSION).contains(n));
    n.map(|n| n as usize).ok_or_else(|| {
        Error::unreadable("a hyper-parameter that decides the arithmetic is missing or not a dimension")
            .at_key(format!("hyper_parameters.{key}"))
            .expected("a positive whole number")
            .found(raw.get(key).map_or("nothing".into(), ToString::to_string))
    })
}

fn texts(raw: &Map<String, Json>, key: &str) -> Result<Vec<String>> {
    let list = raw.get(key).and_then(Json::as_array);
    let texts: Option<Vec<String>> =
        list.and_then(|l| l.iter().map(|v| v.as_str().map(str::to_string)).collect());
    texts.filter(|t| !t.is_empty()).ok_or_else(|| {
        Error::unreadable("a hyper-parameter is not a list of names")
            .at_key(format!("hyper_parameters.{key}"))
            .expected("a list of texts; lists per organism (scPRINT-2) are not supported")
    })
}
