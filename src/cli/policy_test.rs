//! `vestibule policy test`: tables of expected decisions, kept beside the policies.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::explain::{ExplainArgs, explain};
use crate::config::problem::Problems;
use crate::config::read_file;
use crate::config::reader::{Field, Fields, Report};
use crate::config::sketch;
use crate::config::tree;
use crate::config::values::{list_of, owned};
use crate::gate::policy::Policies;
use crate::gate::product::Products;
use crate::gate::time::Moment;

/// One row: a question and its answer.
#[derive(Debug, Clone)]
pub(super) struct Case {
    name: String,
    args: ExplainArgs,
    expect: &'static str,
}

const ANSWERS: [(&str, &str); 4] = [
    ("allow", "allow"),
    ("deny", "deny"),
    ("step_up", "step_up"),
    ("sign_in", "sign_in"),
];

/// Runs `DIR/tests/*.toml`, or `DIR/*.toml` when `dir` is that folder itself. Mismatches and
/// problems go to `out`; returns the exit code: 0 when every answer is as expected.
pub fn test(
    dir: &Path,
    products: &Products,
    policies: &Policies,
    now: Moment,
    out: &mut impl Write,
) -> std::io::Result<u8> {
    let tables = tables(dir)?;
    let mut cases = 0;
    let mut wrong = 0;
    for file in &tables {
        let read = match read(file) {
            Ok(read) => read,
            Err(problems) => {
                writeln!(out, "{problems}")?;
                wrong += 1;
                continue;
            }
        };
        for case in read {
            cases += 1;
            let answer = match explain(&case.args, products, policies, None, now) {
                Ok(explanation) if explanation.decision == case.expect => continue,
                Ok(explanation) => explanation.to_string(),
                Err(error) => error.to_string(),
            };
            wrong += 1;
            writeln!(
                out,
                "{}: {}: expected {}, got {answer}",
                file.display(),
                case.name,
                case.expect
            )?;
        }
    }
    writeln!(
        out,
        "{cases} cases in {} files, {wrong} wrong",
        tables.len()
    )?;
    Ok(u8::from(wrong > 0))
}

fn tables(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let inside = dir.join("tests");
    let dir = if inside.is_dir() {
        inside
    } else {
        dir.to_owned()
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

pub(super) fn read(file: &Path) -> Result<Vec<Case>, Problems> {
    let root = tree::parse(&read_file(file)?, file)?;
    let report = Report::default();
    let cases = Field::root(&root, &report).table(cases);
    report.finish(MEANINGS)?;
    Ok(cases.unwrap_or_default())
}

/// The JSON Schema of a table of cases, drawn by [`read`]'s own code.
pub fn schema() -> serde_json::Value {
    sketch::schema("Vestibule: policies/tests/*.toml", ask_all)
}

/// Every key of a table of cases, found by [`read`]'s own code.
pub fn keys() -> Vec<sketch::Key> {
    sketch::keys(ask_all)
}

fn ask_all(field: &Field<'_>) {
    field.table(cases);
}

/// What each key means, one a line.
pub const MEANINGS: &str = include_str!("policy_test_meanings.txt");

fn cases(fields: &Fields<'_>) -> Option<Vec<Case>> {
    fields.required("cases")?.list(|field| field.table(case))
}

fn case(fields: &Fields<'_>) -> Option<Case> {
    let text = |key| fields.optional(key).and_then(|field| owned(&field));
    let company = fields.required("company").and_then(|field| owned(&field));
    let product = fields.required("product").and_then(|field| owned(&field));
    let expect = fields
        .required("expect")
        .and_then(|field| field.word(&ANSWERS));
    let ip = fields.optional("ip").map(|field| {
        field.parsed("an address", |text| {
            text.parse()
                .map_err(|_| format!("{text:?} is not an address"))
        })
    });
    let name = text("name");
    let args = ExplainArgs {
        company: company.clone().unwrap_or_default(),
        person: text("person"),
        product: product.clone().unwrap_or_default(),
        method: text("method").unwrap_or_else(|| String::from("GET")),
        path: text("path").unwrap_or_else(|| String::from("/")),
        at: text("at"),
        ip: ip.flatten().unwrap_or(std::net::Ipv4Addr::LOCALHOST.into()),
        roles: list_of(fields, "roles", owned),
        grants: list_of(fields, "grants", owned),
        factor_age: text("factor_age"),
        remembered_device: false,
        session_age: text("session_age"),
        idle: text("idle"),
    };
    company.and(product)?;
    let name = name.unwrap_or_else(|| format!("{} {} {}", args.product, args.method, args.path));
    Some(Case {
        name,
        args,
        expect: expect?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::policies::{Base, PolicyFolder};

    /// The repository's policies, tested by `table` instead of by their own tables.
    fn tested(table: Option<&str>) -> (u8, String) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let settings = config::load(&root.join("gateway.toml"), std::iter::empty(), &[]).unwrap();
        let products = settings.products.clone();
        let base = Base {
            session: settings.session,
            rollout: settings.rollout,
            products: settings.products,
        };
        let folder = PolicyFolder::open(&settings.policies_dir, base).unwrap();
        let own = tempfile::tempdir().unwrap();
        let dir = match table {
            Some(text) => {
                std::fs::write(own.path().join("table.toml"), text).unwrap();
                own.path()
            }
            None => settings.policies_dir.as_path(),
        };
        let policies = folder.published().load_full();
        let mut out = Vec::new();
        let code = test(
            dir,
            &products,
            &policies,
            Moment::from_secs(1_795_000_000),
            &mut out,
        )
        .unwrap();
        (code, String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_repositorys_tables_hold() {
        assert_eq!(
            tested(None),
            (0, String::from("4 cases in 1 files, 0 wrong\n"))
        );
    }

    #[test]
    fn the_demos_tables_hold() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let settings = config::load(&root.join("gateway.toml"), std::iter::empty(), &[]).unwrap();
        let base = Base {
            session: settings.session,
            rollout: settings.rollout,
            products: settings.products.clone(),
        };
        let dir = root.join("src/demo/policies");
        let policies = PolicyFolder::open(&dir, base)
            .unwrap()
            .published()
            .load_full();
        let now = Moment::from_secs(1_795_000_000);
        let mut out = Vec::new();
        let code = test(&dir, &settings.products, &policies, now, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!((code, out.as_str()), (0, "10 cases in 1 files, 0 wrong\n"));
    }

    /// The blocks of a situation of docs/cookbook.md, by the file that each begins with.
    fn blocks(situation: &str) -> Vec<(&str, &str)> {
        situation
            .split("```toml\n# ")
            .skip(1)
            .map(|rest| {
                let block = rest.split("\n```").next().unwrap();
                block.split_once('\n').unwrap()
            })
            .collect()
    }

    #[test]
    fn every_situation_of_the_cookbook_holds() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let settings = config::load(&root.join("gateway.toml"), std::iter::empty(), &[]).unwrap();
        let book = std::fs::read_to_string(root.join("docs/cookbook.md")).unwrap();
        let situations: Vec<&str> = book.split("\n## ").skip(1).collect();
        assert_eq!(situations.len(), 20);
        for situation in situations {
            let folder = tempfile::tempdir().unwrap();
            let dir = folder.path().join("policies");
            std::fs::create_dir_all(dir.join("tests")).unwrap();
            std::fs::write(dir.join("default.toml"), "").unwrap();
            let blocks = blocks(situation);
            assert_eq!(blocks.len(), 2, "{situation}");
            for (file, text) in blocks {
                std::fs::write(folder.path().join(file), text).unwrap();
            }
            let ids = crate::config::ProductIds::of(settings.products.iter().map(|p| p.id.clone()));
            let clean = PolicyFolder::examine(&dir, ids);
            assert_eq!(clean, Ok(()), "{situation}");
            let base = Base {
                session: settings.session,
                rollout: settings.rollout.clone(),
                products: settings.products.clone(),
            };
            let policies = PolicyFolder::open(&dir, base)
                .unwrap()
                .published()
                .load_full();
            let mut out = Vec::new();
            let now = Moment::from_secs(1_795_000_000);
            let code = test(&dir, &settings.products, &policies, now, &mut out).unwrap();
            let out = String::from_utf8(out).unwrap();
            assert_eq!(code, 0, "{situation}\n{out}");
            assert!(!out.starts_with("0 cases"), "{situation}");
        }
    }

    #[test]
    fn a_mismatch_is_told_with_the_steps() {
        let table = "[[cases]]\nname = \"pay\"\ncompany = \"acme-rehab\"\nproduct = \"billing\"\n\
                     method = \"POST\"\npath = \"/payments/1\"\nexpect = \"allow\"\n";
        let (code, out) = tested(Some(table));
        assert_eq!(code, 1);
        assert!(
            out.contains(
                "pay: expected allow, got step_up (step_up: payments need a fresh factor)"
            ),
            "{out}"
        );
        assert!(
            out.contains("\"payments need a fresh factor\" met"),
            "{out}"
        );
    }

    #[test]
    fn a_broken_table_is_told_with_its_place() {
        let (code, out) = tested(Some(
            "[[cases]]\ncompany = \"acme-rehab\"\nexpect = \"alow\"\n",
        ));
        assert_eq!(code, 1);
        assert!(
            out.contains("table.toml:1:1: cases.product: missing"),
            "{out}"
        );
        assert!(out.contains(
            "table.toml:3:10: cases.expect: unknown value \"alow\", did you mean 'allow'?"
        ));
    }
}
