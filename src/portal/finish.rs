//! The end of a sign-in: a proof becomes a session.

use std::borrow::Cow;
use std::sync::Arc;

use axum::response::Response;

use super::answer::see_other;
use super::errand::{Errand, Landing};
use super::factor::extras::Extras;
use super::login::{begin_step, last_here};
use super::new_password::age;
use super::password::{enabled, heard};
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{
    Audit, State, accounts, cookies, devices, factor, known, language, renewal, single_sign_on,
};
use crate::directory::{Account, Person};
use crate::gate::arrival::{Arrival, Over, Place, arrive};
use crate::gate::ceremony::{Ground, Next, Proof};
use crate::gate::name::Login;
use crate::gate::password::Age;
use crate::gate::session::{Profile, Session, Token};
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::sessions::{EndCause, Footing, NewSession};

/// What the first proof of a sign-in leads to: the session, or the factor that is asked for beside it.
/// `epoch` is the person's number from before the proof.
pub async fn proceed(
    state: &Arc<State>,
    visit: &Visit,
    errand: &Errand,
    next: Next,
    (account, person, epoch): (Account, &Person, i64),
    now: Moment,
) -> Answer {
    match next {
        Next::Done(proof) => {
            if proof.by_device() {
                devices::used(state, visit, person, now).await?;
            }
            let proved = (proof, Extras::default());
            let finished = finish(state, visit, errand, proved, &account.login, now).await?;
            factor::undone(state, &person.id, (epoch, false), finished).await
        }
        Next::Ask(step, _) => {
            let (who, company) = (Some(&person.id), Some(&person.company));
            heard(state, visit, "factor_wanted", who, company);
            let begun = (account.login, epoch);
            let (response, attempt) = begin_step(state, visit, errand, step, begun, now).await?;
            // Here and not where the page is opened: opening a page sends nothing.
            factor::greet(state, visit, errand, attempt, now).await;
            Ok(response)
        }
    }
}

/// What this browser's session is to somebody who has just proved themselves.
enum Before {
    Nothing,
    /// Theirs, and good: it is renewed, and the other products go on.
    Theirs(Arc<Session>),
    /// Somebody else's, or over.
    Done(Arc<Session>, EndCause),
}

/// Begins or renews the session and sends the browser on. The account is read again: what was
/// true before the second factor may not be any more. What goes with the proof is given by the caller,
/// and kept while a new password is asked for.
pub async fn finish(
    state: &Arc<State>,
    visit: &Visit,
    errand: &Errand,
    (proof, extras): (Proof, Extras),
    login: &Login,
    now: Moment,
) -> Answer {
    let account = state
        .directory
        .account(&state.products.primary().id, login)
        .await?;
    let person = match &account {
        Some(account) => enabled(state, account)
            .await?
            .filter(|person| person.id == *proof.person()),
        None => None,
    };
    let (Some(account), Some(person)) = (account, person) else {
        return over(errand);
    };
    let age = match proof.ground() {
        Ground::Password => age(state, &account, &person.company, now),
        // A password that nobody typed needs no changing.
        Ground::Provider | Ground::Session(_) => Age::Good,
    };
    if age == Age::Expired {
        return renewal::ask(state, visit, errand, (proof, extras), &account, now).await;
    }
    let mut errand = Cow::Borrowed(errand);
    let mut warn = false;
    let session = match (before(state, visit, &person, now), proof.ground()) {
        (Before::Theirs(session), ground) if fits(&session, ground) => {
            let methods = proof.methods();
            let proved = (methods.as_slice(), proof.factor_at());
            match state.sessions.renew(session.id, proved, now).await? {
                Some(renewed) => {
                    reopen(state, visit, &errand, &proof, now).await?;
                    renewed
                }
                None => return over(&errand),
            }
        }
        // Only a password, or a provider, begins a session: a factor alone was added to one that is gone.
        (_, Ground::Session(_)) => return over(&errand),
        (before, Ground::Password | Ground::Provider) => {
            if let Before::Done(old, cause) = before {
                state.sessions.end(old.id, cause).await?;
            }
            let new = new_session(visit, &account, &person, &proof);
            let begun = state.sessions.begin(new, now).await?;
            if !is_so_still(state, &account, &person).await? {
                state.sessions.end(begun.0.id, EndCause::Revoked).await?;
                return over(&errand);
            }
            warn = matches!(age, Age::Ending(_));
            if errand.is_front_door(state) && opens_elsewhere(state, &begun.0).await? {
                errand = Cow::Owned(Errand::default());
            }
            begun
        }
    };
    tell(state, visit, &session.0);
    language::learn(state, visit, &person.id).await;
    let mut response = signed_in(&errand, warn, &session.1)?;
    known::keep(state, visit, login, &mut response, now);
    Ok(response)
}

/// Whether the directory still says what a session was begun with. Whoever changes it ends the
/// sessions that there are: one that was begun meanwhile is ended by this.
async fn is_so_still(state: &State, account: &Account, person: &Person) -> Result<bool, Trouble> {
    let now = state
        .directory
        .account(&account.product, &account.login)
        .await?;
    let Some(now) = now else {
        return Ok(false);
    };
    let same = now.person == account.person
        && now.companies == account.companies
        && now.default_company == account.default_company
        && now.password_set_at == account.password_set_at;
    Ok(same && state.directory.person(&person.id).await?.as_ref() == Some(person))
}

/// Whether this person chose another application to be opened by signing in.
async fn opens_elsewhere(state: &State, session: &Session) -> Result<bool, Trouble> {
    let default = single_sign_on::default_product(state, session).await?;
    Ok(default.is_some_and(|default| default != state.products.primary().id))
}

fn fits(session: &Session, ground: Ground) -> bool {
    match ground {
        Ground::Password | Ground::Provider => true,
        Ground::Session(id) => session.id == id,
    }
}

fn before(state: &State, visit: &Visit, person: &Person, now: Moment) -> Before {
    let policies = state.policies.load();
    let (found, cause) = match arrive(&visit.known, &policies, Place::Portal, None, now) {
        Arrival::Enter(found) | Arrival::Factor(found) | Arrival::PasswordAgain(found, _) => {
            (found, EndCause::SignedOut)
        }
        Arrival::SignIn(Some(over)) => {
            let cause = match over {
                Over::Idle(_) => EndCause::Idle,
                Over::Maximum(_) => EndCause::Maximum,
            };
            return match crate::gate::decide::found(&visit.known) {
                Some(found) => Before::Done(Arc::clone(&found.session), cause),
                None => Before::Nothing,
            };
        }
        Arrival::SignIn(None) | Arrival::Unavailable => return Before::Nothing,
    };
    let session = Arc::clone(&found.session);
    if session.person.id == person.id {
        Before::Theirs(session)
    } else {
        Before::Done(session, cause)
    }
}

/// The password was proved for a product that was closed for idleness: it opens again, and only
/// it. Its cookie is renewed here, at the proof, so that whichever tab comes first finds it open.
async fn reopen(
    state: &Arc<State>,
    visit: &Visit,
    errand: &Errand,
    proof: &Proof,
    now: Moment,
) -> Result<(), Trouble> {
    let Some(found) = crate::gate::decide::found(&visit.known) else {
        return Ok(());
    };
    let session = &found.session;
    let Landing::Product { product, .. } = errand.landing(state, None) else {
        return Ok(());
    };
    let here = last_here(state, visit, &product).await?;
    let place = Place::Product {
        product: &product,
        here,
    };
    let arrival = arrive(&visit.known, &state.policies.load(), place, None, now);
    let (Arrival::PasswordAgain(..), Ground::Password | Ground::Provider, Some(entry)) =
        (arrival, proof.ground(), session.entries.get(&product.id))
    else {
        return Ok(());
    };
    let footing = Footing {
        login: entry.login.clone(),
        tenancy: entry.tenancy.clone(),
    };
    state
        .sessions
        .enter(session.id, &product, footing, true, now)
        .await?;
    Ok(())
}

fn new_session(visit: &Visit, account: &Account, person: &Person, proof: &Proof) -> NewSession {
    let tenancy = accounts::tenancy(account, &person.company);
    NewSession {
        person: Profile {
            id: person.id.clone(),
            name: person.name.clone(),
            email: person.email.clone(),
            roles: person.roles.clone(),
            grants: person.grants.clone(),
        },
        company: tenancy.current,
        companies: tenancy.all,
        methods: proof.methods(),
        factor_at: proof.factor_at(),
        address: visit.facts.address.to_string(),
        user_agent: visit.user_agent(),
    }
}

fn tell(state: &State, visit: &Visit, session: &Session) {
    state.observer.sign_in("ok");
    state
        .observer
        .audit(Audit::of(session, visit, TrailEvent::SignIn, "ok"));
    let policies = state.policies.load();
    if policies.in_emergency(&session.company, &session.person.id) {
        state.observer.audit(Audit::of(
            session,
            visit,
            TrailEvent::BreakGlassUsed,
            "signed in while no second factor was asked for",
        ));
    }
}

fn signed_in(errand: &Errand, warn: bool, token: &Token) -> Answer {
    let page = if warn { "/password/expiring" } else { "/login" };
    let mut response: Response = see_other(&errand.satisfied().on(page))?;
    cookies::set_session(&mut response, token);
    cookies::clear_login(&mut response);
    Ok(response)
}

fn over(errand: &Errand) -> Answer {
    let mut response = see_other(&errand.because("ended").on("/login"))?;
    cookies::clear_login(&mut response);
    Ok(response)
}
