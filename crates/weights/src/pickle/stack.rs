//! The machine's input, stack and marks.

use microtome_core::{Error, Result};

use super::machine::Machine;
use super::node::{Id, Node};
use super::text;

impl<'a> Machine<'a> {
    pub(super) fn node(&self, id: Id) -> &Node<'a> {
        self.nodes.get(id as usize).unwrap_or(&Node::None)
    }

    pub(super) fn push(&mut self, node: Node<'a>) -> Result<()> {
        let id = Id::try_from(self.nodes.len()).map_err(|_| underflow())?;
        self.nodes.push(node);
        self.stack.push(id);
        Ok(())
    }

    pub(super) fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn top(&self) -> Result<Id> {
        self.stack.get(self.floor()..).and_then(|s| s.last()).copied().ok_or_else(underflow)
    }

    pub(super) fn pop(&mut self) -> Result<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    pub(super) fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().filter(|m| *m <= self.stack.len()).ok_or_else(underflow)?;
        Ok(self.stack.split_off(mark))
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        let [b] = self.array()?;
        Ok(b)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.input.get(self.at..).and_then(|b| b.first_chunk()).ok_or_else(cut)?;
        self.at += N;
        Ok(*bytes)
    }

    pub(super) fn length4(&mut self) -> Result<usize> {
        usize::try_from(u32::from_le_bytes(self.array()?)).map_err(|_| cut())
    }

    pub(super) fn length8(&mut self) -> Result<usize> {
        usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| cut())
    }

    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let bytes = self.input.get(self.at..).and_then(|b| b.get(..n)).ok_or_else(cut)?;
        self.at += n;
        Ok(bytes)
    }

    pub(super) fn line(&mut self) -> Result<&'a [u8]> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let n = rest.iter().position(|b| *b == b'\n').ok_or_else(cut)?;
        self.at += n + 1;
        let line = &rest[..n];
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    pub(super) fn memo_line(&mut self) -> Result<u32> {
        u32::try_from(text::integer(self.line()?)?).map_err(|_| underflow())
    }
}

pub(super) fn cut() -> Error {
    Error::unreadable("the pickle ends in the middle")
        .remedy("the file is probably cut short: fetch it again")
}

pub(super) fn underflow() -> Error {
    Error::unreadable("the pickle is damaged: it uses values it did not make")
}
