//! The published folder: `cell_bert/`, `cell_proj.bin`, and a text tower that is left alone.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};

use crate::hugging_face::{folder_of, weights_file};
use crate::json::JsonConfig;
use crate::nn::bert::BertConfig;
use crate::tokenize::rank_files::{self, DictionaryFiles, PublishedIn};

pub(super) const TOWER: &str = "cell_bert";
pub(super) const PROJECTION: &str = "cell_proj.bin";
const REMEDY: &str = "download the checkpoint folder that the README of github PharMolix/LangCell links to";

/// Where the dictionaries are published.
pub(super) const DICTIONARIES: PublishedIn = PublishedIn {
    folders: &["geneformer_001/geneformer", "geneformer"],
    added: 1,
    expected: "token_dictionary.pkl and gene_median_dictionary.pkl of the first Geneformer",
    remedy: "copy both from geneformer_001/geneformer of github PharMolix/LangCell into the folder that holds cell_bert",
    belongs: "the model's vocabulary is the dictionary of the first Geneformer (25,426 entries) and <cls>",
};

/// The folder that holds the tower, when a path is it, is within it, or names the tower itself.
pub(super) fn root_of(path: &Path) -> Option<PathBuf> {
    let folder = folder_of(path);
    if folder.join(TOWER).join("config.json").is_file() {
        return Some(folder);
    }
    // `canonicalize` so that the parent of `.` is found as well.
    let whole = folder.canonicalize().ok()?;
    let parent = whole.parent()?;
    (whole.ends_with(TOWER) && whole.join("config.json").is_file()).then(|| parent.to_path_buf())
}

/// Every file of a model.
pub(super) struct Files {
    pub(super) config: PathBuf,
    pub(super) weights: PathBuf,
    pub(super) projection: PathBuf,
    pub(super) dictionaries: DictionaryFiles,
}

/// A BERT configuration with its token types.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) bert: BertConfig,
    pub(super) type_vocab_size: usize,
}

impl Config {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let json = JsonConfig::read(path)?;
        let bert =
            BertConfig::read(&json, &["relu", "gelu", "gelu_new", "silu"]).map_err(|e| e.in_file(path))?;
        Ok(Self { bert, type_vocab_size: json.dimension("type_vocab_size")? })
    }
}

/// Finds the files of the model at `path` and reads its configuration.
pub(super) fn find(path: &Path) -> Result<(Files, Config)> {
    let root = root_of(path).ok_or_else(|| {
        Error::unreadable("not a folder of LangCell")
            .in_file(path)
            .expected(format!("{TOWER}/config.json and {PROJECTION}"))
            .remedy(REMEDY)
    })?;
    let tower = root.join(TOWER);
    let projection = root.join(PROJECTION);
    if !projection.is_file() {
        return Err(Error::unreadable("the projection of the cell vector is missing")
            .in_file(&projection)
            .expected(format!("{PROJECTION} beside {TOWER}: the published cell vector is made by it"))
            .remedy(REMEDY));
    }
    let config_path = tower.join("config.json");
    let config = Config::read(&config_path)?;
    let files = Files {
        weights: weights_file(&tower, REMEDY)?,
        dictionaries: rank_files::find(&root, Some(config.bert.vocab_size), &DICTIONARIES)?,
        config: config_path,
        projection,
    };
    Ok((files, config))
}
