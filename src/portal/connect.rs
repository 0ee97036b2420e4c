//! `/connect/PRODUCT`: a person pairs their account of another product. The first product's
//! credentials, then the second's; only the link is kept.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::answer::{nothing_here, page, see_other};
use super::apps::{frame, signed_in};
use super::credentials::{self, Proof};
use super::errand::{Errand, Landing};
use super::fields::{Fields, Form};
use super::keys::FormToken;
use super::language::words;
use super::letters::{self, Letter};
use super::new_password::{Owner, Wish, age};
use super::throttles::{PasswordAttempt, count_deed};
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{Audit, State, accounts};
use crate::directory::{Account, Pairing, TypedCredentials};
use crate::gate::name::{Login, PersonId};
use crate::gate::password::Age;
use crate::gate::product::{Accounts, Product};
use crate::gate::session::Session;
use crate::gate::time::Moment;
use crate::pages::{self, Notice};

/// How long the first product's proof holds.
const LIFE: Duration = Duration::from_secs(10 * 60);

/// What was proved so far, kept in the session store: of this session and for this product.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Begun {
    /// The second account, when its password was right but has expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expired: Option<Expired>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Expired {
    login: Login,
    /// Of the password that was proved: who knew an old one can't replace the one after it.
    password_set_at: Moment,
}

/// One person's pairing with one product.
struct Desk<'a> {
    state: &'a Arc<State>,
    visit: &'a Visit,
    session: &'a Session,
    product: &'a Arc<Product>,
    errand: Errand,
    now: Moment,
}

/// Who pairs what, or where they have to go first.
async fn desk<'a>(
    state: &'a Arc<State>,
    visit: &'a Visit,
    product: &str,
    fields: &Fields,
) -> Result<Result<Desk<'a>, Response>, Trouble> {
    let now = (state.clock)();
    let Some(product) = state.products.by_id(product) else {
        return Err(nothing_here().await);
    };
    let errand = Errand::of(fields).satisfied();
    let path = errand.on(&format!("/connect/{}", product.id));
    let session = match signed_in(state, visit, &path, now).await? {
        Ok(found) => &*found.session,
        Err(elsewhere) => return Ok(Err(elsewhere)),
    };
    if !accounts::is_granted(&session.person, product) {
        return Err(accounts::not_granted(state, product, &session.company).await);
    }
    if !state
        .policies
        .load()
        .single_sign_on_reaches(session.company_in(&product.id), product)
    {
        return Err(accounts::not_released(state, product));
    }
    Ok(Ok(Desk {
        state,
        visit,
        session,
        product,
        errand,
        now,
    }))
}

pub async fn opened(
    Shared(state): Shared<Arc<State>>,
    visit: Visit,
    Path(product): Path<String>,
    fields: Fields,
) -> Answer {
    let desk = match desk(&state, &visit, &product, &fields).await? {
        Ok(desk) => desk,
        Err(elsewhere) => return Ok(elsewhere),
    };
    if let Some(login) = accounts::login_in(&state, &desk.session.person.id, desk.product).await? {
        return desk.paired(&login, fields.of("paired") == Some("1"));
    }
    match desk.begun().await? {
        None => desk.first(None).await,
        Some(Begun { expired: None }) => desk.second("", None),
        Some(Begun {
            expired: Some(expired),
        }) => desk.renew(&expired.login, None),
    }
}

pub async fn submitted(
    Shared(state): Shared<Arc<State>>,
    visit: Visit,
    Path(product): Path<String>,
    Form(fields): Form,
) -> Answer {
    visit.sender(&state.portal_origin)?;
    let desk = match desk(&state, &visit, &product, &fields).await? {
        Ok(desk) => desk,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let token =
        state
            .keys
            .judge_form_token(fields.text("csrf"), Some(&desk.session.portal), desk.now);
    let linked = accounts::login_in(&state, &desk.session.person.id, desk.product).await?;
    if token != FormToken::Bound || linked.is_some() {
        return see_other(&desk.address());
    }
    match (fields.of("step"), desk.begun().await?) {
        (Some("second"), Some(Begun { expired: None })) => desk.second_given(&fields).await,
        (
            Some("renew"),
            Some(Begun {
                expired: Some(expired),
            }),
        ) => desk.renewal_given(&expired, &fields).await,
        (Some("first"), _) => desk.first_given(&fields).await,
        // What was proved first is too old by now.
        _ => see_other(&desk.address()),
    }
}

impl Desk<'_> {
    fn address(&self) -> String {
        self.errand.on(&format!("/connect/{}", self.product.id))
    }

    fn person(&self) -> &PersonId {
        &self.session.person.id
    }

    fn key(&self) -> String {
        format!("pairing:{}:{}", self.session.id, self.product.id)
    }

    async fn begun(&self) -> Result<Option<Begun>, Trouble> {
        let store = self.state.sessions.store();
        let written = store.state(&self.key(), self.now).await?;
        Ok(written.and_then(|written| serde_json::from_slice(&written).ok()))
    }

    async fn keep(&self, begun: &Begun) -> Result<(), Trouble> {
        let store = self.state.sessions.store();
        let written = serde_json::to_vec(begun).map_err(|_| Trouble::internal("pairing"))?;
        let before = store.state(&self.key(), self.now).await?;
        // Another tab that was faster proved the same.
        store
            .swap_state(
                &self.key(),
                before.as_deref(),
                Some(&written),
                LIFE,
                self.now,
            )
            .await?;
        Ok(())
    }

    async fn primary(&self) -> Result<Account, Trouble> {
        let primary = self.state.products.primary();
        let account = accounts::account_in(self.state, self.person(), primary).await?;
        account.ok_or_else(|| Trouble::new(403, "no_account"))
    }

    async fn first_given(&self, fields: &Fields) -> Answer {
        let account = self.primary().await?;
        let typed = Login::parse(fields.text("username")).ok();
        if typed.as_ref() != Some(&account.login) {
            return refused(self.first(Some(words().pair_your_own())).await);
        }
        let attempt = PasswordAttempt::new(account.login.as_str(), &self.visit.network());
        self.count(&attempt).await?;
        let credentials = credentials::typed(fields.text("username"), fields.text("password"));
        let primary = self.state.products.primary();
        let asked = (&**primary, Some(&account));
        if !self.prove(asked, &credentials, &attempt).await?.is_right() {
            self.heard(self.person(), "pairing", "first password refused");
            return refused(
                self.first(Some(words().username_and_password_wrong()))
                    .await,
            );
        }
        attempt.succeed(self.state, self.now).await?;
        self.keep(&Begun { expired: None }).await?;
        see_other(&self.address())
    }

    async fn second_given(&self, fields: &Fields) -> Answer {
        let (typed, password) = (fields.text("username"), fields.text("password"));
        if typed.trim().is_empty() || password.is_empty() || typed.len() > Login::LONGEST {
            return refused(self.second(typed, Some(words().type_username_and_password())));
        }
        let login = Login::parse(typed).ok();
        let counted = login.as_ref().map_or(typed, Login::as_str);
        let attempt = PasswordAttempt::at(&self.product.id, counted, &self.visit.network());
        self.count(&attempt).await?;
        let account = match &login {
            Some(login) => {
                self.state
                    .directory
                    .account(&self.product.id, login)
                    .await?
            }
            None => None,
        };
        let credentials = credentials::typed(typed, password);
        let asked = (&**self.product, account.as_ref());
        let proof = self.prove(asked, &credentials, &attempt).await?;
        if !proof.is_right() {
            let told = match proof {
                Proof::Unknown => "second name unknown",
                _ => "second password refused",
            };
            self.heard(self.person(), "pairing", told);
            return refused(self.second(typed, Some(words().username_and_password_wrong())));
        }
        let account = match (account, &login, proof) {
            (Some(account), ..) => account,
            // Whoever keeps the passwords knows it, and that is enough.
            (None, Some(login), Proof::Theirs) => {
                let directory = &self.state.directory;
                directory
                    .adopt_account(&self.product.id, login, self.now)
                    .await?
            }
            (None, ..) => {
                return refused(self.second(typed, Some(words().username_and_password_wrong())));
            }
        };
        attempt.succeed(self.state, self.now).await?;
        // Before the age: who can't have it is not asked to change its password.
        if let Some(holder) = account
            .person
            .as_ref()
            .filter(|holder| *holder != self.person())
        {
            return self.taken(&account, holder).await;
        }
        if age(self.state, &account, &self.session.company, self.now) == Age::Expired {
            self.heard(self.person(), "pairing", "second password expired");
            self.keep(&Begun {
                expired: Some(Expired {
                    login: account.login.clone(),
                    password_set_at: account.password_set_at,
                }),
            })
            .await?;
            return see_other(&self.address());
        }
        self.pair(&account, Some(&credentials)).await
    }

    async fn renewal_given(&self, expired: &Expired, fields: &Fields) -> Answer {
        let login = &expired.login;
        let directory = &self.state.directory;
        let Some(account) = directory.account(&self.product.id, login).await? else {
            return self.begin_again().await;
        };
        // Somebody changed or paired it since it was proved.
        if account.person.is_some() || account.password_set_at != expired.password_set_at {
            return self.begin_again().await;
        }
        let owner = Owner::of_session(self.session);
        let wish = Wish::of(fields);
        let hash = match wish.judged(self.state, &account, &owner, self.now).await? {
            Ok(hash) => hash,
            Err(reason) => return refused(self.renew(login, Some(&reason))),
        };
        if !directory.change_password(&account, &hash, self.now).await? {
            return self.begin_again().await;
        }
        self.heard(
            self.person(),
            "password_changed",
            &format!("{} {} at pairing", self.product.id, account.login),
        );
        if let Some(person) = directory.person(self.person()).await? {
            letters::tell(self.state, self.visit, &person, Letter::PasswordChanged);
        }
        let renewed = Account {
            password_hash: hash,
            ..account
        };
        self.pair(&renewed, None).await
    }

    async fn begin_again(&self) -> Answer {
        let store = self.state.sessions.store();
        store.take_state(&self.key(), self.now).await?;
        see_other(&self.address())
    }

    /// `proved` is what the gateway may have to type for the person.
    async fn pair(&self, account: &Account, proved: Option<&TypedCredentials>) -> Answer {
        match self.state.directory.pair(account, self.person()).await? {
            Pairing::Paired => {
                if let Some(proved) = proved {
                    self.keep_password(account, proved).await?;
                }
                let told = format!("{} paired as {}", self.product.id, account.login);
                self.heard(self.person(), "pairing", &told);
            }
            Pairing::Theirs => {}
            Pairing::Taken(holder) => return self.taken(account, &holder).await,
            // Another tab was faster: what is paired is shown.
            Pairing::Another => return self.begin_again().await,
            Pairing::Changed => {
                return refused(self.second(
                    account.login.as_str(),
                    Some(words().username_and_password_wrong()),
                ));
            }
        }
        let store = self.state.sessions.store();
        store.take_state(&self.key(), self.now).await?;
        see_other(
            &self
                .errand
                .on_with(&format!("/connect/{}", self.product.id), "paired", "1"),
        )
    }

    async fn taken(&self, account: &Account, holder: &PersonId) -> Answer {
        let what = format!("{} {}", self.product.id, account.login);
        self.heard(self.person(), "pairing", &format!("{what} is another's"));
        self.heard(
            holder,
            "pairing_contested",
            &format!("{what} by {}", self.person()),
        );
        let managers = accounts::user_managers(self.state, &self.session.company).await;
        let ask = match managers.as_slice() {
            [] => words().account_taken_remedy().to_owned(),
            named => words().account_taken_remedy_named(&named.join(", ")),
        };
        Err(Trouble::new(409, "account_taken")
            .saying(
                words().account_taken(),
                words().account_taken_what(&self.product.name),
                ask,
            )
            .with_link(self.address(), words().use_another_account()))
    }

    async fn count(&self, attempt: &PasswordAttempt) -> Result<(), Trouble> {
        let counted = async {
            count_deed(self.state, "pairing", self.person(), self.now).await?;
            attempt.count(self.state, self.now).await
        };
        counted.await.map_err(|trouble| {
            self.heard(self.person(), "pairing", "throttled");
            trouble.with_link(self.address(), words().back())
        })
    }

    async fn prove(
        &self,
        asked: (&Product, Option<&Account>),
        credentials: &TypedCredentials,
        attempt: &PasswordAttempt,
    ) -> Result<Proof, Trouble> {
        let (state, visit) = (self.state, self.visit);
        let proved = credentials::prove(state, visit, asked, credentials, attempt, self.now).await;
        proved.map_err(|trouble| trouble.with_link(self.address(), words().back()))
    }

    /// For products that are signed in to with it, and for no other.
    async fn keep_password(
        &self,
        account: &Account,
        proved: &TypedCredentials,
    ) -> Result<(), Trouble> {
        if !self.state.legacy.needs_password(self.product) {
            return Ok(());
        }
        let place = credentials::place(self.state, self.product, &account.login, self.person());
        let directory = &self.state.directory;
        directory
            .keep_sign_on_secret(&place, proved, self.now)
            .await?;
        Ok(())
    }

    async fn first(&self, error: Option<&str>) -> Answer {
        let primary = self.state.products.primary();
        let login = self.primary().await?.login;
        self.show(
            pages::ConnectStep::First,
            &primary.name,
            login.as_str(),
            error,
        )
    }

    fn second(&self, username: &str, error: Option<&str>) -> Answer {
        self.show(
            pages::ConnectStep::Second,
            &self.product.name,
            username,
            error,
        )
    }

    fn renew(&self, login: &Login, error: Option<&str>) -> Answer {
        self.show(
            pages::ConnectStep::Renew,
            &self.product.name,
            login.as_str(),
            error,
        )
    }

    fn show(
        &self,
        step: pages::ConnectStep,
        asked: &str,
        username: &str,
        error: Option<&str>,
    ) -> Answer {
        let token = self.state.keys.form_token(&self.session.portal, self.now);
        let mut hidden = self.errand.hidden(token);
        hidden.push(("step", step.word().to_owned()));
        page(&pages::Connect {
            frame: frame(self.state, Some(self.session), ""),
            action: format!("/connect/{}", self.product.id),
            first: self.state.products.primary().name.clone(),
            second: self.product.name.clone(),
            asked: asked.to_owned(),
            step,
            username: username.to_owned(),
            error: error.map(str::to_owned),
            shortest: Owner::of_session(self.session).shortest(self.state),
            hidden,
        })
    }

    fn paired(&self, login: &Login, just_now: bool) -> Answer {
        let first = &self.state.products.primary().name;
        let second = &self.product.name;
        let shared = self.product.primary || self.product.accounts == Accounts::Primary;
        let notice = just_now.then(|| Notice::news(words().accounts_are_paired(first, second)));
        let mut paragraphs = vec![if shared {
            words().needs_no_pairing(second, login.as_str())
        } else {
            words().account_is_linked(second, login.as_str())
        }];
        if just_now {
            paragraphs.push(words().pairing_holds_at_once().to_owned());
        }
        let href = match self.errand.landing(self.state, Some(&self.product.id)) {
            Landing::Product { product, url, .. } if product.id == self.product.id => url,
            Landing::Product { .. } | Landing::Portal { .. } => format!("{}/", self.product.origin),
        };
        page(&pages::Paired {
            frame: frame(self.state, Some(self.session), ""),
            product: second.clone(),
            notice,
            paragraphs,
            href,
        })
    }

    fn heard(&self, person: &PersonId, event: &'static str, detail: &str) {
        self.state.observer.audit(Audit {
            event,
            person: Some(person),
            company: Some(&self.session.company),
            session: (person == self.person()).then_some(self.session.id),
            address: self.visit.facts.address,
            request_id: &self.visit.request_id,
            detail,
        });
    }
}

fn refused(shown: Answer) -> Answer {
    Ok((StatusCode::FORBIDDEN, shown?).into_response())
}
