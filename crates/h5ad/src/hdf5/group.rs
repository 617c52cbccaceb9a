//! Groups and the way from a name to an object.

use std::sync::Arc;

use microtome_core::{Error, Result, closest};
use rust_hdf5::format::messages::{MSG_DATA_LAYOUT, MSG_DATASPACE};

use super::header::{self, Message};
use super::links::{self, Link};
use super::{Array, Attribute, File, attribute};

/// Soft links followed one after another before giving up.
const MAX_LINKS: usize = 16;

/// A group, its attributes and the names in it.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    file: Arc<File>,
    key: String,
    messages: Arc<Vec<Message>>,
    links: Arc<Vec<(String, Link)>>,
}

/// A group or a dataset.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Group(Group),
    Array(Array),
}

/// The object whose header is at `address`; `key` is its path for errors.
pub(super) fn node_at(file: &Arc<File>, key: String, address: u64) -> Result<Node> {
    let messages = header::read(file, &key, address)?;
    if messages.iter().any(|m| m.id == MSG_DATASPACE) && messages.iter().any(|m| m.id == MSG_DATA_LAYOUT) {
        return Ok(Node::Array(Array::new(file.clone(), key, messages)?));
    }
    let links = links::read(file, &key, &messages)?;
    Ok(Node::Group(Group { file: file.clone(), key, messages: Arc::new(messages), links: Arc::new(links) }))
}

impl Group {
    /// Path from the root, without a leading slash.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Names in it.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.links.iter().map(|(n, _)| n.as_str())
    }

    /// Whether the name exists.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.names().any(|n| n == name)
    }

    /// Path of a child.
    pub(crate) fn child_key(&self, name: &str) -> String {
        if self.key.is_empty() { name.to_string() } else { format!("{}/{name}", self.key) }
    }

    /// The attribute called `name`, if there is one.
    pub(crate) fn attribute(&self, name: &str) -> Result<Option<Attribute>> {
        attribute::read(&self.file, &self.key, &self.messages, name)
    }

    /// A text attribute, if there is one.
    pub(crate) fn text_attribute(&self, name: &str) -> Result<Option<String>> {
        Ok(self.attribute(name)?.and_then(Attribute::into_text))
    }

    /// The object called `name`, which may also be a path of several names.
    pub(crate) fn node(&self, name: &str) -> Result<Node> {
        self.follow(name, 0)
    }

    fn follow(&self, path: &str, depth: usize) -> Result<Node> {
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        let key = self.child_key(first);
        let link = self.links.iter().find(|(n, _)| n == first).map(|(_, l)| l);
        let node = match link {
            Some(Link::Object(address)) => node_at(&self.file, key.clone(), *address)?,
            Some(Link::Path(target)) if depth < MAX_LINKS => match target.strip_prefix('/') {
                Some(from_root) => self.file.root()?.follow(from_root, depth + 1)?,
                None => self.follow(target, depth + 1)?,
            },
            Some(Link::Path(_)) => return Err(Error::unreadable("links lead in a circle").at_key(key)),
            Some(Link::Elsewhere(to)) => {
                return Err(Error::unsupported("link to another file")
                    .at_key(key)
                    .found(to.clone())
                    .remedy("write the data into one file: anndata.read_h5ad(...).write_h5ad(...)"));
            }
            None => {
                let near = closest(first, self.names());
                let have: Vec<&str> = self.names().take(40).collect();
                return Err(Error::unreadable("not in the file")
                    .at_key(key)
                    .expected(format!("one of: {}", have.join(", ")))
                    .found(format!("\"{first}\""))
                    .remedy(near.map_or("check how the file was written".into(), |n| {
                        format!("did you mean \"{n}\"?")
                    })));
            }
        };
        match node {
            node if rest.is_empty() => Ok(node),
            Node::Group(group) => group.follow(rest, depth),
            Node::Array(_) => Err(Error::unreadable("a dataset where a group should be").at_key(key)),
        }
    }

    /// A child that must be a group.
    pub(crate) fn group(&self, name: &str) -> Result<Self> {
        match self.node(name)? {
            Node::Group(group) => Ok(group),
            Node::Array(_) => {
                Err(Error::unreadable("a dataset where a group should be").at_key(self.child_key(name)))
            }
        }
    }

    /// A child that must be a dataset.
    pub(crate) fn array(&self, name: &str) -> Result<Array> {
        match self.node(name)? {
            Node::Array(array) => Ok(array),
            Node::Group(_) => {
                Err(Error::unreadable("a group where a dataset should be").at_key(self.child_key(name)))
            }
        }
    }
}
