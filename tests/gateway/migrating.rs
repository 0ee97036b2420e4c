//! The configurations of deploy/migrating, one for each neighbour that people come from: each is
//! clean as it stands, and does at a running gateway what the neighbour's own configuration did.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::Method;
use tempfile::TempDir;
use tokio::net::TcpListener;
use vestibule::app::{self, Sockets, World};
use vestibule::config;
use vestibule::gate::name::ProductId;

use crate::backend::{Backend, Seen};
use crate::gateway::{Gateway, TestClock, password, vestibule};
use crate::live::{say, socket};
use crate::redis::Redis;
use crate::visitor::{Answer, Visitor, code};
use crate::wire::cookie;

const NEIGHBOURS: [&str; 3] = ["oauth2-proxy", "authelia", "nginx-lua"];

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, name) = entry.map(|e| (e.path(), e.file_name())).unwrap();
        if from.is_dir() {
            copy(&from, &to.join(name));
        } else {
            std::fs::copy(&from, to.join(name)).unwrap();
        }
    }
}

/// The neighbour's folder as an operator has it: with a certificate and the secrets that it names.
fn site(neighbour: &str) -> Arc<TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let root: PathBuf = env!("CARGO_MANIFEST_DIR").into();
    copy(
        &root.join("deploy/migrating").join(neighbour),
        folder.path(),
    );
    for name in ["tls", "secrets"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let made =
        rcgen::generate_simple_self_signed(["*.example.org", "*.test"].map(String::from).to_vec())
            .unwrap();
    for (name, text) in [
        ("tls/site.pem", made.cert.pem()),
        ("tls/site.key", made.signing_key.serialize_pem()),
        ("secrets/acme-oidc", String::from("not a secret\n")),
        ("secrets/mail", String::from("smtp://localhost\n")),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    Arc::new(folder)
}

async fn start(neighbour: &str, backend: &Backend, redis: &Redis) -> Gateway {
    serve(site(neighbour), backend, &redis.url()).await
}

/// The configuration in `folder`, with the test's own names, ports, backend and Redis in it, and its
/// people imported.
pub async fn serve(folder: Arc<TempDir>, backend: &Backend, redis: &str) -> Gateway {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let at = |index: usize| {
        let socket: &TcpListener = &sockets[index];
        socket.local_addr().unwrap()
    };
    let (address, http, admin) = (at(0), at(1), at(2));
    let file = folder.path().join("gateway.toml");
    let mut text = std::fs::read_to_string(&file).unwrap();
    for (from, to) in [
        (".example.org\"", format!(".test:{}\"", address.port())),
        (".localhost:8443\"", format!(".test:{}\"", address.port())),
        ("redis://127.0.0.1:6379", redis.to_owned()),
        ("http://127.0.0.1:9001", backend.url.clone()),
        ("http://127.0.0.1:9002", backend.url.clone()),
        ("http://127.0.0.1:9011", backend.url.clone()),
    ] {
        text = text.replace(from, &to);
    }
    std::fs::write(&file, text).unwrap();
    let settings = config::load(&file, std::iter::empty(), &[])
        .unwrap_or_else(|problems| panic!("{problems}"));
    let products: Vec<ProductId> = settings.products.iter().map(|p| p.id.clone()).collect();
    let clock = TestClock::new();
    let told = clock.clone();
    let world = World {
        clock: Arc::new(move || told.now()),
        random: Arc::new(|bytes| aws_lc_rs::rand::fill(bytes).unwrap()),
        names: app::system_names(),
    };
    let mut sockets = sockets.into_iter();
    let sockets = Sockets {
        https: sockets.next().into_iter().collect(),
        http: sockets.next().into_iter().collect(),
        admin: sockets.next(),
    };
    let running = app::start(settings, world, sockets).await.unwrap();
    let people = std::fs::read(folder.path().join("people.jsonl")).unwrap();
    let import =
        running
            .directory
            .import(&running.hasher, people.as_slice(), &products, clock.now());
    import.await.unwrap();
    Gateway {
        clock,
        address,
        http,
        admin,
        folder,
        running,
    }
}

/// A script's request.
async fn asked(visitor: &mut Visitor, method: Method, product: &str, path: &str) -> Answer {
    let url = visitor.url(product, path);
    visitor.fetch(method, url).await
}

async fn status(visitor: &mut Visitor, product: &str, path: &str) -> u16 {
    let answer = asked(visitor, Method::GET, product, path).await;
    answer.status.as_u16()
}

fn told(seen: &Seen, headers: &[(&str, Option<&str>)]) {
    for (name, value) in headers {
        assert_eq!(seen.header(name), *value, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_migrated_configuration_is_clean_and_its_cases_hold() {
    for neighbour in NEIGHBOURS {
        let folder = site(neighbour);
        let (code, out, said) = vestibule(folder.path(), &["check"]).await;
        assert_eq!(
            (code, out.as_str(), said.as_str()),
            (0, "", ""),
            "{neighbour}"
        );
        let (code, out, said) = vestibule(folder.path(), &["policy", "test"]).await;
        assert_eq!(code, 0, "{neighbour}: {out}{said}");
        assert!(out.contains(" cases in 1 files, 0 wrong"), "{out}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_of_oauth2_proxy_find_their_doors_as_before() {
    let (backend, redis) = (Backend::start().await, Redis::start());
    let gateway = start("oauth2-proxy", &backend, &redis).await;
    let mut kim = Visitor::new(&gateway);

    // skip_auth_routes: nobody is asked, and nobody can claim to be somebody.
    let lie = [
        ("x-forwarded-user", "mallory"),
        ("x-forwarded-groups", "billers"),
    ];
    let url = kim.url("emr", "/public/logo.png");
    let open = kim.send(Method::GET, url, &lie, None).await;
    assert_eq!(open.status, 200);
    let nobody = [("x-forwarded-user", None), ("x-forwarded-groups", None)];
    told(&backend.last(), &nobody);
    assert_eq!(status(&mut kim, "emr", "/healthz").await, 200);
    // api_routes: 401 for a program, though nothing names its path.
    assert_eq!(status(&mut kim, "emr", "/api/patients").await, 401);

    // The password of the htpasswd file, and the headers of pass_user_headers.
    let page = kim.sign_in("kim", kim.url("emr", "/patients")).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let kims = [
        ("x-forwarded-user", Some("kim")),
        ("x-forwarded-preferred-username", Some("Kim Doe")),
        ("x-forwarded-email", Some("kim@acme.example")),
        ("x-forwarded-groups", Some("clinic,billers")),
    ];
    told(&backend.last(), &kims);
    let line = backend
        .last()
        .header("cookie")
        .unwrap_or_default()
        .to_owned();
    assert!(!line.contains("vestibule"), "{line}");

    // One instance serves the second application too, and nothing is typed on the way.
    let page = kim.open(kim.url("billing", "/invoices")).await;
    assert_eq!((page.status.as_u16(), page.url.path()), (200, "/invoices"));
    told(&backend.last(), &kims);
    let mut sam = Visitor::new(&gateway);
    sam.sign_in("sam", sam.url("emr", "/")).await;
    let page = sam.open(sam.url("billing", "/")).await;
    assert_eq!(page.status, 403, "allowed_groups");
    let mut open = socket(&gateway, "emr", &cookie(&kim, "emr")).await.unwrap();
    say(&mut open, "proxy_websockets").await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_of_authelia_find_their_doors_as_before() {
    let (backend, redis) = (Backend::start().await, Redis::start());
    let gateway = start("authelia", &backend, &redis).await;
    let mut kim = Visitor::new(&gateway);
    assert_eq!(
        status(&mut kim, "emr", "/public/logo.png").await,
        200,
        "bypass"
    );

    // one_factor, with the password of users_database.yml.
    let page = kim.sign_in("kim", kim.url("billing", "/invoices")).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let kims = [
        ("remote-user", Some("kim")),
        ("remote-name", Some("Kim Doe")),
        ("remote-email", Some("kim@acme.example")),
        ("remote-groups", Some("clinic,billers")),
        ("x-forwarded-user", None),
    ];
    told(&backend.last(), &kims);

    // two_factor, for that path and method alone.
    let refused = asked(&mut kim, Method::POST, "billing", "/payments/1").await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()["reason"].as_str()),
        (401, Some("step_up"))
    );
    let refused = refused.json();
    let login = refused["login_url"].as_str().unwrap().parse().unwrap();
    let page = kim.open(login).await;
    let secret = password("kim");
    let right = [("username", "kim"), ("password", secret.as_str())];
    let page = kim.submit(&page, &right).await;
    // The authenticator of totp_configurations, as `export uri` prints it.
    assert_eq!(page.url.path(), "/login/factor", "{}", page.body);
    let people = std::fs::read_to_string(gateway.path("people.jsonl")).unwrap();
    let (_, key) = people.split_once("&secret=").unwrap();
    let key = key.split('"').next().unwrap();
    let code = code(key, gateway.clock.now());
    kim.submit(&page, &[("code", &code)]).await;
    let paid = asked(&mut kim, Method::POST, "billing", "/payments/1").await;
    assert_eq!(paid.status, 200, "{}", paid.body);

    // networks, subject and default_policy.
    let mut sam = Visitor::new(&gateway);
    sam.sign_in("sam", sam.url("emr", "/")).await;
    assert_eq!(status(&mut sam, "emr", "/").await, 200, "in the office");
    let mut home = Visitor::from(&gateway, "127.0.0.7");
    home.share(&sam);
    assert_eq!(status(&mut home, "emr", "/").await, 403, "at home");
    let page = sam.open(sam.url("billing", "/")).await;
    assert_eq!(page.status, 403, "no biller");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_of_nginx_with_lua_find_their_doors_as_before() {
    let (backend, redis) = (Backend::start().await, Redis::start());
    let gateway = start("nginx-lua", &backend, &redis).await;
    let mut kim = Visitor::new(&gateway);
    let lie = [("x-user", "mallory"), ("X_Roles", "billers")];
    let url = kim.url("emr", "/public/logo.png");
    assert_eq!(kim.send(Method::GET, url, &lie, None).await.status, 200);
    told(&backend.last(), &[("x-user", None), ("x_roles", None)]);
    assert_eq!(status(&mut kim, "emr", "/patients").await, 401, "a script");

    let page = kim.sign_in("kim", kim.url("emr", "/patients")).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let kims = [("x-user", Some("kim")), ("x-roles", Some("clinic,billers"))];
    told(&backend.last(), &kims);
    let url = kim.url("emr", "/patients");
    kim.send(Method::GET, url, &lie, None).await;
    told(&backend.last(), &kims);
    let page = kim.open(kim.url("billing", "/")).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let mut open = socket(&gateway, "emr", &cookie(&kim, "emr")).await.unwrap();
    say(&mut open, "upgrade").await;

    // The idle time counts from what a person did; a poll is none of it.
    let hour = std::time::Duration::from_secs(3600);
    gateway.clock.pass(hour);
    assert_eq!(status(&mut kim, "emr", "/poll/news").await, 200);
    gateway.clock.pass(hour + std::time::Duration::from_secs(1));
    assert_eq!(status(&mut kim, "emr", "/patients").await, 401, "idle");

    let mut sam = Visitor::new(&gateway);
    sam.sign_in("sam", sam.url("emr", "/")).await;
    let page = sam.open(sam.url("billing", "/")).await;
    assert_eq!(page.status, 403, "no biller");
    gateway.stop().await;
}
