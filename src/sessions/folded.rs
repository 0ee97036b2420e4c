//! Sessions in which nobody did anything for a while, in a few hundred bytes each.
//!
//! Being folded changes nothing about what a session is worth: how long the store's word is trusted
//! for it, that announcements reach it, and the operator's grace are the same. The next request
//! unfolds it, and has its assertion signed anew.

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use serde::{Deserialize, Serialize};

use crate::gate::name::{ProductId, SessionId};
use crate::gate::session::{LastSeen, Session};
use crate::gate::time::Moment;

/// So many locks that the upkeep, which looks at everything, holds up few at a time.
const SHARDS: usize = 64;

/// What is left of a cached session.
#[derive(Debug, Serialize, Deserialize)]
pub struct Fold {
    /// When the store confirmed it. First, so that it can be read without the rest.
    pub checked_at: Moment,
    pub epoch: u64,
    pub session: Session,
    anywhere: Option<Moment>,
    products: Vec<(ProductId, Moment)>,
    /// Products of which it was said that they fell idle: it is said once.
    pub told_idle: Vec<ProductId>,
}

impl Fold {
    pub fn new(checked_at: Moment, epoch: u64, session: Session, seen: LastSeen) -> Fold {
        Fold {
            checked_at,
            epoch,
            session,
            anywhere: seen.anywhere,
            products: seen.products.into_iter().collect(),
            told_idle: Vec::new(),
        }
    }

    pub fn last_seen(&self) -> LastSeen {
        LastSeen {
            anywhere: self.anywhere,
            products: self.products.iter().cloned().collect(),
        }
    }

    pub fn write(&self) -> Option<Box<[u8]>> {
        let written = postcard::to_allocvec(self).ok()?;
        Some(written.into_boxed_slice())
    }

    pub fn read(written: &[u8]) -> Option<Fold> {
        postcard::from_bytes(written).ok()
    }
}

fn confirmed_at(written: &[u8]) -> Option<Moment> {
    let (at, _) = postcard::take_from_bytes(written).ok()?;
    Some(at)
}

/// The place of one session, occupied or not, and the lock on it.
pub type Place<'a> = Entry<'a, SessionId, Box<[u8]>, foldhash::fast::RandomState>;

#[derive(Debug)]
pub struct Folded(DashMap<SessionId, Box<[u8]>, foldhash::fast::RandomState>);

impl Folded {
    pub fn new() -> Folded {
        let hasher = foldhash::fast::RandomState::default();
        Folded(DashMap::with_hasher_and_shard_amount(hasher, SHARDS))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Who moves a session here or away, or hears that it changed, holds its place all the while:
    /// what is announced finds the session here or among those in use, never on its way.
    pub fn place(&self, id: SessionId) -> Place<'_> {
        self.0.entry(id)
    }

    /// Drops what was confirmed before `since`.
    pub fn tidy(&self, since: Moment) {
        self.0
            .retain(|_, written| confirmed_at(written).is_some_and(|at| at >= since));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::samples;

    #[test]
    fn a_fold_is_read_as_it_was_written_and_says_first_when_it_was_confirmed() {
        let session = samples::session();
        let seen = LastSeen {
            anywhere: Some(Moment::from_secs(9)),
            products: session
                .entries
                .keys()
                .map(|product| (product.clone(), Moment::from_secs(8)))
                .collect(),
        };
        let fold = Fold::new(Moment::from_secs(7), 3, session.clone(), seen.clone());
        let written = fold.write().unwrap();
        assert_eq!(confirmed_at(&written), Some(Moment::from_secs(7)));
        let read = Fold::read(&written).unwrap();
        assert_eq!((read.checked_at, read.epoch), (Moment::from_secs(7), 3));
        assert_eq!(read.last_seen(), seen);
        assert_eq!(read.session, session);
    }

    #[test]
    fn a_session_in_one_product_takes_less_than_600_bytes() {
        const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 \
                              (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
        let product = samples::product_id("billing");
        let mut session = samples::session();
        session.user_agent = String::from(CHROME);
        session.entries.insert(product.clone(), samples::entry());
        let seen = LastSeen {
            anywhere: Some(samples::noon()),
            products: [(product, samples::noon())].into(),
        };
        let fold = Fold::new(samples::noon(), 1, session, seen);
        let written = fold.write().unwrap().len();
        // A slot of the table, which is half full at worst, and what it points to, rounded up as
        // the allocator does.
        let slot = size_of::<(SessionId, Box<[u8]>)>() + 1;
        let takes = 2 * slot + written.next_multiple_of(64);
        assert!(takes < 600, "{written} bytes in {takes}");
    }
}
