//! `vestibule demo`: the gateway on the embedded store, three small legacy applications behind it,
//! and people to sign in as. Nothing else is needed, and nothing is left but one folder.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::demo_elsewhere::{client, provider_table, scim_token, seconds};
use super::{Failure, world};
use crate::app::{self, Sockets, World};
use crate::config;
use crate::demo::{self, Links};
use crate::directory::{Directory, DirectoryError, SignOnPlace, TypedCredentials};
use crate::gate::name::{Login, PersonId, ProductId};
use crate::gate::policy::FactorMethod;
use crate::gate::time::Moment;
use crate::messages::Messages;
use crate::observe::trace;

#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// The port of the front door
    #[arg(long, default_value_t = 8443)]
    port: u16,
    /// The port of the listener that redirects from plain HTTP
    #[arg(long, default_value_t = 8080)]
    http_port: u16,
    /// The port of /metrics, /healthz and /readyz
    #[arg(long, default_value_t = 9901)]
    admin_port: u16,
    /// The port of the page that shows the text messages and mails; 0 takes a free one
    #[arg(long, default_value_t = 8025)]
    outbox_port: u16,
    /// The port of the OpenID Connect provider that one of the clinics has; 0 takes a free one
    #[arg(long, default_value_t = 8026)]
    provider_port: u16,
    /// How many seconds of the gateway's clock pass in one: 60 shows Billing's two hours in two
    /// minutes. One-time codes of a phone need 1
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=3600))]
    speed: u32,
    /// Where the demo keeps its files; the same folder goes on where it ended
    #[arg(long, default_value = "data/demo")]
    data_dir: PathBuf,
}

pub fn demo(arguments: &DemoArgs) -> Result<u8, Failure> {
    trace::start(trace::Format::Text, "warn").map_err(Failure::not_so)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::not_so)?
        .block_on(show(arguments))
}

async fn show(arguments: &DemoArgs) -> Result<u8, Failure> {
    let portal = format!("https://login.localhost:{}", arguments.port);
    let links = Links::through_gateway(&portal);
    let emr = local(0).await?;
    let billing = local(0).await?;
    let analytics = local(0).await?;
    let outbox = local(arguments.outbox_port).await?;
    let outbox_address = outbox.1;
    let provider = local(arguments.provider_port).await?;
    let issuer = format!("http://{}", provider.1);
    let addresses = [emr.1, billing.1, analytics.1];
    let world = sped_up(arguments.speed);
    let applications = [
        tokio::spawn(demo::emr(emr.0, links.clone())),
        tokio::spawn(demo::billing_by_form(billing.0, links.clone())),
        tokio::spawn(demo::analytics(analytics.0, links)),
        tokio::spawn(demo::provider::serve(
            provider.0,
            issuer.clone(),
            client(&portal),
            seconds(&world),
        )),
    ];

    let folder = prepare(arguments, addresses, &issuer)?;
    let file = folder.join("gateway.toml");
    let mut settings = config::load(&file, std::iter::empty(), &[])?;
    settings.pace = arguments.speed.max(1);
    let sockets = Sockets::bind(&settings.listen).await?;
    let products: Vec<ProductId> = settings
        .products
        .iter()
        .map(|product| product.id.clone())
        .collect();
    let token_world = world.clone();
    let running = app::start(settings, world, sockets).await?;
    running
        .directory
        .import(
            &running.hasher,
            demo::seed().as_bytes(),
            &products,
            world::now(),
        )
        .await
        .map_err(Failure::not_so)?;
    let texted = enrol_texted(&running.directory);
    texted.await.map_err(Failure::not_so)?;
    let typed = keep_billing_passwords(&running.directory);
    typed.await.map_err(Failure::not_so)?;
    let token = scim_token(&running.directory, &token_world).await;
    let token = token.map_err(Failure::not_so)?;
    let posts = posts(&running.messages);
    let outbox = tokio::spawn(demo::outbox(outbox.0, posts));
    std::io::stdout()
        .write_all(welcome(arguments, &portal, outbox_address, &issuer, &token).as_bytes())
        .map_err(Failure::not_so)?;

    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::not_so)?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    for application in &applications {
        application.abort();
    }
    outbox.abort();
    running.stop().await;
    Ok(0)
}

/// One person has set up SMS already.
async fn enrol_texted(directory: &Directory) -> Result<(), DirectoryError> {
    let (person, number) = demo::TEXTED;
    let Ok(person) = PersonId::parse(person) else {
        return Ok(());
    };
    directory
        .add_first_factor(
            &person,
            FactorMethod::Sms,
            number.as_bytes(),
            0,
            world::now(),
        )
        .await?;
    Ok(())
}

/// Who is paired from the start has nothing to type in Billing: as if they had paired themselves.
async fn keep_billing_passwords(directory: &Directory) -> Result<(), DirectoryError> {
    let Ok(product) = ProductId::parse("billing") else {
        return Ok(());
    };
    for known in demo::people()
        .iter()
        .filter(|known| known.product == "billing")
    {
        let Ok(login) = Login::parse(known.login) else {
            continue;
        };
        let account = directory.account(&product, &login).await?;
        let Some(person) = account.and_then(|account| account.person) else {
            continue;
        };
        let place = SignOnPlace {
            product: product.clone(),
            account_of: product.clone(),
            login,
            person,
        };
        if directory.sign_on_secret(&place).await?.is_none() {
            let credentials = TypedCredentials {
                username: known.login.to_owned(),
                password: known.password.to_owned().into(),
            };
            directory
                .keep_sign_on_secret(&place, &credentials, world::now())
                .await?;
        }
    }
    Ok(())
}

fn posts(messages: &Messages) -> demo::Posts {
    let outbox = messages.outbox();
    Arc::new(move || {
        let all = outbox.all().into_iter().map(|kept| demo::Posted {
            number: kept.number,
            channel: kept.channel,
            to: kept.to,
            subject: kept.subject,
            text: kept.text,
        });
        all.collect()
    })
}

async fn local(port: u16) -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| Failure::not_so(format!("127.0.0.1:{port}: {error}")))?;
    let address = listener.local_addr().map_err(Failure::not_so)?;
    Ok((listener, address))
}

/// Writes what an operator would write: gateway.toml and policies.
fn prepare(
    arguments: &DemoArgs,
    [emr, billing, analytics]: [SocketAddr; 3],
    issuer: &str,
) -> Result<PathBuf, Failure> {
    let folder = arguments.data_dir.as_path();
    let policies = folder.join("policies");
    std::fs::create_dir_all(&policies).map_err(Failure::not_so)?;
    for (name, text) in demo::policies() {
        write(&policies.join(name), text)?;
    }
    let DemoArgs {
        port,
        http_port,
        admin_port,
        ..
    } = arguments;
    let text = format!(
        r#"# Written by `vestibule demo` at each start.
[listen]
https = ["127.0.0.1:{port}"]
http  = ["127.0.0.1:{http_port}"]
admin = "127.0.0.1:{admin_port}"

[portal]
url = "https://login.localhost:{port}"
title = "Clinic sign-in"

[store]
sessions  = "embedded"
directory = "sqlite:people.db"
data_dir  = "."
master_key = {{ file = "master.key" }}

[session]
maximum = "12h"
idle = "8h"

[log]
access_file = "access.jsonl"

[messages.sms]
kind = "outbox"

[messages.email]
kind = "outbox"

[products.emr]
name = "EMR"
url = "https://emr.localhost:{port}"
backends = ["http://{emr}"]
primary = true
activity = {{ ignore = ["/poll/**"] }}
bar = true

[products.billing]
name = "Billing"
url = "https://billing.localhost:{port}"
backends = ["http://{billing}"]
idle = "2h"
activity = {{ ignore = ["/poll/**"] }}
bar = true
# Billing knows no headers: the gateway fills its sign-in form.
sign_on = {{ kind = "form", page = "/login", username_field = "user", password_field = "pass", sign_out = "/logout" }}

[products.analytics]
name = "Analytics"
url = "https://analytics.localhost:{port}"
backends = ["http://{analytics}"]
needs_grant = true
accounts = "primary"
bar = true
"#
    );
    let text = text + &provider_table(issuer);
    write(&folder.join("gateway.toml"), &text)?;
    Ok(folder.to_owned())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::not_so(format!("{}: {error}", path.display())))
}

/// A clock that runs faster than the wall's.
fn sped_up(speed: u32) -> World {
    let mut world = world::real();
    if speed > 1 {
        let (began, at) = (Instant::now(), world::now());
        world.clock = Arc::new(move || -> Moment { at.plus(began.elapsed() * speed) });
    }
    world
}

fn welcome(
    arguments: &DemoArgs,
    portal: &str,
    outbox: SocketAddr,
    issuer: &str,
    token: &str,
) -> String {
    let port = arguments.port;
    let mut text = String::new();
    let _ = writeln!(text, "Vestibule demo, ready.\n");
    let _ = writeln!(text, "  Sign in     {portal}/");
    let _ = writeln!(text, "  EMR         https://emr.localhost:{port}/");
    let _ = writeln!(
        text,
        "  Billing     https://billing.localhost:{port}/   (closes after 2 hours without activity)"
    );
    let _ = writeln!(text, "  Analytics   https://analytics.localhost:{port}/");
    let _ = writeln!(
        text,
        "  Messages    http://{outbox}/   (codes by SMS and mail, instead of sending them)"
    );
    let _ = writeln!(
        text,
        "  Provider    {issuer}/   (Acme Rehab's, of OpenID Connect: \"Continue with Acme Rehab\" at the sign-in)"
    );
    let _ = writeln!(
        text,
        "  Metrics     http://127.0.0.1:{}/metrics",
        arguments.admin_port
    );
    let _ = writeln!(text, "  Files       {}\n", arguments.data_dir.display());
    let _ = writeln!(text, "Sign in with a Username and Password of EMR:\n");
    for person in demo::people()
        .iter()
        .filter(|person| person.product == "emr")
    {
        let _ = writeln!(
            text,
            "  {:<8} {:<28} {}",
            person.login, person.password, person.about
        );
    }
    let _ = writeln!(text, "\nAccounts that wait to be paired:\n");
    for account in demo::people().iter().filter(|account| !account.linked) {
        let _ = writeln!(
            text,
            "  {:<8} {:<28} {}'s, in {}",
            account.login, account.password, account.name, account.product
        );
    }
    let _ = writeln!(
        text,
        "\nPeople and groups by SCIM, as Acme Rehab's directory would ask for them:\n\n  \
         curl -k -H 'Authorization: Bearer {token}' {portal}/scim/v2/Users"
    );
    if arguments.speed > 1 {
        let _ = writeln!(
            text,
            "\nThe gateway's clock runs {} times as fast: one-time codes of a phone don't fit it.",
            arguments.speed
        );
    }
    let _ = writeln!(
        text,
        "\nThe certificate is made for this demo: your browser will warn once for each address."
    );
    let _ = writeln!(text, "Ctrl-C ends it.");
    text
}
