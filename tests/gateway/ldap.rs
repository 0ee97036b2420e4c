//! Passwords that a directory of the house keeps, a real OpenLDAP server's: signing in, and pairing.

use http::Method;
use vestibule::directory::SignOnPlace;
use vestibule::gate::name::{Login, PersonId, ProductId};

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, password, vestibule};
use crate::slapd::{BASE, READER, READER_PASSWORD, Slapd};
use crate::visitor::{Answer, Visitor};

fn credentials(server: &Slapd) -> String {
    format!(
        "credentials = {{ kind = \"ldap\", url = \"ldap://127.0.0.1:{}\", dn = \"uid={{login}},ou=people,{BASE}\", deadline = \"5s\" }}",
        server.plain
    )
}

/// Billing's passwords are the directory's; nobody has told the gateway of an account `sam.r` there.
async fn clinic(server: &Slapd) -> (Backend, Gateway) {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    setup.billing = credentials(server);
    let gateway = setup.start().await;
    (backend, gateway)
}

/// The page that asks for the second account, from Billing's button on.
pub async fn second_step(sam: &mut Visitor) -> Answer {
    let first = sam.open(sam.url("billing", "/invoices?page=2")).await;
    assert_eq!(first.url.path(), "/connect/billing", "{}", first.body);
    let own = password("sam");
    let given = [("username", "sam"), ("password", own.as_str())];
    let second = sam.submit(&first, &given).await;
    assert!(second.body.contains("Pair accounts"), "{}", second.body);
    second
}

pub async fn signed_in(gateway: &Gateway, login: &str) -> Visitor {
    let mut visitor = Visitor::new(gateway);
    visitor.sign_in(login, visitor.url("emr", "/")).await;
    visitor
}

async fn reset_single_sign_on(visitor: &mut Visitor) {
    let profile = visitor.open(visitor.url("login", "/account")).await;
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("csrf", &profile.field("csrf").unwrap())
        .finish();
    let origin = profile.url.origin().ascii_serialization();
    let mut headers = Visitor::NAVIGATION.to_vec();
    headers.push(("origin", &origin));
    headers.push(("content-type", "application/x-www-form-urlencoded"));
    let url = visitor.url("login", "/account/reset-sso");
    let answer = visitor.send(Method::POST, url, &headers, Some(form)).await;
    assert_eq!(answer.location(), "/account?sso=reset");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_of_a_directory_is_paired_and_only_the_link_is_kept() {
    let server = Slapd::start(&[("sam.r", "sam's budget"), ("kim-billing", "kim's own")]);
    let (backend, gateway) = clinic(&server).await;
    let mut sam = signed_in(&gateway, "sam").await;
    let second = second_step(&mut sam).await;
    for (name, secret) in [
        ("Sam.R", "not this one"),
        ("nobody", "sam's budget"),
        ("*", "x"),
    ] {
        let given = [("username", name), ("password", secret)];
        let wrong = sam.submit(&second, &given).await;
        assert_eq!(wrong.status, 403, "{name}: {}", wrong.body);
        assert!(
            wrong.body.contains("That username and password don"),
            "{}",
            wrong.body
        );
    }
    let given = [("username", "Sam.R"), ("password", "sam's budget")];
    let done = sam.submit(&second, &given).await;
    assert!(done.body.contains("Success!"), "{}", done.body);
    // At once, under the name that the directory has, for the person's own company.
    let page = sam.open(sam.url("billing", "/invoices?page=2")).await;
    assert_eq!(page.url.path(), "/invoices", "{}", page.body);
    let seen = backend.last();
    assert_eq!(seen.header("x-forwarded-user"), Some("sam.r"));
    assert_eq!(seen.header("x-vestibule-company"), Some("acme-rehab"));

    let billing = ProductId::parse("billing").unwrap();
    let place = SignOnPlace {
        product: billing.clone(),
        login: Login::parse("sam.r").unwrap(),
        account_of: billing,
        person: PersonId::parse("sam").unwrap(),
    };
    let directory = &gateway.running.directory;
    let kept = directory.sign_on_secret(&place).await.unwrap();
    assert!(kept.is_none(), "its headers tell Billing who comes");

    // The link goes with the reset, and the same account is paired anew.
    reset_single_sign_on(&mut sam).await;
    assert_eq!(
        (sam.worth("billing").await, sam.worth("emr").await),
        (401, 200)
    );
    let second = second_step(&mut sam).await;
    let done = sam.submit(&second, &given).await;
    assert!(done.body.contains("Success!"), "{}", done.body);

    let folder = gateway.folder.clone();
    gateway.stop().await;
    let (code, lines, _) = vestibule(folder.path(), &["audit", "export"]).await;
    assert_eq!(code, 0);
    for words in [
        "second password refused",
        "billing paired as sam.r",
        "single_sign_on_reset",
    ] {
        assert!(lines.contains(words), "{words}: {lines}");
    }
    assert!(!lines.contains("budget"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_spelling_of_somebody_elses_account_is_their_account() {
    let server = Slapd::start(&[("sam r", "sam's budget")]);
    let address = format!("ldap://127.0.0.1:{}", server.plain);
    let searched = format!(
        "credentials = {{ kind = \"ldap\", url = \"{address}\", search = {{ base = \"{BASE}\", filter = \"(|(uid={{login}})(mail={{login}}))\", bind_dn = \"{READER}\", bind_password = \"{READER_PASSWORD}\" }} }}"
    );
    // The directory passes over blanks in names, and finds people by their address, too.
    for (keys, spellings) in [
        (credentials(&server), vec!["sam  r", "SAM   R"]),
        (searched, vec!["sam  r", "sam r@clinic.example"]),
    ] {
        let backend = Backend::start().await;
        let mut setup = Setup::new(&backend.url);
        setup.billing = keys;
        setup.people += "{\"kind\":\"person\",\"id\":\"eve\",\"company\":\"acme-rehab\",\"name\":\"Eve\",\"email\":\"eve@clinic.example\"}\n\
               {\"kind\":\"account\",\"product\":\"emr\",\"login\":\"eve\",\"person\":\"eve\",\"password\":\"eve's own long one\"}\n";
        let gateway = setup.start().await;
        let mut sam = signed_in(&gateway, "sam").await;
        let second = second_step(&mut sam).await;
        let given = [("username", "sam r"), ("password", "sam's budget")];
        let done = sam.submit(&second, &given).await;
        assert!(done.body.contains("Success!"), "{}", done.body);
        let mut eve = Visitor::new(&gateway);
        let page = eve.open(eve.url("emr", "/")).await;
        let own = [("username", "eve"), ("password", "eve's own long one")];
        eve.submit(&page, &own).await;
        let first = eve.open(eve.url("billing", "/")).await;
        let second = eve.submit(&first, &own).await;
        for spelling in spellings {
            let given = [("username", spelling), ("password", "sam's budget")];
            let taken = eve.submit(&second, &given).await;
            assert_eq!(taken.status, 409, "{spelling}: {}", taken.body);
        }
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_account_of_the_directory_is_refused_and_both_hear_of_it() {
    let server = Slapd::start(&[("kim-billing", "kim's own")]);
    let (_backend, gateway) = clinic(&server).await;
    let mut sam = signed_in(&gateway, "sam").await;
    let second = second_step(&mut sam).await;
    let given = [("username", "kim-billing"), ("password", "kim's own")];
    let taken = sam.submit(&second, &given).await;
    assert_eq!(taken.status, 409, "{}", taken.body);
    assert!(
        taken.body.contains("This account is paired already"),
        "{}",
        taken.body
    );
    // Kim has it still, and nothing to type.
    let mut kim = signed_in(&gateway, "kim").await;
    assert_eq!(kim.open(kim.url("billing", "/")).await.url.path(), "/");
    assert_eq!(kim.worth("billing").await, 200);
    let folder = gateway.folder.clone();
    gateway.stop().await;
    let (_, lines, _) = vestibule(folder.path(), &["audit", "export"]).await;
    for words in ["billing kim-billing is another's", "pairing_contested"] {
        assert!(lines.contains(words), "{words}: {lines}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_away_is_told_and_counted_against_nobody() {
    let server = Slapd::start(&[("sam.r", "sam's budget")]);
    let (_backend, gateway) = clinic(&server).await;
    let mut sam = signed_in(&gateway, "sam").await;
    let second = second_step(&mut sam).await;
    drop(server);
    // More often than wrong passwords may be typed without a wait.
    for _ in 0..8 {
        let given = [("username", "sam.r"), ("password", "sam's budget")];
        let away = sam.submit(&second, &given).await;
        assert_eq!(away.status, 503, "{}", away.body);
    }
    assert_eq!(sam.worth("emr").await, 200);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_has_expired_in_the_directory_is_said_to_be_and_counted_against_nobody() {
    let server = Slapd::start_with(
        &[("lee", "lee's own")],
        &[("kim", "kim's"), ("sam.r", "sam's")],
    );
    let told = |answer: &Answer, product: &str| {
        let sentence = format!("Your {product} password has expired. Change it where");
        assert_eq!(answer.status, 403);
        assert!(answer.body.contains(&sentence), "{}", answer.body);
    };
    // At the sign-in, more often than wrong passwords may be typed without a wait.
    let emr = Backend::start().await;
    let mut setup = Setup::new(&emr.url);
    setup.emr = credentials(&server);
    let gateway = setup.start().await;
    let mut kim = Visitor::new(&gateway);
    let page = kim.open(kim.url("emr", "/")).await;
    for _ in 0..8 {
        let given = [("username", "kim"), ("password", "kim's")];
        told(&kim.submit(&page, &given).await, "EMR");
    }
    let given = [("username", "kim"), ("password", "not this")];
    let wrong = kim.submit(&page, &given).await;
    assert!(
        wrong.body.contains("That username and password don"),
        "{}",
        wrong.body
    );
    gateway.stop().await;
    // And at the pairing.
    let (_backend, gateway) = clinic(&server).await;
    let mut sam = signed_in(&gateway, "sam").await;
    let second = second_step(&mut sam).await;
    for _ in 0..8 {
        let given = [("username", "sam.r"), ("password", "sam's")];
        told(&sam.submit(&second, &given).await, "Billing");
    }
    let folder = gateway.folder.clone();
    gateway.stop().await;
    let (_, lines, _) = vestibule(folder.path(), &["audit", "export"]).await;
    assert!(lines.contains("second password expired"), "{lines}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_in_with_what_a_directory_of_the_house_knows() {
    let emr = Backend::start().await;
    let server = Slapd::start(&[("kim", "from the directory"), ("newcomer", "just hired")]);
    let mut setup = Setup::new(&emr.url);
    setup.emr = credentials(&server);
    let gateway = setup.start().await;
    let mut kim = Visitor::new(&gateway);
    let page = kim.open(kim.url("emr", "/")).await;
    let try_with = async |kim: &mut Visitor, name: &str, secret: &str| {
        kim.submit(&page, &[("username", name), ("password", secret)])
            .await
    };
    // What the gateway's own directory knows counts no more.
    let old = try_with(&mut kim, "kim", &password("kim")).await;
    assert_eq!(old.status, 403, "{}", old.body);
    assert_eq!(try_with(&mut kim, "nobody", "x").await.status, 403);
    let newcomer = try_with(&mut kim, "newcomer", "just hired").await;
    assert_eq!(newcomer.status, 403);
    assert!(
        newcomer.body.contains("nobody has set you up"),
        "{}",
        newcomer.body
    );
    let inside = try_with(&mut kim, "Kim", "from the directory").await;
    assert_eq!(inside.url, kim.url("emr", "/"), "{}", inside.body);
    assert_eq!(emr.last().header("x-forwarded-user"), Some("kim"));
    let forgot = kim.open(kim.url("login", "/password/forgot")).await;
    assert!(
        forgot.body.contains("Its password is not kept here"),
        "{}",
        forgot.body
    );

    // Away: told, and counted against nobody, however often it is tried.
    drop(server);
    let mut other = Visitor::new(&gateway);
    let page = other.open(other.url("emr", "/")).await;
    for _ in 0..8 {
        let given = [("username", "kim"), ("password", "from the directory")];
        let away = other.submit(&page, &given).await;
        assert_eq!(away.status, 503, "{}", away.body);
        assert!(
            away.body.contains("EMR can&#39;t be asked right now")
                || away.body.contains("EMR can't be asked right now"),
            "{}",
            away.body
        );
    }
    gateway.stop().await;
}
