//! AnnData and 10x files on disk to and from memory, streamed by row range.
