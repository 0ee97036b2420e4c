//! The pages of a pairing.

use super::Desk;
use crate::gate::name::Login;
use crate::gate::product::Accounts;
use crate::pages::{self, Notice};
use crate::portal::answer::page;
use crate::portal::apps::frame;
use crate::portal::language::words;
use crate::portal::new_password::Owner;
use crate::portal::trouble::Answer;

impl Desk<'_> {
    pub(super) async fn first(&self, error: Option<&str>) -> Answer {
        let primary = self.state.products.primary();
        let login = self.primary().await?.login;
        self.show(
            pages::ConnectStep::First,
            &primary.name,
            login.as_str(),
            error,
        )
    }

    pub(super) fn second(&self, username: &str, error: Option<&str>) -> Answer {
        self.show(
            pages::ConnectStep::Second,
            &self.product.name,
            username,
            error,
        )
    }

    pub(super) fn renew(&self, login: &Login, error: Option<&str>) -> Answer {
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
            action: self.path(),
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

    pub(super) fn paired(&self, login: &Login, just_now: bool) -> Answer {
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
        let href = self.onward();
        page(&pages::Paired {
            frame: frame(self.state, Some(self.session), ""),
            product: second.clone(),
            notice,
            paragraphs,
            href,
        })
    }
}
