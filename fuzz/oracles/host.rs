//! One host, beside a browser's reading of the same authority; and the table, beside a list that is
//! searched from its beginning.

use std::net::Ipv6Addr;

use vestibule::gate::host::{Host, HostTable};

pub const WORDS: &[&str] = &[
    "emr",
    ".test",
    "EMR.Test",
    ".",
    "..",
    ":",
    ":443",
    ":0",
    ":99999",
    "@",
    "a@",
    "/",
    "[::1]",
    "[",
    "]",
    "127.0.0.1",
    "127.1",
    "0x7f",
    "1",
    "017",
    "-",
    "_",
    "xn--",
    "%2e",
    "\u{ff45}",
    " ",
    ",",
    "\n",
    "\\",
    "#",
    "?",
    "256",
    "::",
];

pub fn check(raw: &[u8]) {
    let hosts: Vec<Option<Host>> = raw.split(|b| *b == b'\n').map(one).collect();
    let known: Vec<&Host> = hosts.iter().flatten().collect();
    let mut table = HostTable::new();
    let mut list: Vec<(&str, usize)> = Vec::new();
    for (place, host) in known.iter().enumerate() {
        let there = list.iter().any(|(name, _)| *name == host.as_str());
        assert_eq!(
            table.insert((*host).clone(), place).is_err(),
            there,
            "{host}"
        );
        if !there {
            list.push((host.as_str(), place));
        }
    }
    for line in raw.split(|b| *b == b'\n') {
        let Ok(host) = Host::parse_authority(line) else {
            continue;
        };
        let listed = list
            .iter()
            .find(|(name, _)| *name == host.as_str())
            .map(|(_, place)| place);
        assert_eq!(table.get(&host), listed, "{host}");
        // Spellings of one host are one entry.
        let loud = line.to_ascii_uppercase();
        assert_eq!(
            Host::parse_authority(&loud).as_ref(),
            Ok(&host),
            "{}",
            line.escape_ascii()
        );
    }
}

fn one(raw: &[u8]) -> Option<Host> {
    let shown = raw.escape_ascii();
    let Ok(host) = Host::parse_authority(raw) else {
        assert!(!is_everyday(raw), "refused: {shown}");
        return None;
    };
    assert_eq!(
        Host::parse_authority(host.as_str().as_bytes()).as_ref(),
        Ok(&host),
        "not canonical: {shown}"
    );
    assert_eq!(
        Host::parse(host.as_str()).as_ref(),
        Ok(&host),
        "a configuration reads another: {shown}"
    );
    let text = std::str::from_utf8(raw).expect("a host of ASCII");
    // Punycode that stands for nothing is no name to a browser, and nobody's to us.
    if text.to_ascii_lowercase().contains("xn--") {
        return Some(host);
    }
    let browser = url::Url::parse(&format!("https://{text}/"))
        .unwrap_or_else(|error| panic!("{shown}: {error}"));
    assert!(
        browser.username().is_empty() && browser.password().is_none(),
        "{shown}"
    );
    assert_eq!(browser.path(), "/", "{shown}");
    let read = browser.host_str().unwrap();
    let address = |text: &str| text.trim_matches(['[', ']']).parse::<Ipv6Addr>().ok();
    match address(read) {
        Some(read) => assert_eq!(address(host.as_str()), Some(read), "{shown}"),
        None => assert_eq!(
            host.as_str(),
            read.trim_end_matches('.'),
            "a browser reads another host: {shown}"
        ),
    }
    Some(host)
}

/// Letters in labels, and perhaps a port of four digits.
fn is_everyday(raw: &[u8]) -> bool {
    let text = String::from_utf8_lossy(raw);
    let (name, port) = text.split_once(':').unwrap_or((&text, "8443"));
    name.len() < 60
        && name
            .split('.')
            .all(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_lowercase()))
        && port.len() == 4
        && port.bytes().all(|b| b.is_ascii_digit() && b != b'0')
}
