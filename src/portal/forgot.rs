//! "Forgot your password?": a link by mail that sets a new one. It opens nothing else: whoever used
//! it signs in afterwards, with the factor where one is asked for.
//!
//! What this prevents: links made of the request's own `Host` (they would lead elsewhere), links that
//! work twice or for ever, and an answer, or the time it takes, that tells which names exist.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::answer::{page, see_other};
use super::apps::frame;
use super::attempt::fresh_secret;
use super::errand::Errand;
use super::fields::Fields;
use super::form::{Form, Sent};
use super::language::{self, words};
use super::letters::{self, Letter};
use super::new_password::{Owner, Wish};
use super::password::enabled;
use super::throttles::{count_link, key};
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{Audit, State, accounts, cookies};
use crate::directory::{Account, Person};
use crate::gate::contact::Address;
use crate::gate::name::{Login, PersonId};
use crate::gate::session::{Secret, SecretHash};
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::messages::Channel;
use crate::pages::{self, Link, Message};
use crate::sessions::EndCause;

/// The audit trail's word for a link that was asked for.
pub const EVENT: TrailEvent = TrailEvent::PasswordLink;
const SENT: &str = "sent";
/// Another link was, for who asked at the same moment.
const SENT_MEANWHILE: &str = "sent to another request of this moment";
/// The one of a moment ago still works.
const SENT_BEFORE: &str = "sent a moment ago";
const NO_ADDRESS: &str = "no address";

/// How long a link works.
const LIFE: Duration = Duration::from_secs(60 * 60);

const ASK: &str = "/password/forgot";
const RESET: &str = "/password/reset";

/// What a link leads to, kept under the hash of its secret.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// `None`: there is nobody of the name, and no link was sent.
    login: Option<Login>,
    /// A link does not outlive the password it was made for.
    password_set_at: Moment,
}

fn link_key(secret: &SecretHash) -> String {
    format!("reset:{}", secret.to_text())
}

/// Where the hash of a name's newest link stands: older ones die with it.
fn newest_key(name: &str) -> String {
    key("reset-of", &[name])
}

pub async fn asked(Shared(state): Shared<Arc<State>>, visit: Visit) -> Answer {
    let primary = state.products.primary();
    if state.legacy.lives_elsewhere(primary) {
        return page(&Message {
            frame: frame(&state, None, ""),
            title: words().forgot_your_password().to_owned(),
            paragraphs: vec![
                super::own_password::elsewhere(primary),
                words().ask_who_looks_after(&primary.name),
            ],
            link: Some(back()),
        });
    }
    if !state.messages.can(Channel::Email) {
        return page(&Message {
            frame: frame(&state, None, ""),
            title: words().forgot_your_password().to_owned(),
            paragraphs: vec![words().ask_user_manager_for_password().to_owned()],
            link: Some(back()),
        });
    }
    form(&state, &visit, None, (state.clock)())
}

fn back() -> Link {
    Link {
        href: String::from("/login"),
        text: words().back_to_log_in().to_owned(),
    }
}

fn form(state: &State, visit: &Visit, error: Option<&str>, now: Moment) -> Answer {
    let (token, fresh) = form_token(state, visit, now);
    let mut response = page(&pages::Forgot {
        frame: frame(state, None, ""),
        error: error.map(str::to_owned),
        hidden: vec![("csrf", token)],
    })?;
    keep_cookie(&mut response, fresh);
    Ok(response)
}

/// The form's token, and the cookie that it is bound to when the browser has none yet.
fn form_token(state: &State, visit: &Visit, now: Moment) -> (String, Option<Secret>) {
    match visit.login_cookie() {
        Some(secret) => (state.keys.form_token(&secret.hash(), now), None),
        None => {
            let secret = fresh_secret(state);
            (state.keys.form_token(&secret.hash(), now), Some(secret))
        }
    }
}

fn keep_cookie(response: &mut Response, fresh: Option<Secret>) {
    if let Some(secret) = fresh {
        cookies::set_login(response, &secret);
    }
}

/// What it says, if it was made for this browser.
fn ours<'a>(state: &State, visit: &Visit, form: &'a Form, now: Moment) -> Option<Sent<'a>> {
    let cookie = visit.login_cookie().map(|secret| secret.hash());
    form.of_cookie(state, cookie.as_ref(), now)
}

pub async fn ask(Shared(state): Shared<Arc<State>>, visit: Visit, posted: Form) -> Answer {
    let now = (state.clock)();
    let elsewhere = state.legacy.lives_elsewhere(state.products.primary());
    if elsewhere || !state.messages.can(Channel::Email) {
        return see_other(ASK);
    }
    let Some(sent) = ours(&state, &visit, &posted, now) else {
        return form(&state, &visit, None, now);
    };
    let typed = sent.text("username");
    if typed.trim().is_empty() || typed.len() > Login::LONGEST {
        let shown = form(&state, &visit, Some(words().type_your_username()), now)?;
        return Ok((StatusCode::BAD_REQUEST, shown).into_response());
    }
    let login = Login::parse(typed).ok();
    let name = login.as_ref().map_or(typed, Login::as_str);
    let goes = count_link(&state, &visit, name, now).await?;
    let known = known(&state, login.as_ref()).await?;
    let made = match goes {
        true => make_link(&state, name, known.as_ref(), now).await?,
        // The answer is the same, and true: who must not be shut out by others has a link already.
        false => SENT_BEFORE,
    };
    heard(
        &state,
        &visit,
        known.as_ref().map(|(_, person)| person),
        made,
    );
    page(&Message {
        frame: frame(&state, None, ""),
        title: words().look_into_your_mail().to_owned(),
        paragraphs: vec![
            words().link_was_sent().to_owned(),
            words().no_mail_ask_user_manager().to_owned(),
        ],
        link: Some(back()),
    })
}

/// The account and its person. As many questions are asked for a name that nobody has.
async fn known(state: &State, login: Option<&Login>) -> Result<Option<(Account, Person)>, Trouble> {
    let primary = &state.products.primary().id;
    let account = match login {
        Some(login) => state.directory.account(primary, login).await?,
        None => None,
    };
    let Some(account) = account.filter(|account| account.person.is_some()) else {
        if let Ok(nobody) = PersonId::parse("nobody") {
            state.directory.person(&nobody).await?;
        }
        return Ok(None);
    };
    let person = enabled(state, &account).await?;
    Ok(person.map(|person| (account, person)))
}

/// Keeps a new link, which ends the ones before, and sends it when there is somebody to send it to.
/// Returns what became of it, in the trail's words.
async fn make_link(
    state: &Arc<State>,
    name: &str,
    known: Option<&(Account, Person)>,
    now: Moment,
) -> Result<&'static str, Trouble> {
    let secret = fresh_secret(state);
    let kept = Kept {
        login: known.map(|(account, _)| account.login.clone()),
        password_set_at: known.map_or(Moment::EPOCH, |(account, _)| account.password_set_at),
    };
    let written = serde_json::to_vec(&kept).map_err(|_| Trouble::internal("reset"))?;
    let store = state.sessions.store();
    let newest = newest_key(name);
    let before = store.state(&newest, now).await?;
    let hash = secret.hash().to_text();
    let first = store
        .swap_state(&newest, before.as_deref(), Some(hash.as_bytes()), LIFE, now)
        .await?;
    store
        .swap_state(&link_key(&secret.hash()), None, Some(&written), LIFE, now)
        .await?;
    let Some((account, person)) = known else {
        return Ok("nobody of this name");
    };
    let Some(address) = Address::parse(&person.email) else {
        return Ok(NO_ADDRESS);
    };
    // Of two who ask at the same moment one is answered: the other's link would be dead.
    if !first {
        return Ok(SENT_MEANWHILE);
    }
    let subject = words().reset_subject(&state.title);
    let text = letter(state, account, &secret);
    state.messages.mail_soon(&address, &subject, text);
    Ok(SENT)
}

/// The address is the configured one, whatever the request called us.
fn letter(state: &State, account: &Account, secret: &Secret) -> String {
    let link = format!("{}{RESET}?token={}", state.portal_origin, secret.expose());
    words().reset_mail(account.login.as_str(), &state.title, &link)
}

/// Sends the link for somebody else: for a user manager, whose right to do so the caller has
/// judged. In the words of who gets it. What became of it, in the trail's words: see [`is_sent`].
pub async fn send_for(
    state: &Arc<State>,
    person: &Person,
    now: Moment,
) -> Result<&'static str, Trouble> {
    let primary = state.products.primary();
    let account = accounts::account_in(state, &person.id, primary).await?;
    let can = state.messages.can(Channel::Email) && !state.legacy.lives_elsewhere(primary);
    let Some(account) = account.filter(|_| can) else {
        return Ok(NO_ADDRESS);
    };
    let name = account.login.as_str().to_owned();
    let theirs = language::words_of(state, &person.id).await;
    let known = (account, person.clone());
    let made = make_link(state, &name, Some(&known), now);
    language::speaking(theirs.unwrap_or_default(), made).await
}

/// Whether a link is on its way.
pub fn is_sent(word: &str) -> bool {
    word == SENT || word == SENT_MEANWHILE
}

/// What a link leads to, while it works.
struct Led {
    secret: Secret,
    account: Account,
    person: Person,
}

async fn led(state: &State, written: &str, now: Moment) -> Result<Option<Led>, Trouble> {
    if state.legacy.lives_elsewhere(state.products.primary()) {
        return Ok(None);
    }
    let Some(secret) = Secret::parse(written.as_bytes()) else {
        return Ok(None);
    };
    let store = state.sessions.store();
    let kept = store.state(&link_key(&secret.hash()), now).await?;
    let kept = kept.and_then(|kept| serde_json::from_slice::<Kept>(&kept).ok());
    let Some((login, set_at)) = kept.and_then(|kept| Some((kept.login?, kept.password_set_at)))
    else {
        return Ok(None);
    };
    let newest = store.state(&newest_key(login.as_str()), now).await?;
    if newest.as_deref() != Some(secret.hash().to_text().as_bytes()) {
        return Ok(None);
    }
    let known = known(state, Some(&login)).await?;
    Ok(known
        .filter(|(account, _)| account.password_set_at == set_at)
        .map(|(account, person)| Led {
            secret,
            account,
            person,
        }))
}

pub async fn opened(Shared(state): Shared<Arc<State>>, visit: Visit, fields: Fields) -> Answer {
    let now = (state.clock)();
    match led(&state, fields.text("token"), now).await? {
        Some(led) => show(&state, &visit, &led, None, now),
        None => Err(dead()),
    }
}

pub async fn submitted(Shared(state): Shared<Arc<State>>, visit: Visit, posted: Form) -> Answer {
    let now = (state.clock)();
    let Some(led) = led(&state, posted.unproved().text("token"), now).await? else {
        return Err(dead());
    };
    let Some(sent) = ours(&state, &visit, &posted, now) else {
        return show(&state, &visit, &led, None, now);
    };
    let tenancy = accounts::tenancy(&led.account, &led.person.company);
    let owner = Owner::of_person(&led.person, &tenancy.current);
    let wish = Wish::of(&sent);
    let hash = match wish.judged(&state, &led.account, &owner, now).await? {
        Ok(hash) => hash,
        Err(reason) => {
            let shown = show(&state, &visit, &led, Some(reason), now)?;
            return Ok((StatusCode::FORBIDDEN, shown).into_response());
        }
    };
    // Exactly one of many who use it at once goes on.
    let store = state.sessions.store();
    let taken = store.take_state(&link_key(&led.secret.hash()), now).await?;
    let directory = &state.directory;
    if taken.is_none() || !directory.change_password(&led.account, &hash, now).await? {
        return Err(dead());
    }
    // First on record and told: it is done, whether or not the sessions can be ended.
    let told = format!("{} {} by mail", led.account.product, led.account.login);
    state.observer.audit(Audit::about(
        &led.person,
        &visit,
        TrailEvent::PasswordChanged,
        &told,
    ));
    letters::tell(&state, &visit, &led.person, Letter::PasswordChanged);
    state
        .sessions
        .end_person(&led.person.id, EndCause::PasswordChanged)
        .await?;
    see_other(&Errand::default().because("changed").on("/login"))
}

fn dead() -> Trouble {
    Trouble::new(410, "link")
        .saying(
            words().link_no_longer_good(),
            words().link_no_longer_good_what(),
            words().link_no_longer_good_remedy(),
        )
        .with_link(ASK, words().forgot_your_password())
}

fn show(state: &State, visit: &Visit, led: &Led, error: Option<String>, now: Moment) -> Answer {
    let tenancy = accounts::tenancy(&led.account, &led.person.company);
    let owner = Owner::of_person(&led.person, &tenancy.current);
    let (token, fresh) = form_token(state, visit, now);
    let mut response = page(&pages::Reset {
        frame: frame(state, None, ""),
        product: state.products.primary().name.clone(),
        login: led.account.login.to_string(),
        shortest: owner.shortest(state),
        error,
        hidden: vec![("token", led.secret.expose()), ("csrf", token)],
    })?;
    keep_cookie(&mut response, fresh);
    Ok(response)
}

fn heard(state: &State, visit: &Visit, person: Option<&Person>, detail: &str) {
    state.observer.audit(Audit {
        event: EVENT,
        person: person.map(|person| &person.id),
        company: person.map(|person| &person.company),
        session: None,
        address: visit.facts.address,
        request_id: &visit.request_id,
        detail,
    });
}
