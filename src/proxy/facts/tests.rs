use std::net::SocketAddr;

use crate::gate::cookies::SESSION_COOKIE;
use crate::gate::facts::Presented;
use crate::gate::samples;
use crate::gate::session::Token;

use super::*;
use crate::gate::host::Host;
use crate::proxy::connection::memo::Memo;

fn reader() -> Reader {
    let products = samples::products();
    let mut sites = HostTable::new();
    for product in products.iter() {
        sites
            .insert(product.host.clone(), Site::Product(Arc::clone(product)))
            .unwrap();
    }
    sites
        .insert(Host::parse("login.localhost").unwrap(), Site::Portal)
        .unwrap();
    Reader {
        sites,
        managed: Managed::of(&products),
        limits: Limits::SOUND,
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
        portal_origin: String::from("https://login.localhost:8443"),
    }
}

fn connection(peer: &str, http2: bool) -> RequestScope {
    RequestScope::alone(ConnectionFacts {
        peer: SocketAddr::new(peer.parse().unwrap(), 4711),
        server_name: None,
        http2,
        memo: Memo::default(),
        turns: crate::proxy::turns::Turns::new().0,
        row: crate::proxy::turns::Row::new(1),
        idle: crate::proxy::backend::idle::Idle::new(0),
    })
}

fn request(line: &str, headers: &[(&str, &str)]) -> RequestHeader {
    let (method, target) = line.split_once(' ').unwrap();
    let mut request = RequestHeader::build(method, target.as_bytes(), None).unwrap();
    for (name, value) in headers {
        request
            .append_header((*name).to_owned(), (*value).to_owned())
            .unwrap();
    }
    request
}

/// Reads a request to the EMR over HTTP/1.1 from 192.0.2.1.
fn read(line: &str, headers: &[(&str, &str)]) -> Result<Facts, Malformed> {
    let headers = [&[("Host", "emr.localhost")], headers].concat();
    reader().read(
        &mut request(line, &headers),
        &connection("192.0.2.1", false),
    )
}

#[test]
fn who_can_use_which_answer() {
    use Asks::{Navigation, Program, Upgrade};
    let html = ("Accept", "text/html,*/*;q=0.8");
    let socket = [
        ("Connection", "keep-alive, Upgrade"),
        ("Upgrade", "WebSocket"),
        ("Sec-WebSocket-Key", "AAAA"),
    ];
    for (asks, headers) in [
        (Program, &[][..]),
        (Program, &[("Accept", "*/*")]),
        (Program, &[("Accept", "application/json")]),
        (Navigation, &[html]),
        (Program, &[html, ("X-Requested-With", "XMLHttpRequest")]),
        (
            Navigation,
            &[
                ("Sec-Fetch-Mode", "navigate"),
                ("Sec-Fetch-Dest", "document"),
            ],
        ),
        (
            Navigation,
            &[("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")],
        ),
        (Navigation, &[("Sec-Fetch-Mode", "navigate")]),
        (
            Program,
            &[
                ("Sec-Fetch-Mode", "navigate"),
                ("Sec-Fetch-Dest", "image"),
                html,
            ],
        ),
        (
            Program,
            &[
                ("Sec-Fetch-Mode", "cors"),
                ("Sec-Fetch-Dest", "empty"),
                html,
            ],
        ),
        (Program, &[("Sec-Fetch-Mode", "no-cors"), html]),
        (Upgrade, &socket),
        (Program, &[("Upgrade", "h2c"), ("Connection", "Upgrade")]),
    ] {
        assert_eq!(read("GET /x", headers).unwrap().asks, asks, "{headers:?}");
    }
    assert_eq!(
        read("GET /x", &socket[1..]).unwrap_err(),
        Malformed::Upgrade
    );
    assert_eq!(read("POST /x", &socket).unwrap_err(), Malformed::Upgrade);
    let twice = [&socket[..], &socket[2..]].concat();
    assert_eq!(read("GET /x", &twice).unwrap_err(), Malformed::Upgrade);
}

#[test]
fn a_script_on_a_timer_says_so_and_the_word_goes_no_further() {
    let said = &[("X-Vestibule-Background", "1")];
    assert!(read("GET /poll", said).unwrap().background);
    assert!(!read("GET /poll", &[]).unwrap().background);
    // Another spelling is no word of ours, and is dropped like ours.
    for name in ["X-Vestibule-Background", "X_Vestibule_Background"] {
        let mut request = request("GET /poll", &[("Host", "emr.localhost"), (name, "1")]);
        let facts = reader()
            .read(&mut request, &connection("192.0.2.1", false))
            .unwrap();
        assert_eq!(facts.background, name.contains('-'));
        assert!(!request.headers.contains_key(name), "{name}");
    }
}

#[test]
fn origins_are_foreign_unless_they_are_ours_to_the_letter() {
    let own = samples::product("emr").origin.clone();
    let other = samples::product("billing").origin.clone();
    let longer = format!("{own}.evil.test");
    for (foreign, origins) in [
        (false, &[][..]),
        (false, &[own.as_str()]),
        (true, &["null"]),
        (true, &[""]),
        (true, &[other.as_str()]),
        (true, &[longer.as_str()]),
        (true, &[own.as_str(), other.as_str()]),
    ] {
        let headers: Vec<(&str, &str)> = origins.iter().map(|origin| ("Origin", *origin)).collect();
        let facts = read("POST /x", &headers).unwrap();
        assert_eq!(facts.foreign_origin, foreign, "{origins:?}");
    }
    let mut request = request(
        "POST /login",
        &[
            ("Host", "login.localhost"),
            ("Origin", "https://login.localhost:8443"),
        ],
    );
    let facts = reader()
        .read(&mut request, &connection("192.0.2.1", false))
        .unwrap();
    assert!(matches!(facts.site, Site::Portal) && !facts.foreign_origin);
}

#[test]
fn addresses_are_believed_from_trusted_proxies_only() {
    for (peer, lines, address) in [
        ("192.0.2.1", &["203.0.113.9"][..], Some("192.0.2.1")),
        ("192.0.2.1", &["nonsense"], Some("192.0.2.1")),
        ("::ffff:192.0.2.1", &[], Some("192.0.2.1")),
        ("10.0.0.1", &[], Some("10.0.0.1")),
        ("10.0.0.1", &["203.0.113.9"], Some("203.0.113.9")),
        ("::ffff:10.0.0.1", &["203.0.113.9"], Some("203.0.113.9")),
        ("fd00::1", &["::ffff:203.0.113.9"], Some("203.0.113.9")),
        (
            "10.0.0.1",
            &["198.51.100.1, 203.0.113.9, 10.0.0.2"],
            Some("203.0.113.9"),
        ),
        (
            "10.0.0.1",
            &["198.51.100.1", "203.0.113.9", "10.0.0.2"],
            Some("203.0.113.9"),
        ),
        ("10.0.0.1", &["nonsense, 203.0.113.9"], Some("203.0.113.9")),
        ("10.0.0.1", &["203.0.113.9, nonsense"], None),
        ("10.0.0.1", &["nonsense, 10.0.0.2"], None),
        ("10.0.0.1", &["203.0.113.9", ""], None),
        ("10.0.0.1", &["203.0.113.9:443"], None),
        ("10.0.0.1", &["[2001:db8::1]"], None),
    ] {
        let mut headers = vec![("Host", "emr.localhost")];
        headers.extend(lines.iter().map(|line| ("X-Forwarded-For", *line)));
        let facts = reader().read(&mut request("GET /x", &headers), &connection(peer, false));
        match address {
            Some(address) => assert_eq!(facts.unwrap().address.to_string(), address, "{lines:?}"),
            None => assert_eq!(facts.unwrap_err(), Malformed::Header, "{lines:?}"),
        }
    }
}

#[test]
fn over_http2_values_are_bare_and_framing_is_not_the_clients() {
    let base = [("Host", "emr.localhost")];
    let read = |headers: &[(&str, &str)]| {
        let all = [&base[..], headers].concat();
        let mut request = request("GET https://emr.localhost/x", &all);
        let uri = "https://emr.localhost/x".parse().unwrap();
        request.set_uri(uri);
        reader().read(&mut request, &connection("192.0.2.1", true))
    };
    assert!(read(&[("x-a", "1")]).is_ok());
    for (why, name, value) in [
        (Malformed::Header, "x-a", " 1"),
        (Malformed::Header, "x-a", "1\t"),
        (Malformed::Header, "connection", "x-forwarded-user"),
        (Malformed::Framing, "transfer-encoding", "chunked"),
        (Malformed::Upgrade, "upgrade", "websocket"),
    ] {
        assert_eq!(read(&[(name, value)]).unwrap_err(), why, "{name} {value:?}");
    }
}

#[test]
fn the_cookie_is_read_from_every_line() {
    let value = Token::Visitor(crate::gate::session::Secret::from_bytes([7; 32])).expose();
    let ours = format!("{SESSION_COOKIE}={value}");
    let facts = read("GET /x", &[("Cookie", "a=b"), ("Cookie", &ours)]).unwrap();
    assert!(matches!(facts.cookie, Presented::Token(Token::Visitor(_))));
    let facts = read("GET /x", &[("Cookie", &ours), ("Cookie", &ours)]).unwrap();
    assert!(matches!(facts.cookie, Presented::Malformed));
}

#[test]
fn what_is_too_much_is_said_to_be() {
    let long = "a".repeat(33 << 10);
    assert_eq!(
        read("GET /x", &[("X-Long", &long)]).unwrap_err(),
        Malformed::HeadersTooLarge
    );
    let names: Vec<String> = (0..100).map(|n| format!("x-{n}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "y")).collect();
    assert!(read("GET /x", &many[..99]).is_ok());
    assert_eq!(
        read("GET /x", &many).unwrap_err(),
        Malformed::HeadersTooLarge
    );
    let line = format!("GET /{}", "a".repeat(8 << 10));
    assert_eq!(read(&line, &[]).unwrap_err(), Malformed::TargetTooLong);
}
