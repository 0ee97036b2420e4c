//! What User Manager and the audit pages stand on.

use vestibule::directory::{Line, LinesOf, Removal};
use vestibule::gate::session::Secret;
use vestibule::gate::time::Moment;

use super::*;

const MORE: &str = r#"{"kind":"person","id":"ann","company":"acme","name":"Ann Doe","email":"ann.doe@example.com"}
{"kind":"person","id":"zoe","company":"acme","name":"Ann Doe","email":"zoe@example.com"}
{"kind":"account","product":"billing","login":"Ann_B","person":"ann","password_hash":"HASH"}
"#;

async fn found(directory: &Directory, search: &str) -> Vec<String> {
    let acme = company("acme");
    let found = directory.find_people(&acme, search, None, 10).await;
    let found = found.unwrap();
    found.iter().map(|person| person.id.to_string()).collect()
}

pub(crate) async fn a_companys_people_are_found_by_words_and_logins(url: String) {
    let directory = seeded(&url).await;
    import(&directory, &MORE.replace("HASH", BCRYPT))
        .await
        .unwrap();
    for (search, expected) in [
        ("", vec!["ann", "zoe", "kim"]),
        ("DOE", vec!["ann", "zoe", "kim"]),
        ("doe, ann", vec!["ann", "zoe"]),
        ("ann zoe@", vec!["zoe"]),
        ("ann_B", vec!["ann"]),
        ("an", vec!["ann", "zoe"]),
        ("doe an", vec!["ann", "zoe"]),
        ("doe ann ex", vec!["ann", "zoe"]),
        ("doe ann zoe", vec!["zoe"]),
        ("doe ann zoe ex", vec!["zoe"]),
        ("doe ann zoe kim", vec![]),
        ("doe@", vec![]),
        ("@example.com", vec!["ann", "zoe", "kim"]),
        ("nn_b", vec![]),
        ("annxb", vec![]),
        ("lee", vec![]),
        ("åsa", vec![]),
        ("%", vec![]),
        ("a b c d e", vec![]),
    ] {
        assert_eq!(found(&directory, search).await, expected, "{search:?}");
    }
    // The page after one ends where it should, also among people of one name.
    let acme = company("acme");
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = directory.find_people(&acme, "", after.as_ref(), 1).await;
        let Some(last) = page.unwrap().pop() else {
            break;
        };
        seen.push(last.id.to_string());
        after = Some(last);
    }
    assert_eq!(seen, ["ann", "zoe", "kim"]);
    // A login that is taken away is not found any more.
    let other = MORE
        .replace("HASH", BCRYPT)
        .replace("\"person\":\"ann\"", "\"person\":\"zoe\"");
    import(&directory, &other).await.unwrap();
    assert_eq!(found(&directory, "ann_b").await, ["zoe"]);
}

/// Every table that holds something of a person, but those that a reset leaves alone, is empty
/// after it: who adds a table decides here on which side it stands.
pub(crate) async fn a_reset_takes_every_factor_and_voids_what_was_begun(url: String) {
    let directory = seeded(&url).await;
    let kim = person("kim");
    let before = directory.epoch(&kim).await.unwrap().unwrap();
    let (_, there) = (
        directory.add_totp(&kim, b"secret", 1, NOW).await.unwrap(),
        directory
            .add_totp(&person("lee"), b"secret", 1, NOW)
            .await
            .unwrap(),
    );
    assert!(there.is_some());
    assert_eq!(directory.reset_factors(&kim).await.unwrap(), 1);
    assert!(directory.factors(&kim).await.unwrap().is_empty());
    assert_eq!(directory.factors(&person("lee")).await.unwrap().len(), 1);
    assert!(directory.epoch(&kim).await.unwrap().unwrap() > before);
    assert_eq!(directory.epoch(&person("nobody")).await.unwrap(), None);

    // So does disabling; enabling ends nothing.
    let before = directory.epoch(&kim).await.unwrap();
    directory.set_disabled(&kim, true).await.unwrap();
    let disabled = directory.epoch(&kim).await.unwrap();
    assert!(disabled > before);
    directory.set_disabled(&kim, false).await.unwrap();
    assert_eq!(directory.epoch(&kim).await.unwrap(), disabled);
}

#[tokio::test]
async fn no_table_of_a_persons_factors_is_forgotten_by_a_reset() {
    // None of them is a factor: who they are elsewhere, what they are found by, what they type.
    const KEPT: [&str; 9] = [
        "accounts",
        "emergencies",
        "identities",
        "people",
        "people_words",
        "scim_members",
        "scim_overdue",
        "scim_people",
        "sign_on_secrets",
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.db");
    let directory = seeded(&format!("sqlite:{}", path.display())).await;
    let raw = sqlx::SqlitePool::connect(&format!("sqlite:{}", path.display()))
        .await
        .unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT m.name FROM sqlite_master m WHERE m.type = 'table' AND EXISTS \
         (SELECT 1 FROM pragma_table_info(m.name) WHERE name = 'person_id')",
    )
    .fetch_all(&raw)
    .await
    .unwrap();
    assert!(tables.iter().any(|table| table == "factors"), "{tables:?}");
    for table in tables
        .iter()
        .filter(|table| !KEPT.contains(&table.as_str()))
    {
        // A row of Kim's with something in every column that must have it.
        let columns: Vec<(String, String)> = sqlx::query_as(
            "SELECT name, type FROM pragma_table_info($1) WHERE \"notnull\" = 1 AND dflt_value IS NULL",
        )
        .bind(table)
        .fetch_all(&raw)
        .await
        .unwrap();
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let values: Vec<&str> = columns
            .iter()
            .map(|(name, kind)| match (name.as_str(), kind.as_str()) {
                ("person_id", _) => "'kim'",
                ("kind", _) => "'totp'",
                (_, "BIGINT") => "1",
                (_, "BYTEA") => "x'01'",
                _ => "'1'",
            })
            .collect();
        let (names, values) = (names.join(", "), values.join(", "));
        let insert = format!("INSERT INTO {table} ({names}) VALUES ({values})");
        sqlx::query(sqlx::AssertSqlSafe(insert))
            .execute(&raw)
            .await
            .unwrap();
    }
    directory.reset_factors(&person("kim")).await.unwrap();
    for table in tables
        .iter()
        .filter(|table| !KEPT.contains(&table.as_str()))
    {
        let count = format!("SELECT count(*) FROM {table} WHERE person_id = 'kim'");
        let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count))
            .fetch_one(&raw)
            .await
            .unwrap();
        assert_eq!(left, 0, "{table} outlives a reset");
    }
    raw.close().await;
}

pub(crate) async fn an_authenticator_is_replaced_in_one_step(url: String) {
    let directory = seeded(&url).await;
    let kim = person("kim");
    let old = directory.add_totp(&kim, b"old", 1, NOW).await.unwrap();
    let old = old.unwrap();
    let remember = async |whose: &PersonId, byte: u8| {
        let token = Secret::from_bytes([byte; 32]).hash();
        let from = ("192.0.2.1", "Firefox");
        let kept = directory.remember_device(whose, (None, &token), from, NOW);
        kept.await.unwrap();
    };
    remember(&kim, 1).await;
    remember(&person("lee"), 2).await;
    let raced = racers(|| {
        let (directory, old) = (directory.clone(), old.id.clone());
        async move {
            directory
                .replace_totp(&person("kim"), &old, b"new", 9, LATER)
                .await
                .unwrap()
        }
    });
    assert_eq!(raced.await.into_iter().flatten().count(), 1);
    let factors = directory.factors(&kim).await.unwrap();
    assert_eq!(factors.len(), 1);
    let new = &factors[0];
    let secret = directory.factor_secret(&new.id).await.unwrap().unwrap();
    assert_eq!(&**secret, b"new");
    assert!(!directory.spend_totp_step(&new.id, 9, LATER).await.unwrap());
    assert_eq!(directory.factor_secret(&old.id).await.unwrap(), None);
    // What was remembered for the old one goes with it, and nobody else's.
    assert!(directory.devices(&kim).await.unwrap().is_empty());
    let lees = async || directory.devices(&person("lee")).await.unwrap().len();
    assert_eq!(lees().await, 1);
    remember(&kim, 3).await;
    // Nobody removes another's.
    for (who, came) in [
        (person("lee"), Removal::Gone),
        (kim.clone(), Removal::Removed),
        (kim, Removal::Gone),
    ] {
        let removed = directory.remove_factor(&who, &new.id, false).await;
        assert_eq!(removed.unwrap(), came);
    }
    let kim = person("kim");
    assert!(directory.devices(&kim).await.unwrap().is_empty());
    assert_eq!(lees().await, 1);
}

fn line(at: Moment, apart: u64, event: &str, who: &str) -> Line {
    Line {
        id: Line::id_at(at, apart),
        at: at.millis(),
        event: event.to_owned(),
        who: Some(who.to_owned()),
        address: String::from("192.0.2.1"),
        ..Line::default()
    }
}

pub(crate) async fn a_company_reads_its_own_lines_newest_first(url: String) {
    let directory = seeded(&url).await;
    let reset = Line {
        whom: Some(String::from("ann")),
        company: Some(company("acme")),
        reason: Some(String::from("lost phone")),
        ..line(LATER, 1, "mfa_reset", "kim")
    };
    let lines = [
        line(NOW, 1, "sign_in", "kim"),
        line(NOW, 2, "sign_in", "lee"),
        reset,
        // Of nobody that is known: whose would it be?
        line(LATER, 2, "sign_in", "stranger"),
    ];
    directory.record(&lines).await.unwrap();
    // Written again after an answer was lost: once.
    directory.record(&lines).await.unwrap();
    let acme = company("acme");
    let all = LinesOf {
        company: &acme,
        person: "",
        event: "",
        from: Moment::EPOCH,
        to: LATER.plus(std::time::Duration::from_secs(1)),
        before: None,
    };
    let events = async |of: &LinesOf<'_>| {
        let lines = directory.lines(of, 10).await.unwrap();
        lines.into_iter().map(|line| line.event).collect::<Vec<_>>()
    };
    assert_eq!(events(&all).await, ["mfa_reset", "sign_in"]);
    for (of, expected) in [
        (
            LinesOf {
                person: "ann",
                ..all
            },
            vec!["mfa_reset"],
        ),
        (
            LinesOf {
                person: "kim",
                ..all
            },
            vec!["mfa_reset", "sign_in"],
        ),
        (
            LinesOf {
                event: "sign_in",
                ..all
            },
            vec!["sign_in"],
        ),
        (LinesOf { to: LATER, ..all }, vec!["sign_in"]),
        (LinesOf { from: LATER, ..all }, vec!["mfa_reset"]),
        (
            LinesOf {
                person: "lee",
                ..all
            },
            vec![],
        ),
        (
            LinesOf {
                person: "' OR ''='",
                ..all
            },
            vec![],
        ),
    ] {
        assert_eq!(events(&of).await, expected, "{of:?}");
    }
    let first = directory.lines(&all, 1).await.unwrap();
    assert_eq!(first.len(), 1, "a bound");
    assert_eq!(first[0].reason.as_deref(), Some("lost phone"));
    let before = Some(first[0].id.as_str());
    assert_eq!(events(&LinesOf { before, ..all }).await, ["sign_in"]);

    let sign_ins = directory.sign_ins_of(&person("kim"), 5).await.unwrap();
    assert_eq!(sign_ins.len(), 1);
    assert_eq!(directory.forget_lines(LATER).await.unwrap(), 2);
    assert_eq!(events(&all).await, ["mfa_reset"]);
}
