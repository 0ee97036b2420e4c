//! Sessions that this node has asked for, before the store.
//!
//! A miss puts a placeholder in the map before it asks; the reply is published only if the same
//! placeholder is still there, and an announcement takes away whatever it finds. So no reply can
//! overtake its invalidation: a client-side cache that inserts replies afterwards serves revoked
//! sessions for minutes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use dashmap::mapref::entry::Entry;
use papaya::{Compute, Operation};
use tokio::sync::OnceCell;

use crate::gate::name::{ProductId, SessionId};
use crate::gate::product::Product;
use crate::gate::session::{LastSeen, Presence, SecretHash, Seen, Session};
use crate::gate::time::Moment;

use super::activity::{Activity, Mark};
use super::folded::{Fold, Folded, Place as Shelf};
use super::leash::Leash;

/// What holds the open requests made with one product cookie. It stays the same when the record
/// changes elsewhere, so that entering another product cuts nobody.
#[derive(Debug, Default)]
pub struct Place {
    leash: ArcSwap<Leash>,
    told_idle: AtomicBool,
}

impl Place {
    pub fn leash(&self) -> Arc<Leash> {
        self.leash.load_full()
    }

    /// Ends what is open; nothing can be made with this place any more.
    pub fn close(&self) {
        self.leash.load().pull();
    }

    /// Ends what is open; a later look-up may find the session awake again.
    pub fn cut(&self) {
        self.leash.swap(Arc::default()).pull();
    }

    pub fn is_live(&self) -> bool {
        Arc::strong_count(&self.leash.load_full()) > 2
    }

    /// True for the first who says that this product fell idle.
    pub fn tell_idle(&self) -> bool {
        !self.told_idle.swap(true, Ordering::AcqRel)
    }
}

/// A session's presence in one product, with what is ready to be sent to its backend.
#[derive(Debug)]
pub struct CachedEntry {
    pub product: ProductId,
    pub token: SecretHash,
    pub entered_at: Moment,
    pub place: Arc<Place>,
    pub mark: Arc<Mark>,
    pub signed: ArcSwapOption<Signed>,
    /// Since the assertion was signed: nobody signs for those who are not there.
    pub used: AtomicBool,
}

#[derive(Debug)]
pub struct Signed {
    pub product: Arc<Product>,
    pub presence: Arc<Presence>,
}

/// One version of a session's record, and what this node keeps beside it.
#[derive(Debug)]
pub struct Record {
    pub session: Arc<Session>,
    pub activity: Arc<Activity>,
    pub entries: Box<[CachedEntry]>,
    /// Activity that the record itself is proof of.
    pub awake_at: Moment,
}

/// Whether the same company is worked for in this product as before.
fn stayed(before: Option<&Arc<Record>>, session: &Session, product: &ProductId) -> bool {
    before.is_some_and(|before| before.session.company_in(product) == session.company_in(product))
}

impl Record {
    /// Takes over from the record before what still holds, and ends what does not.
    fn read(session: Session, last_seen: &LastSeen, before: Option<&Arc<Record>>) -> Arc<Record> {
        let activity = before.map_or_else(
            || Arc::new(Activity::new(session.id)),
            |before| Arc::clone(&before.activity),
        );
        activity.adopt(last_seen);
        if let Some(before) = before {
            // The whole record: after a fail-over that lost a write, the number of it is another one's.
            if *before.session == session {
                return Arc::clone(before);
            }
            before.close_renewed(&session);
        }
        let entries = session
            .entries
            .iter()
            .map(|(product, entry)| CachedEntry {
                product: product.clone(),
                token: entry.token,
                entered_at: entry.entered_at,
                place: before
                    .and_then(|before| before.entry(product))
                    .filter(|place| place.token == entry.token && stayed(before, &session, product))
                    .map_or_else(Arc::default, |before| Arc::clone(&before.place)),
                mark: activity.place(product),
                signed: ArcSwapOption::empty(),
                used: AtomicBool::new(false),
            })
            .collect();
        let awake_at = session
            .entries
            .values()
            .map(|entry| entry.entered_at)
            .fold(session.started_at.max(session.password_at), Moment::max);
        Arc::new(Record {
            session: Arc::new(session),
            activity,
            entries,
            awake_at,
        })
    }

    fn close_renewed(&self, session: &Session) {
        for entry in &self.entries {
            let same = session
                .entries
                .get(&entry.product)
                .is_some_and(|now| now.token == entry.token)
                // What is open was opened for the company before.
                && session.company_in(&entry.product) == self.session.company_in(&entry.product);
            if !same {
                entry.place.close();
            }
        }
    }

    pub fn entry(&self, product: &ProductId) -> Option<&CachedEntry> {
        self.entries.iter().find(|entry| entry.product == *product)
    }

    /// `entry`: `None` on the portal, where 'here' is anywhere.
    pub fn seen(&self, entry: Option<&CachedEntry>) -> Seen {
        let anywhere = self.awake_at.max(self.activity.anywhere());
        let here = entry.map_or(anywhere, |entry| entry.entered_at.max(entry.mark.seen()));
        Seen { anywhere, here }
    }

    pub fn is_live(&self) -> bool {
        // Pairs with the fence in `Cached::leash`.
        fence(Ordering::SeqCst);
        self.entries.iter().any(|entry| entry.place.is_live())
    }

    pub fn close(&self) {
        for entry in &self.entries {
            entry.place.close();
        }
    }

    pub fn cut(&self) {
        for entry in &self.entries {
            entry.place.cut();
        }
    }
}

/// A record as the store confirmed it.
#[derive(Debug)]
pub struct Cached {
    pub record: Arc<Record>,
    pub checked_at: Moment,
    pub epoch: u64,
    /// Announced as changed: kept for its leashes and marks, never to be answered from.
    changed: AtomicBool,
}

impl Cached {
    fn unfold(fold: Fold) -> Cached {
        let last_seen = fold.last_seen();
        let record = Record::read(fold.session, &last_seen, None);
        for product in &fold.told_idle {
            if let Some(entry) = record.entry(product) {
                entry.place.tell_idle();
            }
        }
        Cached {
            record,
            checked_at: fold.checked_at,
            epoch: fold.epoch,
            changed: AtomicBool::new(false),
        }
    }

    fn fold(&self) -> Fold {
        let session = Session::clone(&self.record.session);
        let last_seen = self.record.activity.last_seen();
        let entries = self.record.entries.iter();
        let told = entries.filter(|entry| entry.place.told_idle.load(Ordering::Acquire));
        let mut fold = Fold::new(self.checked_at, self.epoch, session, last_seen);
        fold.told_idle = told.map(|entry| entry.product.clone()).collect();
        fold
    }

    pub fn is_changed(&self) -> bool {
        self.changed.load(Ordering::Acquire)
    }

    /// The last that is known to have happened with it here.
    pub fn used_at(&self) -> Moment {
        self.checked_at.max(self.record.activity.anywhere())
    }

    /// The leash for one request more. `None` when the record was announced as changed or let go
    /// of meanwhile: either this sees the mark, or who set the mark sees the leash held, so that
    /// no request is on a leash that nobody can find.
    pub fn leash(&self, entry: &CachedEntry) -> Option<Arc<Leash>> {
        let leash = entry.place.leash();
        fence(Ordering::SeqCst);
        (!self.is_changed()).then_some(leash)
    }
}

/// One question to the store, however many wait for its answer.
#[derive(Debug)]
pub struct Flight {
    epoch: u64,
    before: Option<Arc<Cached>>,
    pub outcome: OnceCell<Outcome>,
}

#[derive(Debug, Clone)]
pub enum Outcome {
    Found(Arc<Cached>),
    Gone,
    Away,
}

impl Flight {
    /// The store's answer; `asked_at` is when the question was sent.
    pub fn landed(&self, session: Session, last_seen: &LastSeen, asked_at: Moment) -> Outcome {
        let before = self.before.as_ref().map(|before| &before.record);
        Outcome::Found(Arc::new(Cached {
            record: Record::read(session, last_seen, before),
            checked_at: asked_at,
            epoch: self.epoch,
            changed: AtomicBool::new(false),
        }))
    }
}

#[derive(Debug, Clone)]
enum Slot {
    Loading(Arc<Flight>),
    Ready(Arc<Cached>),
}

impl Slot {
    fn cached(&self) -> Option<&Arc<Cached>> {
        match self {
            Slot::Loading(flight) => flight.before.as_ref(),
            Slot::Ready(cached) => Some(cached),
        }
    }
}

#[derive(Debug)]
pub struct Cache {
    slots: papaya::HashMap<SessionId, Slot, foldhash::fast::RandomState>,
    /// A session is either among these or in `slots`.
    folded: Folded,
    /// Rises whenever announcements may have been missed: what was confirmed before counts no more.
    epoch: AtomicU64,
    listening: AtomicBool,
}

impl Cache {
    pub fn new() -> Cache {
        Cache {
            slots: papaya::HashMap::with_hasher(foldhash::fast::RandomState::default()),
            folded: Folded::new(),
            epoch: AtomicU64::new(0),
            listening: AtomicBool::new(true),
        }
    }

    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    pub fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Acquire)
    }

    pub fn lost(&self) {
        self.listening.store(false, Ordering::Release);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    pub fn connected(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.listening.store(true, Ordering::Release);
    }

    pub fn len(&self) -> usize {
        self.slots.len() + self.folded.len()
    }

    /// Whether a cached record may be answered from at `now`.
    pub fn is_fresh(&self, cached: &Cached, now: Moment, bound: Duration) -> bool {
        !cached.is_changed()
            && self.is_listening()
            && cached.epoch == self.epoch()
            && now.is_within(bound, cached.checked_at)
    }

    pub fn fresh(&self, id: SessionId, now: Moment, bound: Duration) -> Option<Arc<Cached>> {
        // While somebody asks with another secret, say, what was good before is so still: else who
        // knows an id alone could have its owner wait for the store.
        self.slot(id, |slot| {
            let cached = slot.cached()?;
            let fresh = self.is_fresh(cached, now, bound);
            fresh.then(|| Arc::clone(cached))
        })
    }

    /// What is known here, trusted or not.
    pub fn known(&self, id: SessionId) -> Option<Arc<Cached>> {
        self.slot(id, |slot| slot.cached().map(Arc::clone))
    }

    fn slot<T>(&self, id: SessionId, read: impl Fn(&Slot) -> Option<T>) -> Option<T> {
        let slots = self.slots.pin();
        if let Some(slot) = slots.get(&id) {
            return read(slot);
        }
        self.unfold(id);
        slots.get(&id).and_then(read)
    }

    /// Brings a session back among those that are in use.
    fn unfold(&self, id: SessionId) {
        let slots = self.slots.pin();
        if slots.contains_key(&id) {
            return;
        }
        let Entry::Occupied(place) = self.folded.place(id) else {
            return;
        };
        if let Some(fold) = Fold::read(place.get()) {
            let cached = Arc::new(Cached::unfold(fold));
            slots.compute(id, |slot| match slot {
                Some(_) => Operation::Abort(()),
                None => Operation::Insert(Slot::Ready(Arc::clone(&cached))),
            });
        }
        place.remove();
    }

    /// Joins the question that is under way, or puts a placeholder for a new one.
    pub fn flight(&self, id: SessionId) -> Arc<Flight> {
        self.unfold(id);
        let slots = self.slots.pin();
        let placed = slots.compute(id, |slot| {
            let before = match slot {
                Some((_, Slot::Loading(flight))) => return Operation::Abort(Arc::clone(flight)),
                Some((_, Slot::Ready(cached))) => Some(Arc::clone(cached)),
                None => None,
            };
            let flight = Flight {
                epoch: self.epoch(),
                before,
                outcome: OnceCell::new(),
            };
            Operation::Insert(Slot::Loading(Arc::new(flight)))
        });
        let slot = match placed {
            Compute::Aborted(flight) => return flight,
            Compute::Inserted(_, slot) | Compute::Updated { new: (_, slot), .. } => slot,
            Compute::Removed(_, slot) => slot,
        };
        match slot {
            Slot::Loading(flight) => Arc::clone(flight),
            // Not reached: this call inserts placeholders only. A flight of its own is never
            // published, which is safe.
            Slot::Ready(cached) => Arc::new(Flight {
                epoch: cached.epoch,
                before: Some(Arc::clone(cached)),
                outcome: OnceCell::new(),
            }),
        }
    }

    /// Publishes what a flight brought, if its placeholder is still there, and returns what may be
    /// answered from: that, or what others who asked after it have put in its place. An announcement
    /// marks what it finds, so a record that stands there without the mark is at least as new.
    pub fn publish(
        &self,
        id: SessionId,
        flight: &Arc<Flight>,
        cached: &Arc<Cached>,
    ) -> Option<Arc<Cached>> {
        let slots = self.slots.pin();
        let done = slots.compute(id, |slot| match slot {
            Some((_, Slot::Loading(there))) if Arc::ptr_eq(there, flight) => {
                Operation::Insert(Slot::Ready(Arc::clone(cached)))
            }
            Some((_, slot)) => Operation::Abort(slot.cached().map(Arc::clone)),
            None => Operation::Abort(None),
        });
        match done {
            Compute::Aborted(there) => there.filter(|there| !there.is_changed()),
            Compute::Inserted(..) | Compute::Updated { .. } | Compute::Removed(..) => {
                Some(Arc::clone(cached))
            }
        }
    }

    /// Takes back the placeholder of a flight that brought nothing.
    pub fn abandon(&self, id: SessionId, flight: &Arc<Flight>) {
        let slots = self.slots.pin();
        slots.compute(id, |slot| match slot {
            Some((_, Slot::Loading(there))) if Arc::ptr_eq(there, flight) => restore(flight),
            _ => Operation::Abort(()),
        });
    }

    /// The record changed or ended: what is here is not answered from any more, and what is on its
    /// way is not published. Returns what was known.
    pub fn changed(&self, id: SessionId) -> Option<Arc<Cached>> {
        let place = self.folded.place(id);
        let slots = self.slots.pin();
        slots.compute(id, |slot| match slot {
            Some((_, Slot::Loading(flight))) => {
                if let Some(before) = &flight.before {
                    before.changed.store(true, Ordering::Release);
                }
                restore(flight)
            }
            Some((_, Slot::Ready(cached))) => {
                // In place of removing it: its leashes must stay findable. Whoever puts a
                // placeholder from here on asks after the change.
                cached.changed.store(true, Ordering::Release);
                Operation::Abort(())
            }
            None => Operation::Abort(()),
        });
        clear(place);
        slots.get(&id)?.cached().map(Arc::clone)
    }

    /// The session is over: its open requests end now.
    pub fn forget(&self, id: SessionId) {
        let place = self.folded.place(id);
        if let Some(slot) = self.slots.pin().remove(&id)
            && let Some(cached) = slot.cached()
        {
            cached.changed.store(true, Ordering::Release);
            cached.record.close();
        }
        clear(place);
    }

    /// Everything that is in use, trusted or not.
    pub fn in_use(&self) -> Vec<SessionId> {
        self.slots.pin().keys().copied().collect()
    }

    /// What is known of a session that is in use; one that rests goes on resting.
    pub fn get_in_use(&self, id: SessionId) -> Option<Arc<Cached>> {
        self.slots.pin().get(&id)?.cached().map(Arc::clone)
    }

    /// Lets go of a record that nobody uses. One with open requests or unwritten activity stays: it
    /// must stay findable.
    pub fn evict(&self, id: SessionId, cached: &Arc<Cached>) {
        self.let_go(id, cached);
    }

    /// The same for a record that may be asked for again: it goes on in less memory.
    pub fn fold(&self, id: SessionId, cached: &Arc<Cached>) {
        let place = self.folded.place(id);
        let announced = cached.is_changed();
        if self.let_go(id, cached)
            && !announced
            && let Some(written) = cached.fold().write()
        {
            place.insert(written);
        }
    }

    fn let_go(&self, id: SessionId, cached: &Arc<Cached>) -> bool {
        let kept = || cached.record.is_live() || cached.record.activity.is_listed();
        if kept() {
            return false;
        }
        // Marked, then looked at again: see `Cached::leash`.
        cached.changed.store(true, Ordering::Release);
        if kept() {
            return false;
        }
        let slots = self.slots.pin();
        let done = slots.compute(id, |slot| match slot {
            Some((_, Slot::Ready(there))) if Arc::ptr_eq(there, cached) => Operation::Remove,
            _ => Operation::Abort(()),
        });
        matches!(done, Compute::Removed(..))
    }

    /// Drops what has been folded since before `since`.
    pub fn tidy(&self, since: Moment) {
        self.folded.tidy(since);
    }
}

fn clear(place: Shelf<'_>) {
    if let Entry::Occupied(place) = place {
        place.remove();
    }
}

fn restore(flight: &Flight) -> Operation<Slot, ()> {
    match &flight.before {
        Some(before) => Operation::Insert(Slot::Ready(Arc::clone(before))),
        None => Operation::Remove,
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::gate::name::{CompanyId, Login, PersonId};
    use crate::gate::session::{Entries, Entry, Profile, Secret};

    const ID: SessionId = SessionId::from_bytes([1; 16]);
    const BOUND: Duration = Duration::from_secs(30);

    fn session(version: u64, generations: &[(&str, u8)]) -> Session {
        let entries: Entries = generations
            .iter()
            .map(|(product, token)| {
                let entry = Entry {
                    token: Secret::from_bytes([*token; 32]).hash(),
                    login: Login::parse("kim").unwrap(),
                    entered_at: Moment::from_secs(0),
                    generation: 0,
                    tenancy: None,
                };
                (ProductId::parse(product).unwrap(), entry)
            })
            .collect();
        Session {
            id: ID,
            version,
            person: Profile {
                id: PersonId::parse("kim").unwrap(),
                name: String::from("Kim"),
                email: String::new(),
                roles: vec![],
                grants: vec![],
            },
            company: CompanyId::parse("acme").unwrap(),
            companies: vec![],
            started_at: Moment::from_secs(0),
            password_at: Moment::from_secs(0),
            factor_at: None,
            methods: vec![],
            portal: Secret::from_bytes([8; 32]).hash(),
            seed: Secret::from_bytes([9; 32]).hash(),
            entries,
            address: String::new(),
            user_agent: String::new(),
        }
    }

    fn land(cache: &Cache, session: Session) -> (Arc<Flight>, Arc<Cached>) {
        let flight = cache.flight(ID);
        let Outcome::Found(cached) =
            flight.landed(session, &LastSeen::default(), Moment::from_secs(0))
        else {
            unreachable!("a record lands as found");
        };
        (flight, cached)
    }

    fn place<'c>(cached: &'c Cached, product: &str) -> &'c Place {
        &cached
            .record
            .entry(&ProductId::parse(product).unwrap())
            .unwrap()
            .place
    }

    #[test]
    fn a_reply_that_was_overtaken_by_its_invalidation_is_not_published() {
        let cache = Cache::new();
        let (flight, cached) = land(&cache, session(1, &[]));
        cache.changed(ID);
        assert!(cache.publish(ID, &flight, &cached).is_none());
        assert!(cache.fresh(ID, Moment::from_secs(0), BOUND).is_none());

        let (flight, cached) = land(&cache, session(1, &[]));
        assert!(cache.publish(ID, &flight, &cached).is_some());
        assert!(cache.fresh(ID, Moment::from_secs(30), BOUND).is_some());
        assert!(
            cache.fresh(ID, Moment::from_secs(31), BOUND).is_none(),
            "past the bound"
        );
    }

    #[test]
    fn a_record_with_the_number_of_one_that_was_lost_is_another() {
        let cache = Cache::new();
        let (flight, cached) = land(&cache, session(5, &[]));
        assert!(cache.publish(ID, &flight, &cached).is_some());
        cache.changed(ID);
        // What was written last was lost in a fail-over, and the next write has its number again.
        let mut other = session(5, &[]);
        other.person.roles = vec![String::from("biller")];
        let (_, cached) = land(&cache, other);
        assert_eq!(cached.record.session.person.roles, ["biller"]);
    }

    #[test]
    fn who_asks_with_another_secret_does_not_hold_the_owner_up() {
        let cache = Cache::new();
        let (flight, cached) = land(&cache, session(1, &[]));
        assert!(cache.publish(ID, &flight, &cached).is_some());
        let _under_way = cache.flight(ID);
        let fresh = || cache.fresh(ID, Moment::from_secs(30), BOUND);
        assert!(fresh().is_some_and(|got| Arc::ptr_eq(&got, &cached)));
        cache.changed(ID);
        assert!(fresh().is_none());
    }

    #[test]
    fn who_is_slow_to_fetch_an_answer_is_not_overtaken_by_those_who_ask_again() {
        let cache = Cache::new();
        let (flight, cached) = land(&cache, session(1, &[]));
        assert!(cache.publish(ID, &flight, &cached).is_some());
        // Somebody comes with another secret, and so the store is asked again.
        let (again, newer) = land(&cache, session(1, &[]));
        let got = cache.publish(ID, &flight, &cached);
        assert!(got.is_some_and(|got| Arc::ptr_eq(&got, &cached)));
        assert!(cache.publish(ID, &again, &newer).is_some());
        let got = cache.publish(ID, &flight, &cached);
        assert!(got.is_some_and(|got| Arc::ptr_eq(&got, &newer)));
        // Not past an announcement, however often it is asked for.
        cache.changed(ID);
        assert!(cache.publish(ID, &flight, &cached).is_none());
        let (_under_way, _) = land(&cache, session(2, &[]));
        assert!(cache.publish(ID, &flight, &cached).is_none());
        cache.forget(ID);
        assert!(cache.publish(ID, &flight, &cached).is_none());
    }

    #[test]
    fn nothing_confirmed_before_a_lost_connection_counts_after_it() {
        let cache = Cache::new();
        let (flight, cached) = land(&cache, session(1, &[]));
        cache.lost();
        cache.connected();
        assert!(cache.publish(ID, &flight, &cached).is_some());
        assert!(cache.fresh(ID, Moment::from_secs(0), BOUND).is_none());
    }

    #[test]
    fn a_change_elsewhere_keeps_the_leashes_of_what_stays_the_same() {
        let cache = Cache::new();
        let (flight, first) = land(&cache, session(1, &[("emr", 1), ("billing", 2)]));
        assert!(cache.publish(ID, &flight, &first).is_some());
        let (emr, billing) = (
            place(&first, "emr").leash(),
            place(&first, "billing").leash(),
        );
        cache.changed(ID);
        let (flight, second) = land(
            &cache,
            session(2, &[("analytics", 4), ("emr", 1), ("billing", 3)]),
        );
        assert!(cache.publish(ID, &flight, &second).is_some());
        assert!(!emr.is_pulled());
        assert!(billing.is_pulled(), "its cookie was renewed");
        assert!(Arc::ptr_eq(&emr, &place(&second, "emr").leash()));
        cache.forget(ID);
        assert!(emr.is_pulled());
    }

    #[test]
    fn what_has_open_requests_is_not_let_go_of() {
        let cache = Cache::new();
        let (flight, cached) = land(&cache, session(1, &[("emr", 1)]));
        assert!(cache.publish(ID, &flight, &cached).is_some());
        let emr = cached
            .record
            .entry(&ProductId::parse("emr").unwrap())
            .unwrap();
        let leash = cached.leash(emr).unwrap();
        cache.evict(ID, &cached);
        assert_eq!(cache.len(), 1);
        drop(leash);
        cache.evict(ID, &cached);
        assert_eq!(cache.len(), 0);
        assert!(cached.leash(emr).is_none(), "nobody would find it any more");
    }

    /// Published at second 0 and seen in the EMR at second 5.
    fn used(cache: &Cache) -> Arc<Cached> {
        let (flight, cached) = land(cache, session(1, &[("emr", 1)]));
        assert!(cache.publish(ID, &flight, &cached).is_some());
        let emr = cached.record.entry(&ProductId::parse("emr").unwrap());
        let mark = &emr.unwrap().mark;
        cached.record.activity.see(mark, Moment::from_secs(5));
        cached
    }

    #[test]
    fn what_is_folded_comes_back_as_it_was() {
        let cache = Cache::new();
        let before = used(&cache);
        assert!(place(&before, "emr").tell_idle());
        cache.fold(ID, &before);
        assert_eq!((cache.in_use().len(), cache.len()), (0, 1));
        let emr = ProductId::parse("emr").unwrap();
        assert!(
            before.leash(before.record.entry(&emr).unwrap()).is_none(),
            "nobody would find it any more"
        );

        let back = cache.known(ID).unwrap();
        assert_eq!(back.record.session, before.record.session);
        assert_eq!(
            (back.checked_at, back.epoch),
            (before.checked_at, before.epoch)
        );
        assert!(cache.fresh(ID, Moment::from_secs(0), BOUND).is_some());
        assert!(cache.fresh(ID, Moment::from_secs(31), BOUND).is_none());
        let here = back.record.seen(back.record.entry(&emr)).here;
        assert_eq!(here, Moment::from_secs(5));
        assert!(!place(&back, "emr").tell_idle(), "it was said before");
        assert!(Arc::ptr_eq(&back, &cache.known(ID).unwrap()));
        assert_eq!((cache.in_use().len(), cache.len()), (1, 1));
    }

    #[test]
    fn a_change_is_heard_by_what_is_folded() {
        let cache = Cache::new();
        let cached = used(&cache);
        cache.fold(ID, &cached);
        cache.changed(ID);
        assert!(cache.known(ID).is_none());

        let cached = used(&cache);
        cache.fold(ID, &cached);
        cache.forget(ID);
        assert!(cache.known(ID).is_none());

        let cached = used(&cache);
        cache.changed(ID);
        cache.fold(ID, &cached);
        assert!(cache.known(ID).is_none(), "it was announced before");
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn what_is_in_use_is_not_folded() {
        let cache = Cache::new();
        let cached = used(&cache);
        let leash = place(&cached, "emr").leash();
        cache.fold(ID, &cached);
        assert_eq!(cache.in_use().len(), 1);
        drop(leash);
        cache.fold(ID, &cached);
        assert_eq!(cache.in_use().len(), 0);
    }

    #[test]
    fn the_folded_are_forgotten_in_the_end() {
        let cache = Cache::new();
        let cached = used(&cache);
        cache.fold(ID, &cached);
        cache.tidy(Moment::from_secs(0));
        assert_eq!(cache.len(), 1);
        cache.tidy(Moment::from_millis(1));
        assert_eq!(cache.len(), 0);
        assert!(cache.known(ID).is_none());
    }
}
