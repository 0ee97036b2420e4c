//! Sessions in which nobody did anything for a while, in a few hundred bytes each.
//!
//! Being folded changes nothing about what a session is worth: how long the store's word is trusted
//! for it, that announcements reach it, and the operator's grace are the same. The next request
//! unfolds it, and has its assertion signed anew.

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};
use serde::{Deserialize, Serialize};

use crate::gate::name::{ProductId, SessionId};
use crate::gate::session::{LastSeen, Session};
use crate::gate::time::Moment;

/// So many locks that the upkeep, which looks at everything, holds up few at a time.
const SHARDS: usize = 64;

/// What browsers say of themselves, a quarter of a session: what of it stands here needs no place.
const BROWSERS: &[u8] = b"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 \
    (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1 Mozilla/5.0 (X11; Linux x86_64; \
    rv:140.0) Gecko/20100101 Firefox/140.0 Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Mozilla/5.0 \
    (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 \
    Safari/537.36 Edg/140.0.0.0";

/// What is left of a cached session.
#[derive(Debug, Serialize, Deserialize)]
pub struct Fold {
    /// When the store confirmed it. Written before the rest, and read without it.
    #[serde(skip, default = "Fold::unread")]
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

    const fn unread() -> Moment {
        Moment::EPOCH
    }

    pub fn last_seen(&self) -> LastSeen {
        LastSeen {
            anywhere: self.anywhere,
            products: self.products.iter().cloned().collect(),
        }
    }

    pub fn write(&self) -> Option<Box<[u8]>> {
        let mut written = postcard::to_allocvec(&self.checked_at).ok()?;
        let rest = postcard::to_allocvec(self).ok()?;
        written.extend(compress_prepend_size_with_dict(&rest, BROWSERS));
        // A copy that is no longer than it must be: a vector that is cut stays where it is.
        Some(Box::from(written.as_slice()))
    }

    pub fn read(written: &[u8]) -> Option<Fold> {
        let (checked_at, rest) = postcard::take_from_bytes(written).ok()?;
        let rest = decompress_size_prepended_with_dict(rest, BROWSERS).ok()?;
        let fold: Fold = postcard::from_bytes(&rest).ok()?;
        Some(Fold { checked_at, ..fold })
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
