//! The canonical path, beside a careless server that decodes, cuts parameters off, merges slashes
//! and resolves dots, once and twice; and beside a browser.

use vestibule::gate::target::Target;

pub const WORDS: &[&str] = &[
    "/",
    "//",
    "/a",
    "/public",
    "/admin",
    ".",
    "..",
    "/..",
    "/.",
    "%2e",
    "%2E%2e",
    "%252e",
    "%2f",
    "%5c",
    "\\",
    ";",
    "%3b",
    ";a=b",
    "?",
    "#",
    "%",
    "%0",
    "%00",
    "%0d%0a",
    " ",
    "%20",
    "%c3%a9",
    "\u{e9}",
    "%c0%ae",
    "%e0%80%af",
    "%ff",
    "|",
    "^",
    "\"",
    "<",
    "{",
    "%25",
    "~",
    "%7E",
    "/.vestibule",
    "%2evestibule",
    "*",
    "=",
    "&",
    "http://",
    "+",
    "\t",
    "'",
];

pub fn check(raw: &[u8]) {
    let Ok(target) = Target::parse(raw) else {
        assert!(!is_everyday(raw), "refused: {}", raw.escape_ascii());
        return;
    };
    let shown = raw.escape_ascii();
    let forwarded = target.forwarded();
    assert!(forwarded.starts_with('/'), "{shown}");
    assert!(
        forwarded.bytes().all(|b| b.is_ascii_graphic() && b != b'#'),
        "{shown}: {forwarded}"
    );
    assert_eq!(
        Target::parse(forwarded.as_bytes()).as_ref(),
        Ok(&target),
        "not canonical: {shown}"
    );

    let path = forwarded.split('?').next().unwrap();
    assert!(!path.contains('\\'), "{shown}: {path}");
    let read = naive(&decoded(path.as_bytes()));
    assert_eq!(
        read,
        decoded(target.path().as_bytes()),
        "a server reads another path: {shown} as {path}"
    );
    // A server that decodes twice sees other text, but neither other folders nor fewer.
    let twice = naive(&decoded(&decoded(path.as_bytes())));
    let folders = |path: &[u8]| path.iter().filter(|b| **b == b'/').count();
    assert_eq!(
        folders(&twice),
        folders(&read),
        "a server that decodes twice: {shown}"
    );

    let own = String::from_utf8_lossy(&read).to_ascii_lowercase();
    let is_own = own == "/.vestibule" || own.starts_with("/.vestibule/");
    assert_eq!(target.is_own(), is_own, "{shown}");

    let browser = url::Url::parse(&format!("https://emr.test{forwarded}")).unwrap();
    assert_eq!(
        browser.path(),
        path,
        "a browser reads another path: {shown}"
    );
    // WHATWG's queries have no apostrophe; to servers it is the same with and without escape.
    let query = target.query().map(|query| query.replace('\'', "%27"));
    assert_eq!(browser.query(), query.as_deref(), "{shown}");
}

/// Letters and single slashes, with or without a query of letters.
fn is_everyday(raw: &[u8]) -> bool {
    let text = String::from_utf8_lossy(raw);
    let (path, query) = text.split_once('?').unwrap_or((&text, ""));
    raw.len() <= Target::LONGEST
        && path.starts_with('/')
        && !path.contains("//")
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'/')
        && query
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'=')
}

fn decoded(bytes: &[u8]) -> Vec<u8> {
    percent_encoding::percent_decode(bytes).collect()
}

/// What a careless server makes of decoded bytes.
fn naive(bytes: &[u8]) -> Vec<u8> {
    let ends_in_folder = |segment: &[u8]| matches!(segment, b"" | b"." | b"..");
    let mut stack: Vec<&[u8]> = Vec::new();
    let mut last_is_folder = true;
    for segment in bytes.split(|b| matches!(b, b'/' | b'\\')) {
        let name = segment.split(|b| *b == b';').next().unwrap();
        last_is_folder = ends_in_folder(name);
        match name {
            b"" | b"." => {}
            b".." => drop(stack.pop()),
            name => stack.push(name),
        }
    }
    let mut path: Vec<u8> = stack
        .iter()
        .flat_map(|name| [b"/", *name].concat())
        .collect();
    if last_is_folder {
        path.push(b'/');
    }
    path
}
