//! When people were last seen, as this node knows it, written behind.
//!
//! # Why a session never ends early, and how late what is open can end
//!
//! Let `T` be the person's last activity, on any node, and `L` a limit. Each node keeps a mark
//! `m` and the store a moment `s`; marks only move forward and are only ever set to moments of
//! activity that happened, so `m <= T` and `s <= T` always.
//!
//! *Never late.* "Awake" is said at `now` only if `now - m <= L` for some mark, and `m <= T`, so
//! `now - T <= L`. Open requests are cut by the sweep, once a second, by the same test; it finds them
//! within the second too, or later where more sessions are in use than it looks at in one: up to half
//! a minute after they began with a million.
//!
//! *Never early.* "Idle" is said only after the store was asked at `now` and `now - s > L`. Say
//! that the person was active at `T` on another node and what the store had until then was `F`,
//! so that an early end needs the store to be asked at a moment after `F + L` and before that
//! node has written `T`. The node writes `T`
//! - before the request goes on, when `T - F > min(L / 2, L - 5 s)`: whoever asks after that
//!   request has been let through finds `T`;
//! - else within a pause of at most `L / 16` (and a second for the tick; next attempts within
//!   `L / 2`), which is before `F + L`: until then `F` alone keeps the session awake.
//!
//! The pause is what makes activity cheap: who clicks all the time is written every few seconds,
//! not every second. A node that dies without a word takes at most so much activity with it.
//!
//! What remains is two requests at the same instant at the very limit, of which neither came first.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::gate::name::{ProductId, SessionId};
use crate::gate::policy::Limits;
use crate::gate::session::LastSeen;
use crate::gate::time::Moment;

use super::store::Stamp;

const MARGIN: Duration = Duration::from_secs(5);

/// The longest that activity waits to be written.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The last activity in one place, and how much of it the store is known to have.
#[derive(Debug)]
pub struct Mark {
    seen: AtomicI64,
    written: AtomicI64,
}

impl Mark {
    fn new() -> Mark {
        let never = Moment::EPOCH.millis();
        Mark {
            seen: AtomicI64::new(never),
            written: AtomicI64::new(never),
        }
    }

    pub fn seen(&self) -> Moment {
        Moment::from_millis(self.seen.load(Ordering::Acquire))
    }

    fn written(&self) -> Moment {
        Moment::from_millis(self.written.load(Ordering::Acquire))
    }

    fn see(&self, at: Moment) {
        self.seen.fetch_max(at.millis(), Ordering::AcqRel);
    }

    fn wrote(&self, at: Moment) {
        self.written.fetch_max(at.millis(), Ordering::AcqRel);
    }

    /// `since`: what keeps the limit from being reached besides this mark, from the record.
    fn must_be_written(&self, limit: Duration, since: Moment) -> bool {
        let bound = (limit / 2).min(limit.saturating_sub(MARGIN));
        let seen = self.seen();
        seen > self.written() && seen.since(self.written().max(since)) > bound
    }
}

/// One session's marks on this node. Outlives the cached record: what was not written yet must
/// not be forgotten when the record changes.
#[derive(Debug)]
pub struct Activity {
    session: SessionId,
    anywhere: Mark,
    places: Mutex<Vec<(ProductId, Arc<Mark>)>>,
    /// Whether it stands in the list of what has to be written.
    listed: AtomicBool,
    /// When it may be written, in milliseconds.
    due_at: AtomicI64,
}

impl Activity {
    pub fn new(session: SessionId) -> Activity {
        Activity {
            session,
            anywhere: Mark::new(),
            places: Mutex::new(Vec::new()),
            listed: AtomicBool::new(false),
            due_at: AtomicI64::new(Moment::EPOCH.millis()),
        }
    }

    pub fn anywhere(&self) -> Moment {
        self.anywhere.seen()
    }

    /// The mark of one product; the same one for as long as the session is known here.
    pub fn place(&self, product: &ProductId) -> Arc<Mark> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, mark)) = places.iter().find(|(id, _)| id == product) {
            return Arc::clone(mark);
        }
        let mark = Arc::new(Mark::new());
        // Most people work in one or two products: no room for four in advance.
        places.reserve_exact(1);
        places.push((product.clone(), Arc::clone(&mark)));
        mark
    }

    /// Takes over what the store has.
    pub fn adopt(&self, last_seen: &LastSeen) {
        for (product, at) in &last_seen.products {
            let mark = self.place(product);
            mark.see(*at);
            mark.wrote(*at);
            self.anywhere.see(*at);
        }
        if let Some(at) = last_seen.anywhere {
            self.anywhere.see(at);
            self.anywhere.wrote(at);
        }
    }

    /// What is known here, written or not.
    pub fn last_seen(&self) -> LastSeen {
        let known = |mark: &Mark| Some(mark.seen()).filter(|at| *at > Moment::EPOCH);
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let products = places
            .iter()
            .filter_map(|(product, mark)| Some((product.clone(), known(mark)?)));
        LastSeen {
            anywhere: known(&self.anywhere),
            products: products.collect(),
        }
    }

    pub fn is_listed(&self) -> bool {
        self.listed.load(Ordering::Acquire)
    }

    pub fn see(&self, here: &Mark, at: Moment) {
        here.see(at);
        self.anywhere.see(at);
    }

    /// In no product, and the store has it.
    pub fn see_at_portal(&self, at: Moment) {
        self.anywhere.see(at);
        self.anywhere.wrote(at);
    }

    /// Whether what was seen must be in the store before anybody is let through on it.
    pub fn is_urgent(
        &self,
        here: &Mark,
        limits: Limits,
        started_at: Moment,
        entered_at: Moment,
    ) -> bool {
        self.anywhere.must_be_written(limits.idle, started_at)
            || limits
                .product_idle
                .is_some_and(|idle| here.must_be_written(idle, entered_at))
    }

    fn unwritten(&self) -> Vec<Stamp> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places
            .iter()
            .filter(|(_, mark)| mark.seen() > mark.written())
            .map(|(product, mark)| Stamp {
                session: self.session,
                product: Some(product.clone()),
                at: mark.seen(),
            })
            .collect()
    }

    fn wrote(&self, stamp: &Stamp) {
        if let Some(product) = &stamp.product {
            self.place(product).wrote(stamp.at);
        }
        self.anywhere.wrote(stamp.at);
    }
}

/// The sessions with marks that the store does not have yet. Bounded by the number of sessions in
/// use: each stands in it once.
#[derive(Debug, Default)]
pub struct WriteBehind {
    listed: Mutex<Vec<Arc<Activity>>>,
}

impl WriteBehind {
    /// Lists what was just seen, to be written after a pause that the limits allow.
    pub fn list(&self, activity: &Arc<Activity>, limits: Limits, now: Moment) {
        if !activity.listed.load(Ordering::Acquire) {
            let tightest = limits
                .product_idle
                .map_or(limits.idle, |idle| idle.min(limits.idle));
            let pause = LONGEST_PAUSE.min(tightest / 16);
            activity
                .due_at
                .store(now.plus(pause).millis(), Ordering::Relaxed);
        }
        self.put(activity);
    }

    fn put(&self, activity: &Arc<Activity>) {
        if !activity.listed.swap(true, Ordering::AcqRel) {
            let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
            listed.push(Arc::clone(activity));
        }
    }

    /// Takes what is due. What can't be written is listed again by [`Batch::failed`].
    pub fn take_due(&self, now: Moment) -> Batch {
        // Further away than any pause: the clock was set back.
        let far = now.plus(LONGEST_PAUSE).millis();
        let is_due = |activity: &Arc<Activity>| {
            let due_at = activity.due_at.load(Ordering::Relaxed);
            due_at <= now.millis() || due_at > far
        };
        Batch::of_all(self.remove(is_due))
    }

    /// Takes everything, due or not.
    pub fn take(&self) -> Batch {
        Batch::of_all(self.remove(|_| true))
    }

    fn remove(&self, wanted: impl Fn(&Arc<Activity>) -> bool) -> Vec<Arc<Activity>> {
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let (taken, left) = std::mem::take(&mut *listed).into_iter().partition(wanted);
        *listed = left;
        taken
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.listed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }
}

/// Stamps on their way to the store, and whose they are.
#[derive(Debug, Default)]
pub struct Batch {
    pub stamps: Vec<Stamp>,
    whose: Vec<Arc<Activity>>,
}

impl Batch {
    pub fn of(activity: &Arc<Activity>) -> Batch {
        let stamps = activity.unwritten();
        let whose = vec![Arc::clone(activity); stamps.len()];
        Batch { stamps, whose }
    }

    fn of_all(listed: Vec<Arc<Activity>>) -> Batch {
        let mut batch = Batch::default();
        for activity in &listed {
            batch.add(activity);
        }
        batch
    }

    fn add(&mut self, activity: &Arc<Activity>) {
        // Unlisted before it is read: what is seen from here on lists it anew.
        activity.listed.store(false, Ordering::Release);
        self.stamps.extend(activity.unwritten());
        self.whose.resize(self.stamps.len(), Arc::clone(activity));
    }

    pub fn written(&self) {
        for (stamp, activity) in self.stamps.iter().zip(&self.whose) {
            activity.wrote(stamp);
        }
    }

    pub fn failed(&self, behind: &WriteBehind) {
        for activity in &self.whose {
            behind.put(activity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn limits(product_idle: Option<Duration>) -> Limits {
        Limits {
            maximum: 12 * HOUR,
            idle: 8 * HOUR,
            product_idle,
        }
    }

    fn seen_at(secs: i64) -> (Arc<Activity>, Arc<Mark>) {
        let activity = Arc::new(Activity::new(SessionId::from_bytes([1; 16])));
        let mark = activity.place(&ProductId::parse("billing").unwrap());
        activity.see(&mark, Moment::from_secs(secs));
        (activity, mark)
    }

    fn urgent(activity: &Activity, mark: &Mark, idle: Duration) -> bool {
        let start = Moment::from_secs(0);
        activity.is_urgent(mark, limits(Some(idle)), start, start)
    }

    #[test]
    fn what_comes_late_is_written_before_anybody_relies_on_it() {
        let (activity, mark) = seen_at(3599);
        assert!(!urgent(&activity, &mark, 2 * HOUR));
        let (activity, mark) = seen_at(3601);
        assert!(urgent(&activity, &mark, 2 * HOUR));
        Batch::of(&activity).written();
        assert!(!urgent(&activity, &mark, 2 * HOUR), "the store has it now");
    }

    #[test]
    fn a_limit_of_seconds_is_always_written_at_once() {
        let (activity, mark) = seen_at(1);
        assert!(urgent(&activity, &mark, Duration::from_secs(5)));
    }

    #[test]
    fn who_clicks_all_the_time_is_written_every_few_seconds() {
        let behind = WriteBehind::default();
        let (activity, mark) = seen_at(10);
        let mut written = 0;
        for millis in (10_000..110_000).step_by(500) {
            let now = Moment::from_millis(millis);
            activity.see(&mark, now);
            behind.list(&activity, limits(None), now);
            let batch = behind.take_due(now);
            written += batch.stamps.len();
            batch.written();
        }
        assert_eq!(written, 18, "in a hundred seconds");
    }

    #[test]
    fn a_short_limit_shortens_the_pause() {
        let behind = WriteBehind::default();
        let (activity, _) = seen_at(10);
        behind.list(
            &activity,
            limits(Some(Duration::from_secs(16))),
            Moment::from_secs(10),
        );
        assert!(
            behind
                .take_due(Moment::from_millis(10_999))
                .stamps
                .is_empty()
        );
        assert_eq!(behind.take_due(Moment::from_secs(11)).stamps.len(), 1);
    }

    #[test]
    fn what_was_not_written_is_listed_again() {
        let behind = WriteBehind::default();
        let (activity, mark) = seen_at(10);
        let now = Moment::from_secs(10);
        behind.list(&activity, limits(None), now);
        behind.list(&activity, limits(None), now);
        let batch = behind.take();
        assert_eq!(batch.stamps.len(), 1);
        assert!(behind.is_empty());
        batch.failed(&behind);
        let batch = behind.take();
        assert_eq!(batch.stamps.len(), 1);
        batch.written();
        activity.see(&mark, Moment::from_secs(10));
        behind.list(&activity, limits(None), now);
        assert!(behind.take().stamps.is_empty(), "nothing new was seen");
    }
}
