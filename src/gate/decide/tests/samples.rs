//! A request, and everything that can be the matter with it, in one line.

use crate::gate::decide::*;
use crate::gate::name::ProductId;
use crate::gate::pattern::Pattern;
use crate::gate::policy::{CompanyPolicy, Conditions, Mfa, MfaMode, Rule};
use crate::gate::product::Unauthenticated;
use crate::gate::samples::{
    MINUTE, company, facts, found, known, noon, patterns, plain_product, policies, policy, session,
};
use crate::gate::session::Seen;

/// A product and a request to it, and everything that can be the matter with either.
pub(super) struct Case {
    pub(super) product: Product,
    pub(super) line: &'static str,
    pub(super) asks: Option<Asks>,
    pub(super) foreign_origin: bool,
    pub(super) cookie: Presented,
    /// Instead of Kim's session.
    pub(super) stranger: Option<Known>,
    pub(super) session: Session,
    pub(super) seen: Seen,
    pub(super) grace: bool,
    pub(super) policy: CompanyPolicy,
    pub(super) switched_on: bool,
}

pub(super) fn case(product: &str, line: &'static str) -> Case {
    let seen = noon().minus(MINUTE);
    Case {
        product: plain_product(product),
        line,
        asks: None,
        foreign_origin: false,
        cookie: Presented::Nothing,
        stranger: None,
        session: session(),
        seen: Seen {
            anywhere: seen,
            here: seen,
        },
        grace: false,
        policy: policy(),
        switched_on: false,
    }
}

impl Case {
    pub(super) fn access(mut self, access: Access) -> Case {
        self.product.access = access;
        self
    }

    pub(super) fn nobody(self, stranger: Stranger) -> Case {
        Case {
            stranger: Some(Known::Nobody(stranger)),
            ..self
        }
    }

    pub(super) fn store_away(self) -> Case {
        Case {
            stranger: Some(Known::Unavailable),
            ..self
        }
    }

    pub(super) fn grace(self) -> Case {
        Case {
            grace: true,
            ..self
        }
    }

    pub(super) fn asks(self, asks: Asks) -> Case {
        Case {
            asks: Some(asks),
            ..self
        }
    }

    pub(super) fn foreign(self) -> Case {
        Case {
            foreign_origin: true,
            ..self
        }
    }

    pub(super) fn no_websockets(mut self) -> Case {
        self.product.websockets = false;
        self
    }

    pub(super) fn unauthenticated(mut self, how: Unauthenticated) -> Case {
        self.product.unauthenticated = how;
        self
    }

    pub(super) fn begun(mut self, ago: Duration) -> Case {
        self.session.started_at = noon().minus(ago);
        self
    }

    /// Last seen anywhere and in this product so long ago.
    pub(super) fn seen(self, anywhere: Duration, here: Duration) -> Case {
        Case {
            seen: Seen {
                anywhere: noon().minus(anywhere),
                here: noon().minus(here),
            },
            ..self
        }
    }

    pub(super) fn granted(mut self, product: &str) -> Case {
        self.session
            .person
            .grants
            .push(ProductId::parse(product).unwrap());
        self
    }

    pub(super) fn factor(mut self, ago: Duration) -> Case {
        self.session.factor_at = Some(noon().minus(ago));
        self
    }

    pub(super) fn mfa(mut self, mode: MfaMode) -> Case {
        self.policy.mfa = Mfa {
            mode,
            ..self.policy.mfa
        };
        self
    }

    pub(super) fn switched_on(self) -> Case {
        Case {
            switched_on: true,
            ..self
        }
    }

    pub(super) fn rule(mut self, path: &str, action: Action) -> Case {
        let when = Conditions {
            paths: Some(patterns(&[path])),
            ..Conditions::default()
        };
        let rule = Rule {
            name: path.to_owned(),
            when,
            except: None,
            action,
        };
        let before = self.policy.rules.iter().cloned();
        self.policy.rules = before.chain([rule]).collect();
        self
    }

    pub(super) fn decide(self) -> Decision {
        self.decide_seen_by(&mut Unwitnessed)
    }

    pub(super) fn decide_seen_by(self, witness: &mut impl Witness) -> Decision {
        let product = Arc::new(self.product);
        let mut facts = facts(&product, self.line);
        facts.asks = self.asks.unwrap_or(facts.asks);
        facts.foreign_origin = self.foreign_origin;
        facts.cookie = self.cookie;
        let kim = found(Found {
            seen: self.seen,
            grace: self.grace,
            ..known(self.session, &product)
        });
        let mut policies = policies(self.policy);
        if self.switched_on {
            let switched = (company("acme"), crate::gate::policy::Switched::default());
            policies.factor_switched_on = std::sync::Arc::new([switched].into_iter().collect());
        }
        decide_witnessed(
            &facts,
            &self.stranger.unwrap_or(kim),
            &policies,
            noon(),
            witness,
        )
    }

    /// `decision reason`, and whether a sign-in is a redirect.
    pub(super) fn words(self) -> String {
        let decision = self.decide();
        let (word, reason) = decision.words();
        let how = match &decision {
            Decision::SignIn(sign_in) if sign_in.redirect => " by redirect",
            _ => "",
        };
        format!("{word} {reason}{how}")
    }
}

pub(super) fn by_path(table: &[(&str, OpenAccess)]) -> Access {
    Access::ByPath(
        table
            .iter()
            .map(|(path, access)| (Pattern::parse(path).unwrap(), *access))
            .collect(),
    )
}

pub(super) const STEP_UP: Action = Action::StepUp {
    within: Duration::from_secs(15 * 60),
};
pub(super) const MILLI: Duration = Duration::from_millis(1);

pub(super) fn check(table: Vec<(Case, &str)>) {
    for (place, (case, expected)) in table.into_iter().enumerate() {
        let line = format!("row {place}, {} {}", case.product.id, case.line);
        assert_eq!(case.words(), expected, "{line}");
    }
}
