//! `vestibule audit verify|export`.

use std::io::{self, Write};
use std::path::Path;

use clap::{Args, Subcommand};

use crate::gate::time::Moment;
use crate::observe::audit::{VerifyError, export, verify};

/// The thing asked for is not so.
const NOT_SO: u8 = 1;

#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Checks that no line of the audit trail was changed, removed or moved
    Verify {
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Prints audit lines, as JSON, one a line
    Export {
        /// From this time on (RFC 3339, such as 2026-11-21T00:00:00Z)
        #[arg(long, value_parser = moment)]
        from: Option<Moment>,
        /// Up to, and without, this time (RFC 3339)
        #[arg(long, value_parser = moment)]
        to: Option<Moment>,
        /// Lines are JSON in any case
        #[arg(long)]
        json: bool,
    },
}

fn moment(text: &str) -> Result<Moment, &'static str> {
    Moment::parse_rfc3339(text).ok_or("expected a time such as 2026-11-21T14:05:00Z")
}

/// Runs the verb on the trail at `path`: data to `out`, messages to `err`. Returns the exit code.
pub fn run(
    args: &AuditArgs,
    path: &Path,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    match &args.verb {
        Verb::Verify { json } => run_verify(path, *json, out, err),
        Verb::Export { from, to, json: _ } => run_export(path, *from, *to, out, err),
    }
}

fn run_verify(
    path: &Path,
    json: bool,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    let shown = path.display();
    match verify(path) {
        Ok(verified) if json => {
            let told =
                serde_json::json!({ "ok": true, "lines": verified.lines, "head": verified.head });
            writeln!(out, "{told}").map(|()| 0)
        }
        Ok(verified) => writeln!(
            out,
            "{shown}: {} lines, unbroken; the last is {}",
            verified.lines, verified.head
        )
        .map(|()| 0),
        Err(VerifyError::Broken(found)) if json => {
            let told = serde_json::json!({ "ok": false, "line": found.line, "why": found.why });
            writeln!(out, "{told}").map(|()| NOT_SO)
        }
        Err(VerifyError::Broken(found)) => writeln!(
            err,
            "{shown}:{}: the chain is broken here: {}",
            found.line, found.why
        )
        .map(|()| NOT_SO),
        Err(error @ VerifyError::Unreadable(_)) => {
            writeln!(err, "{shown}: {error}").map(|()| NOT_SO)
        }
    }
}

fn run_export(
    path: &Path,
    from: Option<Moment>,
    to: Option<Moment>,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    match export(path, from, to, out) {
        Ok(exported) if exported.unreadable > 0 => {
            let count = exported.unreadable;
            writeln!(
                err,
                "{}: {count} lines can't be read; see `vestibule audit verify`",
                path.display()
            )
            .map(|()| NOT_SO)
        }
        Ok(_) => Ok(0),
        // `| head` is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        Err(error) => writeln!(err, "{}: {error}", path.display()).map(|()| NOT_SO),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: AuditArgs,
    }

    fn ran(path: &Path, words: &[&str]) -> (u8, String, String) {
        let args = Cli::try_parse_from([&["audit"], words].concat())
            .unwrap()
            .args;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(&args, path, &mut out, &mut err).unwrap();
        (
            code,
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
        )
    }

    #[test]
    fn a_broken_trail_is_told_with_its_line_and_exit_code_1() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        std::fs::write(&path, "{\"seq\":1}\n").unwrap();
        let (code, out, err) = ran(&path, &["verify"]);
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(err.contains("audit.jsonl:1: "), "{err}");
        let (code, out, _) = ran(&path, &["verify", "--json"]);
        let told: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            (code, &told["ok"], &told["line"]),
            (1, &false.into(), &1.into())
        );
    }

    #[test]
    fn a_missing_trail_is_told() {
        let dir = tempfile::tempdir().unwrap();
        for words in [&["verify"][..], &["export"]] {
            let (code, _, err) = ran(&dir.path().join("audit.jsonl"), words);
            assert!(code == 1 && err.contains("audit.jsonl"), "{err}");
        }
    }

    #[test]
    fn times_are_rfc_3339() {
        let parsed = Cli::try_parse_from(["audit", "export", "--from", "yesterday"]);
        assert!(parsed.is_err());
    }
}
