//! Pairing at an application that does not say who it is: logins that look alike.

use vestibule::gate::name::{Login, PersonId, ProductId};

use crate::backend::Backend;
use crate::gateway::Setup;
use crate::ldap::{second_step, signed_in};
use crate::legacy::Application;

const CREDENTIALS: &str = "credentials = { kind = \"form\", page = \"/login\", username_field = \"user\", password_field = \"pass\" }";
const PEOPLE: &str = "{\"kind\":\"person\",\"id\":\"eve\",\"company\":\"acme-rehab\",\"name\":\"Eve\",\"email\":\"eve@clinic.example\"}\n\
    {\"kind\":\"account\",\"product\":\"billing\",\"login\":\"lou\",\"person\":\"eve\",\"password\":\"not kept here any more\"}\n\
    {\"kind\":\"account\",\"product\":\"billing\",\"login\":\"jose\",\"password\":\"not kept here any more\"}\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_looks_like_anothers_is_theirs_only_where_the_application_says_so() {
    let emr = Backend::start().await;
    // One who comes in however it is spelt, and two whom the application tells apart.
    let application = Application::start(&[
        ("lou", "lou's"),
        ("lo\u{fa}", "lou's"),
        ("jose", "another's"),
        ("jos\u{e9}", "sam's own"),
    ])
    .await;
    let mut setup = Setup::new(&emr.url);
    setup.backends[1] = vec![application.url.clone()];
    setup.billing = CREDENTIALS.to_owned();
    setup.people += PEOPLE;
    let gateway = setup.start().await;
    let mut sam = signed_in(&gateway, "sam").await;
    let second = second_step(&mut sam).await;
    let given = [("username", "lo\u{fa}"), ("password", "lou's")];
    let taken = sam.submit(&second, &given).await;
    assert_eq!(taken.status, 409, "{}", taken.body);
    let given = [("username", "jos\u{e9}"), ("password", "sam's own")];
    let done = sam.submit(&second, &given).await;
    assert!(done.body.contains("Success!"), "{}", done.body);
    let tries = application.tries();
    let tries: Vec<_> = tries
        .iter()
        .map(|(user, right)| (user.as_str(), *right))
        .collect();
    let expected = [
        ("lo\u{fa}", true),
        ("lou", true),
        ("jos\u{e9}", true),
        ("jose", false),
    ];
    assert_eq!(tries, expected, "asked once more, and no oftener");

    let billing = ProductId::parse("billing").unwrap();
    let holder = async |login: &str| {
        let login = Login::parse(login).unwrap();
        let account = gateway.running.directory.account(&billing, &login).await;
        account.unwrap().and_then(|account| account.person)
    };
    assert_eq!(holder("jos\u{e9}").await, PersonId::parse("sam").ok());
    assert_eq!(holder("jose").await, None, "its owner can pair it still");
    gateway.stop().await;
}
