//! What goes on beside the requests: announcements, writing behind, and a look at what is in use
//! once a second.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, FuturesUnordered};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::gate::name::SessionId;
use crate::gate::session::{Standing, standing};
use crate::gate::time::Moment;

use super::Sessions;
use super::activity::Batch;
use super::cache::{Cache, Cached, CachedEntry, Outcome};
use super::store::Event;

const TICK: Duration = Duration::from_secs(1);
const PURGE_EVERY: Duration = Duration::from_secs(60);
/// Assertions with so much left are signed anew, before anybody waits for it.
const RENEW_BEFORE: Duration = Duration::from_secs(60);
/// The most assertions signed in one second: a minute is enough for 60,000 sessions, and a request
/// never waits behind more than a few.
const SIGNED_A_TICK: usize = 1_000;
/// The most sessions looked at in one second, besides those with open requests. With more in use a
/// look at all takes some seconds, or requests would cost the more the more sessions there are.
const LOOKED_AT: usize = 32_768;
/// The most sessions folded in one second: some hundredths of a processor.
const FOLDED_A_TICK: usize = 8_192;
/// A session is folded when it was not confirmed, and nobody seen in it, for so long.
const RESTING: Duration = Duration::from_secs(120);
/// Folded sessions that the store confirmed so long ago are forgotten here.
const UNUSED: Duration = Duration::from_secs(900);
/// Questions to the store at the same time.
const ASKED_AT_ONCE: usize = 32;

/// What the upkeep remembers from one second to the next.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The last moment when the store answered while announcements were heard, and the epoch: all
    /// that was cached in it was true then.
    answered: Mutex<Option<(Moment, u64)>>,
    purged_at: AtomicI64,
    round: Mutex<Round>,
    /// Held while activity is on its way to the store.
    writing: tokio::sync::Mutex<()>,
}

/// Who is looked at when.
#[derive(Debug, Default)]
struct Round {
    /// Those whose turn has not come yet.
    left: Vec<SessionId>,
    /// Those of which requests are open: they are looked at each second, from when they were found.
    open: HashSet<SessionId>,
}

impl Round {
    /// The next that are in use, `most` of them; then a new round begins.
    fn next(&mut self, cache: &Cache, most: usize) -> Vec<(SessionId, Arc<Cached>)> {
        if self.left.is_empty() {
            self.left = cache.in_use();
        }
        let from = self.left.len().saturating_sub(most);
        let next = self.left.drain(from..);
        next.filter_map(|id| Some((id, cache.get_in_use(id)?)))
            .collect()
    }

    /// Those with open requests: of the ones that are looked at now, and all that were found before.
    fn live(
        &mut self,
        cache: &Cache,
        seen: &[(SessionId, Arc<Cached>)],
    ) -> Vec<(SessionId, Arc<Cached>)> {
        let found = seen.iter().filter(|(_, cached)| cached.record.is_live());
        self.open.extend(found.map(|(id, _)| *id));
        let mut live = Vec::with_capacity(self.open.len());
        self.open.retain(|id| {
            let known = cache.get_in_use(*id);
            let open = known.filter(|cached| cached.record.is_live());
            let stays = open.is_some();
            live.extend(open.map(|cached| (*id, cached)));
            stays
        });
        live
    }
}

impl State {
    fn round(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn confirmed_at(&self, cached: &Cached) -> Moment {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        match *answered {
            Some((at, epoch)) if epoch == cached.epoch => at.max(cached.checked_at),
            Some(_) | None => cached.checked_at,
        }
    }
}

impl Sessions {
    /// Keeps everything current until told to shut down; writes what is unwritten at the end.
    pub async fn run(self: Arc<Self>, shutdown: watch::Receiver<bool>) {
        let listening = Arc::clone(&self).listen(shutdown.clone());
        tokio::join!(listening, self.keep_ticking(shutdown));
    }

    async fn keep_ticking(&self, mut shutdown: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.tick((self.parts.clock)()).await,
                () = told(&mut shutdown) => break,
            }
        }
        self.flush().await;
    }

    /// The part of [`run`](Sessions::run) that hears announcements: a session that ends anywhere
    /// ends here as soon as its announcement comes.
    pub async fn listen(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        let mut events = self.take_events();
        let mut reloads = FuturesUnordered::new();
        loop {
            tokio::select! {
                () = told(&mut shutdown) => break,
                event = events.recv() => match event {
                    Ok(event) => {
                        if let Some(id) = self.hear(event) {
                            reloads.push(self.reload(id));
                        }
                    }
                    Err(RecvError::Lagged(_)) => {
                        self.hear(Event::Lost);
                        self.hear(Event::Connected);
                    }
                    Err(RecvError::Closed) => {
                        self.hear(Event::Lost);
                        break;
                    }
                },
                Some(()) = reloads.next() => {}
            }
        }
    }

    /// Returns the session that must be asked for again at once, since requests of it are open.
    fn hear(&self, event: Event) -> Option<SessionId> {
        match event {
            Event::Changed(id) => self.hear_change(id).then_some(id),
            Event::Lost => {
                self.cache.lost();
                None
            }
            Event::Connected => {
                self.cache.connected();
                None
            }
        }
    }

    /// Whether requests of the session are open.
    pub(super) fn hear_change(&self, id: SessionId) -> bool {
        self.cache
            .changed(id)
            .is_some_and(|cached| cached.record.is_live())
    }

    /// The record that comes back ends what is over; `Away` is tried again by the next tick.
    async fn reload(&self, id: SessionId) {
        let _: Outcome = self.load(id, (self.parts.clock)()).await;
    }

    /// Once a second. Everything in it depends on `now` alone.
    pub async fn tick(&self, now: Moment) {
        self.write_due(now).await;
        self.confirm(now).await;
        let (seen, live) = {
            let mut round = self.upkeep.round();
            let seen = round.next(&self.cache, LOOKED_AT);
            let live = round.live(&self.cache, &seen);
            (seen, live)
        };
        stream::iter(live)
            .for_each_concurrent(ASKED_AT_ONCE, |(id, cached)| async move {
                self.watch_over(id, &cached, now).await;
            })
            .await;
        self.sign_again(&seen, now).await;
        let capacity = self.parts.settings.cache_capacity;
        keep_in_bounds(&self.cache, capacity, seen, FOLDED_A_TICK, now);
        self.purge(now).await;
    }

    async fn confirm(&self, now: Moment) {
        let epoch = self.cache.epoch();
        let listening = self.cache.is_listening();
        // A connection that died without a word is found out here, before a revocation is missed:
        // announcements come by the same connection.
        if self.store.ping().await.is_ok() && listening && epoch == self.cache.epoch() {
            let mut answered = self
                .upkeep
                .answered
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *answered = Some((now, epoch));
        }
    }

    /// A session with open requests: nobody else would notice that it is over.
    async fn watch_over(&self, id: SessionId, cached: &Arc<Cached>, now: Moment) {
        let bound = self.parts.settings.recheck;
        let cached = if self.cache.is_fresh(cached, now, bound) {
            Arc::clone(cached)
        } else {
            match self.load(id, now).await {
                Outcome::Found(cached) => cached,
                Outcome::Gone => {
                    cached.record.close();
                    return;
                }
                Outcome::Away => {
                    let bound = bound + self.parts.settings.grace.unwrap_or_default();
                    let unconfirmed = !now.is_within(bound, self.upkeep.confirmed_at(cached));
                    // The maximum is known without asking.
                    if unconfirmed || self.is_over_maximum(cached, now) {
                        cached.record.cut();
                    }
                    return;
                }
            }
        };
        self.cut_what_is_over(id, &cached, now).await;
    }

    async fn cut_what_is_over(&self, id: SessionId, cached: &Cached, now: Moment) {
        let record = &cached.record;
        let mut asked = false;
        for entry in record.entries.iter().filter(|entry| entry.place.is_live()) {
            let mut worth = self.standing_of(cached, entry, now);
            if matches!(worth, Standing::OverIdle | Standing::OverProductIdle) && !asked {
                match self.store.last_seen(id).await {
                    Ok(Some(last_seen)) => record.activity.adopt(&last_seen),
                    Ok(None) => return self.cache.forget(id),
                    Err(_) => return,
                }
                asked = true;
                worth = self.standing_of(cached, entry, now);
            }
            match worth {
                Standing::Live => {}
                // The next request ends it in the store, and is told why.
                Standing::OverMaximum | Standing::OverIdle => return record.cut(),
                Standing::OverProductIdle => self.product_fell_idle(entry),
            }
        }
    }

    fn is_over_maximum(&self, cached: &Cached, now: Moment) -> bool {
        let live = |entry: &&CachedEntry| entry.place.is_live();
        let mut open = cached.record.entries.iter().filter(live);
        open.any(|entry| self.standing_of(cached, entry, now) == Standing::OverMaximum)
    }

    fn standing_of(&self, cached: &Cached, entry: &CachedEntry, now: Moment) -> Standing {
        let session = &cached.record.session;
        let policies = self.parts.policies.load();
        let limits = match self.products.load().by_id(entry.product.as_str()) {
            Some(product) => policies.limits(session.company_in(&product.id), product),
            None => policies.session_limits(&session.company),
        };
        standing(session, cached.record.seen(Some(entry)), limits, now)
    }

    async fn sign_again(&self, seen: &[(SessionId, Arc<Cached>)], now: Moment) {
        let mut left = SIGNED_A_TICK;
        for (_, cached) in seen {
            for entry in &cached.record.entries {
                let Some(signed) = entry.signed.load_full() else {
                    continue;
                };
                if left == 0 || signed.presence.assertion_expires_at > now.plus(RENEW_BEFORE) {
                    continue;
                }
                if entry.used.swap(false, Ordering::Relaxed) {
                    left -= 1;
                    self.sign(&cached.record, entry, &signed.product, now);
                    // Requests come first.
                    tokio::task::yield_now().await;
                } else if signed.presence.assertion_expires_at <= now {
                    entry.signed.store(None);
                }
            }
        }
    }

    async fn purge(&self, now: Moment) {
        let last = Moment::from_millis(self.upkeep.purged_at.load(Ordering::Relaxed));
        if now.since(last) < PURGE_EVERY {
            return;
        }
        self.upkeep.purged_at.store(now.millis(), Ordering::Relaxed);
        let kept = UNUSED.max(self.parts.settings.recheck);
        self.cache.tidy(now.minus(kept));
        if let Err(error) = self.store.purge(now).await {
            tracing::warn!(%error, "the session store could not be tidied");
        }
    }

    async fn write_due(&self, now: Moment) {
        let _held = self.upkeep.writing.lock().await;
        let batch: Batch = self.behind.take_due(now);
        self.write(batch).await;
    }

    /// Writes what this node knows and the store does not yet: all of it is there when this ends,
    /// also what was on its way already. False when the store did not take it.
    pub async fn flush(&self) -> bool {
        let _held = self.upkeep.writing.lock().await;
        let batch: Batch = self.behind.take();
        self.write(batch).await
    }
}

/// Takes what is not answered from any more out of the way, folds what rests, at most so many, and
/// keeps the cache below its capacity.
fn keep_in_bounds(
    cache: &Cache,
    capacity: usize,
    mut seen: Vec<(SessionId, Arc<Cached>)>,
    most_folded: usize,
    now: Moment,
) {
    let excess = || cache.len().saturating_sub(capacity);
    if excess() > 0 {
        // Those that are in use stay before those that were.
        cache.tidy(now);
    }
    let mut excess = excess();
    if excess > 0 {
        seen.sort_unstable_by_key(|(_, cached)| cached.checked_at);
    }
    let mut left = most_folded;
    for (id, cached) in &seen {
        if excess > 0 || cached.is_changed() {
            cache.evict(*id, cached);
            excess = excess.saturating_sub(1);
        } else if left > 0 && now.since(cached.used_at()) > RESTING {
            left -= 1;
            cache.fold(*id, cached);
        }
    }
}

/// Ends when told to shut down, or when nobody is left to tell.
async fn told(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::samples;
    use crate::gate::session::LastSeen;

    fn cache_with(ids: &[SessionId]) -> Cache {
        let cache = Cache::new();
        for id in ids {
            let mut session = samples::session();
            session.id = *id;
            session.entries = [(samples::product_id("emr"), samples::entry())]
                .into_iter()
                .collect();
            let flight = cache.flight(*id);
            let landed = flight.landed(session, &LastSeen::default(), samples::noon());
            let Outcome::Found(cached) = landed else {
                unreachable!("a record lands as found");
            };
            assert!(cache.publish(*id, &flight, &cached).is_some());
        }
        cache
    }

    fn ids(sessions: &[(SessionId, Arc<Cached>)]) -> Vec<SessionId> {
        sessions.iter().map(|(id, _)| *id).collect()
    }

    #[test]
    fn in_each_round_everybodys_turn_comes_once() {
        for (count, turns) in [(7, [3, 3, 1].as_slice()), (3, &[3]), (0, &[0])] {
            let all: Vec<_> = (0..count).map(|n| SessionId::from_bytes([n; 16])).collect();
            let (cache, mut round) = (cache_with(&all), Round::default());
            for _ in 0..2 {
                let mut seen = Vec::new();
                for turn in turns {
                    let next = round.next(&cache, 3);
                    assert_eq!(next.len(), *turn);
                    seen.extend(ids(&next));
                }
                seen.sort();
                assert_eq!(seen, all);
            }
        }
    }

    #[test]
    fn who_was_found_with_open_requests_is_looked_at_each_second() {
        let all: Vec<_> = (0..7).map(|n| SessionId::from_bytes([n; 16])).collect();
        let (cache, mut round) = (cache_with(&all), Round::default());
        let mut second = || {
            let seen = round.next(&cache, 3);
            ids(&round.live(&cache, &seen))
        };
        let leash = {
            let cached = cache.get_in_use(all[4]).unwrap();
            cached.leash(&cached.record.entries[0]).unwrap()
        };
        for _ in 0..3 {
            second();
        }
        for _ in 0..3 {
            assert_eq!(second(), [all[4]]);
        }
        drop(leash);
        assert_eq!(second(), []);
    }

    #[test]
    fn those_who_rest_are_folded_some_at_a_time() {
        let all: Vec<_> = (0..7).map(|n| SessionId::from_bytes([n; 16])).collect();
        let cache = cache_with(&all);
        let later = |span: Duration| samples::noon().plus(span);
        let in_use_after = |now| {
            let seen = Round::default().next(&cache, usize::MAX);
            keep_in_bounds(&cache, all.len(), seen, 3, now);
            cache.in_use().len()
        };
        assert_eq!(in_use_after(later(RESTING)), 7);
        let rested = later(RESTING + TICK);
        assert_eq!([(); 4].map(|()| in_use_after(rested)), [4, 1, 0, 0]);
        assert_eq!(cache.len(), 7);
    }
}
