//! How a run is carried out: precision and memory.

use clap::{Args, ValueEnum};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Precision {
    /// Everything in 32 bits
    #[default]
    F32,
    /// Factors of linear maps and attention as three bf16 each, on processors with AMX: as accurate as f32 on average, faster, other last
    /// digits; its distance from f32 is measured and written down
    Bf16x3,
    /// Factors of linear maps and attention rounded to bf16, everything else in f32; faster, and its distance from f32 is measured and
    /// written down
    Bf16,
}

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct RunArgs {
    /// Precision of the model's arithmetic
    #[arg(long, value_enum, default_value_t, value_name = "P", help_heading = "How the model is run")]
    pub(crate) precision: Precision,
    /// Memory the run may take, such as 4GB: sets how many tokens run and how many cells are read together; results do not depend on it.
    /// What scan does after the models have run is not counted, except the representations themselves
    #[arg(long, value_name = "SIZE", value_parser = bytes, help_heading = "How the model is run")]
    pub(crate) memory: Option<u64>,
}

/// `4GB`, `1.5 GiB`, `800M`, or a number of bytes.
fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err("the unit must be one of kB, MB, GB, TB, KiB, MiB, GiB, TiB".into()),
    };
    match number.parse::<f64>() {
        Ok(n) if n > 0.0 && n * factor < 1e18 => Ok((n * factor) as u64),
        _ => Err("a size such as 4GB, 1.5GiB or 800MB is needed".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes() {
        assert_eq!(bytes("4GB"), Ok(4_000_000_000));
        assert_eq!(bytes("1.5 GiB"), Ok(3 << 29));
        assert_eq!(bytes("800m"), Ok(800_000_000));
        assert_eq!(bytes("123456"), Ok(123_456));
        for wrong in ["", "GB", "0", "-4GB", "4 apples", "1e9", "..", "99999999TB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
