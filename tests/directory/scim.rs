//! People and groups from companies' directories, and who people are elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use vestibule::directory::scim::{
    GroupDraft, PersonDraft, RolesByGroup, ScimError, ScimGroup, ScimPerson, Wanted,
};
use vestibule::gate::session::Secret;

use super::*;

fn company(id: &str) -> CompanyId {
    CompanyId::parse(id).unwrap()
}

fn emr() -> ProductId {
    ProductId::parse("emr").unwrap()
}

fn draft(user_name: &str, external_id: Option<&str>) -> PersonDraft {
    PersonDraft {
        user_name: user_name.to_owned(),
        login: Login::parse(user_name).unwrap(),
        external_id: external_id.map(str::to_owned),
        given_name: Some(String::from("Åsa")),
        family_name: None,
        name: String::from("Åsa Roe"),
        email: String::from("asa@acme.test"),
        phone: None,
        mobile: false,
        active: true,
    }
}

pub(crate) async fn a_companys_directory_keeps_its_own_people(url: String) {
    let directory = seeded(&url).await;
    let (acme, bolt) = (company("acme"), company("bolt"));
    let id = directory
        .add_scim_person(&acme, &emr(), &draft("Asa@Acme.test", Some("x1")), NOW)
        .await
        .unwrap();
    let find = |wanted: Wanted<'static>| {
        let (directory, acme) = (directory.clone(), acme.clone());
        async move {
            let all = directory.scim_people(&acme, &emr(), wanted, (0, 10)).await;
            let (people, total) = all.unwrap();
            assert_eq!(u64::try_from(people.len()).unwrap(), total);
            people
        }
    };
    let by_name = Wanted {
        name: "asa@acme.test",
        ..Wanted::default()
    };
    let by_external_id = Wanted {
        external_id: "x1",
        ..Wanted::default()
    };
    for wanted in [by_name, by_external_id] {
        let found = find(wanted).await;
        assert_eq!(found[0].id, id);
        assert_eq!(found[0].user_name, "Asa@Acme.test");
        assert_eq!(found[0].made_at, Some(NOW));
    }
    assert_eq!(
        find(Wanted::default()).await.len(),
        2,
        "and kim, who was imported"
    );
    let others = directory.scim_person(&bolt, &emr(), &id).await.unwrap();
    assert!(others.is_none());
    let (page, total) = directory
        .scim_people(&acme, &emr(), Wanted::default(), (1, 1))
        .await
        .unwrap();
    assert_eq!((page.len(), total), (1, 2));

    let taken = |answer: Result<PersonId, ScimError>| matches!(answer, Err(ScimError::Taken(_)));
    let again = draft("asa@acme.test", None);
    assert!(taken(
        directory.add_scim_person(&bolt, &emr(), &again, NOW).await
    ));
    let same_id = draft("other@acme.test", Some("x1"));
    assert!(taken(
        directory
            .add_scim_person(&acme, &emr(), &same_id, NOW)
            .await
    ));
    let theirs = draft("other@bolt.test", Some("x1"));
    let theirs = directory.add_scim_person(&bolt, &emr(), &theirs, NOW).await;
    assert!(theirs.is_ok(), "an externalId is one company's");

    // Renamed and switched off; the account follows.
    let after = PersonDraft {
        active: false,
        ..draft("asa.roe@acme.test", None)
    };
    let change = directory
        .change_scim_person(
            &acme,
            &emr(),
            &id,
            |_| Ok::<_, ScimError>(after.clone()),
            LATER,
        )
        .await
        .unwrap()
        .unwrap();
    assert_eq!(change.attributes, ["userName", "externalId"]);
    assert!(change.profile && change.disabled && !change.enabled);
    let account = account(&directory, "emr", "asa.roe@acme.test").await;
    assert_eq!(account.person.as_ref(), Some(&id));
    assert_eq!(account.companies, std::slice::from_ref(&acme));
    let read = directory
        .scim_person(&acme, &emr(), &id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (read.made_at, read.changed_at, read.active),
        (Some(NOW), Some(LATER), false)
    );
    let foreign = directory
        .change_scim_person(&bolt, &emr(), &id, |_| Ok::<_, ScimError>(after), LATER)
        .await;
    assert!(foreign.unwrap().is_none());
}

pub(crate) async fn groups_settle_roles(url: String) {
    let directory = seeded(&url).await;
    let acme = company("acme");
    let roles: RolesByGroup = BTreeMap::from([
        (
            String::from("A"),
            vec![String::from("user_manager"), String::from("auditor")],
        ),
        (String::from("B"), vec![String::from("user_manager")]),
    ]);
    let kim = person("kim");
    let held = || async {
        let kim = directory.person(&person("kim")).await.unwrap().unwrap();
        kim.roles.into_iter().collect::<BTreeSet<String>>()
    };
    let group = |name: &str, members: &[&PersonId]| GroupDraft {
        name: name.to_owned(),
        external_id: None,
        members: members.iter().map(|id| (*id).clone()).collect(),
    };
    let write = |id: Option<String>, draft: GroupDraft| {
        let (directory, acme, roles) = (directory.clone(), acme.clone(), roles.clone());
        async move {
            match id {
                None => directory.add_scim_group(&acme, &draft, &roles, NOW).await,
                Some(id) => directory
                    .change_scim_group(&acme, &id, |_| Ok::<_, ScimError>(draft), &roles, NOW)
                    .await
                    .map(|changed| (id, changed.unwrap())),
            }
        }
    };
    let (a, changed) = write(None, group("A", &[&kim])).await.unwrap();
    assert_eq!(changed, BTreeSet::from([kim.clone()]));
    let (_, changed) = write(None, group("B", &[&kim])).await.unwrap();
    assert!(changed.is_empty(), "nothing new came with it");
    let words = |all: &[&str]| {
        all.iter()
            .map(|word| (*word).to_owned())
            .collect::<BTreeSet<String>>()
    };
    assert_eq!(
        held().await,
        words(&["auditor", "company_admin", "user_manager"])
    );
    write(Some(a.clone()), group("A", &[])).await.unwrap();
    assert_eq!(
        held().await,
        words(&["company_admin", "user_manager"]),
        "B gives it still"
    );

    assert!(matches!(
        write(None, group("A", &[])).await,
        Err(ScimError::Taken(_))
    ));
    let lee = person("lee");
    assert!(matches!(
        write(None, group("C", &[&lee])).await,
        Err(ScimError::NoMember(_))
    ));
    let bolt = company("bolt");
    assert!(
        directory
            .remove_scim_group(&bolt, &a, &roles)
            .await
            .unwrap()
            .is_none()
    );
    directory
        .remove_scim_person(&acme, &kim, &roles)
        .await
        .unwrap();
    assert_eq!(held().await, words(&["company_admin"]));
    assert!(directory.person(&kim).await.unwrap().unwrap().disabled);
}

pub(crate) async fn who_leaves_for_another_company_leaves_its_groups(url: String) {
    let directory = seeded(&url).await;
    let (acme, bolt) = (company("acme"), company("bolt"));
    let roles: RolesByGroup = BTreeMap::from([
        (String::from("A"), vec![String::from("auditor")]),
        (String::from("B"), vec![String::from("user_manager")]),
    ]);
    let group = |name: &str, members: &[&str]| GroupDraft {
        name: name.to_owned(),
        external_id: None,
        members: members.iter().map(|id| person(id)).collect(),
    };
    let held = async || {
        directory
            .person(&person("kim"))
            .await
            .unwrap()
            .unwrap()
            .roles
    };
    let external = async |company: &CompanyId, id: &PersonId, external_id: &'static str| {
        let change = |before: &ScimPerson| {
            Ok::<_, ScimError>(PersonDraft {
                user_name: before.user_name.clone(),
                login: Login::parse(&before.user_name).unwrap(),
                name: before.name.clone(),
                email: before.email.clone(),
                ..draft("x", Some(external_id))
            })
        };
        directory
            .change_scim_person(company, &emr(), id, change, LATER)
            .await
            .unwrap()
            .unwrap()
    };
    let (a, _) = directory
        .add_scim_group(&acme, &group("A", &["kim"]), &roles, NOW)
        .await
        .unwrap();
    external(&acme, &person("kim"), "x-kim").await;
    let moves = r#"{"kind":"person","id":"kim","company":"bolt","name":"Kim Doe","email":"kim@example.com"}"#;
    import(&directory, moves).await.unwrap();
    assert!(held().await.is_empty(), "what the file says");

    // Neither gives the former company's groups here, nor does it take what there is here.
    let (_, changed) = directory
        .add_scim_group(&bolt, &group("B", &["kim"]), &roles, NOW)
        .await
        .unwrap();
    assert_eq!(changed, BTreeSet::from([person("kim")]));
    assert_eq!(held().await, ["user_manager"]);
    let renamed = |_: &ScimGroup| Ok::<_, ScimError>(group("A2", &[]));
    let changed = directory.change_scim_group(&acme, &a, renamed, &roles, LATER);
    assert!(changed.await.unwrap().unwrap().is_empty());
    let gone = directory.remove_scim_group(&acme, &a, &roles).await;
    assert!(gone.unwrap().unwrap().is_empty());
    assert_eq!(held().await, ["user_manager"]);
    // The former company's name for them is free, and is not shown here.
    let kim = directory.scim_person(&bolt, &emr(), &person("kim")).await;
    assert_eq!(kim.unwrap().unwrap().external_id, None);
    let other = draft("other@acme.test", Some("x-kim"));
    let other = directory.add_scim_person(&acme, &emr(), &other, NOW).await;
    assert!(other.is_ok());
}

pub(crate) async fn of_two_companies_that_make_one_login_one_has_it(url: String) {
    let directory = seeded(&url).await;
    for round in 0..10 {
        let name = format!("both{round}@acme.test");
        let make = |id: &'static str| {
            let (directory, draft) = (directory.clone(), draft(&name, None));
            tokio::spawn(async move {
                let company = company(id);
                directory
                    .add_scim_person(&company, &emr(), &draft, NOW)
                    .await
            })
        };
        let (acme, bolt) = (make("acme"), make("bolt"));
        let both = [acme.await.unwrap(), bolt.await.unwrap()];
        let made: Vec<&PersonId> = both.iter().filter_map(|made| made.as_ref().ok()).collect();
        assert_eq!(made.len(), 1, "{both:?}");
        let taken = |made: &Result<PersonId, ScimError>| matches!(made, Err(ScimError::Taken(_)));
        assert!(both.iter().any(taken), "{both:?}");
        let account = account(&directory, "emr", &name).await;
        assert_eq!(account.person.as_ref(), Some(made[0]));
    }
}

pub(crate) async fn a_large_group_costs_as_much_as_its_change(url: String) {
    let directory = seeded(&url).await;
    let acme = company("acme");
    let mut lines = String::new();
    for number in 0..300 {
        lines += &format!(
            r#"{{"kind":"person","id":"m{number:04}","company":"acme","name":"M {number}","email":"m{number:04}@acme.test"}}"#
        );
        lines += "\n";
    }
    import(&directory, &lines).await.unwrap();
    let roles = |role: &str| -> RolesByGroup {
        BTreeMap::from([(String::from("All"), vec![role.to_owned()])])
    };
    let all: BTreeSet<PersonId> = (0..300).map(|n| person(&format!("m{n:04}"))).collect();
    let draft = |members: BTreeSet<PersonId>| GroupDraft {
        name: String::from("All"),
        external_id: None,
        members,
    };
    let began = std::time::Instant::now();
    let (id, changed) = directory
        .add_scim_group(&acme, &draft(all), &roles("auditor"), NOW)
        .await
        .unwrap();
    let whole = began.elapsed();
    assert_eq!(changed.len(), 300);
    let change = async |edit: &dyn Fn(&mut BTreeSet<PersonId>), role: &str| {
        let draft = |group: &ScimGroup| {
            let mut members = group.members.clone();
            edit(&mut members);
            Ok::<_, ScimError>(draft(members))
        };
        let roles = roles(role);
        let changed = directory.change_scim_group(&acme, &id, draft, &roles, LATER);
        changed.await.unwrap().unwrap()
    };
    let kim = person("kim");
    let add = |members: &mut BTreeSet<PersonId>| {
        members.insert(person("kim"));
    };
    let remove = |members: &mut BTreeSet<PersonId>| {
        members.remove(&person("kim"));
    };
    // The least of some: a busy machine holds one of them up, hardly all.
    let mut one = whole;
    for _ in 0..5 {
        change(&remove, "auditor").await;
        let began = std::time::Instant::now();
        let changed = change(&add, "auditor").await;
        one = one.min(began.elapsed());
        assert_eq!(changed, BTreeSet::from([kim.clone()]));
    }
    assert!(one * 10 < whole, "{one:?} for one, {whole:?} for all");
    let gone = |members: &mut BTreeSet<PersonId>| {
        members.remove(&person("m0007"));
    };
    assert_eq!(
        change(&gone, "auditor").await,
        BTreeSet::from([person("m0007")])
    );
    let held = directory.person(&person("m0007")).await.unwrap().unwrap();
    assert!(held.roles.is_empty());
    // Where the operator gave the group another role since, it reaches everybody with any change.
    let changed = change(&|_| (), "nurse").await;
    assert_eq!(changed.len(), 300);
    let held = directory.person(&kim).await.unwrap().unwrap().roles;
    assert!(held.contains(&String::from("nurse")), "{held:?}");
}

pub(crate) async fn somebody_is_found_by_exactly_their_address(url: String) {
    let directory = seeded(&url).await;
    let mut lines = String::new();
    // Whose addresses hold another's, and who come before them by id.
    for number in 0..60 {
        lines += &format!(
            r#"{{"kind":"person","id":"a{number:02}","company":"acme","name":"A {number}","email":"a{number:02}.zoe@acme.test"}}"#
        );
        lines += "\n";
    }
    lines += r#"{"kind":"person","id":"zoe","company":"acme","name":"Zoe","email":"Zoe@Acme.test"}
{"kind":"person","id":"bea","company":"bolt","name":"Bea","email":"zoe@acme.test"}
{"kind":"person","id":"two","company":"acme","name":"Two","email":"both@acme.test"}
{"kind":"person","id":"too","company":"acme","name":"Too","email":"BOTH@acme.test"}
"#;
    import(&directory, &lines).await.unwrap();
    let (acme, bolt) = (company("acme"), company("bolt"));
    let of = async |company: &CompanyId, address: &str| {
        let found = directory.person_by_email(company, address).await.unwrap();
        found.map(|person| person.id.to_string())
    };
    assert_eq!(of(&acme, " zoe@ACME.test").await.unwrap(), "zoe");
    assert_eq!(of(&bolt, "zoe@acme.test").await.unwrap(), "bea");
    assert_eq!(of(&acme, "a07.zoe@acme.test").await.unwrap(), "a07");
    for nobody in [
        "oe@acme.test",
        "zoe@acme.tes",
        "zoe",
        "acme.test",
        "both@acme.test",
        "",
    ] {
        assert_eq!(of(&acme, nobody).await, None, "{nobody}");
    }
}

pub(crate) async fn tokens_and_identities_belong_to_one(url: String) {
    let directory = seeded(&url).await;
    let secret = Secret::from_bytes([9; 32]);
    let acme = company("acme");
    let id = directory
        .add_scim_token(&acme, "okta", &secret.hash(), NOW)
        .await
        .unwrap();
    assert!(
        directory
            .add_scim_token(&company("none"), "x", &secret.hash(), NOW)
            .await
            .is_err()
    );
    directory.use_scim_token(&id, LATER).await.unwrap();
    let token = directory.scim_token(&secret.hash()).await.unwrap().unwrap();
    assert_eq!((token.company, token.last_used_at), (acme, Some(LATER)));
    assert!(directory.revoke_scim_token(&id).await.unwrap());
    assert!(
        directory
            .scim_token(&secret.hash())
            .await
            .unwrap()
            .is_none()
    );

    let (kim, lee) = (person("kim"), person("lee"));
    let link = |subject: &'static str, who: PersonId| {
        let directory = directory.clone();
        async move {
            let issuer = "https://id.test";
            directory
                .link_identity(issuer, subject, &who, NOW)
                .await
                .unwrap()
        }
    };
    let won = racers(|| link("s1", kim.clone())).await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    assert!(!link("s1", lee.clone()).await, "a subject is one person's");
    assert!(
        !link("s2", kim.clone()).await,
        "a person is one subject of an issuer"
    );
    let found = directory.identity("https://id.test", "s1").await.unwrap();
    assert_eq!(found, Some(kim.clone()));
    assert_eq!(
        directory
            .identity("https://other.test", "s1")
            .await
            .unwrap(),
        None
    );
    assert_eq!(directory.unlink_identities(&kim).await.unwrap(), 1);
    assert!(link("s1", lee).await);
}
