//! Files that appear whole or not at all.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use microtome_core::{Error, Result};

/// Writes beside the target under a temporary name, flushes to disk and renames.
pub(crate) fn write_atomic(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let run = || -> io::Result<()> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".").suffix(".part");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Narrowed by the umask, as for any new file.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let mut file = builder.tempfile_in(folder)?;
        let mut writer = BufWriter::with_capacity(1 << 18, file.as_file_mut());
        fill(&mut writer)?;
        writer.flush()?;
        drop(writer);
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    run().map_err(|e| Error::output("cannot write the file").in_file(path).caused_by(e))
}
