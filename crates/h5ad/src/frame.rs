//! `obs` and `var`: data frames as groups, or as one array of records in very old files.

use microtome_core::{Column, Error, ErrorKind, Result, Table, closest};

use crate::column::{self, Reader, Source};
use crate::hdf5::{Array, Group, Kind, Node, Values};

/// A data frame that has not been read yet.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    /// One dataset per column.
    Columns { group: Group, index: String },
    /// anndata before 0.7: one dataset of records, categories in `uns/{column}_categories`.
    Records { array: Array, uns: Option<Group> },
}

impl Frame {
    /// The frame called `name` in `parent`; `root` is where old files keep categories.
    pub(crate) fn open(root: &Group, parent: &Group, name: &str) -> Result<Self> {
        match parent.node(name)? {
            Node::Group(group) => {
                let index = match group.text_attribute("_index")? {
                    Some(index) => index,
                    None if group.has("_index") => "_index".into(),
                    None if group.has("index") => "index".into(),
                    None => {
                        return Err(Error::unreadable("data frame without row names")
                            .at_key(group.key())
                            .expected("an attribute _index that names the column of row names"));
                    }
                };
                Ok(Self::Columns { group, index })
            }
            Node::Array(array) => match array.kind() {
                Kind::Compound { .. } => {
                    let uns = if root.has("uns") { root.group("uns").ok() } else { None };
                    Ok(Self::Records { array, uns })
                }
                other => Err(Error::unreadable("not a data frame")
                    .at_key(array.key())
                    .expected("a group of columns")
                    .found(other.name())),
            },
        }
    }

    /// Number of rows, without reading any.
    pub(crate) fn len(&self) -> Result<usize> {
        match self {
            Self::Records { array, .. } => Ok(array.len()),
            Self::Columns { group, index } => match group.node(index)? {
                Node::Array(array) => Ok(array.len()),
                Node::Group(nullable) if nullable.has("codes") => Ok(nullable.array("codes")?.len()),
                Node::Group(nullable) => Ok(nullable.array("values")?.len()),
            },
        }
    }

    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Columns { group, .. } => group.key(),
            Self::Records { array, .. } => array.key(),
        }
    }

    /// Row names; numbers become text.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let reader = self.name_reader()?;
        Ok(column::texts(reader.read(0..reader.len())?))
    }

    /// The column of row names.
    pub(crate) fn name_reader(&self) -> Result<Reader> {
        match self {
            Self::Columns { group, index } => Reader::open(&group.node(index)?),
            Self::Records { array, .. } => Reader::plain(Source::field(array, record_index(array)?)?),
        }
    }

    /// Column names in stored order.
    pub(crate) fn column_names(&self) -> Result<Vec<String>> {
        match self {
            Self::Records { array, .. } => {
                let Kind::Compound { fields, .. } = array.kind() else { return Ok(vec![]) };
                let index = record_index(array)?;
                Ok(fields.iter().map(|(n, _, _)| n.clone()).filter(|n| n != index).collect())
            }
            Self::Columns { group, index } => {
                if let Some(order) = group.attribute("column-order")? {
                    if let Values::Text(names) = order.values {
                        return Ok(names);
                    }
                    // An empty list of columns is stored as numbers.
                    if order.values.len() == 0 {
                        return Ok(vec![]);
                    }
                }
                Ok(group.names().filter(|n| n != index && *n != "__categories").map(str::to_string).collect())
            }
        }
    }

    /// One column.
    pub(crate) fn column(&self, name: &str) -> Result<Column> {
        let names = self.column_names()?;
        if !names.iter().any(|n| n == name) {
            let near = closest(name, names.iter().map(String::as_str));
            return Err(Error::usage("no such column")
                .at_key(format!("{}[\"{name}\"]", self.key()))
                .expected(format!("one of: {}", names.join(", ")))
                .found(format!("\"{name}\""))
                .remedy(near.map_or_else(
                    || format!("name a column of {}", self.key()),
                    |n| format!("did you mean \"{n}\"?"),
                )));
        }
        let reader = self.reader(name)?;
        let column = reader.read(0..reader.len())?;
        self.check_length(name, column.len())?;
        Ok(column)
    }

    /// The column called `name`, which must be there, unread.
    pub(crate) fn reader(&self, name: &str) -> Result<Reader> {
        match self {
            Self::Columns { group, .. } => Reader::open(&group.node(name)?),
            Self::Records { array, uns } => {
                let values = Source::field(array, name)?;
                let categories = format!("{name}_categories");
                match (values.kind(), uns) {
                    (Kind::Int { .. }, Some(uns)) if uns.has(&categories) => {
                        let categories = column::names(uns.array(&categories)?.values()?);
                        Ok(Reader::Categorical { codes: values, categories, ordered: false })
                    }
                    _ => Reader::plain(values),
                }
            }
        }
    }

    /// Refuses a column with another number of rows than the table.
    pub(crate) fn check_length(&self, name: &str, len: usize) -> Result<()> {
        self.check_part(name, self.len()?, len)
    }

    /// Refuses `found` values where `expected` rows were read.
    pub(crate) fn check_part(&self, name: &str, expected: usize, found: usize) -> Result<()> {
        if expected == found {
            return Ok(());
        }
        Err(Error::unreadable("column of the wrong length")
            .at_key(format!("{}[\"{name}\"]", self.key()))
            .expected(format!("{expected} rows"))
            .found(format!("{found} rows")))
    }

    /// Stored type of a plain numeric column; `None` for any other.
    pub(crate) fn dtype(&self, name: &str) -> Result<Option<String>> {
        let numeric =
            |kind: &Kind| matches!(kind, Kind::Int { .. } | Kind::Float { .. }).then(|| kind.name());
        if !self.column_names()?.iter().any(|n| n == name) {
            return Ok(None);
        }
        Ok(match self {
            Self::Columns { group, .. } => match group.node(name)? {
                Node::Array(array) => numeric(array.kind()),
                Node::Group(_) => None,
            },
            Self::Records { array, .. } => match array.kind() {
                Kind::Compound { fields, .. } => {
                    fields.iter().find(|(n, _, _)| n == name).and_then(|(_, _, kind)| numeric(kind))
                }
                _ => None,
            },
        })
    }

    /// The whole table. Columns in an encoding that is not read are left out, each with a note.
    pub(crate) fn table(&self, notes: &mut Vec<String>) -> Result<Table> {
        let mut columns = vec![];
        for name in self.column_names()? {
            match self.column(&name) {
                Ok(column) => columns.push((name, column)),
                Err(e) if e.kind() == ErrorKind::Unsupported => {
                    notes.push(format!("{}[\"{name}\"] was left out: {e}", self.key()));
                }
                Err(e) => return Err(e),
            }
        }
        Ok(Table { index: self.names()?, columns })
    }
}

/// Field of a record array that holds the row names.
fn record_index(array: &Array) -> Result<&str> {
    let Kind::Compound { fields, .. } = array.kind() else {
        return Err(Error::unreadable("not records").at_key(array.key()));
    };
    let index = fields.iter().find(|(n, _, _)| n == "index" || n == "_index").or_else(|| fields.first());
    index
        .map(|(n, _, _)| n.as_str())
        .ok_or_else(|| Error::unreadable("records without fields").at_key(array.key()))
}
