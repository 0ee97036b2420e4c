use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;

fn counter() -> IntCounter {
    IntCounter::new("failures", "failures").unwrap()
}

fn open(path: &Path) -> Audit {
    Audit::open_counting(path.to_owned(), counter()).unwrap()
}

fn event(n: i64) -> AuditEvent {
    AuditEvent::new(TrailEvent::SignIn, Moment::from_secs(n))
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
        AuditEvent::new(TrailEvent::MfaReset, Moment::from_millis(1_795_269_900_250))
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
        ("event", "mfa_reset"),
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
fn who_opened_an_empty_trail_knows_its_name_though_another_began_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let (gateway, command) = (open(&path), open(&path));
    command.record(event(1));
    assert!(command.flush());
    gateway.record(event(2));
    assert!(gateway.flush());
    let head = gateway.head().unwrap();
    assert_eq!(
        (Some(head.trail), head.seq),
        (trail_name(&path).unwrap(), 2)
    );
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
    let wanted = Wanted {
        from: Some(Moment::from_secs(2)),
        to: Some(Moment::from_secs(5)),
        ..Wanted::default()
    };
    let exported = export(&path, &wanted, &mut out).unwrap();
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

/// Whoever pages through what it is given, and holds the export up with it.
struct Pager<'a> {
    audit: &'a Audit,
    written: bool,
}

impl std::io::Write for Pager<'_> {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.audit.record(event(99));
        self.written &= self.audit.flush();
        Ok(text.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_export_that_somebody_reads_slowly_keeps_nobody_from_writing() {
    let (_dir, path) = trail(3);
    let audit = open(&path);
    let mut pager = Pager {
        audit: &audit,
        written: true,
    };
    let exported = export(&path, &Wanted::default(), &mut pager).unwrap();
    assert!(pager.written, "the gateway could not append");
    assert_eq!(exported.lines, 3, "the trail as it was at the beginning");
    assert!(verify(&path).unwrap().lines > 3);
}

/// A trail of `lines` events in files of about three lines each, closed.
fn rotated(lines: i64) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let audit = Audit::begin(path.clone(), 600, counter()).unwrap();
    for n in 1..=lines {
        audit.record(event(n));
        assert!(audit.flush());
    }
    (dir, path)
}

fn files(path: &Path) -> Vec<PathBuf> {
    let all = segments::segments(path).unwrap().into_iter();
    all.map(|segment| segment.path).collect()
}

#[test]
fn a_long_trail_goes_on_in_a_new_file_and_the_chain_with_it() {
    let (_dir, path) = rotated(12);
    let aside = files(&path);
    assert!(aside.len() > 1, "{aside:?}");
    let verified = verify(&path).unwrap();
    assert_eq!((verified.lines, verified.first), (12, 1));
    let mut out = Vec::new();
    let exported = export(&path, &Wanted::default(), &mut out).unwrap();
    assert_eq!(exported.lines, 12);
    // Another process goes on where it ended, also right after a rotation.
    let again = Audit::begin(path.clone(), 1, counter()).unwrap();
    for n in 13..=15 {
        again.record(event(n));
        assert!(again.flush());
    }
    drop(again);
    let audit = open(&path);
    audit.record(event(16));
    drop(audit);
    assert_eq!(verify(&path).unwrap().lines, 16);
}

#[test]
fn who_begins_the_new_file_first_is_followed_by_who_put_the_old_one_aside() {
    let (_dir, path) = trail(2);
    let (mut one, mut two) = (
        Chain::open(&path, 1).unwrap(),
        Chain::open(&path, u64::MAX).unwrap(),
    );
    let old = one.turn().unwrap();
    assert!(one.put_aside(&old, &one.known()).unwrap());
    two.append([event(3)].iter()).unwrap();
    let (new, link) = one.begin_next(&old).unwrap();
    one.write(new, link, [event(4)].iter()).unwrap();
    assert_eq!(verify(&path).unwrap().lines, 4);
}

#[test]
fn a_file_that_is_put_aside_while_a_reader_opens_it_is_read_once() {
    let (_dir, path) = trail(2);
    let opened = std::cell::Cell::new(false);
    let standing = chain::Standing::opened_by(&path, || {
        let file = fs::File::open(&path);
        if !opened.replace(true) {
            let mut writer = Chain::open(&path, 1).unwrap();
            writer.append([event(3)].iter()).unwrap();
        }
        file
    });
    let standing = standing.unwrap();
    let current = fs::metadata(&path).unwrap().len();
    assert_eq!((standing.aside.len(), standing.length), (1, current));
}

#[test]
fn a_reader_waits_for_the_file_that_follows_one_put_aside() {
    let (_dir, path) = trail(2);
    fs::rename(&path, segments::segment_path(&path, 2)).unwrap();
    let opened = std::cell::Cell::new(false);
    let standing = chain::Standing::opened_by(&path, || {
        let file = fs::File::open(&path);
        if !opened.replace(true) {
            let mut writer = Chain::open(&path, u64::MAX).unwrap();
            writer.append([event(3)].iter()).unwrap();
        }
        file
    });
    assert!(standing.unwrap().length > 0);
    assert_eq!(verify(&path).unwrap().lines, 3);
}

#[test]
fn a_file_that_was_put_aside_is_as_safe_as_the_others() {
    let (_dir, path) = rotated(12);
    let first = files(&path).remove(0);
    let whole = fs::read_to_string(&first).unwrap();
    fs::write(&first, whole.replacen("number 2", "number 7", 1)).unwrap();
    assert_eq!(broken_at(&path), 2);
    fs::write(&first, &whole).unwrap();
    verify(&path).unwrap();

    fs::remove_file(&first).unwrap();
    assert_eq!(broken_at(&path), 1);
    let rest = verify_against(&path, &[], true).unwrap();
    assert!(rest.first > 1 && rest.lines == 12, "{rest:?}");
}

#[test]
fn what_was_noted_elsewhere_finds_a_trail_that_was_written_anew() {
    let (_dir, path) = trail(6);
    let noted: Vec<Anchor> = lines(&path)
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| Anchor {
            seq: line["seq"].as_u64().unwrap(),
            hash: line["hash"].as_str().unwrap().to_owned(),
        })
        .filter(|anchor| anchor.seq % 2 == 0)
        .collect();
    assert_eq!(verify_against(&path, &noted, false).unwrap().anchors, 3);
    let name = trail_name(&path).unwrap();

    // Somebody with both files writes another history, whole in itself.
    for file in ["audit.jsonl", "audit.jsonl.head"] {
        fs::remove_file(path.with_file_name(file)).unwrap();
    }
    let forged = open(&path);
    for n in [1, 2, 99, 4, 5, 6] {
        forged.record(event(n));
    }
    drop(forged);
    verify(&path).unwrap();
    match verify_against(&path, &noted, false) {
        Err(VerifyError::Broken(found)) => assert_eq!(found.line, 4),
        other => panic!("{other:?}"),
    }

    // Or a shorter one.
    let (_dir, path) = trail(4);
    assert_eq!(trail_name(&path).unwrap(), name, "the same first line");
    match verify_against(&path, &noted, false) {
        Err(VerifyError::Broken(found)) => {
            assert!(found.line == 5 && found.why.contains("the directory knows of 6"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_export_can_ask_for_what_one_person_did_to_another() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let audit = open(&path);
    for (what, who, whom) in [
        (TrailEvent::MfaReset, "ann", "kim"),
        (TrailEvent::MfaReset, "ann", "sam"),
        (TrailEvent::PersonDisabled, "lee", "kim"),
    ] {
        audit.record(
            AuditEvent::new(what, Moment::from_secs(1))
                .who(who)
                .whom(whom),
        );
    }
    assert!(audit.flush());
    let count = |event: Option<&str>, who: Option<&str>, whom: Option<&str>| {
        let own = |word: Option<&str>| word.map(str::to_owned);
        let wanted = Wanted {
            event: own(event),
            who: own(who),
            whom: own(whom),
            ..Wanted::default()
        };
        export(&path, &wanted, &mut Vec::new()).unwrap().lines
    };
    assert_eq!(count(Some("mfa_reset"), None, Some("kim")), 1);
    assert_eq!(count(None, None, Some("kim")), 2);
    assert_eq!(count(None, Some("ann"), None), 2);
    assert_eq!(count(None, Some("kim"), None), 0);
}
