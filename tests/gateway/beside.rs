//! The samples in deploy/, run by the real proxies: nginx, Caddy and HAProxy from the system's
//! packages, Traefik and Envoy as PyPI has them (`tools/program`).

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, soon};
use crate::program::fetched;
use crate::visitor::Visitor;

const PATIENCE: Duration = Duration::from_secs(30);

fn sample(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// An address of this machine that nobody else uses: no port on it has to be looked for. Living
/// processes have numbers of their own, and a process counts its proxies.
pub fn own_address() -> Ipv4Addr {
    static COUNT: AtomicU8 = AtomicU8::new(64);
    let [_, first, second, third] = std::process::id().to_be_bytes();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::new(127, count ^ (first & 0x3f), second, third)
}

/// Opens a way to one address for whoever asks for one by any name (`CONNECT`; RFC 9110, 9.3.6). Traefik
/// asks the gateway by its name, which no DNS of this machine knows.
async fn ways_to(address: SocketAddr) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asking = BufReader::new(stream);
                let mut line = String::new();
                while asking.read_line(&mut line).await? > 0 && line != "\r\n" {
                    line.clear();
                }
                let mut there = tokio::net::TcpStream::connect(address).await?;
                asking.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                tokio::io::copy_bidirectional(&mut asking, &mut there).await
            });
        }
    });
    (own, task)
}

/// A gateway, an application, and a proxy in front of both.
struct Front {
    gateway: Gateway,
    backend: Backend,
    address: SocketAddr,
    _folder: TempDir,
    ways: JoinHandle<()>,
    child: Child,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.ways.abort();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Front {
    /// `command` is told the folder and gives what to run and what to write there.
    async fn start(
        program: &str,
        files: impl Fn(&Path) -> Vec<(&'static str, String)>,
        arguments: impl Fn(&Path) -> Vec<String>,
    ) -> Front {
        let backend = Backend::start().await;
        let mut setup = Setup::new(&backend.url).policy(
            "acme-rehab.toml",
            "[[rules]]\nname = \"no exports\"\npaths = [\"/exports/**\"]\naction = \"deny\"\n\
             [[rules]]\nname = \"one desk\"\npaths = [\"/desk/**\"]\naction = \"deny\"\n\
             except = { networks = [\"127.0.0.9/32\"] }\n",
        );
        setup.emr = String::from("access = { \"/public/**\" = \"public\" }");
        setup.more = String::from("[authz]\npeers = [\"127.0.0.0/8\"]\n");
        setup.listen = String::from("trusted_proxies = [\"127.0.0.1/32\"]\n");
        let gateway = setup.start().await;
        let address = SocketAddr::new(own_address().into(), gateway.address.port());
        let folder = tempfile::tempdir().unwrap();

        let tls = gateway.path("data");
        let pem = std::fs::read_to_string(tls.join("development.pem")).unwrap();
        let key = std::fs::read_to_string(tls.join("development.key")).unwrap();
        let made = folder.path().join("tls");
        std::fs::create_dir(&made).unwrap();
        for (name, text) in [
            ("site.pem", pem.clone()),
            ("site.key", key.clone()),
            ("site-and-key.pem", format!("{pem}{key}")),
            ("vestibule.pem", pem),
        ] {
            std::fs::write(made.join(name), text).unwrap();
        }
        let backend_address = backend.url.strip_prefix("http://").unwrap();
        for (name, text) in files(folder.path()) {
            let text = text
                .replace("127.0.0.1:8443", &gateway.address.to_string())
                .replace("127.0.0.1:9001", backend_address)
                .replace(
                    "https://10.0.0.2:8443",
                    &format!("https://{}", gateway.address),
                )
                .replace("http://10.0.0.3:9001", &backend.url)
                .replace("login.example.org", "login.test")
                .replace("emr.example.org", "emr.test")
                .replace("GATEWAY_PORT", &gateway.address.port().to_string())
                .replace("BACKEND_PORT", backend_address.rsplit(':').next().unwrap())
                .replace("LISTEN", &address.to_string())
                .replace("ADDRESS", &address.ip().to_string())
                .replace("PORT", &address.port().to_string())
                .replace("TLS", &made.display().to_string());
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let (way, ways) = ways_to(gateway.address).await;
        let mut child = Command::new(program)
            .args(arguments(folder.path()))
            // An address of this machine is asked directly all the same.
            .env("HTTPS_PROXY", format!("http://{way}"))
            .env_remove("https_proxy")
            .env_remove("NO_PROXY")
            .env_remove("no_proxy")
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}; tools/test installs it"));
        let begun = Instant::now();
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            let told = std::fs::read_to_string(folder.path().join("log")).unwrap();
            assert!(
                child.try_wait().unwrap().is_none() && begun.elapsed() < PATIENCE,
                "{program} does not serve: {told}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Some listen before they know whom to ask.
        let stranger = Visitor::through(address);
        soon("the sign-in is shown", async || {
            let asked = stranger.client().get(stranger.url("login", "/login"));
            let answer = asked.send().await;
            answer.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        Front {
            gateway,
            backend,
            address,
            _folder: folder,
            ways,
            child,
        }
    }

    async fn nginx() -> Front {
        let files = |_: &Path| {
            let site = sample("nginx/vestibule.conf")
                .replace("listen 443 ssl", "listen LISTEN ssl")
                .replace("/etc/nginx/tls", "TLS");
            let main = String::from(
                "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\n\
                 events { worker_connections 256; }\nhttp {\naccess_log off;\n\
                 client_body_temp_path body;\nproxy_temp_path proxied;\nfastcgi_temp_path fcgi;\n\
                 uwsgi_temp_path uwsgi;\nscgi_temp_path scgi;\ninclude vestibule.conf;\n}\n",
            );
            vec![("nginx.conf", main), ("vestibule.conf", site)]
        };
        let arguments = |folder: &Path| {
            let folder = folder.display();
            [
                "-p",
                &format!("{folder}"),
                "-c",
                "nginx.conf",
                "-e",
                "stderr",
            ]
            .map(str::to_owned)
            .to_vec()
        };
        Front::start("nginx", files, arguments).await
    }

    async fn caddy() -> Front {
        let files = |folder: &Path| {
            let site = sample("caddy/Caddyfile")
                .replace("/etc/caddy/tls", "TLS")
                .replace(
                    "\nlogin.example.org {",
                    "\nhttps://login.example.org:PORT {\n\tbind ADDRESS",
                )
                .replace(
                    "\nemr.example.org {",
                    "\nhttps://emr.example.org:PORT {\n\tbind ADDRESS",
                );
            let global = format!(
                "{{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n\
                 \tstorage file_system {}/store\n}}\n",
                folder.display()
            );
            vec![("Caddyfile", global + &site)]
        };
        let arguments = |_: &Path| {
            ["run", "--config", "Caddyfile", "--adapter", "caddyfile"]
                .map(str::to_owned)
                .to_vec()
        };
        Front::start("caddy", files, arguments).await
    }

    async fn haproxy() -> Front {
        let files = |folder: &Path| {
            let site = sample("haproxy/haproxy.cfg")
                .replace("/etc/haproxy/tls", "TLS")
                .replace(
                    "/etc/haproxy/vestibule.lua",
                    &format!("{}/vestibule.lua", folder.display()),
                )
                .replace("bind :443", "bind LISTEN");
            vec![
                ("haproxy.cfg", site),
                ("vestibule.lua", sample("haproxy/vestibule.lua")),
            ]
        };
        let arguments = |_: &Path| ["-db", "-f", "haproxy.cfg"].map(str::to_owned).to_vec();
        Front::start("haproxy", files, arguments).await
    }

    async fn traefik() -> Front {
        let files = |_: &Path| {
            let site = sample("traefik/vestibule.yml")
                .replace("/etc/traefik/tls", "TLS")
                .replace(
                    "https://login.example.org:8443",
                    "https://login.example.org:GATEWAY_PORT",
                );
            let own = sample("traefik/traefik.yml")
                .replace("\":443\"", "\"LISTEN\"")
                .replace("/etc/traefik/vestibule.yml", "vestibule.yml");
            vec![("traefik.yml", own), ("vestibule.yml", site)]
        };
        let arguments = |_: &Path| vec![String::from("--configFile=traefik.yml")];
        Front::start(&fetched("traefik"), files, arguments).await
    }

    async fn envoy() -> Front {
        let files = |_: &Path| {
            let at = |host: &str, port: &str| format!("address: {host}, port_value: {port} ");
            let site = sample("envoy/envoy.yaml")
                .replace("/etc/envoy/tls", "TLS")
                .replace(&at("0.0.0.0", "443"), &at("ADDRESS", "PORT"))
                .replace(&at("10.0.0.2", "8443"), &at("127.0.0.1", "GATEWAY_PORT"))
                .replace(&at("10.0.0.3", "9001"), &at("127.0.0.1", "BACKEND_PORT"));
            vec![("envoy.yaml", site)]
        };
        let arguments = |_: &Path| {
            // Shares nothing with another Envoy of this machine.
            [
                "-c",
                "envoy.yaml",
                "--use-dynamic-base-id",
                "--concurrency",
                "2",
            ]
            .map(str::to_owned)
            .to_vec()
        };
        Front::start(&fetched("envoy"), files, arguments).await
    }
}

/// One day with a proxy in front: what people see is what they see at the gateway's own door.
async fn a_day_with(front: Front) {
    let mut kim = Visitor::through(front.address);
    let backend = &front.backend;

    // What a browser claims reaches nobody, and a stranger is led to the sign-in and back.
    let page = kim.open(kim.url("emr", "/patients/7?tab=notes")).await;
    assert_eq!(page.url.path(), "/login", "{}", page.body);
    assert_eq!(backend.seen().len(), 0, "nothing passed before the sign-in");
    let there = kim
        .submit(
            &page,
            &[
                ("username", "kim"),
                ("password", &crate::gateway::password("kim")),
            ],
        )
        .await;
    assert_eq!(there.status, 200, "{}", there.body);
    assert_eq!(there.url, kim.url("emr", "/patients/7?tab=notes"));
    let seen = backend.last();
    assert_eq!(seen.target, "/patients/7?tab=notes");
    assert_eq!(seen.header("x-forwarded-user"), Some("kim"));
    assert_eq!(seen.header("x-vestibule-company"), Some("acme-rehab"));
    assert!(seen.header("x-vestibule-jwt-assertion").is_some());
    let cookies = seen.header("cookie").unwrap_or_default();
    assert!(!cookies.contains("__Host-vestibule"), "{cookies}");

    // Claims of the browser's own, about itself and about what is asked.
    let claims = [
        ("x-forwarded-user", "root"),
        ("x-vestibule-person", "root"),
        ("x-forwarded-groups", "company_admin"),
        ("x-original-url", "https://emr.test/public/a"),
        ("x-original-method", "GET"),
        ("x-forwarded-uri", "/public/a"),
        ("x-forwarded-method", "GET"),
        ("x-forwarded-host", "billing.test"),
        ("x-forwarded-for", "127.0.0.9"),
    ];
    let mine = kim
        .send(Method::GET, kim.url("emr", "/mine"), &claims, None)
        .await;
    assert_eq!(mine.status, 200, "{}", mine.body);
    let seen = backend.last();
    assert_eq!(seen.header("x-forwarded-user"), Some("kim"));
    assert_eq!(seen.header("x-vestibule-person"), Some("kim"));
    let asked = backend.seen().len();
    for path in ["/exports/all", "/desk/1"] {
        let denied = kim
            .send(Method::GET, kim.url("emr", path), &claims, None)
            .await;
        assert_eq!(denied.status, 403, "{path}: {}", denied.body);
    }
    let page = kim.look(kim.url("emr", "/exports/all")).await;
    assert_eq!(page.status, 403);
    assert_eq!(backend.seen().len(), asked, "nothing denied passed");

    // A form goes on whole.
    let body = String::from("note=all%20well");
    let url = kim.url("emr", "/notes");
    let saved = kim.send(Method::POST, url, &[], Some(body.clone())).await;
    assert_eq!(saved.status, 200, "{}", saved.body);
    let seen = backend.last();
    assert_eq!((seen.method, seen.body_bytes), (Method::POST, body.len()));

    // An open path is open, and in nobody's name.
    let mut stranger = Visitor::through(front.address);
    let url = stranger.url("emr", "/public/a");
    let open = stranger.send(Method::GET, url, &claims[..3], None).await;
    assert_eq!(open.status, 200, "{}", open.body);
    let told = backend.last();
    for name in [
        "x-forwarded-user",
        "x-vestibule-person",
        "x-forwarded-groups",
    ] {
        assert_eq!(told.header(name).unwrap_or_default(), "", "{name}");
    }

    // A script is told 401, and the session's own path answers through the proxy.
    let url = stranger.url("emr", "/poll");
    let poll = stranger.fetch(Method::GET, url).await;
    assert_eq!(poll.status, 401);
    let url = kim.url("emr", "/.vestibule/session");
    let session = kim.fetch(Method::GET, url).await;
    assert_eq!(session.json()["person"]["id"], "kim");

    // What ends at the gateway ends here.
    let person = vestibule::gate::name::PersonId::parse("kim").unwrap();
    front
        .gateway
        .running
        .sessions
        .end_person(&person, vestibule::sessions::EndCause::Revoked)
        .await
        .unwrap();
    let mut again = kim.clone();
    soon("the session is over for the proxy too", async || {
        let url = again.url("emr", "/mine");
        again.fetch(Method::GET, url).await.status == 401
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_with_the_sample_asks_before_it_forwards() {
    a_day_with(Front::nginx().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caddy_with_the_sample_asks_before_it_forwards() {
    a_day_with(Front::caddy().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_with_the_sample_asks_before_it_forwards() {
    a_day_with(Front::haproxy().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traefik_with_the_sample_asks_before_it_forwards() {
    a_day_with(Front::traefik().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_with_the_sample_asks_before_it_forwards() {
    a_day_with(Front::envoy().await).await;
}

#[test]
fn every_sample_copies_everything_that_an_application_believes() {
    for name in [
        "nginx/vestibule.conf",
        "caddy/Caddyfile",
        "haproxy/vestibule.lua",
        "traefik/vestibule.yml",
        "envoy/envoy.yaml",
    ] {
        let text = sample(name).to_lowercase();
        for header in [
            "cookie",
            "x-forwarded-user",
            "x-forwarded-preferred-username",
            "x-forwarded-email",
            "x-forwarded-groups",
            "x-vestibule-person",
            "x-vestibule-company",
            "x-vestibule-session",
            "x-vestibule-amr",
            "x-vestibule-jwt-assertion",
        ] {
            assert!(text.contains(header), "{name} forgets {header}");
        }
        assert!(text.contains("/api/authz/"), "{name}");
        // HAProxy's script is told by its configuration what it is asked about.
        let routes = match name {
            "haproxy/vestibule.lua" => sample("haproxy/haproxy.cfg"),
            _ => text,
        };
        assert!(routes.contains("/.vestibule/"), "{name}");
    }
}
