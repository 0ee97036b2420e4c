//! `vestibule audit verify|export`.

use std::io::{self, Write};
use std::path::Path;

use clap::{Args, Subcommand};

use crate::gate::time::Moment;
use crate::observe::audit::{Anchor, VerifyError, Wanted, export, verify_against};

/// The thing asked for is not so.
const NOT_SO: u8 = 1;

#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Checks that no line of the audit trail was changed, removed or moved, by its chain and by what
    /// the directory knows of it
    Verify {
        /// Older files of the trail were moved away: begin with the first line that is here
        #[arg(long)]
        part: bool,
        /// Don't ask the directory what it knows of the trail
        #[arg(long)]
        alone: bool,
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
        /// This event alone, such as mfa_reset
        #[arg(long)]
        event: Option<String>,
        /// What this person did
        #[arg(long)]
        who: Option<String>,
        /// What was done to this person
        #[arg(long)]
        whom: Option<String>,
        /// Of this company alone
        #[arg(long)]
        company: Option<String>,
        /// Lines are JSON in any case
        #[arg(long)]
        json: bool,
    },
}

impl AuditArgs {
    /// Whether what the directory noted of the trail is wanted.
    pub fn asks_directory(&self) -> bool {
        matches!(self.verb, Verb::Verify { alone: false, .. })
    }
}

fn moment(text: &str) -> Result<Moment, &'static str> {
    Moment::parse_rfc3339(text).ok_or("expected a time such as 2026-11-21T14:05:00Z")
}

/// Runs the verb on the trail at `path`: data to `out`, messages to `err`. `anchors`: what the
/// directory knows of it. Returns the exit code.
pub fn run(
    args: &AuditArgs,
    path: &Path,
    anchors: &[Anchor],
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    match &args.verb {
        Verb::Verify { json, part, .. } => run_verify(path, anchors, (*part, *json), out, err),
        Verb::Export {
            from,
            to,
            event,
            who,
            whom,
            company,
            json: _,
        } => {
            let wanted = Wanted {
                from: *from,
                to: *to,
                event: event.clone(),
                who: who.clone(),
                whom: whom.clone(),
                company: company.clone(),
            };
            run_export(path, &wanted, out, err)
        }
    }
}

fn run_verify(
    path: &Path,
    anchors: &[Anchor],
    (part, json): (bool, bool),
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    let shown = path.display();
    match verify_against(path, anchors, part) {
        Ok(verified) if json => {
            let told = serde_json::json!({
                "ok": true, "lines": verified.lines, "first": verified.first,
                "head": verified.head, "anchors": verified.anchors,
            });
            writeln!(out, "{told}").map(|()| 0)
        }
        Ok(verified) => writeln!(
            out,
            "{shown}: {} lines from number {}, unbroken; {} of them as the directory knows them; the last is {}",
            verified.lines, verified.first, verified.anchors, verified.head
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
    wanted: &Wanted,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    match export(path, wanted, out) {
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
        let code = run(&args, path, &[], &mut out, &mut err).unwrap();
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
