//! The second product's credentials: proved, renewed where they have expired, and the account paired.

use super::{Begun, Desk, Expired, refused};
use crate::directory::{Account, Pairing, TypedCredentials};
use crate::gate::name::{CompanyId, Login, PersonId};
use crate::gate::password::Age;
use crate::gate::trail::TrailEvent;
use crate::portal::Audit;
use crate::portal::accounts;
use crate::portal::answer::see_other;
use crate::portal::credentials::{self, Proof};
use crate::portal::form::Sent;
use crate::portal::language::words;
use crate::portal::letters::{self, Letter};
use crate::portal::new_password::{Owner, Wish, age};
use crate::portal::throttles::PasswordAttempt;
use crate::portal::trouble::{Answer, Trouble};

impl Desk<'_> {
    pub(super) async fn second_given(&self, sent: &Sent<'_>) -> Answer {
        let (typed, password) = (sent.text("username"), sent.text("password"));
        if typed.trim().is_empty() || password.is_empty() || typed.len() > Login::LONGEST {
            return refused(self.second(typed, Some(words().type_username_and_password())));
        }
        let login = Login::parse(typed).ok();
        let counted = login.as_ref().map_or(typed, Login::as_str);
        let attempt = PasswordAttempt::at(&self.product.id, counted, &self.visit.network());
        self.count(&attempt, "throttled").await?;
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
                Proof::Expired => "second password expired",
                _ => "second password refused",
            };
            self.heard(TrailEvent::Pairing, told);
            let reason = credentials::refusal(&proof, self.product);
            return refused(self.second(typed, Some(&reason)));
        }
        let account = match (account, &login, proof) {
            // Whoever keeps the passwords knows it, and that is enough: by its own name for it, or
            // another spelling would be another account, for somebody else to pair.
            (_, Some(login), Proof::Theirs(Some(name))) => {
                let directory = &self.state.directory;
                directory
                    .vouched_account(&self.product.id, login, &name, self.now)
                    .await?
            }
            (_, Some(login), Proof::Theirs(None)) => {
                self.nameless(login, password, &attempt).await?
            }
            (Some(account), ..) => account,
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
            self.heard(TrailEvent::Pairing, "second password expired");
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

    /// The account of a login that was right somewhere that does not say who it is. Where another
    /// login looks like it, that one is tried with the same password, once: right is the same
    /// account, and wrong is somebody else's.
    async fn nameless(
        &self,
        login: &Login,
        password: &str,
        attempt: &PasswordAttempt,
    ) -> Result<Account, Trouble> {
        let (directory, product) = (&self.state.directory, &self.product.id);
        if let Some(alike) = directory.alike_account(product, login).await? {
            let credentials = credentials::typed(alike.as_str(), password);
            let asked = (&**self.product, None);
            let proof = self.prove(asked, &credentials, attempt).await?;
            if matches!(proof, Proof::Theirs(_)) {
                return Ok(directory.adopt_account(product, &alike, self.now).await?);
            }
        }
        Ok(directory.adopt_account(product, login, self.now).await?)
    }

    pub(super) async fn renewal_given(&self, expired: &Expired, sent: &Sent<'_>) -> Answer {
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
        let wish = Wish::of(sent);
        let hash = match wish.judged(self.state, &account, &owner, self.now).await? {
            Ok(hash) => hash,
            Err(reason) => return refused(self.renew(login, Some(&reason))),
        };
        if !directory.change_password(&account, &hash, self.now).await? {
            return self.begin_again().await;
        }
        self.heard(
            TrailEvent::PasswordChanged,
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
                let told = format!("{} paired as {}", self.product.id, account.login);
                self.heard(TrailEvent::Pairing, &told);
                if let Some(proved) = proved {
                    self.keep_password(account, proved).await?;
                }
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
        self.heard(TrailEvent::Pairing, &format!("{what} is another's"));
        // In the holder's own company's trail, which may be another than this session's.
        self.state.observer.audit(Audit {
            event: TrailEvent::PairingContested,
            person: Some(holder),
            company: self.company_of(holder).await?.as_ref(),
            session: None,
            address: self.visit.facts.address,
            request_id: &self.visit.request_id,
            detail: &format!("{what} by {}", self.person()),
        });
        let managers = accounts::managers_of(self.state, &self.session.person.id).await;
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

    async fn company_of(&self, person: &PersonId) -> Result<Option<CompanyId>, Trouble> {
        let person = self.state.directory.person(person).await?;
        Ok(person.map(|person| person.company))
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
}
