//! No file of the program can grow any more: what needs no writing goes on, what does is refused, and
//! it recovers by itself. The limit is the kernel's for one process (RLIMIT_FSIZE), which needs no
//! file system of the test's own and fails all of its files at once.

use http::Method;

use crate::backend::Backend;
use crate::gateway::{Setup, password, soon, vestibule};
use crate::load::Load;
use crate::program::Program;
use crate::visitor::Visitor;

async fn try_to_sign_in(program: &Program, login: &str) -> (u16, Visitor) {
    let mut visitor = Visitor::through(program.https);
    let page = visitor.open(visitor.url("emr", "/")).await;
    assert_eq!(page.status, 200, "the page needs no disk");
    let fields = [("username", login), ("password", &password(login))];
    let answer = visitor.submit_only(&page, &fields).await;
    (answer.status.as_u16(), visitor)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_lets_nobody_in_loses_nobody_and_is_got_over() {
    let backend = Backend::start().await;
    let program = Program::open(&Setup::new(&backend.url)).await;

    let mut kim = Visitor::through(program.https);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let mut sam = Visitor::through(program.https);
    sam.sign_in("sam", sam.url("emr", "/")).await;
    let load = Load::to(program.https, "emr.test", &[("kim", &kim), ("sam", &sam)]);
    load.goes_on(10).await;
    for _ in 0..2 {
        program.disk(false);
        let (status, stranger) = try_to_sign_in(&program, "lee").await;
        assert_eq!(
            status, 503,
            "nobody is let in whose session is written nowhere"
        );
        assert_eq!(stranger.cookie("login.test"), None);
        // Nor is anybody told that they are signed out when they are not.
        let out = kim
            .clone()
            .fetch(Method::POST, kim.url("emr", "/.vestibule/sign_out"))
            .await;
        assert_eq!(out.status, 503, "{}", out.body);
        load.goes_on(50).await;
        soon("lost lines of the access log are counted", async || {
            load.goes_on(1).await;
            program.counted("vestibule_access_lines_lost_total").await > 0.0
        })
        .await;
        program.disk(true);
        soon("people get in again", async || {
            try_to_sign_in(&program, "lee").await.0 == 303
        })
        .await;
        load.goes_on(10).await;
    }
    let tally = load.end().await;
    assert_eq!((tally.away, tally.failed), (0, 0), "{tally:?}");
    println!("{tally:?}");
    // Who could not be signed out can be now.
    let out = kim
        .fetch(Method::POST, kim.url("emr", "/.vestibule/sign_out"))
        .await;
    assert_eq!(out.status, 204, "{}", out.body);

    let folder = program.end().await;
    let (code, told, problems) = vestibule(folder.path(), &["audit", "verify"]).await;
    assert_eq!(code, 0, "{told}{problems}");
}

/// The trail alone can't be written: its file is a device that is always full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_written_down_is_not_done() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut kim = Visitor::new(&gateway);
    let url = kim.url("login", "/company/settings");
    let page = kim.sign_in("kim", url.clone()).await;
    let page = if page.url.path() == "/login/enroll" {
        kim.enrol(&page, gateway.clock.now()).await.1
    } else {
        page
    };
    assert_eq!(page.url, url, "{}", page.body);
    // In its place stands a folder: what is tried from here on fails.
    let trail = gateway.path("data/audit.jsonl");
    let aside = gateway.path("data/aside.jsonl");
    soon("the trail is there", async || trail.exists()).await;
    std::fs::rename(&trail, &aside).unwrap();
    std::fs::create_dir(&trail).unwrap();
    // The first that fails is held in memory; it tells that no more should be done.
    let mut sam = Visitor::new(&gateway);
    sam.sign_in("sam", sam.url("emr", "/")).await;
    soon("it is noticed", async || {
        let failures = gateway.metric("vestibule_audit_failures_total").await;
        failures.unwrap_or_default() > 0.0
    })
    .await;
    let refused = kim.submit_only(&page, &[("mfa", "on")]).await;
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(
        refused.body.contains("has to be written down"),
        "{}",
        refused.body
    );
    assert!(refused.headers.contains_key("retry-after"));
    // People work, come and go.
    assert_eq!(sam.worth("emr").await, 200, "and nothing was switched on");
    let mut again = Visitor::new(&gateway);
    let inside = again.sign_in("sam", again.url("emr", "/")).await;
    assert_eq!(inside.url, again.url("emr", "/"), "{}", inside.body);

    std::fs::remove_dir(&trail).unwrap();
    std::fs::rename(&aside, &trail).unwrap();
    soon("it is got over", async || {
        let saved = kim.submit_only(&page, &[("mfa", "on")]).await;
        saved.status.is_redirection()
    })
    .await;
    let folder = gateway.folder.clone();
    gateway.stop().await;
    // Nothing of what happened meanwhile is missing.
    vestibule::observe::audit::verify(&trail).unwrap();
    let text = std::fs::read_to_string(&trail).unwrap();
    assert_eq!(text.matches("\"event\":\"sign_in\"").count(), 3, "{text}");
    drop(folder);
}
