//! One column of `obs` or `var`, in every encoding AnnData has used.

use std::ops::Range;

use microtome_core::{Column, Error, Result};

use crate::hdf5::{Array, Group, Kind, Node, Values};
use crate::rows::ColumnKind;

/// A column whose rows have not been read yet.
#[derive(Clone, Debug)]
pub(crate) enum Reader {
    /// Values as they are; NaN is the only missing one.
    Plain(Source),
    /// Codes of categories.
    Categorical { codes: Source, categories: Vec<String>, ordered: bool },
    /// Values, and which of them are missing.
    Masked { values: Array, mask: Array },
}

/// Where values lie.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Array(Array),
    /// A field of records, with its type.
    Field(Array, String, Kind),
}

impl Source {
    /// The field `name` of records.
    pub(crate) fn field(array: &Array, name: &str) -> Result<Self> {
        let Kind::Compound { fields, .. } = array.kind() else {
            return Err(Error::unreadable("not records").at_key(array.key()).found(array.kind().name()));
        };
        let found = fields.iter().find(|(n, _, _)| n == name);
        let (_, _, kind) = found.ok_or_else(|| {
            Error::unreadable("no such field").at_key(array.key()).found(format!("\"{name}\""))
        })?;
        Ok(Self::Field(array.clone(), name.into(), kind.clone()))
    }

    pub(crate) fn kind(&self) -> &Kind {
        match self {
            Self::Array(array) => array.kind(),
            Self::Field(_, _, kind) => kind,
        }
    }

    fn key(&self) -> String {
        match self {
            Self::Array(array) => array.key().into(),
            Self::Field(array, name, _) => format!("{}[\"{name}\"]", array.key()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Array(array) | Self::Field(array, ..) => array.len(),
        }
    }

    fn read(&self, rows: Range<usize>) -> Result<Values> {
        match self {
            Self::Array(array) => array.values_of(rows),
            Self::Field(array, name, _) => array.field(name, rows),
        }
    }
}

impl Reader {
    /// Opens a column of a data frame that is a group.
    pub(crate) fn open(node: &Node) -> Result<Self> {
        match node {
            Node::Array(array) => from_array(array),
            Node::Group(group) => from_group(group),
        }
    }

    /// A column without missing values, except NaN.
    pub(crate) fn plain(source: Source) -> Result<Self> {
        if matches!(source.kind(), Kind::Compound { .. } | Kind::Other { .. }) {
            return Err(Error::unsupported("element type that is not read")
                .at_key(source.key())
                .found(source.kind().name()));
        }
        Ok(Self::Plain(source))
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Plain(source) | Self::Categorical { codes: source, .. } => source.len(),
            Self::Masked { values, .. } => values.len(),
        }
    }

    /// What the rows will be.
    pub(crate) fn kind(&self) -> ColumnKind {
        let of = |kind: &Kind, nullable: bool| match kind {
            Kind::Int { .. } => ColumnKind::Int { nullable },
            Kind::Bool => ColumnKind::Bool { nullable },
            Kind::Float { .. } => ColumnKind::Float,
            _ => ColumnKind::Text { nullable },
        };
        match self {
            Self::Plain(source) => of(source.kind(), false),
            Self::Masked { values, .. } => of(values.kind(), true),
            Self::Categorical { categories, ordered, .. } => {
                ColumnKind::Categorical { categories: categories.clone(), ordered: *ordered }
            }
        }
    }

    /// Some rows.
    pub(crate) fn read(&self, rows: Range<usize>) -> Result<Column> {
        match self {
            Self::Plain(source) => Ok(plain(source.read(rows)?)),
            Self::Categorical { codes: source, categories, ordered } => {
                let Values::Int(codes) = source.read(rows)? else {
                    return Err(Error::unreadable("codes of categories that are not integers")
                        .at_key(source.key())
                        .found(source.kind().name()));
                };
                categorical(&source.key(), codes, categories.clone(), *ordered)
            }
            Self::Masked { values, mask } => {
                let Values::Bool(gone) = mask.values_of(rows.clone())? else {
                    return Err(Error::unreadable("mask that is not boolean").at_key(mask.key()));
                };
                Ok(masked(plain(values.values_of(rows)?), &gone))
            }
        }
    }
}

fn from_array(array: &Array) -> Result<Reader> {
    let source = Source::Array(array.clone());
    // Before anndata 0.8 a categorical was an array of codes with a reference to its categories.
    if let Some(reference) = array.attribute("categories")? {
        let Values::References(to) = &reference.values else {
            return Err(Error::unsupported("categories that are not a reference").at_key(array.key()));
        };
        let (Some(&address), key) = (to.first(), format!("{}@categories", array.key())) else {
            return Err(Error::unreadable("empty reference to categories").at_key(array.key()));
        };
        let Node::Array(categories) = array.file().dereference(&key, address)? else {
            return Err(Error::unreadable("categories that are not an array").at_key(key));
        };
        let ordered = categories.attribute("ordered")?.and_then(|a| a.as_bool()).unwrap_or(false);
        return Ok(Reader::Categorical { codes: source, categories: names(categories.values()?), ordered });
    }
    Reader::plain(source)
}

fn from_group(group: &Group) -> Result<Reader> {
    let encoding = group.text_attribute("encoding-type")?.unwrap_or_default();
    if group.has("codes") && group.has("categories") {
        let ordered = group.attribute("ordered")?.and_then(|a| a.as_bool()).unwrap_or(false);
        let stored = Reader::open(&group.node("categories")?)?;
        let categories = match stored.read(0..stored.len())? {
            Column::Text(v) => v.into_iter().map(Option::unwrap_or_default).collect(),
            other => (0..other.len()).map(|i| other.text(i).unwrap_or_else(|| "nan".into())).collect(),
        };
        return Ok(Reader::Categorical { codes: Source::Array(group.array("codes")?), categories, ordered });
    }
    if group.has("values") && group.has("mask") {
        let (values, mask) = (group.array("values")?, group.array("mask")?);
        if !matches!(mask.kind(), Kind::Bool) {
            return Err(Error::unreadable("mask that is not boolean").at_key(mask.key()));
        }
        if mask.len() != values.len() {
            return Err(Error::unreadable("values and mask disagree in length")
                .at_key(group.key())
                .expected(values.len().to_string())
                .found(mask.len().to_string()));
        }
        return Ok(Reader::Masked { values, mask });
    }
    Err(Error::unsupported("column encoding that is not read")
        .at_key(group.key())
        .expected(
            "array, string-array, categorical, nullable-integer, nullable-boolean or nullable-string-array",
        )
        .found(if encoding.is_empty() { "a group without an encoding".into() } else { encoding })
        .remedy("convert the column to numbers, text or a category before writing the file"))
}

fn plain(values: Values) -> Column {
    match values {
        Values::Int(v) => Column::Int(v.into_iter().map(Some).collect()),
        Values::Float(v) => Column::Float(v),
        Values::Bool(v) => Column::Bool(v.into_iter().map(Some).collect()),
        Values::Text(v) => Column::Text(v.into_iter().map(Some).collect()),
        Values::References(v) => {
            Column::Text(v.into_iter().map(|a| Some(format!("object at {a}"))).collect())
        }
    }
}

/// `true` in the mask means missing.
fn masked(column: Column, mask: &[bool]) -> Column {
    fn keep<T>(values: Vec<Option<T>>, mask: &[bool]) -> Vec<Option<T>> {
        values.into_iter().zip(mask).map(|(v, &gone)| v.filter(|_| !gone)).collect()
    }
    match column {
        Column::Int(v) => Column::Int(keep(v, mask)),
        Column::Bool(v) => Column::Bool(keep(v, mask)),
        Column::Text(v) => Column::Text(keep(v, mask)),
        Column::Float(v) => {
            Column::Float(v.into_iter().zip(mask).map(|(x, &gone)| if gone { f64::NAN } else { x }).collect())
        }
        other => other,
    }
}

/// Category names as text, whatever they were.
pub(crate) fn names(values: Values) -> Vec<String> {
    let column = plain(values);
    (0..column.len()).map(|i| column.text(i).unwrap_or_else(|| "nan".into())).collect()
}

/// Row names as text, whatever they were.
pub(crate) fn texts(column: Column) -> Vec<String> {
    match column {
        Column::Text(v) => v.into_iter().map(Option::unwrap_or_default).collect(),
        other => (0..other.len()).map(|i| other.text(i).unwrap_or_default()).collect(),
    }
}

/// Checks codes against categories; -1 is missing.
fn categorical(key: &str, codes: Vec<i64>, categories: Vec<String>, ordered: bool) -> Result<Column> {
    let n = categories.len() as i64;
    let codes = codes
        .into_iter()
        .map(|c| match u32::try_from(c) {
            Ok(code) if i64::from(code) < n => Ok(Some(code)),
            _ if c == -1 => Ok(None),
            _ => Err(Error::unreadable("category code out of range")
                .at_key(key)
                .expected(format!("-1 (missing) or a number below {n} (number of categories)"))
                .found(c.to_string())
                .remedy("the file is corrupt: write it again")),
        })
        .collect::<Result<_>>()?;
    Ok(Column::Categorical { categories, codes, ordered })
}
