use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::gate::time::Moment;

fn counter() -> IntCounter {
    IntCounter::new("failures", "failures").unwrap()
}

fn open(path: &Path) -> Audit {
    Audit::open_counting(path.to_owned(), counter()).unwrap()
}

fn event(n: i64) -> AuditEvent {
    AuditEvent::new("sign_in", Moment::from_secs(n))
        .who("kim")
        .reason("ok")
        .detail(format!("number {n}"))
}

/// A trail of `lines` events, closed.
fn trail(lines: i64) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let audit = open(&path);
    (1..=lines).for_each(|n| audit.record(event(n)));
    assert!(audit.flush());
    (dir, path)
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

fn write_lines(path: &Path, lines: &[String]) {
    fs::write(
        path,
        lines
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>(),
    )
    .unwrap();
}

fn broken_at(path: &Path) -> u64 {
    match verify(path) {
        Err(VerifyError::Broken(found)) => found.line,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_line_says_what_happened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let audit = open(&path);
    audit.record(
        AuditEvent::new("factor_reset", Moment::from_millis(1_795_269_900_250))
            .who("ann")
            .whom("kim")
            .company(&"acme-rehab".to_owned().try_into().unwrap())
            .product(&"emr".to_owned().try_into().unwrap())
            .address("203.0.113.9".parse().unwrap())
            .request_id("r1")
            .reason("asked_for")
            .detail("two\nlines"),
    );
    assert!(audit.flush());
    let line: serde_json::Value = serde_json::from_str(&lines(&path)[0]).unwrap();
    for (key, expected) in [
        ("time", "2026-11-21T14:05:00.250Z"),
        ("event", "factor_reset"),
        ("who", "ann"),
        ("whom", "kim"),
        ("company", "acme-rehab"),
        ("product", "emr"),
        ("address", "203.0.113.9"),
        ("request_id", "r1"),
        ("reason", "asked_for"),
        ("detail", "two\nlines"),
    ] {
        assert_eq!(line[key], expected, "{key}");
    }
    assert_eq!(line["seq"], 1);
}

#[test]
fn an_untouched_trail_holds_and_every_line_follows_the_one_before() {
    let (_dir, path) = trail(20);
    let verified = verify(&path).unwrap();
    let lines: Vec<serde_json::Value> = lines(&path)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(verified.lines, 20);
    assert_eq!(verified.head, lines[19]["hash"].as_str().unwrap());
    for pair in lines.windows(2) {
        assert_eq!(pair[0]["hash"], pair[1]["previous"]);
    }
}

#[test]
fn a_removed_line_is_found_wherever_it_stood() {
    for at in 0..6 {
        let (_dir, path) = trail(6);
        let mut lines = lines(&path);
        lines.remove(at);
        write_lines(&path, &lines);
        assert_eq!(broken_at(&path), at as u64 + 1);
    }
}

#[test]
fn an_altered_line_is_found() {
    for (old, new) in [
        ("number 3", "number 4"),
        ("kim", "tom"),
        ("\"seq\":", "\"seq\": "),
        ("hash\":\"", "hash\":\"0"),
    ] {
        let (_dir, path) = trail(6);
        let mut lines = lines(&path);
        lines[2] = lines[2].replacen(old, new, 1);
        write_lines(&path, &lines);
        assert_eq!(broken_at(&path), 3, "{old}");
    }
}

#[test]
fn any_flipped_bit_is_found() {
    let (_dir, path) = trail(3);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(verify(&path).is_err(), "byte {at}");
    }
}

#[test]
fn moved_and_repeated_lines_are_found() {
    let (_dir, path) = trail(6);
    let mut swapped = lines(&path);
    swapped.swap(2, 3);
    write_lines(&path, &swapped);
    assert_eq!(broken_at(&path), 3);

    let (_dir, path) = trail(6);
    let mut repeated = lines(&path);
    repeated.push(repeated[5].clone());
    write_lines(&path, &repeated);
    assert_eq!(broken_at(&path), 7);
}

#[test]
fn a_forged_line_with_a_right_hash_of_its_own_is_found_at_its_successor() {
    let (_dir, path) = trail(4);
    let mut all = lines(&path);
    let before: serde_json::Value = serde_json::from_str(&all[0]).unwrap();
    let link = chain::Link {
        seq: 1,
        hash: before["hash"].as_str().unwrap().to_owned(),
    };
    let mut forged = Vec::new();
    link.extend(&event(99), &mut forged);
    all[1] = String::from_utf8(forged).unwrap().trim_end().to_owned();
    write_lines(&path, &all);
    assert_eq!(broken_at(&path), 3);
}

#[test]
fn the_chain_goes_on_after_a_restart() {
    let (_dir, path) = trail(3);
    let audit = open(&path);
    audit.record(event(4));
    drop(audit);
    assert_eq!(verify(&path).unwrap().lines, 4);
}

#[test]
fn a_line_that_was_being_written_when_the_machine_stopped_is_cut_off() {
    let (_dir, path) = trail(3);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"{\"seq\":4,\"ti");
    fs::write(&path, bytes).unwrap();
    let audit = open(&path);
    audit.record(event(4));
    drop(audit);
    assert_eq!(verify(&path).unwrap().lines, 4);
}

#[test]
fn lines_cut_off_the_end_stay_missed_when_the_trail_goes_on() {
    let (_dir, path) = trail(6);
    write_lines(&path, &lines(&path)[..4]);
    let audit = open(&path);
    audit.record(event(7));
    drop(audit);
    assert_eq!(broken_at(&path), 5);
}

#[test]
fn two_processes_take_turns() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let (one, two) = (open(&path), open(&path));
    for n in 0..10 {
        one.record(event(n));
        two.record(event(n));
        assert!(one.flush() && two.flush());
    }
    assert_eq!(verify(&path).unwrap().lines, 20);
}

#[test]
fn what_can_not_be_written_is_counted_and_written_later() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("data");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("audit.jsonl");
    let failures = counter();
    let audit = Audit::open_counting(path.clone(), failures.clone()).unwrap();
    let away = dir.path().join("away");
    fs::rename(&folder, &away).unwrap();
    audit.record(event(1));
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while failures.get() == 0 {
        assert!(
            std::time::Instant::now() < deadline,
            "the failure was not counted"
        );
        thread::yield_now();
    }
    fs::rename(&away, &folder).unwrap();
    audit.record(event(2));
    assert!(audit.flush());
    assert_eq!(verify(&path).unwrap().lines, 2);
}

#[test]
fn a_trail_with_a_broken_end_is_not_gone_on_with() {
    let (_dir, path) = trail(2);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"something else\n");
    fs::write(&path, bytes).unwrap();
    let error = Audit::open_counting(path, counter()).unwrap_err();
    assert!(error.to_string().contains("audit verify"), "{error}");
}

#[test]
fn an_export_is_a_range_of_time() {
    let (_dir, path) = trail(6);
    let mut out = Vec::new();
    let exported = export(
        &path,
        Some(Moment::from_secs(2)),
        Some(Moment::from_secs(5)),
        &mut out,
    )
    .unwrap();
    assert_eq!(
        exported,
        Exported {
            lines: 3,
            unreadable: 0
        }
    );
    assert_eq!(
        String::from_utf8(out).unwrap().lines().collect::<Vec<_>>(),
        lines(&path)[1..4]
    );
}
