//! The password of somebody who is signed in: changing it, and the warning before it expires.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::IntoResponse;
use http::StatusCode;
use zeroize::Zeroizing;

use super::answer::{page, see_other};
use super::apps::{frame, signed_in};
use super::errand::Errand;
use super::fields::Fields;
use super::form::{Form, Sent};
use super::language::words;
use super::new_password::{Owner, Wish, age};
use super::renewal::changed;
use super::throttles::PasswordAttempt;
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{Audit, State, accounts};
use crate::directory::Account;
use crate::gate::password::Age;
use crate::gate::product::{Accounts, Product};
use crate::gate::session::Session;
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::pages::{self, Notice};

pub const PATH: &str = "/account/password";

/// The products whose passwords this person can change here: those with accounts of their own.
async fn accounts_with_passwords(
    state: &State,
    session: &Session,
) -> Result<Vec<(Arc<Product>, Account)>, Trouble> {
    let mut held = Vec::new();
    let all = state.directory.accounts_of(&session.person.id).await?;
    for product in state.products.iter() {
        let own = product.primary || product.accounts == Accounts::Own;
        let account = all.iter().find(|account| account.product == product.id);
        if let (true, Some(account)) = (own, account) {
            held.push((Arc::clone(product), account.clone()));
        }
    }
    Ok(held)
}

/// The part of My Profile that leads here. `said` is the value of the address line's `password`.
pub async fn section(
    state: &State,
    session: &Session,
    said: Option<&str>,
    now: Moment,
) -> Result<pages::Passwords, Trouble> {
    let held = accounts_with_passwords(state, session).await?;
    let lines = held
        .iter()
        .map(|(product, account)| pages::PasswordLine {
            product: product.name.clone(),
            login: account.login.to_string(),
            about: match age(state, account, &session.company, now) {
                _ if state.legacy.lives_elsewhere(product) => elsewhere(product),
                Age::Good => String::new(),
                Age::Ending(left) => words().expires_in(&days(left)),
                Age::Expired => words().has_expired().to_owned(),
            },
            href: (!state.legacy.lives_elsewhere(product))
                .then(|| format!("{PATH}?product={}", product.id)),
        })
        .collect();
    let notice = (said == Some("changed")).then(|| Notice::news(words().password_changed_here()));
    Ok(pages::Passwords {
        words: words(),
        notice,
        lines,
    })
}

/// Where a password is changed that is not kept here.
pub fn elsewhere(product: &Product) -> String {
    words().password_kept_elsewhere(&product.name)
}

/// Rounded up.
pub fn days(left: Duration) -> String {
    match left.as_secs().div_ceil(24 * 60 * 60) {
        0 | 1 => words().less_than_a_day().to_owned(),
        days => words().days(days),
    }
}

/// One person's change of one password.
struct Desk<'a> {
    state: &'a Arc<State>,
    session: &'a Session,
    product: Arc<Product>,
    account: Account,
    errand: Errand,
    now: Moment,
}

async fn desk<'a>(
    state: &'a Arc<State>,
    session: &'a Session,
    fields: &Fields,
    now: Moment,
) -> Result<Desk<'a>, Trouble> {
    let wanted = fields
        .of("product")
        .unwrap_or(state.products.primary().id.as_str());
    let held = accounts_with_passwords(state, session).await?;
    let (product, account) = held
        .into_iter()
        .find(|(product, _)| product.id.as_str() == wanted)
        .ok_or_else(|| Trouble::new(404, "no_account"))?;
    if state.legacy.lives_elsewhere(&product) {
        return Err(Trouble::new(404, "password_elsewhere")
            .saying(
                &words().password_not_changed_here(&product.name),
                elsewhere(&product),
                "",
            )
            .with_link("/account", words().back_to_profile()));
    }
    Ok(Desk {
        state,
        session,
        product,
        account,
        errand: Errand::of(fields).satisfied(),
        now,
    })
}

pub async fn opened(Shared(state): Shared<Arc<State>>, visit: Visit, fields: Fields) -> Answer {
    let now = (state.clock)();
    let session = match signed_in(&state, &visit, PATH, now).await? {
        Ok(found) => &found.session,
        Err(elsewhere) => return Ok(elsewhere),
    };
    desk(&state, session, &fields, now).await?.show(None, None)
}

pub async fn submitted(Shared(state): Shared<Arc<State>>, visit: Visit, form: Form) -> Answer {
    let now = (state.clock)();
    let session = match signed_in(&state, &visit, PATH, now).await? {
        Ok(found) => &found.session,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let desk = desk(&state, session, form.unproved(), now).await?;
    let Some(sent) = form.of_session(&state, session, now) else {
        let notice = Notice::wrong(words().page_was_open_try());
        return desk.show(Some(notice), None);
    };
    desk.change(&visit, &sent).await
}

impl Desk<'_> {
    async fn change(&self, visit: &Visit, sent: &Sent<'_>) -> Answer {
        let login = self.account.login.as_str();
        let attempt = if self.product.primary {
            PasswordAttempt::new(self.state, visit, login, self.now)
        } else {
            PasswordAttempt::at(&self.product.id, login, &visit.network())
        };
        if let Err(trouble) = attempt.count(self.state, self.now).await {
            self.state.observer.sign_in("throttled");
            // One a minute: who is kept waiting may ask on for ever.
            if attempt.is_told_first(self.state, self.now).await {
                self.line(visit, "throttled");
            }
            return Err(trouble);
        }
        let current = Zeroizing::new(sent.text("current").to_owned());
        let stored = Some(self.account.password_hash.clone());
        let verdict = self.state.hasher.verify(stored, current).await;
        let verdict = verdict.map_err(|_| Trouble::unavailable("busy"))?;
        if !verdict.correct {
            self.state.observer.sign_in("refused");
            self.line(visit, "refused");
            return self.refused(words().current_password_wrong());
        }
        attempt.succeed(self.state, self.now).await?;
        let owner = Owner::of_session(self.session);
        let wish = Wish::of(sent);
        let judged = wish.judged(self.state, &self.account, &owner, self.now);
        let hash = match judged.await? {
            Ok(hash) => hash,
            Err(reason) => return self.refused(&reason),
        };
        let directory = &self.state.directory;
        if !directory
            .change_password(&self.account, &hash, self.now)
            .await?
        {
            return self.refused(words().password_changed_elsewhere());
        }
        let person = directory.person(&self.session.person.id).await?;
        let person = person.ok_or_else(|| Trouble::internal("person"))?;
        changed(self.state, visit, &person, &self.account).await?;
        if self.errand.has_rd() {
            return see_other(&self.errand.on("/login"));
        }
        see_other("/account?password=changed")
    }

    /// A guess here is one at the account, counted and told like those at the sign-in.
    fn line(&self, visit: &Visit, detail: &str) {
        let line = Audit::of(self.session, visit, TrailEvent::SignIn, detail);
        self.state.observer.audit(line);
    }

    fn refused(&self, reason: &str) -> Answer {
        let shown = self.show(None, Some(reason.to_owned()))?;
        Ok((StatusCode::FORBIDDEN, shown).into_response())
    }

    fn show(&self, notice: Option<Notice>, error: Option<String>) -> Answer {
        let token = self.state.keys.form_token(&self.session.portal, self.now);
        let mut hidden = self.errand.hidden(token);
        hidden.push(("product", self.product.id.to_string()));
        page(&pages::ChangePassword {
            frame: frame(self.state, Some(self.session), "/account"),
            product: self.product.name.clone(),
            login: self.account.login.to_string(),
            shortest: Owner::of_session(self.session).shortest(self.state),
            notice,
            error,
            hidden,
        })
    }
}

/// `/password/expiring`: shown once after a sign-in, from 14 days before the end.
pub async fn expiring(Shared(state): Shared<Arc<State>>, visit: Visit, fields: Fields) -> Answer {
    let now = (state.clock)();
    let errand = Errand::of(&fields);
    let session = match signed_in(&state, &visit, "/apps", now).await? {
        Ok(found) => &found.session,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let primary = state.products.primary();
    let account = accounts::account_in(&state, &session.person.id, primary).await?;
    let left = account.map(|account| age(&state, &account, &session.company, now));
    let Some(Age::Ending(left)) = left else {
        return see_other(&errand.on("/login"));
    };
    page(&pages::Expiring {
        frame: frame(&state, Some(session), ""),
        product: primary.name.clone(),
        left: days(left),
        change: errand.on_with(PATH, "product", primary.id.as_str()),
        later: errand.on("/login"),
    })
}
