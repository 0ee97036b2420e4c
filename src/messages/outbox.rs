//! Messages that are kept instead of sent, for the demo and for tests.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::{Message, SendError};
use crate::gate::contact::Destination;

/// The oldest make room for new ones.
const MOST: usize = 200;

#[derive(Default)]
pub struct Outbox {
    kept: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    messages: VecDeque<Kept>,
    count: u64,
}

/// One message, whole: whoever reads it can sign in with what it says.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept {
    /// Counted from 1.
    pub number: u64,
    /// `sms` or `email`.
    pub channel: &'static str,
    pub to: String,
    pub subject: String,
    pub text: String,
}

impl Outbox {
    /// The newest first.
    pub fn all(&self) -> Vec<Kept> {
        let shelf = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.messages.iter().rev().cloned().collect()
    }

    pub(super) fn keep(&self, message: &Message<'_>) -> Result<(), SendError> {
        let mut shelf = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.count += 1;
        let kept = Kept {
            number: shelf.count,
            channel: match message.to {
                Destination::Sms(_) => "sms",
                Destination::Email(_) => "email",
            },
            to: message.to.expose().to_owned(),
            subject: message.subject.to_owned(),
            text: message.text.to_owned(),
        };
        if shelf.messages.len() == MOST {
            shelf.messages.pop_front();
        }
        shelf.messages.push_back(kept);
        Ok(())
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outbox(…)")
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept(number {}, {})", self.number, self.channel)
    }
}
