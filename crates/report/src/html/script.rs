//! The page's own script, and the policy that allows nothing but it.

/// Sorting, filtering, hover notes, theme switch, copy and save buttons. The page is complete without it.
pub(crate) const SCRIPT: &str = include_str!("assets/report.js");

/// SHA-256 of [`SCRIPT`] in base64, which the content security policy names: no other script runs, whatever the data says.
pub(crate) const SCRIPT_HASH: &str = "3HbZm4cdfqA1ICxo4fVN5FFphITeFU/QxmGhgBctGu0=";

/// Everything is forbidden except this script, the page's own styles and images made by the page itself.
pub(crate) fn policy() -> String {
    format!(
        "default-src 'none'; script-src 'sha256-{SCRIPT_HASH}'; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::Digest;

    #[test]
    fn policy_names_the_script_as_it_is() {
        let digest = sha2::Sha256::digest(SCRIPT.as_bytes());
        assert_eq!(base64(&digest), SCRIPT_HASH, "put this hash into SCRIPT_HASH");
        assert!(!SCRIPT.contains("</"), "an end tag would close the script element");
    }

    fn base64(bytes: &[u8]) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut out = String::new();
        for chunk in bytes.chunks(3) {
            let word = chunk.iter().fold(0u32, |w, b| (w << 8) | u32::from(*b)) << (8 * (3 - chunk.len()));
            for i in 0..4 {
                let letter = ALPHABET[(word >> (18 - 6 * i)) as usize & 63] as char;
                out.push(if i <= chunk.len() { letter } else { '=' });
            }
        }
        out
    }
}
