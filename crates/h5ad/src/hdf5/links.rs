//! What a group contains: old symbol tables, and compact or dense link storage.

use std::collections::HashSet;

use microtome_core::{Error, Result};
use rust_hdf5::format::btree_v1::BTreeV1Node;
use rust_hdf5::format::dense_link::read_dense_links;
use rust_hdf5::format::local_heap::{LocalHeapHeader, local_heap_get_string};
use rust_hdf5::format::messages::link::{LinkMessage, LinkTarget};
use rust_hdf5::format::messages::link_info::LinkInfoMessage;
use rust_hdf5::format::messages::{MSG_LINK, MSG_LINK_INFO, MSG_SYMBOL_TABLE};
use rust_hdf5::format::superblock::SymbolTableCache;
use rust_hdf5::format::symbol_table::SymbolTableNode;

use super::header::{Message, word};
use super::source::Blocks;
use super::{File, damaged};

/// Where a name leads.
#[derive(Clone, Debug)]
pub(super) enum Link {
    /// Object header address.
    Object(u64),
    /// Another path of this file.
    Path(String),
    /// Something outside of this file.
    Elsewhere(String),
}

/// Names in creation order where the group tracks it, otherwise in name order.
pub(super) fn read(file: &File, key: &str, messages: &[Message]) -> Result<Vec<(String, Link)>> {
    let mut links = vec![];
    for m in messages {
        match m.id {
            MSG_SYMBOL_TABLE => symbol_table(file, key, &m.data, &mut links)?,
            MSG_LINK => {
                let (link, _) = LinkMessage::decode(&m.data, &file.ctx).map_err(|e| damaged(key, &e))?;
                links.push(link);
            }
            MSG_LINK_INFO => {
                let (info, _) = LinkInfoMessage::decode(&m.data, &file.ctx).map_err(|e| damaged(key, &e))?;
                links.extend(
                    read_dense_links(&info, &file.ctx, &mut Blocks(&file.source))
                        .map_err(|e| damaged(key, &e))?,
                );
            }
            _ => {}
        }
    }
    links.sort_by(|a, b| (a.creation_order, &a.name).cmp(&(b.creation_order, &b.name)));
    Ok(links
        .into_iter()
        .map(|l| {
            let link = match l.target {
                LinkTarget::Hard { address } => Link::Object(address),
                LinkTarget::Soft { target } => Link::Path(target),
                LinkTarget::External { file, path } => Link::Elsewhere(format!("{path} in {file}")),
                LinkTarget::UserDefined { link_type, .. } => {
                    Link::Elsewhere(format!("link type {link_type}"))
                }
            };
            (l.name, link)
        })
        .collect())
}

/// Walks the version-1 B-tree of a symbol table down to its leaves.
fn symbol_table(file: &File, key: &str, message: &[u8], links: &mut Vec<LinkMessage>) -> Result<()> {
    let broken = |e: &rust_hdf5::format::FormatError| damaged(key, e);
    let (Some(tree), Some(heap)) = (word(message, 0), word(message, 8)) else {
        return Err(Error::unreadable("symbol table without an address").at_key(key));
    };
    let header = file.source.read_up_to(heap, 32)?;
    let header = LocalHeapHeader::decode(&header, 8, 8).map_err(|e| broken(&e))?;
    let size = usize::try_from(header.data_size).map_err(|_| Error::unreadable("name heap too long"))?;
    let heap = file.source.read(header.data_addr, size).map_err(|e| e.at_key(key))?;

    let (tree_entries, leaf_entries) = (usize::from(file.group_entries), usize::from(file.leaf_entries));
    let mut pending = vec![tree];
    let mut seen = HashSet::new();
    while let Some(at) = pending.pop() {
        if !seen.insert(at) {
            return Err(Error::unreadable("group tree forms a loop").at_key(key));
        }
        let node = file.source.read_up_to(at, 24 + (2 * tree_entries + 1) * 8)?;
        let node = BTreeV1Node::decode(&node, 8, 8, file.group_entries).map_err(|e| broken(&e))?;
        if node.level > 0 {
            pending.extend(node.children);
            continue;
        }
        for leaf in node.children {
            if !seen.insert(leaf) {
                return Err(Error::unreadable("group tree forms a loop").at_key(key));
            }
            let leaf = file.source.read_up_to(leaf, 8 + leaf_entries * 40)?;
            let leaf = SymbolTableNode::decode(&leaf, 8, 8, file.leaf_entries).map_err(|e| broken(&e))?;
            for entry in leaf.entries {
                let name = local_heap_get_string(&heap, entry.name_offset).map_err(|e| broken(&e))?;
                links.push(match entry.cache {
                    SymbolTableCache::SoftLink { value_offset } => {
                        let target = local_heap_get_string(&heap, u64::from(value_offset));
                        LinkMessage::soft(&name, &target.map_err(|e| broken(&e))?)
                    }
                    _ => LinkMessage::hard(&name, entry.obj_header_addr),
                });
            }
        }
    }
    Ok(())
}
