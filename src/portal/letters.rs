//! Mails to people about what happened to their access.

use super::language::words;
use super::visit::Visit;
use super::{Audit, State};
use crate::directory::Person;
use crate::gate::contact::Address;
use crate::gate::trail::TrailEvent;
use crate::messages::Channel;
use crate::pages::Words;

/// What somebody is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letter {
    FactorsReset,
    FactorReplaced,
    FactorRemoved,
    FactorAdded,
    DestinationChanged,
    PasswordChanged,
    CodesGuessed,
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
            Letter::CodesGuessed => "codes_guessed",
        }
    }

    pub fn subject(self, words: Words) -> &'static str {
        match self {
            Letter::FactorsReset => words.factors_reset_subject(),
            Letter::FactorReplaced => words.factor_replaced_subject(),
            Letter::FactorRemoved => words.factor_removed_subject(),
            Letter::FactorAdded => words.factor_added_subject(),
            Letter::DestinationChanged => words.codes_moved_subject(),
            Letter::PasswordChanged => words.password_changed_subject(),
            Letter::CodesGuessed => words.codes_guessed_subject(),
        }
    }

    /// Without the manager's reason and without a link: a mail is read by whoever gets hold of it,
    /// and people should not learn to follow links in such mails.
    pub fn text(self, words: Words) -> &'static str {
        match self {
            Letter::FactorsReset => words.factors_reset_mail(),
            Letter::FactorReplaced => words.factor_replaced_mail(),
            Letter::FactorRemoved => words.factor_removed_mail(),
            Letter::FactorAdded => words.factor_added_mail(),
            Letter::DestinationChanged => words.codes_moved_mail(),
            Letter::PasswordChanged => words.password_changed_mail(),
            Letter::CodesGuessed => words.codes_guessed_mail(),
        }
    }
}

/// Tells the person by mail, in the background: what was done stays done when that fails. Who
/// can't be told is on record. In the words of the request, which is their own.
pub fn tell(state: &State, visit: &Visit, whom: &Person, letter: Letter) {
    tell_in(words(), (state, visit), whom, letter);
}

/// The same in these words, where somebody else did it.
pub fn tell_in(words: Words, (state, visit): (&State, &Visit), whom: &Person, letter: Letter) {
    match Address::parse(&whom.email) {
        Some(address) if state.messages.can(Channel::Email) => {
            let (subject, text) = (letter.subject(words), letter.text(words));
            state.messages.mail_soon(&address, subject, text.to_owned());
        }
        Some(_) | None => {
            let event = TrailEvent::MailUnsent;
            let line = Audit::about(whom, visit, event, letter.as_str());
            state.observer.audit(line);
        }
    }
}
