use super::*;

fn request(target: &str, headers: &[(&str, &str)]) -> RequestHeader {
    let mut request = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
    for (name, value) in headers {
        request
            .append_header((*name).to_owned(), (*value).to_owned())
            .unwrap();
    }
    request
}

fn askers() -> Askers {
    Askers {
        peers: vec!["10.0.0.0/8".parse().unwrap()],
        trusted_proxies: vec!["192.168.0.0/16".parse().unwrap()],
    }
}

fn ask(target: &str, headers: &[(&str, &str)]) -> Option<Result<Question, Malformed>> {
    let is_portal = |host: &Host| host.as_str() == "login.test";
    askers().question(&request(target, headers), is_portal)
}

const PORTAL: (&str, &str) = ("Host", "login.test");
const CLIENT: (&str, &str) = ("X-Forwarded-For", "203.0.113.9");
const METHOD: (&str, &str) = ("X-Original-Method", "POST");
const URL: (&str, &str) = ("X-Original-URL", "https://emr.test:1/a/b?c=d");

fn asked_of_nginx(headers: &[(&str, &str)]) -> Result<Question, Malformed> {
    ask("/api/authz/nginx", headers).expect("a question")
}

fn target(question: &Question) -> (String, String, String) {
    let original = &question.original;
    (
        original.method.to_string(),
        original.headers[HOST].to_str().unwrap().to_owned(),
        String::from_utf8(original.raw_path().to_vec()).unwrap(),
    )
}

fn wanted(method: &str, host: &str, target: &str) -> (String, String, String) {
    (method.to_owned(), host.to_owned(), target.to_owned())
}

#[test]
fn nobody_may_ask_until_they_are_listed() {
    let peer = |address: &str| SocketAddr::new(address.parse().unwrap(), 4711);
    assert!(!Askers::default().admit(peer("127.0.0.1")));
    assert!(askers().admit(peer("10.1.2.3")));
    assert!(askers().admit(peer("::ffff:10.1.2.3")));
    assert!(!askers().admit(peer("11.0.0.1")));
}

#[test]
fn each_proxy_is_understood_in_its_own_way() {
    let nginx = asked_of_nginx(&[PORTAL, CLIENT, METHOD, URL]).unwrap();
    assert_eq!(target(&nginx), wanted("POST", "emr.test:1", "/a/b?c=d"));
    assert_eq!(nginx.address.to_string(), "203.0.113.9");

    for word in ["traefik", "caddy"] {
        let headers = [
            PORTAL,
            CLIENT,
            ("X-Forwarded-Method", "PUT"),
            ("X-Forwarded-Host", "emr.test"),
            ("X-Forwarded-Uri", "/a/../b?c"),
            // Not theirs to say, and so not heard.
            ("X-Original-URL", "https://billing.test/"),
        ];
        let asked = ask(&format!("/api/authz/{word}"), &headers).unwrap();
        assert_eq!(
            target(&asked.unwrap()),
            wanted("PUT", "emr.test", "/a/../b?c")
        );
    }

    let headers = [("Host", "emr.test"), CLIENT];
    for (path, expected) in [
        ("/api/authz/envoy/a/b?c=d", "/a/b?c=d"),
        ("/api/authz/envoy/", "/"),
        ("/api/authz/envoy", "/"),
    ] {
        let asked = ask(path, &headers).unwrap().unwrap();
        assert_eq!(target(&asked), wanted("GET", "emr.test", expected));
    }
}

#[test]
fn what_is_there_twice_or_not_at_all_is_no_question() {
    let other_url = ("X-Original-URL", "https://billing.test/");
    let other_method = ("X-Original-Method", "GET");
    for headers in [
        vec![PORTAL, CLIENT, METHOD],
        vec![PORTAL, CLIENT, URL],
        vec![PORTAL, METHOD, URL],
        vec![PORTAL, CLIENT, METHOD, URL, other_url],
        vec![PORTAL, CLIENT, METHOD, other_method, URL],
        vec![PORTAL, ("X-Forwarded-For", "somebody"), METHOD, URL],
        vec![PORTAL, ("X-Forwarded-For", ""), METHOD, URL],
        vec![PORTAL, CLIENT, METHOD, ("X-Original-URL", "/a/b")],
        vec![
            PORTAL,
            CLIENT,
            METHOD,
            ("X-Original-URL", "ftp://emr.test/"),
        ],
        vec![PORTAL, CLIENT, ("X-Original-Method", "G T"), URL],
        // Another spelling is another header.
        vec![PORTAL, CLIENT, METHOD, ("X_Original_URL", URL.1)],
    ] {
        assert!(asked_of_nginx(&headers).is_err(), "{headers:?}");
    }
}

#[test]
fn an_applications_own_path_stays_its_own() {
    let elsewhere = [("Host", "emr.test"), CLIENT, METHOD, URL];
    assert!(ask("/api/authz/nginx", &elsewhere).is_none());
    let here = [PORTAL, CLIENT, METHOD, URL];
    for path in [
        "/api/authz/apache",
        "/api/authz/nginxx",
        "/api/authz/",
        "/api/authz",
        "/API/authz/nginx",
        "/",
    ] {
        assert!(ask(path, &here).is_none(), "{path}");
    }
}

#[test]
fn the_browsers_address_is_the_nearest_that_no_proxy_of_ours_has() {
    for (line, address) in [
        ("203.0.113.9", "203.0.113.9"),
        // What the browser wrote itself stands left of what the proxy saw.
        ("10.0.0.1, 203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, 192.168.0.7", "203.0.113.9"),
        (
            "1.1.1.1, 203.0.113.9,192.168.0.7, 192.168.0.8",
            "203.0.113.9",
        ),
        ("192.168.0.7", "192.168.0.7"),
        // A clinic in a private network is not a proxy for that.
        ("1.1.1.1, 10.7.7.7", "10.7.7.7"),
    ] {
        let asked = asked_of_nginx(&[PORTAL, ("X-Forwarded-For", line), METHOD, URL]).unwrap();
        assert_eq!(asked.address.to_string(), address, "{line}");
    }
}

#[test]
fn a_socket_is_judged_as_one_though_the_proxy_asks_without_upgrade() {
    let socket = [
        PORTAL,
        CLIENT,
        ("X-Original-Method", "GET"),
        URL,
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Connection", "close"),
        ("Content-Length", "3"),
    ];
    let asked = asked_of_nginx(&socket).unwrap();
    let headers = &asked.original.headers;
    assert_eq!(headers[UPGRADE], "websocket");
    assert_eq!(headers[CONNECTION], "upgrade");
    assert!(!headers.contains_key(CONTENT_LENGTH));
}
