//! No dependency below the version in which its last known hole was closed.

use std::collections::BTreeMap;

/// Crate, and the least version of each line of versions that is without a known hole.
const FLOOR: [(&str, &[[u32; 3]]); 20] = [
    // CVE-2025-4366, CVE-2025-8671, CVE-2026-2833, -2835, -2836
    ("pingora", &[[0, 9, 1]]),
    ("pingora-proxy", &[[0, 9, 1]]),
    ("pingora-core", &[[0, 9, 1]]),
    // RUSTSEC-2026-0258 and older
    ("h2", &[[0, 4, 16]]),
    // CVE-2021-32714, -32715, -21299
    ("hyper", &[[1, 0, 0]]),
    // RUSTSEC-2024-0399, RUSTSEC-2024-0336
    ("rustls", &[[0, 23, 18]]),
    // RUSTSEC-2026-0049, -0098, -0099, -0104
    ("rustls-webpki", &[[0, 103, 13]]),
    // RUSTSEC-2026-0044 to -0048
    ("aws-lc-sys", &[[0, 39, 0]]),
    // RUSTSEC-2025-0009
    ("ring", &[[0, 17, 12]]),
    // CVE-2026-25537
    ("jsonwebtoken", &[[10, 3, 0]]),
    // RUSTSEC-2024-0363
    ("sqlx", &[[0, 8, 1]]),
    // RUSTSEC-2026-0178
    ("tokio-postgres", &[[0, 7, 18]]),
    // RUSTSEC-2022-0018
    ("totp-rs", &[[1, 1, 0]]),
    // CVE-2026-46428
    ("lettre", &[[0, 11, 22]]),
    // RUSTSEC-2026-0007
    ("bytes", &[[1, 11, 1]]),
    // RUSTSEC-2026-0009
    ("time", &[[0, 3, 47]]),
    // RUSTSEC-2024-0421
    ("idna", &[[1, 0, 3]]),
    // RUSTSEC-2026-0253
    ("lru", &[[0, 18, 2]]),
    // RUSTSEC-2026-0097: three lines of versions were mended.
    ("rand", &[[0, 8, 6], [0, 9, 3], [0, 10, 1]]),
    // RUSTSEC-2025-0068: no version at all.
    ("serde_yml", &[[u32::MAX, 0, 0]]),
];

#[test]
fn no_dependency_is_below_its_floor() {
    let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    let mut locked: BTreeMap<&str, Vec<[u32; 3]>> = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let value = |key: &str| {
            let line = package
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""))
                .unwrap();
            line.trim_end_matches('"')
        };
        let version = value("version").split(['-', '+']).next().unwrap();
        let numbers: Vec<u32> = version.split('.').map(|n| n.parse().unwrap()).collect();
        let versions = locked.entry(value("name")).or_default();
        versions.push(numbers.try_into().unwrap());
    }
    assert!(locked.len() > 100, "the lock file is not read");
    for (name, floors) in FLOOR {
        for version in locked.get(name).into_iter().flatten() {
            // The same line of versions as one that was mended, or a later one than all.
            let line = |v: &[u32; 3]| if v[0] == 0 { (0, v[1]) } else { (v[0], 0) };
            let own = floors.iter().find(|floor| line(floor) == line(version));
            let fine = match own {
                Some(floor) => version >= floor,
                None => floors.iter().all(|floor| version > floor),
            };
            let accepted = ACCEPTED
                .iter()
                .any(|(known, v, _)| *known == name && v == version);
            assert!(fine || accepted, "{name} {version:?} is below {floors:?}");
        }
    }
}

/// Versions below the floor whose hole can't be reached here, and why.
const ACCEPTED: [(&str, [u32; 3], &str); 0] = [];
