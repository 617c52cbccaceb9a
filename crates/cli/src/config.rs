//! `--config FILE`: flags from a TOML or JSON file, before those of the command line.

use std::ffi::OsString;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory};
use microtome_core::{Error, Result, closest};
use serde_json::{Map, Value};

use crate::args::Cli;

/// Largest file that is read.
const MAX_BYTES: u64 = 1 << 20;
/// Name of positional arguments in a file.
const DATA: &str = "data";

/// The command line with the flags of its file put in. A flag that was typed wins, and keeps out those of the file that conflict with it.
pub(crate) fn expand(typed: Vec<OsString>) -> Result<Vec<OsString>> {
    // What is missing may be in the file, so that errors wait until then.
    let Ok(matches) = Cli::command().ignore_errors(true).try_get_matches_from(&typed) else {
        return Ok(typed);
    };
    let Some((name, found)) = matches.subcommand() else { return Ok(typed) };
    let mut root = Cli::command();
    root.build();
    let Some(command) = root.find_subcommand(name) else { return Ok(typed) };
    if !command.get_arguments().any(|a| a.get_id() == "config") {
        return Ok(typed);
    }
    let Some(path) = found.get_one::<std::path::PathBuf>("config") else { return Ok(typed) };
    let file = read(path)?;
    let mut out = typed;
    for (key, value) in &file {
        let arg = argument(command, key).map_err(|e| e.in_file(path))?;
        let kept_out = command.get_arg_conflicts_with(arg).into_iter().any(|other| was_typed(found, other));
        if was_typed(found, arg) || kept_out {
            continue;
        }
        out.extend(words(arg, value).map_err(|e| e.in_file(path).at_key(key.clone()))?);
    }
    Ok(out)
}

fn was_typed(found: &ArgMatches, arg: &Arg) -> bool {
    let id = arg.get_id().as_str();
    found.try_contains_id(id).is_ok() && found.value_source(id) == Some(ValueSource::CommandLine)
}

/// Keys and values of a file; TOML where its name does not end in `.json`.
fn read(path: &Path) -> Result<Map<String, Value>> {
    let unreadable =
        |e: std::io::Error| Error::unreadable("cannot read the configuration").in_file(path).caused_by(e);
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_BYTES {
        return Err(Error::unreadable("the configuration is too large to be one")
            .in_file(path)
            .expected(format!("at most {MAX_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let wrong = |kind: &str| {
        Error::unreadable(format!("the configuration is not {kind}"))
            .in_file(path)
            .remedy("name TOML files .toml and JSON files .json")
    };
    if path.extension().is_some_and(|e| e == "json") {
        return serde_json::from_str(&text).map_err(|e| wrong("a JSON object").caused_by(e));
    }
    toml::from_str(&text).map_err(|e| wrong("TOML").caused_by(e))
}

/// The argument that a key means: its long name, with `-` or `_`, or `data`.
fn argument<'c>(command: &'c Command, key: &str) -> Result<&'c Arg> {
    let name = key.replace('_', "-");
    let allowed = |a: &&Arg| match a.get_long() {
        Some(long) => !["config", "help", "version"].contains(&long),
        None => a.get_id() == DATA,
    };
    let named = |a: &Arg| a.get_long().unwrap_or(DATA).to_string();
    let all: Vec<&Arg> = command.get_arguments().filter(allowed).collect();
    if let Some(arg) = all.iter().find(|a| named(a) == name) {
        return Ok(arg);
    }
    let names: Vec<String> = all.iter().map(|a| named(a)).collect();
    let near = closest(&name, names.iter().map(String::as_str)).map(str::to_string);
    let e = Error::usage("the command has no such flag").at_key(key.to_string());
    Err(e.remedy(match near {
        Some(near) => format!("did you mean {near}?"),
        None => "keys are the command's flags without the dashes; see its --help".into(),
    }))
}

/// A key and its value as they would be typed.
fn words(arg: &Arg, value: &Value) -> Result<Vec<OsString>> {
    let flag = matches!(arg.get_action(), ArgAction::SetTrue);
    let long = |text: &str| match arg.get_long() {
        Some(long) => OsString::from(format!("--{long}={text}")),
        None => OsString::from(text),
    };
    let wrong = |expected: &str| {
        Error::usage("the value is of another kind than the flag takes")
            .expected(expected.to_string())
            .found(value.to_string())
    };
    match value {
        Value::Bool(on) if flag => {
            let word = format!("--{}", arg.get_long().unwrap_or_default());
            Ok(on.then_some(word.into()).into_iter().collect())
        }
        _ if flag => Err(wrong("true or false")),
        Value::String(text) => Ok(vec![long(text)]),
        Value::Number(n) => Ok(vec![long(&n.to_string())]),
        Value::Array(all) => {
            let each = all.iter().map(|v| match v {
                Value::String(text) => Ok(long(text)),
                Value::Number(n) => Ok(long(&n.to_string())),
                _ => Err(wrong("texts or numbers")),
            });
            each.collect()
        }
        _ => Err(wrong("a text, a number, or a list of them")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn expanded(name: &str, text: &str, typed: &[&str]) -> Result<Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let config = format!("--config={}", path.display());
        let words = ["microtome", "pretrain", &config].into_iter().chain(typed.iter().copied());
        let all = expand(words.map(OsString::from).collect())?;
        Ok(all.into_iter().skip(3).map(|w| w.into_string().unwrap()).collect())
    }

    #[test]
    fn a_file_says_what_was_not_typed() {
        let toml = "data = ['a.h5ad', 'b.h5ad']\nlr = 0.01\nbatch_tokens = 512\nsteps = 7\noverwrite = true\nresume = false\nout = 'm'\n";
        let all = expanded("r.toml", toml, &[]).unwrap();
        for word in
            ["a.h5ad", "b.h5ad", "--lr=0.01", "--batch-tokens=512", "--steps=7", "--overwrite", "--out=m"]
        {
            assert!(all.iter().any(|w| w == word), "{word} {all:?}");
        }
        assert!(!all.iter().any(|w| w.contains("resume")));
        // What was typed wins, and keeps out what it conflicts with.
        let typed = ["c.h5ad", "--lr", "0.5", "--epochs", "2"];
        let all = expanded("r.toml", toml, &typed).unwrap();
        assert_eq!(all[..5], typed);
        assert!(!all[5..].iter().any(|w| w.contains("lr") || w.contains("steps") || w.contains("h5ad")));
        let all = expanded("r.json", r#"{"data": "a.h5ad", "leave-out": ["x=1", "x=2"]}"#, &[]).unwrap();
        assert_eq!(all, ["a.h5ad", "--leave-out=x=1", "--leave-out=x=2"]);
    }

    #[test]
    fn slips_are_answered() {
        let said = |name: &str, text: &str| expanded(name, text, &[]).unwrap_err().to_string();
        assert!(said("r.toml", "stepz = 7").contains("did you mean steps?"));
        assert!(said("r.toml", "config = 'x'").contains("no such flag"));
        assert!(said("r.toml", "resume = 1").contains("true or false"));
        assert!(said("r.toml", "lr = { a = 1 }").contains("lr"));
        assert!(said("r.toml", "lr = ").contains("not TOML"));
        assert!(said("r.json", "[]").contains("not a JSON object"));
        let other: Vec<OsString> = ["microtome", "models"].map(OsString::from).to_vec();
        assert_eq!(expand(other.clone()).unwrap(), other);
    }
}
