use proptest::prelude::*;

use super::*;

fn problems_of(text: &[u8]) -> Vec<String> {
    let products = ["emr", "billing"].map(|id| ProductId::parse(id).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let records = runtime.block_on(read(text, &products, Moment::from_secs(1_800_000_000)));
    records
        .unwrap()
        .problems
        .iter()
        .map(Problem::to_string)
        .collect()
}

#[test]
fn every_problem_of_every_line_is_listed() {
    let problems = problems_of(
        br#"{"kind":"company","id":"acme","name":"Acme"}
{"kind":"person","id":"Kim","company":"acme","nmae":"Kim","email":"no","phone":"98765","roles":["a,b"]}
{"kind":"account","product":"biling","login":"kim","password":"x","password_hash":"y"}
{"kind":"persn","id":"kim"}
{"kind":"company","id":"acme","name":"Acme",}
{"id":"acme"}
["kind"]

{"kind":"company","id":"acme","id":"acme","name":7}"#,
    );
    let expected = [
        "line 2: id: \"Kim\" is not a person's id",
        "line 2: unknown key \"nmae\"; did you mean \"name\"?",
        "line 2: \"name\" is missing",
        "line 2: email: ",
        "line 2: phone: ",
        "line 2: roles: ",
        "line 3: product: there is no product \"biling\"; did you mean \"billing\"?",
        "line 3: password: \"password_hash\" is there too, and one excludes the other",
        "line 4: kind: \"persn\" is unknown; did you mean \"person\"?",
        "line 5: trailing comma",
        "line 6: \"kind\" is missing",
        "line 7: a JSON object is expected",
        "line 9: \"id\" stands there twice",
        "line 9: name: text is expected",
    ];
    for told in expected {
        let (line, text) = told.split_once(": ").unwrap();
        let is_told = |problem: &String| {
            let (place, said) = problem.split_once(": ").unwrap();
            (place == line || place.starts_with(&format!("{line}, column ")))
                && said.starts_with(text)
        };
        assert!(problems.iter().any(is_told), "{told}\n{problems:#?}");
    }
    assert!(
        problems.iter().all(|problem| !problem.contains("98765")),
        "{problems:#?}"
    );
}

#[test]
fn doubles_in_the_file_name_the_first_line() {
    let problems = problems_of(
        br#"{"kind":"company","id":"acme","name":"Acme"}
{"kind":"company","id":"acme","name":"Acme"}
{"kind":"account","product":"emr","login":"kim","password":"secret"}
{"kind":"account","product":"emr","login":" KIM ","password":"secret"}
{"kind":"account","product":"billing","login":"a","person":"kim","password":"secret"}
{"kind":"account","product":"billing","login":"b","person":"kim","password":"secret"}"#,
    );
    assert_eq!(
        problems,
        [
            "line 2, column 24: id: company \"acme\" stands in line 1 already",
            "line 4, column 43: login: account \"kim\" of emr stands in line 3 already",
            "line 6, column 60: person: kim has an account of billing in line 5 already",
        ]
    );
}

#[test]
fn a_line_over_the_limit_is_one_problem_and_the_next_is_read() {
    let mut text = vec![b'x'; LONGEST_LINE + 1];
    text.extend_from_slice(b"\n{}\n");
    let problems = problems_of(&text);
    assert_eq!(
        problems,
        [
            "line 1: longer than 1048576 bytes",
            "line 2: \"kind\" is missing"
        ]
    );
}

#[test]
fn reading_stops_when_there_is_nothing_but_problems() {
    let problems = problems_of("x\n".repeat(MOST_PROBLEMS * 2).as_bytes());
    assert_eq!(problems.len(), MOST_PROBLEMS + 1);
}

proptest! {
    #[test]
    fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        drop(problems_of(&bytes));
    }

    #[test]
    fn near_misses_never_panic(
        kind in "company|person|account|x",
        pairs in proptest::collection::vec(
            ("id|name|email|phone|roles|login|product|password|password_hash|password_set_at|companies|default_company|grants|totp|kind",
             r#""[ -~]{0,20}"|\[\]|\["[ -~]{0,8}"\]|null|7|\{\}|"\$2b\$[0-9]{2}\$[./A-Za-z0-9]{53}"|"\+[0-9]{0,20}"|"[0-9TZ:-]{0,24}"|"otpauth://totp/[a-zA-Z0-9:?&=%]{0,40}""#),
            0..8,
        ),
    ) {
        let mut line = format!("{{\"kind\":\"{kind}\"");
        for (key, value) in pairs {
            line.push_str(&format!(",\"{key}\":{value}"));
        }
        line.push('}');
        drop(problems_of(line.as_bytes()));
    }
}
