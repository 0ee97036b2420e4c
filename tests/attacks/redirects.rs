//! Where somebody is sent: never to an address that is not a configured host's.

use url::Url;

use crate::site::Site;
use crate::wire::Wire;

const SPELLINGS: &[&str] = &[
    "//evil.test",
    "///evil.test",
    "////evil.test",
    "/\\evil.test",
    "\\\\evil.test",
    "\\/evil.test",
    "/\\/evil.test",
    "/%5Cevil.test",
    "/%2Fevil.test",
    "/%2f%2fevil.test",
    "/%09/evil.test",
    "/\t/evil.test",
    "/\n/evil.test",
    "/\r\n/evil.test",
    "\t//evil.test",
    " //evil.test",
    "//evil.test/%2e%2e",
    "/.//evil.test",
    "/./\\evil.test",
    "/..//evil.test",
    "/a/..//evil.test",
    "/a/../\\evil.test",
    "/%2e%2e//evil.test",
    "/;//evil.test",
    "/;@evil.test",
    "https:evil.test",
    "https:/evil.test",
    "https:///evil.test",
    "https://evil.test",
    "HTTPS://EVIL.TEST",
    "http://emr.test",
    "https://emr.test@evil.test/",
    "https://emr.test:443@evil.test/",
    "https://evil.test@emr.test.evil.test/",
    "https://a@b@evil.test/",
    "https://emr.test\\@evil.test/",
    "https://evil.test\\@emr.test/",
    "https://evil.test#@emr.test/",
    "https://evil.test?@emr.test/",
    "https://emr.test%40evil.test/",
    "https://emr.test%2eevil.test/",
    "https://emr.test.evil.test/",
    "https://evilemr.test/",
    "https://emr.test\u{3002}evil.test/",
    "https://evil\u{3002}test/",
    "//evil\u{ff0e}test/",
    "https://[::1]/",
    "https://0x7f.1/",
    "https://2130706433/",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\tscript:alert(1)",
    "javascript://emr.test/%0aalert(1)",
    "data:text/html,x",
    "vbscript:x",
    "blob:https://emr.test/x",
    "file:///etc/passwd",
    "ftp://emr.test/",
    "view-source:https://evil.test",
    "",
    "evil.test",
    "@evil.test",
    ":80",
    "/a\u{0}b",
    "/%0d%0aLocation:%20https://evil.test",
    "/%0d%0aSet-Cookie:%20a=b",
    "%2f%2fevil.test",
    "%68%74%74%70%73://evil.test",
];

/// Whether this is an address of one of the four hosts, however a browser reads it.
fn is_ours(site: &Site, host: &str, location: &str) -> bool {
    let port = site.gateway.address.port();
    let base = Url::parse(&format!("https://{host}:{port}/x")).unwrap();
    let Ok(url) = base.join(location) else {
        return false;
    };
    let hosts = ["login.test", "emr.test", "billing.test", "analytics.test"];
    url.scheme() == "https"
        && url.port() == Some(port)
        && url.username().is_empty()
        && url.host_str().is_some_and(|host| hosts.contains(&host))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_leads_away() {
    let site = Site::start().await;
    let cookie = |host: &str| {
        format!(
            "Cookie: __Host-vestibule={}",
            site.kim.cookie(host).unwrap()
        )
    };
    for spelling in SPELLINGS {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("rd", spelling)
            .finish();
        for (host, path) in [
            ("login.test", "/login?"),
            ("emr.test", "/.vestibule/enter?"),
            ("emr.test", "/.vestibule/switch?to=billing&"),
        ] {
            let mut wire = Wire::open(site.gateway.address, host).await;
            for twice in ["", "&rd=/a"] {
                let reply = wire
                    .ask(format!(
                        "GET {path}{query}{twice} HTTP/1.1\r\nHost: {host}\r\n{}\r\nAccept: text/html\r\n\
                         Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n\r\n",
                        cookie(host)
                    ))
                    .await;
                let locations = reply.values("location");
                assert!(locations.len() <= 1, "{spelling:?}: {reply:?}");
                for location in locations {
                    assert!(
                        is_ours(&site, host, location),
                        "{host}{path} {spelling:?} leads to {location}"
                    );
                }
                assert!(!reply.head.contains("a=b"), "{spelling:?}: {}", reply.head);
                assert!(
                    !reply
                        .values("refresh")
                        .iter()
                        .any(|value| value.contains("evil"))
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_to_the_sign_in_takes_only_our_own_address_along() {
    let site = Site::start().await;
    for (target, more) in [
        ("/x", "Referer: https://evil.test/"),
        ("/x?rd=https://evil.test", "X-Forwarded-Host: evil.test"),
        ("/x?u=//evil.test", "Forwarded: host=evil.test"),
        ("http://emr.test/x", "X-Original-URL: //evil.test"),
    ] {
        let reply = site
            .ask(format!(
                "GET {target} HTTP/1.1\r\nHost: emr.test\r\n{more}\r\nAccept: text/html\r\n\r\n"
            ))
            .await;
        assert_eq!(reply.status, 302, "{reply:?}");
        let location = Url::parse(reply.values("location")[0]).unwrap();
        assert!(is_ours(&site, "emr.test", location.as_str()), "{location}");
        for (name, value) in location.query_pairs() {
            if name == "rd" {
                assert!(is_ours(&site, "emr.test", &value), "{value}");
                assert!(value.starts_with("https://emr.test:"), "{value}");
            }
        }
    }
}
