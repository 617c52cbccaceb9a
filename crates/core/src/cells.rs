//! Tables about cells (`obs`) and genes (`var`).

use crate::{Error, Result, closest};

/// One column of `obs` or `var`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Column {
    /// Floats; NaN is missing.
    Float(Vec<f64>),
    /// Whole numbers; `None` is missing.
    Int(Vec<Option<i64>>),
    /// Yes or no; `None` is missing.
    Bool(Vec<Option<bool>>),
    /// Text; `None` is missing.
    Text(Vec<Option<String>>),
    /// Categories and one code per row; `None` is missing.
    Categorical {
        /// The categories, in their stored order.
        categories: Vec<String>,
        /// Index into `categories` per row.
        codes: Vec<Option<u32>>,
        /// Whether the order of the categories means something.
        ordered: bool,
    },
}

impl Column {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Float(v) => v.len(),
            Self::Int(v) => v.len(),
            Self::Bool(v) => v.len(),
            Self::Text(v) => v.len(),
            Self::Categorical { codes, .. } => codes.len(),
        }
    }

    /// True when there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Word for messages: float, integer, boolean, text, categorical.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Float(_) => "float",
            Self::Int(_) => "integer",
            Self::Bool(_) => "boolean",
            Self::Text(_) => "text",
            Self::Categorical { .. } => "categorical",
        }
    }

    /// The value of one row as text; `None` is missing.
    pub fn text(&self, row: usize) -> Option<String> {
        match self {
            Self::Float(v) => (!v[row].is_nan()).then(|| v[row].to_string()),
            Self::Int(v) => v[row].map(|x| x.to_string()),
            Self::Bool(v) => v[row].map(|x| x.to_string()),
            Self::Text(v) => v[row].clone(),
            Self::Categorical { categories, codes, .. } => {
                codes[row].and_then(|c| categories.get(c as usize).cloned())
            }
        }
    }

    /// The column as numbers, NaN where missing. `None` when some present value is not a number
    /// (text and categories are parsed).
    pub fn numbers(&self) -> Option<Vec<f64>> {
        match self {
            Self::Float(v) => Some(v.clone()),
            Self::Int(v) => Some(v.iter().map(|x| x.map_or(f64::NAN, |x| x as f64)).collect()),
            Self::Bool(v) => Some(v.iter().map(|x| x.map_or(f64::NAN, |x| f64::from(u8::from(x)))).collect()),
            Self::Text(_) | Self::Categorical { .. } => (0..self.len())
                .map(|i| match self.text(i) {
                    None => Some(f64::NAN),
                    Some(t) => t.trim().parse().ok(),
                })
                .collect(),
        }
    }

    /// The column as groups: names in order (stored order of categories, otherwise sorted) and a group per row.
    /// Categories that no row uses are left out.
    pub fn groups(&self) -> (Vec<String>, Vec<Option<u32>>) {
        let texts: Vec<Option<String>> = (0..self.len()).map(|i| self.text(i)).collect();
        let mut names: Vec<String> = match self {
            Self::Categorical { categories, .. } => categories.clone(),
            _ => {
                let mut names: Vec<String> = texts.iter().flatten().cloned().collect();
                names.sort();
                names.dedup();
                names
            }
        };
        let used: std::collections::HashSet<&str> = texts.iter().flatten().map(String::as_str).collect();
        names.retain(|n| used.contains(n.as_str()));
        let index: std::collections::HashMap<&str, u32> =
            names.iter().enumerate().map(|(i, n)| (n.as_str(), i as u32)).collect();
        let codes = texts.iter().map(|t| t.as_deref().and_then(|t| index.get(t).copied())).collect();
        (names, codes)
    }

    /// Adds the rows of a column of the same kind (and the same categories) at the end.
    ///
    /// # Errors
    /// When the kinds or categories differ.
    pub fn extend(&mut self, more: Self) -> Result<()> {
        match (self, more) {
            (Self::Float(v), Self::Float(w)) => v.extend(w),
            (Self::Int(v), Self::Int(w)) => v.extend(w),
            (Self::Bool(v), Self::Bool(w)) => v.extend(w),
            (Self::Text(v), Self::Text(w)) => v.extend(w),
            (
                Self::Categorical { categories, codes, .. },
                Self::Categorical { categories: others, codes: more, .. },
            ) if *categories == others => codes.extend(more),
            (this, other) => {
                return Err(Error::usage("columns that cannot be joined")
                    .expected(format!("a {} column with the same categories", this.kind()))
                    .found(format!("a {} column", other.kind())));
            }
        }
        Ok(())
    }

    /// The given rows in the given order. Panics when an index is out of range.
    pub fn select(&self, rows: &[usize]) -> Self {
        match self {
            Self::Float(v) => Self::Float(rows.iter().map(|&r| v[r]).collect()),
            Self::Int(v) => Self::Int(rows.iter().map(|&r| v[r]).collect()),
            Self::Bool(v) => Self::Bool(rows.iter().map(|&r| v[r]).collect()),
            Self::Text(v) => Self::Text(rows.iter().map(|&r| v[r].clone()).collect()),
            Self::Categorical { categories, codes, ordered } => Self::Categorical {
                categories: categories.clone(),
                codes: rows.iter().map(|&r| codes[r]).collect(),
                ordered: *ordered,
            },
        }
    }
}

/// A table with row names: `obs` (one row per cell) or `var` (one row per gene).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Row names (`obs_names`, `var_names`).
    pub index: Vec<String>,
    /// Columns in stored order.
    pub columns: Vec<(String, Column)>,
}

impl Table {
    /// The column called `name`, or an error that lists what there is; `slot` is `obs` or `var`.
    pub fn column(&self, slot: &str, name: &str) -> Result<&Column> {
        if let Some((_, column)) = self.columns.iter().find(|(n, _)| n == name) {
            return Ok(column);
        }
        let names: Vec<&str> = self.columns.iter().map(|(n, _)| n.as_str()).collect();
        let near = closest(name, names.iter().copied());
        Err(Error::usage("no such column")
            .at_key(format!("{slot}[\"{name}\"]"))
            .expected(format!(
                "one of: {}",
                if names.is_empty() { "(no columns)".into() } else { names.join(", ") }
            ))
            .found(format!("\"{name}\""))
            .remedy(match near {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("name a column of {slot}"),
            }))
    }

    /// The given rows in the given order. Panics when an index is out of range.
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            index: rows.iter().map(|&r| self.index[r].clone()).collect(),
            columns: self.columns.iter().map(|(n, c)| (n.clone(), c.select(rows))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_follow_category_order_and_skip_unused() {
        let c = Column::Categorical {
            categories: vec!["z".into(), "unused".into(), "a".into()],
            codes: vec![Some(2), None, Some(0)],
            ordered: false,
        };
        assert_eq!(c.groups(), (vec!["z".into(), "a".into()], vec![Some(1), None, Some(0)]));
    }

    #[test]
    fn text_that_is_numeric_reads_as_numbers() {
        let c = Column::Text(vec![Some("1.5".into()), None]);
        let n = c.numbers().unwrap();
        assert_eq!(n[0], 1.5);
        assert!(n[1].is_nan());
        assert!(Column::Text(vec![Some("HH4".into())]).numbers().is_none());
    }

    #[test]
    fn only_columns_of_one_kind_are_joined() {
        let categorical = |name: &str, code| Column::Categorical {
            categories: vec![name.into()],
            codes: vec![code],
            ordered: false,
        };
        let mut c = categorical("a", Some(0));
        c.extend(categorical("a", None)).unwrap();
        assert_eq!(c.len(), 2);
        assert!(c.extend(categorical("b", Some(0))).is_err());
        assert!(c.extend(Column::Float(vec![1.0])).is_err());
        assert_eq!(c.len(), 2);
    }

    #[test]
    fn missing_column_suggests() {
        let t = Table { index: vec![], columns: vec![("cell_type".into(), Column::Float(vec![]))] };
        let e = t.column("obs", "celltype").unwrap_err();
        assert!(e.to_string().contains("did you mean \"cell_type\""));
    }
}
