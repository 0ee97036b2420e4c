//! Mails to people about what happened to their access.

use super::visit::Visit;
use super::{Audit, State};
use crate::directory::Person;
use crate::gate::contact::Address;
use crate::messages::Channel;

/// What somebody is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letter {
    FactorsReset,
    FactorReplaced,
    FactorRemoved,
    FactorAdded,
    DestinationChanged,
    PasswordChanged,
}

impl Letter {
    pub const fn as_str(self) -> &'static str {
        match self {
            Letter::FactorsReset => "factors_reset",
            Letter::FactorReplaced => "factor_replaced",
            Letter::FactorRemoved => "factor_removed",
            Letter::FactorAdded => "factor_added",
            Letter::DestinationChanged => "destination_changed",
            Letter::PasswordChanged => "password_changed",
        }
    }

    pub const fn subject(self) -> &'static str {
        match self {
            Letter::FactorsReset => "Your multi-factor authentication was reset",
            Letter::FactorReplaced => "Your authenticator app was replaced",
            Letter::FactorRemoved => "A second factor was removed",
            Letter::FactorAdded => "A second factor was added",
            Letter::DestinationChanged => "Your one-time codes go elsewhere now",
            Letter::PasswordChanged => "Your password was changed",
        }
    }

    /// Without the manager's reason and without a link: a mail is read by whoever gets hold of it,
    /// and people should not learn to follow links in such mails.
    pub const fn text(self) -> &'static str {
        match self {
            Letter::FactorsReset => {
                "A user manager of your company reset your multi-factor authentication. You are \
                 signed out everywhere, and you will set it up anew when you log in next.\n\n\
                 If you did not ask for this, tell your user manager now.\n"
            }
            Letter::FactorReplaced => {
                "A new authenticator app now stands in the place of your old one.\n\n\
                 If this was not you, tell your user manager now.\n"
            }
            Letter::FactorRemoved => {
                "One of your second factors was removed in My Profile.\n\n\
                 If this was not you, tell your user manager now.\n"
            }
            Letter::FactorAdded => {
                "A second factor was added in My Profile: you can log in with it from now on.\n\n\
                 If this was not you, tell your user manager now.\n"
            }
            Letter::DestinationChanged => {
                "One-time codes for you go to another number or address from now on. It was changed \
                 in My Profile.\n\nIf this was not you, tell your user manager now.\n"
            }
            Letter::PasswordChanged => {
                "One of your passwords was changed. Whoever was signed in with the old one is signed \
                 out.\n\nIf this was not you, tell your user manager now.\n"
            }
        }
    }
}

/// Tells the person by mail, in the background: what was done stays done when that fails. Who
/// can't be told is on record.
pub fn tell(state: &State, visit: &Visit, whom: &Person, letter: Letter) {
    match Address::parse(&whom.email) {
        Some(address) if state.messages.can(Channel::Email) => {
            let text = letter.text().to_owned();
            state.messages.mail_soon(&address, letter.subject(), text);
        }
        Some(_) | None => {
            state
                .observer
                .audit(Audit::about(whom, visit, "mail_unsent", letter.as_str()))
        }
    }
}
