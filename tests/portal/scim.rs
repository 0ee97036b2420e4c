//! SCIM 2.0, as companies' directories speak it.

use http::Method;
use serde_json::{Value, json};

use vestibule::directory::scim::TOKEN_PREFIX;
use vestibule::gate::facts::Asks;
use vestibule::gate::name::{CompanyId, PersonId};
use vestibule::gate::session::Secret;

use crate::browser::{Page, Sent};
use crate::clinic::{Clinic, EMR, PORTAL};
use crate::samples;

/// A directory with its token.
struct Idp<'a> {
    clinic: &'a Clinic,
    token: String,
    id: String,
}

impl<'a> Idp<'a> {
    async fn of(clinic: &'a Clinic, company: &str, byte: u8) -> Idp<'a> {
        let secret = Secret::from_bytes([byte; 32]);
        let company = CompanyId::parse(company).unwrap();
        let id = clinic
            .directory
            .add_scim_token(&company, "test", &secret.hash(), clinic.now())
            .await
            .unwrap();
        Idp {
            clinic,
            token: format!("{TOKEN_PREFIX}{}", secret.expose()),
            id,
        }
    }

    async fn raw(&self, method: Method, path: &str, body: Option<String>) -> Page {
        let url = format!("{PORTAL}/scim/v2{path}");
        let headers = vec![("authorization", format!("Bearer {}", self.token))];
        self.clinic
            .browser_at([192, 0, 2, 250])
            .send(Sent {
                method,
                url: &url,
                form: body,
                headers,
                asks: Asks::Program,
            })
            .await
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let body = (!body.is_null()).then(|| body.to_string());
        let page = self.raw(method, path, body).await;
        if page.status != 204 {
            assert_eq!(
                page.header("content-type"),
                "application/scim+json",
                "{}",
                page.body
            );
        }
        let said = serde_json::from_str(&page.body).unwrap_or(Value::Null);
        (page.status, said)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(Method::GET, path, Value::Null).await
    }

    /// A new user; returns their id.
    async fn make(&self, user_name: &str) -> String {
        let body =
            json!({"userName": user_name, "emails": [{"value": user_name, "primary": true}]});
        let (status, user) = self.ask(Method::POST, "/Users", body).await;
        assert_eq!(status, 201, "{user}");
        user["id"].as_str().unwrap().to_owned()
    }

    async fn patch(&self, path: &str, operations: Value) -> (u16, Value) {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations,
        });
        self.ask(Method::PATCH, path, body).await
    }
}

fn query(filter: &str) -> String {
    let encoded: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
    format!("filter={encoded}")
}

#[tokio::test]
async fn without_a_token_of_ours_there_is_nothing_to_see() {
    let clinic = Clinic::open().await;
    let mut idp = Idp::of(&clinic, "acme", 1).await;
    assert_eq!(idp.get("/Users").await.0, 200);
    let good = idp.token.clone();
    for bad in [
        "",
        "nonsense",
        &good[1..],
        &format!("{TOKEN_PREFIX}{}", "A".repeat(43)),
    ] {
        bad.clone_into(&mut idp.token);
        for path in [
            "/Users",
            "/Groups",
            "/Schemas",
            "/ServiceProviderConfig",
            "/Users/kim",
        ] {
            let page = idp.raw(Method::GET, path, None).await;
            assert_eq!(
                (page.status, page.header("www-authenticate")),
                (401, "Bearer"),
                "{path}"
            );
        }
    }
    idp.token = good;
    assert!(clinic.directory.revoke_scim_token(&idp.id).await.unwrap());
    assert_eq!(idp.get("/Users").await.0, 401, "revoked");
    assert!(
        !clinic.rows().await.contains(&idp.token),
        "only its hash is kept"
    );
}

#[tokio::test]
async fn oktas_usual_sequence() {
    let clinic = Clinic::open().await;
    let idp = Idp::of(&clinic, "acme", 1).await;
    let (status, found) = idp
        .get(&format!(
            "/Users?{}&startIndex=1&count=100",
            query("userName eq \"new@acme.test\"")
        ))
        .await;
    assert_eq!((status, &found["totalResults"]), (200, &json!(0)));
    let (status, user) = idp
        .ask(
            Method::POST,
            "/Users",
            json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
                "userName": "New@acme.test",
                "name": {"givenName": "New", "familyName": "Person"},
                "emails": [{"primary": true, "value": "new@acme.test", "type": "work"}],
                "displayName": "New Person", "locale": "en-US", "externalId": "00u1", "groups": [],
                "password": "ignored-by-us", "active": true,
            }),
        )
        .await;
    assert_eq!(status, 201, "{user}");
    assert_eq!(user["userName"], "New@acme.test");
    assert_eq!(
        user["name"],
        json!({"formatted": "New Person", "givenName": "New", "familyName": "Person"})
    );
    assert!(user.get("password").is_none());
    let id = user["id"].as_str().unwrap();
    let path = format!("/Users/{id}");
    let (status, read) = idp.get(&path).await;
    assert_eq!((status, &read), (200, &user));
    let (_, found) = idp
        .get(&format!(
            "/Users?{}",
            query("userName eq \"NEW@ACME.TEST\"")
        ))
        .await;
    assert_eq!(found["Resources"][0]["id"], json!(id));

    // Nobody has their password: not this one, none.
    let browser = clinic.browser();
    let form = browser.open(&format!("{EMR}/")).await;
    let page = browser
        .submit_login(&form, "new@acme.test", "ignored-by-us")
        .await;
    assert_eq!(page.status, 403);

    let (status, off) = idp
        .patch(
            &path,
            json!([{"op": "replace", "value": {"active": false}}]),
        )
        .await;
    assert_eq!((status, &off["active"]), (200, &json!(false)));
    let (_, on) = idp
        .ask(
            Method::PUT,
            &path,
            json!({"userName": "new@acme.test", "externalId": "00u1", "active": true,
                   "name": {"givenName": "Newer", "familyName": "Person"},
                   "emails": [{"value": "new@acme.test", "primary": true}]}),
        )
        .await;
    assert_eq!(
        (&on["active"], &on["displayName"]),
        (&json!(true), &json!("Newer Person"))
    );
}

#[tokio::test]
async fn entras_usual_sequence() {
    let clinic = Clinic::open().await;
    let idp = Idp::of(&clinic, "acme", 1).await;
    // The connection test looks for somebody who can't be there.
    let (status, none) = idp
        .get(&format!("/Users?{}", query("userName eq \"0b2d-no-such\"")))
        .await;
    assert_eq!((status, &none["totalResults"]), (200, &json!(0)));
    let id = idp.make("lou@acme.test").await;
    let path = format!("/Users/{id}");
    let (status, user) = idp
        .patch(
            &path,
            json!([
                {"op": "Add", "path": "externalId", "value": "lou"},
                {"op": "Replace", "path": "displayName", "value": "Lou Roe"},
                {"op": "Add", "path": "emails[type eq \"work\"].value", "value": "lou.roe@acme.test"},
                {"op": "Replace", "path": "name.givenName", "value": "Louise"},
                {"op": "Add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "value": "Front desk"},
                {"op": "Replace", "path": "displayName", "value": "Louise Roe"},
            ]),
        )
        .await;
    assert_eq!(status, 200, "{user}");
    assert_eq!(user["externalId"], "lou");
    assert_eq!(user["displayName"], "Louise Roe");
    assert_eq!(user["emails"][0]["value"], "lou.roe@acme.test");
    let (_, off) = idp
        .patch(
            &path,
            json!([{"op": "Replace", "path": "active", "value": "False"}]),
        )
        .await;
    assert_eq!(off["active"], json!(false));
    let (status, _) = idp.ask(Method::DELETE, &path, Value::Null).await;
    assert_eq!(status, 204);
    assert_eq!(
        idp.get(&path).await.1["active"],
        json!(false),
        "disabled, not gone"
    );
    // Hired again: the match finds them.
    let (_, found) = idp
        .get(&format!("/Users?{}", query("externalId eq \"lou\"")))
        .await;
    assert_eq!(found["totalResults"], json!(1));
}

#[tokio::test]
async fn who_is_switched_off_is_signed_out_at_once() {
    let clinic = Clinic::open().await;
    let idp = Idp::of(&clinic, "acme", 1).await;
    let browsers = [clinic.signed_in("kim").await, clinic.signed_in("kim").await];
    let (status, _) = idp
        .patch(
            "/Users/kim",
            json!([{"op": "replace", "path": "active", "value": false}]),
        )
        .await;
    assert_eq!(status, 200);
    for browser in &browsers {
        assert!(
            browser
                .open(&format!("{EMR}/"))
                .await
                .url
                .contains("/login")
        );
    }
    let page = clinic.browser().log_in(&format!("{EMR}/"), "kim").await;
    assert_eq!(page.status, 403);
    assert!(clinic.heard("event: \"person_disabled\", person: Some(kim)"));
    idp.patch(
        "/Users/kim",
        json!([{"op": "replace", "path": "active", "value": true}]),
    )
    .await;
    assert_eq!(
        clinic
            .signed_in("kim")
            .await
            .open(&format!("{EMR}/"))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_token_reaches_its_own_company_only() {
    let clinic = Clinic::open().await;
    let acme = Idp::of(&clinic, "acme", 1).await;
    let strict = Idp::of(&clinic, "strict", 2).await;
    let (_, all) = acme.get("/Users?count=200").await;
    let ids: Vec<&str> = all["Resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|user| user["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["dee", "kim", "lee"]);
    let (_, made) = strict
        .ask(Method::POST, "/Groups", json!({"displayName": "Theirs"}))
        .await;
    let group = made["id"].as_str().unwrap().to_owned();
    for path in ["/Users/max".to_owned(), format!("/Groups/{group}")] {
        assert_eq!(acme.get(&path).await.0, 404, "{path}");
        let off = json!([{"op": "replace", "path": "active", "value": false}]);
        assert_eq!(acme.patch(&path, off).await.0, 404, "{path}");
        let body = json!({"userName": "max", "displayName": "Mine", "emails": "x@acme.test"});
        assert_eq!(acme.ask(Method::PUT, &path, body).await.0, 404, "{path}");
        assert_eq!(
            acme.ask(Method::DELETE, &path, Value::Null).await.0,
            404,
            "{path}"
        );
    }
    for filter in ["userName eq \"max\"", "id eq \"max\""] {
        let (_, found) = acme.get(&format!("/Users?{}", query(filter))).await;
        assert_eq!(found["totalResults"], json!(0), "{filter}");
    }
    // Another's person can't be drawn into a group, nor another's login be taken.
    let (status, wrong) = acme
        .ask(
            Method::POST,
            "/Groups",
            json!({"displayName": "G", "members": [{"value": "max"}]}),
        )
        .await;
    assert_eq!((status, &wrong["scimType"]), (400, &json!("invalidValue")));
    let (status, wrong) = acme
        .ask(
            Method::POST,
            "/Users",
            json!({"userName": "max", "emails": "max@acme.test"}),
        )
        .await;
    assert_eq!((status, &wrong["scimType"]), (409, &json!("uniqueness")));
    let max = clinic
        .directory
        .person(&PersonId::parse("max").unwrap())
        .await
        .unwrap();
    assert!(!max.unwrap().disabled);
}

#[tokio::test]
async fn groups_give_the_roles_that_the_operator_named_and_no_others() {
    let clinic = Clinic::open().await;
    let idp = Idp::of(&clinic, "acme", 1).await;
    let roles = || async {
        let lee = PersonId::parse("lee").unwrap();
        clinic.directory.person(&lee).await.unwrap().unwrap().roles
    };
    let browser = clinic.signed_in("lee").await;
    let (status, group) = idp
        .ask(
            Method::POST,
            "/Groups",
            json!({"displayName": "Managers", "members": [{"value": "lee", "display": "Lee"}]}),
        )
        .await;
    assert_eq!(status, 201, "{group}");
    assert_eq!(roles().await, ["user_manager"]);
    assert!(
        browser
            .open(&format!("{EMR}/"))
            .await
            .url
            .contains("/login"),
        "signs in anew with it"
    );
    let path = format!("/Groups/{}", group["id"].as_str().unwrap());
    // A name that the operator gave nothing gives nothing.
    let (_, other) = idp
        .ask(
            Method::POST,
            "/Groups",
            json!({"displayName": "company_admin", "members": [{"value": "lee"}]}),
        )
        .await;
    assert_eq!(roles().await, ["user_manager"]);
    assert!(other["id"].is_string());

    let gone = json!([{"op": "Remove", "path": "members[value eq \"lee\"]"}]);
    assert_eq!(idp.patch(&path, gone).await.0, 200);
    assert!(roles().await.is_empty());
    let back =
        json!([{"op": "Add", "path": "members", "value": [{"value": "lee"}, {"value": "kim"}]}]);
    let (_, group) = idp.patch(&path, back).await;
    assert_eq!(group["members"].as_array().unwrap().len(), 2);
    assert_eq!(roles().await, ["user_manager"]);
    let entra = json!([{"op": "Remove", "path": "members", "value": [{"value": "lee"}]}]);
    idp.patch(&path, entra).await;
    assert!(roles().await.is_empty());
    let (_, lean) = idp.get(&format!("{path}?excludedAttributes=members")).await;
    assert!(lean.get("members").is_none());
    // A new name changes what it gives: kim keeps the role that no group gives.
    idp.patch(
        &path,
        json!([{"op": "replace", "value": {"id": "x", "displayName": "Others"}}]),
    )
    .await;
    let kim = PersonId::parse("kim").unwrap();
    let kim = clinic.directory.person(&kim).await.unwrap().unwrap();
    assert_eq!(kim.roles, ["company_admin"]);
    assert_eq!(idp.ask(Method::DELETE, &path, Value::Null).await.0, 204);
    assert_eq!(idp.get(&path).await.0, 404);
}

#[tokio::test]
async fn pages_are_counted_from_one_and_filters_that_are_not_known_are_told() {
    let clinic = Clinic::open().await;
    let idp = Idp::of(&clinic, "acme", 1).await;
    let (_, second) = idp.get("/Users?startIndex=2&count=1").await;
    assert_eq!(second["totalResults"], json!(3));
    assert_eq!(
        (&second["startIndex"], &second["itemsPerPage"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(second["Resources"][0]["id"], "kim");
    let (_, none) = idp.get("/Users?count=0").await;
    assert_eq!(
        (&none["totalResults"], &none["Resources"]),
        (&json!(3), &json!([]))
    );
    let (status, wrong) = idp
        .get(&format!("/Users?{}", query("title sw \"x\"")))
        .await;
    assert_eq!((status, &wrong["scimType"]), (400, &json!("invalidFilter")));
    for path in ["/ServiceProviderConfig", "/ResourceTypes", "/Schemas"] {
        assert_eq!(idp.get(path).await.0, 200, "{path}");
    }
}

/// Every file of `tests/broken/scim` beside the answer that it gets.
#[tokio::test]
async fn every_broken_request_has_its_message() {
    let clinic = Clinic::open().await;
    let idp = Idp::of(&clinic, "acme", 1).await;
    idp.ask(Method::POST, "/Groups", json!({"displayName": "There"}))
        .await;
    let mut all = Vec::new();
    for file in samples::of("scim") {
        let name = samples::name(&file);
        let (method, path) = match name.split('-').next().unwrap() {
            "post" => (Method::POST, "/Users"),
            "put" => (Method::PUT, "/Users/kim"),
            "patch" => (Method::PATCH, "/Users/kim"),
            "group" => (Method::POST, "/Groups"),
            other => panic!("what is a {other:?}?"),
        };
        let body = std::fs::read_to_string(&file).unwrap();
        let page = idp.raw(method, path, Some(body)).await;
        let said: Value = serde_json::from_str(&page.body).unwrap();
        let kind = said["scimType"].as_str().unwrap_or("-");
        let line = format!(
            "{} {kind}: {}",
            page.status,
            said["detail"].as_str().unwrap()
        );
        all.push((file, line));
    }
    assert!(all.len() >= 10, "{} samples", all.len());
    samples::compare("scim", &all);
    let kim = PersonId::parse("kim").unwrap();
    let kim = clinic.directory.person(&kim).await.unwrap().unwrap();
    assert_eq!(
        (kim.name.as_str(), kim.disabled),
        ("Kim Doe", false),
        "nothing was changed"
    );
}

#[tokio::test]
async fn whoever_is_disabled_is_out_at_the_second_request_at_the_latest() {
    use std::sync::atomic::Ordering;
    let clinic = Clinic::open().await;
    let idp = Idp::of(&clinic, "acme", 1).await;
    let lee = clinic.signed_in("lee").await;
    let off = json!([{"op": "replace", "path": "active", "value": false}]);
    clinic.store.loses_people.store(true, Ordering::SeqCst);
    assert_eq!(idp.patch("/Users/lee", off.clone()).await.0, 503);
    assert!(clinic.heard("\"person_disabled\""), "it is done");
    clinic.store.loses_people.store(false, Ordering::SeqCst);
    // The directory tries again, and finds them disabled already.
    assert_eq!(idp.patch("/Users/lee", off).await.0, 200);
    assert_eq!(lee.get(&format!("{EMR}/")).await.status, 302);
}

#[tokio::test]
async fn nothing_is_changed_while_sessions_could_not_be_ended() {
    use std::sync::atomic::Ordering;
    let clinic = Clinic::open().await;
    let idp = Idp::of(&clinic, "acme", 1).await;
    clinic.store.is_silent.store(true, Ordering::SeqCst);
    let renamed = json!([{"op": "replace", "path": "displayName", "value": "Somebody Else"}]);
    assert_eq!(idp.patch("/Users/lee", renamed).await.0, 503);
    assert_eq!(idp.get("/Users/lee").await.0, 200, "and can be read");
    assert!(!clinic.rows().await.contains("Somebody Else"));
    assert!(!clinic.heard("\"person_changed\""));
}

#[tokio::test]
async fn a_role_that_is_taken_away_is_out_of_every_session_when_the_directory_tries_again() {
    use std::sync::atomic::Ordering;
    let clinic = Clinic::open().await;
    let idp = Idp::of(&clinic, "acme", 1).await;
    let group = json!({"displayName": "Managers", "members": [{"value": "lee"}]});
    let (_, group) = idp.ask(Method::POST, "/Groups", group).await;
    let path = format!("/Groups/{}", group["id"].as_str().unwrap());
    let lee = clinic.signed_in("lee").await;
    let id = PersonId::parse("lee").unwrap();
    let roles = async || {
        let sessions = clinic.sessions.of_person(&id).await.unwrap();
        sessions.first().map(|session| session.person.roles.clone())
    };
    assert_eq!(roles().await.unwrap(), ["user_manager"]);

    clinic.store.loses_people.store(true, Ordering::SeqCst);
    let gone = json!([{"op": "remove", "path": "members", "value": [{"value": "lee"}]}]);
    assert_eq!(idp.patch(&path, gone.clone()).await.0, 503, "say it again");
    clinic.store.loses_people.store(false, Ordering::SeqCst);
    assert!(roles().await.is_some(), "still with the old role");
    // The group is as it should be by now, and the sessions are not.
    assert_eq!(idp.patch(&path, gone.clone()).await.0, 200);
    assert_eq!(roles().await, None);
    assert_eq!(lee.get(&format!("{EMR}/")).await.status, 302);
    // What is done once is not done to who signs in afterwards.
    let lee = clinic.signed_in("lee").await;
    assert_eq!(idp.patch(&path, gone).await.0, 200);
    assert_eq!(lee.get(&format!("{EMR}/")).await.status, 200);
}

#[tokio::test]
async fn of_who_was_imported_no_made_up_moment_is_told() {
    let clinic = Clinic::open().await;
    let idp = Idp::of(&clinic, "acme", 1).await;
    let (_, lee) = idp.get("/Users/lee").await;
    assert_eq!(lee["meta"].get("created"), None, "{lee}");
    assert_eq!(lee["meta"].get("lastModified"), None, "{lee}");
    assert_eq!(lee["meta"]["resourceType"], "User");
    let named = json!([{"op": "replace", "path": "externalId", "value": "x-lee"}]);
    let (_, lee) = idp.patch("/Users/lee", named).await;
    assert_eq!(lee["meta"].get("created"), None, "{lee}");
    let now = clinic.now().to_rfc3339();
    assert_eq!(lee["meta"]["lastModified"], json!(now));
    let made = idp.make("new@acme.test").await;
    let (_, made) = idp.get(&format!("/Users/{made}")).await;
    assert_eq!(made["meta"]["created"], json!(now));
}

#[tokio::test]
async fn patches_at_the_same_time_are_all_there_afterwards() {
    let clinic = Clinic::open().await;
    let idp = Idp::of(&clinic, "acme", 1).await;
    let lee = async |path: &str, value: &str| {
        let one = json!([{"op": "replace", "path": path, "value": value}]);
        assert_eq!(idp.patch("/Users/lee", one).await.0, 200, "{path}");
    };
    tokio::join!(
        lee("name.givenName", "Leonora"),
        lee("name.familyName", "Byrd"),
        lee("externalId", "x-7"),
        lee("emails", "leonora@acme.test"),
        lee("phoneNumbers", "+1 555 201 0007"),
    );
    let (_, user) = idp.get("/Users/lee").await;
    assert_eq!(user["name"]["givenName"], "Leonora", "{user}");
    assert_eq!(user["name"]["familyName"], "Byrd", "{user}");
    assert_eq!(user["externalId"], "x-7", "{user}");
    assert_eq!(user["emails"][0]["value"], "leonora@acme.test", "{user}");
    assert_eq!(user["phoneNumbers"][0]["value"], "+15552010007", "{user}");
    for what in ["externalId", "phoneNumbers"] {
        let told = clinic.heard_line(&["\"person_changed\"", "Some(lee)", what]);
        assert!(told, "{what} is not in the audit trail");
    }

    let group = json!({"displayName": "G"});
    let (_, group) = idp.ask(Method::POST, "/Groups", group).await;
    let url = format!("/Groups/{}", group["id"].as_str().unwrap());
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(idp.make(&format!("p{number}@acme.test")).await);
    }
    let add = async |id: &String| {
        let one = json!([{"op": "add", "path": "members", "value": [{"value": id}]}]);
        assert_eq!(idp.patch(&url, one).await.0, 200);
    };
    let [a, b, c, d, e, f] = ids.as_slice() else {
        panic!("{ids:?}")
    };
    tokio::join!(add(a), add(b), add(c), add(d), add(e), add(f));
    let (_, group) = idp.get(&url).await;
    assert_eq!(group["members"].as_array().unwrap().len(), 6, "{group}");
}

#[tokio::test]
async fn a_put_that_does_not_say_active_switches_nobody_on() {
    let clinic = Clinic::open().await;
    let idp = Idp::of(&clinic, "acme", 1).await;
    let off = json!([{"op": "replace", "path": "active", "value": false}]);
    assert_eq!(idp.patch("/Users/lee", off).await.0, 200);
    let (_, lee) = idp.get("/Users/lee").await;
    let whole = |active: Option<bool>| {
        let mut user = json!({"userName": lee["userName"], "emails": lee["emails"]});
        if let Some(active) = active {
            user["active"] = json!(active);
        }
        user
    };
    let (status, user) = idp.ask(Method::PUT, "/Users/lee", whole(None)).await;
    assert_eq!((status, &user["active"]), (200, &json!(false)), "{user}");
    assert!(!clinic.heard("\"person_enabled\""));
    let (status, user) = idp.ask(Method::PUT, "/Users/lee", whole(Some(true))).await;
    assert_eq!((status, &user["active"]), (200, &json!(true)), "{user}");
    assert!(clinic.heard("\"person_enabled\""));
}

#[tokio::test]
async fn only_the_work_address_and_a_number_for_codes_are_taken_from_a_patch() {
    let clinic = Clinic::open().await;
    let idp = Idp::of(&clinic, "acme", 1).await;
    let lee = async |op: &str, path: &str, value: Value| {
        let one = json!([{"op": op, "path": path, "value": value}]);
        let (status, user) = idp.patch("/Users/lee", one).await;
        assert_eq!(status, 200, "{path}: {user}");
        let of = |name: &str| user[name][0]["value"].as_str().map(str::to_owned);
        (of("emails").unwrap(), of("phoneNumbers"))
    };
    let is = |mail: &str, phone: &str| (mail.to_owned(), Some(phone.to_owned()));
    let set = lee(
        "replace",
        "emails[type eq \"work\"].value",
        json!("l@acme.test"),
    )
    .await;
    assert_eq!(set.0, "l@acme.test");
    let work = "phoneNumbers[type eq \"work\"].value";
    let set = lee("add", work, json!("+1 555 201 0001")).await;
    assert_eq!(set, is("l@acme.test", "+15552010001"));
    // What Entra sends beside them.
    for (op, path, value) in [
        ("add", "phoneNumbers[type eq \"fax\"].value", "+15552010666"),
        ("replace", "emails[type eq \"home\"].value", "lee@home.test"),
        ("remove", "emails[type eq \"home\"]", ""),
        ("remove", "phoneNumbers[type eq \"mobile\"]", ""),
        ("replace", "emails[type eq \"work\"].display", "Lee at work"),
        ("replace", "emails[type eq \"work\"].type", "work"),
    ] {
        let value = if op == "remove" {
            Value::Null
        } else {
            json!(value)
        };
        assert_eq!(
            lee(op, path, value).await,
            is("l@acme.test", "+15552010001"),
            "{op} {path}"
        );
    }
    let mobile = "phoneNumbers[type eq \"mobile\"].value";
    let set = lee("add", mobile, json!("+1 555 201 0002")).await;
    assert_eq!(set, is("l@acme.test", "+15552010002"), "codes are for it");
    let set = lee("replace", work, json!("+1 555 201 0003")).await;
    assert_eq!(set, is("l@acme.test", "+15552010002"), "the desk's is not");
    let (_, user) = idp.get("/Users/lee").await;
    assert_eq!(user["phoneNumbers"][0]["type"], "mobile");
    let set = lee("remove", mobile, Value::Null).await;
    assert_eq!(set, ("l@acme.test".to_owned(), None));
    let set = lee("replace", work, json!("+1 555 201 0003")).await;
    assert_eq!(set, is("l@acme.test", "+15552010003"));
    // Without a path, as Entra sends what is new.
    let all = json!([{"op": "add", "value": {
        "emails[type eq \"home\"].value": "lee@home.test",
        "phoneNumbers[type eq \"fax\"].value": "+15552010666",
        "emails[type eq \"work\"].value": "lee@acme.test",
    }}]);
    let (_, user) = idp.patch("/Users/lee", all).await;
    assert_eq!(user["emails"][0]["value"], "lee@acme.test");
    assert_eq!(user["phoneNumbers"][0]["value"], "+15552010003");
    let odd = json!([{"op": "replace", "path": "emails[type ne \"home\"].value", "value": "x@acme.test"}]);
    let (status, wrong) = idp.patch("/Users/lee", odd).await;
    assert_eq!((status, &wrong["scimType"]), (400, &json!("invalidFilter")));
}
