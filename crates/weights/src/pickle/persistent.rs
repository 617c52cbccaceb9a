//! torch's persistent ids: references to storages.

use microtome_core::{Error, Result};

use super::known::storage_type;
use super::machine::Machine;
use super::node::{Id, Node, Storage};

impl Machine<'_> {
    /// Reads `("storage", type, key, location, n_elements[, view])`, as `torch.save` has written it since 0.1.
    pub(super) fn storage(&self, id: Id) -> Result<Storage> {
        let bad = || {
            Error::unreadable("the file refers to a storage in an unknown way")
                .expected("(\"storage\", type, key, device, size)")
        };
        let Node::Tuple(parts) = self.node(id) else { return Err(bad()) };
        let part = |i: usize| parts.get(i).map(|p| self.node(*p)).ok_or_else(bad);
        let (Node::Str(tag), Node::Global(class), Node::Int(n)) = (part(0)?, part(1)?, part(4)?) else {
            return Err(bad());
        };
        let key = match part(2)? {
            Node::Str(s) => s.to_string(),
            Node::Int(i) => i.to_string(),
            _ => return Err(bad()),
        };
        if tag != "storage" {
            return Err(bad());
        }
        let dtype = storage_type(&class.1).ok_or_else(|| {
            Error::unsupported("unknown torch storage type").found(format!("{}.{}", class.0, class.1))
        })?;
        let size = dtype.map_or(1, |d| d.size());
        let len = usize::try_from(*n).ok().and_then(|n| n.checked_mul(size)).ok_or_else(bad)?;
        // Very old files may name a part of a storage: (key of the part, offset, size).
        let offset = match parts.get(5).map(|p| self.node(*p)) {
            None | Some(Node::None) => 0,
            Some(Node::Tuple(view)) => match view.get(1).map(|o| self.node(*o)) {
                Some(Node::Int(o)) => usize::try_from(*o).map_err(|_| bad())?,
                _ => return Err(bad()),
            },
            Some(_) => return Err(bad()),
        };
        Ok(Storage { key, dtype, len, offset })
    }
}
