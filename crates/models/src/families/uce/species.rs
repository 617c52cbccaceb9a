//! Species of a checkpoint: which genes have a row, on which chromosome they lie, and where.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};
use microtome_weights::{Checkpoint, read_str_int_dict};

use super::settings::{CHROMOSOMES, OFFSETS};

/// Largest table that is read.
const MAX_BYTES: u64 = 256 << 20;
/// Table of further species, as the reference has it.
const NEW_SPECIES: &str = "new_species_protein_embeddings.csv";
/// Species by the beginning of their published file names.
const PUBLISHED: [(&str, &str); 8] = [
    ("Homo_sapiens", "human"),
    ("Mus_musculus", "mouse"),
    ("Xenopus_tropicalis", "frog"),
    ("Danio_rerio", "zebrafish"),
    ("Microcebus_murinus", "mouse_lemur"),
    ("Sus_scrofa", "pig"),
    ("Macaca_fascicularis", "macaca_fascicularis"),
    ("Macaca_mulatta", "macaca_mulatta"),
];

/// Where a gene lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Rank of `SPECIES_CHROMOSOME` among all of the table.
    pub(super) chromosome: u32,
    pub(super) start: i64,
}

/// One species with a dictionary of proteins.
pub(super) struct Species {
    pub(super) name: String,
    pub(super) file: PathBuf,
    /// Row of its first gene.
    pub(super) offset: usize,
    /// Upper-case symbols in the order of the dictionary.
    symbols: Vec<String>,
    places: Vec<Option<Place>>,
    index: HashMap<String, u32>,
}

impl Species {
    pub(super) fn len(&self) -> usize {
        self.symbols.len()
    }

    /// Row of a gene by its symbol in any case, where it has a chromosome.
    pub(super) fn row(&self, symbol: &str) -> Option<u32> {
        let at = *self.index.get(&symbol.to_uppercase())? as usize;
        self.places[at].map(|_| (self.offset + at) as u32)
    }
}

/// Every species with a dictionary, and the names of the chromosomes of all.
pub(super) struct AllSpecies {
    pub(super) species: Vec<Species>,
    /// `SPECIES_CHROMOSOME`, sorted.
    pub(super) chromosomes: Vec<String>,
}

impl AllSpecies {
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let offsets_path = folder.join(OFFSETS);
        let offsets: BTreeMap<String, i64> = read_str_int_dict(&offsets_path)?.into_iter().collect();
        let (chromosomes, mut genes) = chromosomes(&folder.join(CHROMOSOMES))?;
        let mut species = vec![];
        for (name, file) in dictionaries(folder)? {
            let offset = offsets.get(&name).and_then(|o| usize::try_from(*o).ok()).ok_or_else(|| {
                Error::mismatch("a species has proteins but no place in the token table")
                    .in_file(&offsets_path)
                    .at_key(name.clone())
                    .expected(format!("one of: {}", offsets.keys().cloned().collect::<Vec<_>>().join(", ")))
                    .remedy("species_offsets.pkl and the protein embeddings must belong together")
            })?;
            let places = genes.remove(&name).unwrap_or_default();
            species.push(Species::read(name, file, offset, &places)?);
        }
        if species.is_empty() {
            return Err(Error::unreadable("no dictionary of protein embeddings was found")
                .in_file(folder)
                .expected("protein_embeddings/Homo_sapiens.*.pt or that of another species")
                .remedy("unpack protein_embeddings.tar.gz beside the weights"));
        }
        species.sort_by_key(|s| s.offset);
        if let Some(w) = species.windows(2).find(|w| w[0].offset + w[0].len() > w[1].offset) {
            return Err(Error::mismatch("two species overlap in the token table")
                .in_file(&offsets_path)
                .found(format!("{} and {}", w[0].name, w[1].name)));
        }
        Ok(Self { species, chromosomes })
    }

    fn of_row(&self, row: u32) -> Option<(&Species, usize)> {
        let at = self.species.partition_point(|s| s.offset <= row as usize).checked_sub(1)?;
        let species = &self.species[at];
        let place = row as usize - species.offset;
        (place < species.len()).then_some((species, place))
    }

    /// Symbol of a row.
    pub(super) fn symbol(&self, row: u32) -> Option<&str> {
        self.of_row(row).map(|(s, at)| s.symbols[at].as_str())
    }

    /// Chromosome and start of a row.
    pub(super) fn place(&self, row: u32) -> Option<Place> {
        self.of_row(row).and_then(|(s, at)| s.places[at])
    }
}

impl Species {
    fn read(name: String, file: PathBuf, offset: usize, places: &HashMap<String, Place>) -> Result<Self> {
        let dictionary = Checkpoint::open(&file)?;
        let symbols: Vec<String> = dictionary.names().iter().map(|n| n.to_uppercase()).collect();
        if offset.checked_add(symbols.len()).and_then(|n| u32::try_from(n).ok()).is_none() {
            return Err(Error::unreadable("the species lies beyond any token table")
                .in_file(&file)
                .found(offset.to_string()));
        }
        // The last of several spellings of a name counts, as in a Python dictionary.
        let index = symbols.iter().enumerate().map(|(i, s)| (s.clone(), i as u32)).collect();
        let places = symbols.iter().map(|s| places.get(s).copied()).collect();
        Ok(Self { name, file, offset, symbols, places, index })
    }
}

/// Dictionaries of proteins that are there, by species.
fn dictionaries(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut out = BTreeMap::new();
    for place in ["protein_embeddings", "protein_embeddings_export/ESM2", "."] {
        let Ok(entries) = std::fs::read_dir(folder.join(place)) else { continue };
        let mut files: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        files.sort();
        for file in files {
            let name = file.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let stem = name.split('.').next().unwrap_or_default();
            let known = PUBLISHED.iter().find(|(published, _)| *published == stem);
            if let (Some((_, species)), true) = (known, name.contains("gene_symbol_to_embedding")) {
                out.entry((*species).to_string()).or_insert(file);
            }
        }
    }
    let further = folder.join(NEW_SPECIES);
    if further.is_file() {
        let table = Csv::read(&further, &["species", "path"])?;
        for row in &table.rows {
            out.insert(row[0].clone(), folder.join(&row[1]));
        }
    }
    Ok(out)
}

type Places = HashMap<String, HashMap<String, Place>>;

/// All chromosome names, sorted, and places of genes by species and upper-case symbol.
fn chromosomes(path: &Path) -> Result<(Vec<String>, Places)> {
    let table = Csv::read(path, &["species", "gene_symbol", "chromosome", "start"])?;
    let name = |row: &[String]| format!("{}_{}", row[0], row[2]);
    let names: Vec<String> =
        table.rows.iter().map(|r| name(r)).collect::<BTreeSet<_>>().into_iter().collect();
    let mut places = Places::new();
    for row in &table.rows {
        let start = row[3].parse::<f64>().ok().filter(|s| s.is_finite()).ok_or_else(|| {
            Error::unreadable("not a position on a chromosome")
                .in_file(path)
                .at_key(format!("start of {}", row[1]))
                .found(format!("\"{}\"", row[3]))
        })?;
        let own = name(row);
        let place = Place { chromosome: names.partition_point(|n| *n < own) as u32, start: start as i64 };
        places.entry(row[0].clone()).or_default().entry(row[1].to_uppercase()).or_insert(place);
    }
    Ok((names, places))
}

/// Chosen columns of a table of comma-separated values without quotes.
struct Csv {
    rows: Vec<Vec<String>>,
}

impl Csv {
    fn read(path: &Path, columns: &[&str]) -> Result<Self> {
        let unreadable =
            |e: std::io::Error| Error::unreadable("cannot read the table").in_file(path).caused_by(e);
        if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_BYTES {
            return Err(Error::unreadable("the table is too large to be one").in_file(path));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().unwrap_or_default().split(',').map(str::trim).collect();
        let wanted: Vec<usize> = columns
            .iter()
            .map(|c| {
                header.iter().position(|h| h == c).ok_or_else(|| {
                    Error::unreadable("the table lacks a column")
                        .in_file(path)
                        .at_key((*c).to_string())
                        .expected(columns.join(", "))
                        .found(header.join(", "))
                })
            })
            .collect::<Result<_>>()?;
        let mut rows = vec![];
        for (i, line) in lines.enumerate().filter(|(_, l)| !l.trim().is_empty()) {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let row: Option<Vec<String>> =
                wanted.iter().map(|&w| fields.get(w).map(|f| (*f).to_string())).collect();
            rows.push(row.ok_or_else(|| {
                Error::unreadable("a row of the table is too short")
                    .in_file(path)
                    .at_key(format!("line {}", i + 2))
            })?);
        }
        Ok(Self { rows })
    }
}
