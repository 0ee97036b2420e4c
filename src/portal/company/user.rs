//! User Manager: one person, and what a user manager saves about them.

use std::sync::Arc;

use axum::extract::{Path, State as Shared};
use axum::response::IntoResponse;
use http::StatusCode;

use super::deeds::{self, Changes};
use super::users::PATH;
use super::{Official, proven_official};
use crate::directory::Person;
use crate::gate::name::{PersonId, ProductId};
use crate::gate::product::Product;
use crate::gate::time::Moment;
use crate::messages::Channel;
use crate::pages::{self, Notice};
use crate::portal::answer::{nothing_here, page as answered, see_other};
use crate::portal::apps::{USER_MANAGER, frame};
use crate::portal::fields::Fields;
use crate::portal::form::{Form, Sent};
use crate::portal::language::words;
use crate::portal::trouble::{Answer, Trouble};
use crate::portal::visit::Visit;
use crate::portal::{State, account, when};

/// Attempts to sign in that are shown.
const SIGN_INS: u32 = 10;
/// Sessions that are shown.
const SESSIONS: usize = 50;
/// The longest reason, in characters.
const LONGEST_REASON: usize = 200;

/// What the form shows besides what is known.
#[derive(Default)]
struct Shown {
    notice: Option<Notice>,
    error: Option<&'static str>,
    /// "Reset MFA" was pressed, and is done when the user is saved.
    resetting: bool,
    disabled: Option<bool>,
    ending: bool,
    unlinking: bool,
    linking: bool,
    granting: Vec<ProductId>,
    taking_back: Vec<ProductId>,
    reason: String,
}

pub async fn page(
    Shared(state): Shared<Arc<State>>,
    visit: Visit,
    Path(id): Path<String>,
    fields: Fields,
) -> Answer {
    let now = (state.clock)();
    let resetting = fields.of("reset") == Some("mfa");
    let here = address(&id, resetting);
    let official = match proven_official(&state, &visit, (&here, USER_MANAGER), now).await? {
        Ok(official) => official,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let person = colleague(&state, &official, &id).await?;
    let again = || super::once_more(&fields);
    let shown = Shown {
        notice: saved(fields.text("saved"), &person).or_else(again),
        resetting,
        ..Shown::default()
    };
    show(&state, &official, &person, shown, now).await
}

/// The products that are granted person by person and have reached this one's company, or were
/// granted before, and whether they are granted to this one.
fn grantable(state: &State, person: &Person) -> Vec<(Arc<Product>, bool)> {
    let policies = state.policies.load_full();
    let granted = |product: &Product| person.grants.contains(&product.id);
    let products = state.products.iter().filter(|product| {
        let reached = policies.single_sign_on_reaches(&person.company, product);
        product.needs_grant && (reached || granted(product))
    });
    products
        .map(|product| (Arc::clone(product), granted(product)))
        .collect()
}

/// Of those, the ones that a field names and that are not `so` yet.
fn named(
    state: &State,
    person: &Person,
    (fields, field): (&Fields, &str),
    so: bool,
) -> Vec<ProductId> {
    let all = grantable(state, person).into_iter();
    all.filter(|(product, granted)| {
        *granted != so && fields.all(field).any(|id| id == product.id.as_str())
    })
    .map(|(product, _)| product.id.clone())
    .collect()
}

/// What was typed, to be shown again.
fn typed(state: &State, fields: &Fields, person: &Person) -> Shown {
    let reason = fields.text("reason").trim().chars();
    Shown {
        resetting: fields.of("reset") == Some("mfa"),
        disabled: Some(match fields.of("status") {
            Some("disabled") => true,
            Some("enabled") => false,
            _ => person.disabled,
        }),
        ending: fields.of("end") == Some("all"),
        unlinking: fields.of("unlink") == Some("all"),
        linking: fields.of("link") == Some("mail"),
        granting: named(state, person, (fields, "grant"), true),
        taking_back: named(state, person, (fields, "take_back"), false),
        reason: reason.take(LONGEST_REASON).collect(),
        ..Shown::default()
    }
}

/// What is to be done. What is so already is done again where a session goes on that it should have
/// ended: the store may have been away.
async fn changes(state: &State, sent: &Sent<'_>, person: &Person) -> Result<Changes, Trouble> {
    let fields: &Fields = sent;
    let typed = typed(state, fields, person);
    let sessions = state.sessions.of_person(&person.id).await?;
    let lingers = |product: &ProductId| {
        let mut sessions = sessions.iter();
        sessions.any(|session| {
            session.person.grants.contains(product) || session.entries.get(product).is_some()
        })
    };
    let mut taken_back = typed.taking_back;
    let again = named(state, person, (fields, "take_back"), true);
    taken_back.extend(again.into_iter().filter(lingers));
    Ok(Changes {
        reset: typed.resetting,
        disabled: typed
            .disabled
            .filter(|disabled| *disabled != person.disabled || (*disabled && !sessions.is_empty())),
        end: typed.ending,
        unlink: typed.unlinking,
        link: typed.linking,
        granted: typed.granting,
        taken_back,
    })
}

/// Whether the page was made before somebody else changed the status, and says the one from then, which
/// nobody chose on it. A form that does not say what it was made with enables nobody.
fn is_outdated(fields: &Fields, person: &Person) -> bool {
    let now = if person.disabled {
        "disabled"
    } else {
        "enabled"
    };
    match (fields.of("was"), fields.of("status")) {
        (_, None) => false,
        (Some(was), Some(status)) => was != now && status == was,
        (None, Some(status)) => person.disabled && status != now,
    }
}

pub async fn save(
    Shared(state): Shared<Arc<State>>,
    visit: Visit,
    Path(id): Path<String>,
    form: Form,
) -> Answer {
    let now = (state.clock)();
    let resetting = form.unproved().of("reset") == Some("mfa");
    let here = super::back_to(&address(&id, resetting));
    let official = match proven_official(&state, &visit, (&here, USER_MANAGER), now).await? {
        Ok(official) => official,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let person = colleague(&state, &official, &id).await?;
    let shown = typed(&state, form.unproved(), &person);
    let Some(sent) = form.of_session(&state, &official.session, now) else {
        let notice = Some(Notice::wrong(words().page_was_open_save()));
        return show(&state, &official, &person, Shown { notice, ..shown }, now).await;
    };
    if is_outdated(&sent, &person) {
        let shown = Shown {
            notice: Some(Notice::wrong(words().changed_meanwhile())),
            disabled: None,
            ..shown
        };
        return show(&state, &official, &person, shown, now).await;
    }
    let changes = changes(&state, &sent, &person).await?;
    if person.id == official.person.id {
        return Err(myself());
    }
    if changes.are_none() {
        let notice = Some(Notice::news(words().nothing_was_changed()));
        return show(&state, &official, &person, Shown { notice, ..shown }, now).await;
    }
    let reason = shown.reason.clone();
    if reason.is_empty() || reason.chars().any(char::is_control) {
        let error = Some(words().reason_wanted());
        let response = show(&state, &official, &person, Shown { error, ..shown }, now).await?;
        return Ok((StatusCode::BAD_REQUEST, response).into_response());
    }
    let done = deeds::carry_out(&state, &visit, &official, &person, &changes, &reason, now).await?;
    see_other(&format!("{PATH}/{}?saved={done}", person.id))
}

/// One of the official's own company. Somebody of another company answers as nobody does.
async fn colleague(state: &State, official: &Official, id: &str) -> Result<Person, Trouble> {
    let person = match PersonId::parse(id) {
        Ok(id) => state.directory.person(&id).await?,
        Err(_) => None,
    };
    match person.filter(|person| person.company == official.company.id) {
        Some(person) => Ok(person),
        None => Err(nothing_here().await),
    }
}

fn address(id: &str, resetting: bool) -> String {
    // What is no id leads to the list, not back here.
    match PersonId::parse(id) {
        Ok(id) if resetting => format!("{PATH}/{id}?reset=mfa"),
        Ok(id) => format!("{PATH}/{id}"),
        Err(_) => PATH.to_owned(),
    }
}

/// Nobody locks themselves out, or takes away their own proof with a session somebody else found.
fn myself() -> Trouble {
    Trouble::new(403, "myself")
        .saying(
            words().this_is_you_title(),
            words().nobody_resets_themselves_here(),
            words().change_your_own(),
        )
        .with_link("/account", words().my_profile())
}

fn saved(what: &str, person: &Person) -> Option<Notice> {
    let name = &person.name;
    let text = match what {
        "mfa" => words().saved_mfa(name),
        "disabled" => words().saved_disabled(name),
        "enabled" => words().saved_enabled(name),
        "unlinked" => words().saved_unlinked(name),
        "link" => words().saved_link(name),
        "no_link" => {
            return Some(Notice::wrong(words().saved_no_link(name)));
        }
        "granted" => words().saved_granted(name),
        "taken_back" => words().saved_taken_back(name),
        "sessions" => words().saved_sessions(name),
        _ => return None,
    };
    Some(Notice::news(text))
}

async fn show(
    state: &Arc<State>,
    official: &Official,
    person: &Person,
    shown: Shown,
    now: Moment,
) -> Answer {
    let timezone = state.policies.load().of(&person.company).timezone.clone();
    let session = &official.session;
    let factors = state.directory.factors(&person.id).await?;
    let accounts = state.directory.accounts_of(&person.id).await?;
    let sessions = state.sessions.of_person(&person.id).await?;
    let sign_ins = state.directory.sign_ins_of(&person.id, SIGN_INS).await?;
    let mut session_rows = Vec::new();
    for theirs in sessions.iter().rev().take(SESSIONS) {
        session_rows.push(account::sessions::row(state, theirs, session.id, &timezone).await?);
    }
    let product_name = |id: &ProductId| {
        let product = state.products.by_id(id.as_str());
        product.map_or_else(|| id.to_string(), |product| product.name.clone())
    };
    answered(&pages::User {
        frame: frame(state, Some(session), PATH),
        notice: shown.notice,
        error: shown.error.map(str::to_owned),
        action: format!("{PATH}/{}", person.id),
        back: PATH,
        id: person.id.to_string(),
        name: person.name.clone(),
        email: person.email.clone(),
        phone: person.phone.clone(),
        company: official.company.name.clone(),
        roles: person.roles.join(", "),
        is_disabled: person.disabled,
        disabled: shown.disabled.unwrap_or(person.disabled),
        myself: person.id == official.person.id,
        factors: account::factors::rows(state, &factors, &timezone).await,
        accounts: accounts
            .iter()
            .map(|account| (product_name(&account.product), account.login.to_string()))
            .collect(),
        sessions: session_rows,
        sign_ins: sign_ins
            .iter()
            .map(|line| pages::SignInRow {
                at: when::words(Moment::from_millis(line.at), &timezone),
                result: deeds::sign_in_words(line.detail.as_deref().unwrap_or_default()),
                address: line.address.clone(),
            })
            .collect(),
        resetting: shown.resetting,
        ending: shown.ending,
        unlinking: shown.unlinking,
        can_link: state.messages.can(Channel::Email)
            && !state.legacy.lives_elsewhere(state.products.primary()),
        linking: shown.linking,
        grants: grantable(state, person)
            .into_iter()
            .map(|(product, granted)| pages::GrantRow {
                granted,
                chosen: shown.granting.contains(&product.id)
                    || shown.taking_back.contains(&product.id),
                id: product.id.to_string(),
                name: product.name.clone(),
            })
            .collect(),
        reason: shown.reason,
        longest_reason: LONGEST_REASON,
        hidden: vec![("csrf", state.keys.form_token(&session.portal, now))],
    })
}
