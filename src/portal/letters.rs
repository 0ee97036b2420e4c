//! Mails to people about what happened to their access. One place, whatever carries them.

use super::visit::Visit;
use super::{Audit, State};
use crate::directory::Person;

/// What somebody is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letter {
    FactorsReset,
    FactorReplaced,
    FactorRemoved,
}

impl Letter {
    pub const fn as_str(self) -> &'static str {
        match self {
            Letter::FactorsReset => "factors_reset",
            Letter::FactorReplaced => "factor_replaced",
            Letter::FactorRemoved => "factor_removed",
        }
    }

    pub const fn subject(self) -> &'static str {
        match self {
            Letter::FactorsReset => "Your multi-factor authentication was reset",
            Letter::FactorReplaced => "Your authenticator app was replaced",
            Letter::FactorRemoved => "A second factor was removed",
        }
    }

    /// Names nobody's reason and no link: what is said here can be read by whoever reads the mail.
    pub const fn text(self) -> &'static str {
        match self {
            Letter::FactorsReset => {
                "A user manager of your company reset your multi-factor authentication. You are \
                 signed out everywhere, and you will set it up anew when you log in next.\n\n\
                 If you did not ask for this, tell your user manager now."
            }
            Letter::FactorReplaced => {
                "A new authenticator app now stands in the place of your old one.\n\n\
                 If this was not you, tell your user manager now."
            }
            Letter::FactorRemoved => {
                "One of your second factors was removed in My Profile.\n\n\
                 If this was not you, tell your user manager now."
            }
        }
    }
}

/// Tells the person by mail. What was done stays done when that fails.
pub async fn tell(state: &State, visit: &Visit, whom: &Person, letter: Letter) {
    state.observer.audit(Audit {
        event: "mail_unsent",
        person: Some(&whom.id),
        company: Some(&whom.company),
        session: None,
        address: visit.facts.address,
        request_id: &visit.request_id,
        detail: letter.as_str(),
    });
}
