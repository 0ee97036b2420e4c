//! How long User Manager's search takes in a company of 50,000, printed, over both databases:
//! `cargo nextest run --release --test directory --run-ignored only --no-capture -E 'test(fifty_thousand)'`.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::*;

const PEOPLE: usize = 50_000;
const TRIES: usize = 20;
/// What a search may take.
const QUICK: Duration = Duration::from_millis(50);

const FIRST: [&str; 12] = [
    "Ann", "Ben", "Carla", "Dmitri", "Elena", "Farid", "Grace", "Hiro", "Ines", "Jan", "Kim", "Lee",
];
const LAST: [&str; 10] = [
    "Smith", "Doe", "Rivera", "Chen", "Novak", "Okafor", "Jensen", "Moreau", "Silva", "Kaya",
];

fn records() -> String {
    let mut text = String::from("{\"kind\":\"company\",\"id\":\"huge\",\"name\":\"Huge\"}\n");
    for n in 0..PEOPLE {
        let (first, last) = (FIRST[n % FIRST.len()], LAST[n / FIRST.len() % LAST.len()]);
        let _ = writeln!(
            text,
            "{{\"kind\":\"person\",\"id\":\"p{n:05}\",\"company\":\"huge\",\"name\":\"{first} {last} {n}\",\"email\":\"{first}.{last}.{n}@huge.example\"}}\n\
             {{\"kind\":\"account\",\"product\":\"emr\",\"login\":\"{last}{n:05}\",\"person\":\"p{n:05}\",\"password_hash\":\"{BCRYPT}\"}}"
        );
    }
    text
}

async fn measured(name: &str, url: &str) {
    let directory = open(url).await;
    let begun = Instant::now();
    import(&directory, &records()).await.unwrap();
    println!("{name}: {PEOPLE} people imported in {:?}", begun.elapsed());
    let huge = company("huge");
    let late = directory.person(&person("p49999")).await.unwrap();
    for (what, search, after, found) in [
        ("everybody, first page", "", None, 26),
        ("everybody, a late page", "", late.as_ref(), 26),
        ("a common name", "smith", None, 26),
        ("a name at the list's end", "lee", None, 26),
        ("a letter", "s", None, 26),
        ("a letter of everybody's", "p", None, 26),
        ("the beginning of a name", "nova", None, 26),
        ("two words", "rivera elena", None, 26),
        ("two words, at the end", "lee kaya", None, 26),
        ("two words, of one", "kaya p49919", None, 1),
        ("one login", "smith49920", None, 1),
        ("one address", "lee.kaya.119@", None, 1),
        ("nobody", "zzzz", None, 0),
    ] {
        let mut took = Vec::with_capacity(TRIES);
        for _ in 0..TRIES {
            let begun = Instant::now();
            let people = directory.find_people(&huge, search, after, 26).await;
            took.push(begun.elapsed());
            assert_eq!(people.unwrap().len(), found, "{what}");
        }
        took.sort();
        let (median, worst) = (took[TRIES / 2], took[TRIES - 1]);
        println!("{name}: {what:<24} median {median:>9.2?}  worst {worst:>9.2?}");
        assert!(median < QUICK, "{name}: {what} takes {median:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: minutes, and a quiet machine"]
async fn a_search_among_fifty_thousand_takes_less_than_fifty_milliseconds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.db");
    measured("SQLite", &format!("sqlite:{}", path.display())).await;
    measured("PostgreSQL", &postgres::database().await).await;
}
