//! What people live through, over both stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, broadcast};
use vestibule::gate::facts::{Presented, Site};
use vestibule::gate::identity::HeaderPlan;
use vestibule::gate::name::{CompanyId, Login, PersonId, SessionId};
use vestibule::gate::session::{
    Known, LastSeen, Method, Secret, SecretHash, Session, Tenancy, Token,
};
use vestibule::gate::time::Moment;
use vestibule::sessions::store::{Event, Stamp, Store, StoreError};
use vestibule::sessions::{EndCause, Footing};

use crate::nodes::{
    HOUR, Home, MILLI, Node, SECOND, START, TestClock, id_of, new_session, within_a_second,
};

const MINUTE: Duration = Duration::from_secs(60);

pub async fn a_cached_session_costs_no_call(home: Home) {
    let clock = TestClock::new();
    let node = home.node(&clock).await;
    let portal = node.sign_in().await;
    let emr = node.enter(&portal, "emr").await;
    // What the announcement of the entering takes away must be gone first.
    tokio::time::sleep(20 * MILLI).await;
    assert_eq!(node.act(&emr, "emr").await, "live");
    let before = node.counted.calls.load(Ordering::SeqCst);
    for _ in 0..1_000 {
        assert_eq!(node.act(&emr, "emr").await, "live");
    }
    assert_eq!(node.counted.calls.load(Ordering::SeqCst), before);
    node.tick().await;
    assert!(
        node.counted.calls.load(Ordering::SeqCst) <= before + 3,
        "a touch and a ping, and now and then a purge"
    );

    clock.pass(30 * SECOND);
    assert_eq!(node.worth(&emr, "emr").await, "live");
    let before = node.counted.from_store.load(Ordering::SeqCst);
    clock.pass(MILLI);
    assert_eq!(node.worth(&emr, "emr").await, "live");
    assert_eq!(
        node.counted.from_store.load(Ordering::SeqCst),
        before + 1,
        "past the bound"
    );
}

pub async fn a_cookie_opens_its_own_host_only(home: Home) {
    let clock = TestClock::new();
    let node = home.node(&clock).await;
    let portal = node.sign_in().await;
    let emr = node.enter(&portal, "emr").await;
    node.enter(&portal, "billing").await;
    assert_eq!(node.worth(&portal, "portal").await, "live");
    assert_eq!(node.worth(&emr, "emr").await, "live");
    for (token, site) in [
        (&portal, "emr"),
        (&emr, "portal"),
        (&emr, "billing"),
        (&emr, "analytics"),
    ] {
        assert_eq!(node.worth(token, site).await, "ended", "{site}");
    }
    let forged = Token::Session {
        id: id_of(&emr),
        secret: Secret::from_bytes([1; 32]),
    };
    assert_eq!(node.worth(&forged, "emr").await, "ended");
    assert_eq!(
        node.worth(&emr, "emr").await,
        "live",
        "a wrong guess ends nobody"
    );

    let visitor = Token::Visitor(Secret::from_bytes([1; 32]));
    assert_eq!(node.worth(&visitor, "emr").await, "new");
    let policies = node.policies.load_full();
    for (presented, word) in [
        (Presented::Nothing, "New"),
        (Presented::Malformed, "Malformed"),
    ] {
        let known = node
            .sessions
            .look_up(&presented, &Site::Portal, &policies, START)
            .await
            .known;
        assert_eq!(format!("{known:?}"), format!("Nobody({word})"));
    }
}

/// A wrong secret is asked about at the store each time: the cookie may be newer than what is cached.
/// Whoever asks about the same session meanwhile waits for one such question, not for all.
pub async fn who_guesses_at_a_session_keeps_nobody_from_it(home: Home) {
    let clock = TestClock::new();
    let node = Arc::new(home.node(&clock).await);
    let portal = node.sign_in().await;
    let emr = node.enter(&portal, "emr").await;
    let id = id_of(&emr);
    let guessers: Vec<_> = (1..=4)
        .map(|guess| {
            let node = Arc::clone(&node);
            let forged = Token::Session {
                id,
                secret: Secret::from_bytes([guess; 32]),
            };
            tokio::spawn(async move {
                loop {
                    assert_eq!(node.worth(&forged, "emr").await, "ended");
                }
            })
        })
        .collect();
    let owners: Vec<_> = (0..4)
        .map(|_| {
            let (node, emr) = (Arc::clone(&node), emr.clone());
            tokio::spawn(async move {
                for _ in 0..500 {
                    assert_eq!(node.worth(&emr, "emr").await, "live");
                }
            })
        })
        .collect();
    for owner in owners {
        owner.await.unwrap();
    }
    for guesser in guessers {
        assert!(!guesser.is_finished(), "a guess was worth something");
        guesser.abort();
    }
}

pub async fn ten_tabs_get_the_same_cookie(home: Home) {
    let clock = TestClock::new();
    let nodes = [
        Arc::new(home.node(&clock).await),
        Arc::new(home.node(&clock).await),
    ];
    let portal = nodes[0].sign_in().await;
    for again in [false, true] {
        let before = nodes[0].enter(&portal, "emr").await;
        let tabs: Vec<_> = (0..10)
            .map(|tab| {
                let (node, portal) = (Arc::clone(&nodes[tab % 2]), portal.clone());
                tokio::spawn(async move { node.enter_as(&portal, "billing", again).await.unwrap() })
            })
            .collect();
        let mut cookies = Vec::new();
        for tab in tabs {
            cookies.push(tab.await.unwrap().expose());
        }
        if !again {
            cookies.dedup();
            assert_eq!(cookies.len(), 1);
        }
        assert_eq!(
            nodes[1].enter(&portal, "emr").await.expose(),
            before.expose()
        );
    }
}

pub async fn entering_again_makes_the_old_cookie_worthless(home: Home) {
    let clock = TestClock::new();
    let (here, there) = (home.node(&clock).await, home.node(&clock).await);
    let portal = here.sign_in().await;
    let old = here.enter(&portal, "billing").await;
    assert_eq!(there.worth(&old, "billing").await, "live");
    clock.pass(2 * HOUR + MILLI);
    assert_eq!(there.worth(&old, "billing").await, "product_idle");

    let new = here.enter_as(&portal, "billing", true).await.unwrap();
    // At once, also where the announcement has not come yet.
    assert_eq!(there.worth(&new, "billing").await, "live");
    assert_eq!(there.worth(&old, "billing").await, "ended");
    assert_eq!(here.worth(&old, "billing").await, "ended");
    let ended = here.sessions.end(id_of(&portal), EndCause::SignedOut).await;
    assert!(ended.unwrap());
    assert!(here.enter_as(&portal, "billing", false).await.is_none());
}

pub async fn entering_another_product_cuts_nobody(home: Home) {
    let clock = TestClock::new();
    let (here, there) = (home.node(&clock).await, home.node(&clock).await);
    let portal = here.sign_in().await;
    let emr = here.enter(&portal, "emr").await;
    let leash = there.look_up(&emr, "emr").await.leash.unwrap();
    let billing = here.enter(&portal, "billing").await;
    let open = there.look_up(&billing, "billing").await.leash.unwrap();
    assert_eq!(there.worth(&emr, "emr").await, "live");
    there.tick().await;
    assert!(!leash.is_pulled() && !open.is_pulled());
    here.enter_as(&portal, "billing", true).await.unwrap();
    within_a_second("the renewed product's requests end", async || {
        open.is_pulled()
    })
    .await;
    assert!(!leash.is_pulled());
}

/// What this session works for there, and what its leash is.
async fn company_there(node: &Node, token: &Token, product: &str) -> String {
    match node.look_up(token, product).await.known {
        Known::Found(found) => {
            let presence = found.presence.unwrap();
            let products = node.sessions.products();
            let told = HeaderPlan::of(products.by_id(product).unwrap(), &presence)
                .iter()
                .find(|(name, _)| *name == "x-vestibule-company");
            told.unwrap().1.to_str().unwrap().to_owned()
        }
        _ => String::from("nobody"),
    }
}

pub async fn each_product_has_its_own_company_and_can_be_left_alone(home: Home) {
    let clock = TestClock::new();
    let (here, there) = (home.node(&clock).await, home.node(&clock).await);
    let portal = here.sign_in().await;
    let (id, kim) = (id_of(&portal), PersonId::parse("kim").unwrap());
    let company = |id: &str| CompanyId::parse(id).unwrap();
    let tenancy = |all: &[&str]| {
        let all: Vec<CompanyId> = all.iter().map(|id| company(id)).collect();
        Tenancy::of(&all, None, &company("acme"))
    };
    let footing = |all: &[&str]| Footing {
        login: Login::parse("kim.billing").unwrap(),
        tenancy: Some(tenancy(all)),
    };
    let emr = here.enter(&portal, "emr").await;
    let product = here.product("billing");
    let enter = async |all: &[&str]| {
        let entered = here
            .sessions
            .enter(id, &product, footing(all), false, clock.now());
        entered.await.unwrap().unwrap()
    };
    let billing = enter(&["north", "south"]).await;
    assert_eq!(company_there(&there, &billing, "billing").await, "north");
    assert_eq!(company_there(&there, &emr, "emr").await, "acme");
    let found = async |id: &str| there.sessions.of_company(&company(id)).await.unwrap().len();
    assert_eq!(
        (
            found("acme").await,
            found("north").await,
            found("south").await
        ),
        (1, 1, 0)
    );

    let open = there.look_up(&billing, "billing").await.leash.unwrap();
    let emr_leash = there.look_up(&emr, "emr").await.leash.unwrap();
    let choose = async |to: &str, all: &[&str]| {
        let place = Some(&product.id);
        let (to, tenancy) = (company(to), tenancy(all));
        let changed = here
            .sessions
            .work_for(id, place, &to, &tenancy, clock.now());
        changed.await.unwrap().is_some()
    };
    assert!(choose("south", &["north", "south"]).await);
    assert!(
        !choose("acme", &["north", "south"]).await,
        "the account has it not"
    );
    within_a_second("what was open for the other company ends", async || {
        open.is_pulled()
    })
    .await;
    assert_eq!(company_there(&there, &billing, "billing").await, "south");
    assert_eq!((found("north").await, found("south").await), (0, 1));
    // Entering again keeps the choice while the account has it, and not longer.
    enter(&["north", "south"]).await;
    assert_eq!(company_there(&here, &billing, "billing").await, "south");
    enter(&["north"]).await;
    assert_eq!(company_there(&here, &billing, "billing").await, "north");

    let open = there.look_up(&billing, "billing").await.leash.unwrap();
    let left = here
        .sessions
        .leave(&kim, std::slice::from_ref(&product.id), EndCause::Unlinked);
    assert_eq!(left.await.unwrap(), 1);
    within_a_second("what was open there ends", async || open.is_pulled()).await;
    assert_eq!(there.worth(&billing, "billing").await, "ended");
    assert_eq!(there.worth(&emr, "emr").await, "live");
    assert!(!emr_leash.is_pulled());
    assert!(!choose("north", &["north"]).await, "nobody is there");

    // The others end, this one goes on.
    let other = here.sign_in().await;
    let ended = there
        .sessions
        .end_others(&kim, Some(id), EndCause::PasswordChanged);
    assert_eq!(ended.await.unwrap(), 1);
    assert_eq!(here.worth(&other, "portal").await, "ended");
    assert_eq!(here.worth(&portal, "portal").await, "live");
}

pub async fn renewing_moves_what_was_proved(home: Home) {
    let clock = TestClock::new();
    let node = home.node(&clock).await;
    let old = node.sign_in().await;
    let id = id_of(&old);
    clock.pass(HOUR);
    let methods = [Method::Pwd, Method::Otp];
    let proved = clock.now().minus(HOUR / 2);
    let (session, new) = node
        .sessions
        .renew(id, (&methods, Some(proved)), clock.now())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(session.amr(), ["pwd", "otp", "mfa"]);
    assert_eq!(
        (session.password_at, session.factor_at),
        (clock.now(), Some(proved)),
        "a provider may say that it was earlier"
    );
    assert_eq!(
        session.started_at, START,
        "the maximum counts from the sign-in"
    );
    assert_eq!(node.worth(&old, "portal").await, "ended");
    assert_eq!(node.worth(&new, "portal").await, "live");

    // Neither back nor into the future.
    for (told, is) in [
        (Some(START), proved),
        (None, proved),
        (Some(clock.now().plus(HOUR)), clock.now()),
    ] {
        let again = node.sessions.renew(id, (&methods, told), clock.now());
        let (session, _) = again.await.unwrap().unwrap();
        assert_eq!(session.factor_at, Some(is));
    }

    let other = CompanyId::parse("other").unwrap();
    let has = Tenancy::of(&session.companies, None, &session.company);
    let moved = node
        .sessions
        .work_for(id, None, &other, &has, clock.now())
        .await
        .unwrap();
    assert_eq!(moved.unwrap().company, other);
    let foreign = CompanyId::parse("foreign").unwrap();
    assert!(
        node.sessions
            .work_for(id, None, &foreign, &has, clock.now())
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(node.sessions.of_company(&other).await.unwrap().len(), 1);
    assert_eq!(
        node.sessions
            .end_company(&other, EndCause::Revoked)
            .await
            .unwrap(),
        1
    );
    assert!(
        node.sessions
            .renew(id, (&methods, None), clock.now())
            .await
            .unwrap()
            .is_none()
    );
}

pub async fn idle_is_exact_on_one_node(home: Home) {
    let clock = TestClock::new();
    let node = home.node(&clock).await;
    let portal = node.sign_in().await;
    let (emr, billing) = (
        node.enter(&portal, "emr").await,
        node.enter(&portal, "billing").await,
    );

    clock.set(START.plus(2 * HOUR));
    assert_eq!(
        node.worth(&billing, "billing").await,
        "live",
        "exactly two hours"
    );
    clock.pass(MILLI);
    assert_eq!(node.worth(&billing, "billing").await, "product_idle");
    assert_eq!(node.act(&emr, "emr").await, "live");
    assert_eq!(
        node.worth(&billing, "billing").await,
        "product_idle",
        "EMR is not Billing"
    );
    assert_eq!(
        *node.counted.ended.lock().unwrap(),
        [(Some("billing".into()), EndCause::ProductIdle)]
    );

    let active_at = clock.now();
    clock.set(active_at.plus(8 * HOUR));
    assert_eq!(node.worth(&emr, "emr").await, "live");
    clock.pass(MILLI);
    assert_eq!(node.worth(&emr, "emr").await, "idle");
    assert_eq!(node.worth(&emr, "emr").await, "ended");
    assert_eq!(node.worth(&portal, "portal").await, "ended");
    assert_eq!(
        node.counted.ended.lock().unwrap().last(),
        Some(&(None, EndCause::Idle))
    );
}

pub async fn idle_is_exact_across_nodes(home: Home) {
    let clock = TestClock::new();
    let (here, there) = (home.node(&clock).await, home.node(&clock).await);
    let portal = here.sign_in().await;
    let (emr, billing) = (
        here.enter(&portal, "emr").await,
        here.enter(&portal, "billing").await,
    );
    assert_eq!(there.worth(&billing, "billing").await, "live");

    clock.set(START.plus(90 * MINUTE));
    assert_eq!(here.act(&billing, "billing").await, "live");
    clock.set(START.plus(90 * MINUTE).plus(2 * HOUR));
    for node in [&there, &here] {
        assert_eq!(
            node.worth(&billing, "billing").await,
            "live",
            "seen by the other node"
        );
    }
    clock.pass(MILLI);
    for node in [&there, &here, &there] {
        assert_eq!(node.worth(&billing, "billing").await, "product_idle");
        assert_eq!(node.worth(&emr, "emr").await, "live");
    }
    clock.set(START.plus(90 * MINUTE).plus(8 * HOUR).plus(MILLI));
    assert_eq!(there.worth(&emr, "emr").await, "idle");
    assert_eq!(here.worth(&emr, "emr").await, "ended");
}

pub async fn never_early_whenever_the_person_was_last_active(home: Home) {
    let limit = 2 * HOUR;
    let offsets = [
        MILLI,
        10 * MINUTE,
        HOUR,
        HOUR + MILLI,
        119 * MINUTE,
        limit - 5 * SECOND,
        limit - SECOND,
        limit - MILLI,
        limit,
    ];
    let clock = TestClock::new();
    let (here, there) = (home.node(&clock).await, home.node(&clock).await);
    for offset in offsets {
        clock.set(START);
        let portal = here.sign_in().await;
        let billing = here.enter(&portal, "billing").await;
        assert_eq!(there.worth(&billing, "billing").await, "live");
        clock.set(START.plus(offset));
        assert_eq!(here.act(&billing, "billing").await, "live");
        // The first moment at which the other node would say 'idle' of what it knows. If it is more
        // than the longest pause away, the node that saw the person has written it by then.
        let suspicious = START.plus(limit).plus(MILLI);
        let pause = 5 * SECOND;
        if suspicious.since(clock.now()) > pause {
            clock.pass(pause);
            here.tick().await;
        }
        clock.set(suspicious);
        assert_eq!(there.worth(&billing, "billing").await, "live", "{offset:?}");
        clock.set(START.plus(offset).plus(limit));
        assert_eq!(there.worth(&billing, "billing").await, "live", "{offset:?}");
        clock.pass(MILLI);
        for node in [&there, &here] {
            assert_eq!(
                node.worth(&billing, "billing").await,
                "product_idle",
                "{offset:?}"
            );
        }
    }
}

pub async fn a_page_of_the_portal_is_activity(home: Home) {
    let clock = TestClock::new();
    let (here, there) = (home.node(&clock).await, home.node(&clock).await);
    let portal = here.sign_in().await;
    let emr = here.enter(&portal, "emr").await;
    let seen = async |node: &Node| match node.look_up(&emr, "emr").await.known {
        Known::Found(found) => (found.session, found.seen),
        other => panic!("{other:?}"),
    };
    assert_eq!(seen(&there).await.1.anywhere, START);
    let (session, _) = seen(&here).await;
    clock.pass(10 * SECOND);
    let now = clock.now();
    here.sessions.stamp_at_portal(&session, now).await.unwrap();
    let (_, at_once) = seen(&here).await;
    assert_eq!((at_once.anywhere, at_once.here), (now, START));

    clock.pass(8 * HOUR);
    for node in [&here, &there] {
        assert_eq!(node.worth(&emr, "emr").await, "live");
    }
    clock.pass(MILLI);
    assert_eq!(there.worth(&emr, "emr").await, "idle");
}

pub async fn the_maximum_ends_what_is_active(home: Home) {
    let clock = TestClock::new();
    let node = home.node(&clock).await;
    let portal = node.sign_in().await;
    let emr = node.enter(&portal, "emr").await;
    for hour in 1..=12 {
        clock.set(START.plus(hour * HOUR));
        assert_eq!(node.act(&emr, "emr").await, "live", "hour {hour}");
    }
    clock.pass(MILLI);
    assert_eq!(node.act(&emr, "emr").await, "maximum");
    assert_eq!(node.worth(&emr, "emr").await, "ended");
    assert_eq!(
        *node.counted.ended.lock().unwrap(),
        [(None, EndCause::Maximum)]
    );
}

pub async fn open_requests_end_within_a_tick_of_their_limit(home: Home) {
    let clock = TestClock::new();
    let (here, there) = (home.node(&clock).await, home.node(&clock).await);
    let portal = here.sign_in().await;
    let (emr, billing) = (
        here.enter(&portal, "emr").await,
        here.enter(&portal, "billing").await,
    );
    let socket = here.look_up(&billing, "billing").await.leash.unwrap();
    let stream = here.look_up(&emr, "emr").await.leash.unwrap();

    clock.set(START.plus(90 * MINUTE));
    assert_eq!(there.act(&billing, "billing").await, "live");
    clock.set(START.plus(2 * HOUR).plus(MILLI));
    here.tick().await;
    assert!(!socket.is_pulled(), "another node has seen the person");
    clock.set(START.plus(90 * MINUTE).plus(2 * HOUR));
    here.tick().await;
    assert!(!socket.is_pulled());
    clock.pass(MILLI);
    here.tick().await;
    assert!(socket.is_pulled() && !stream.is_pulled());
    tokio::time::timeout(SECOND, socket.pulled()).await.unwrap();

    clock.set(START.plus(12 * HOUR).plus(MILLI));
    here.tick().await;
    assert!(stream.is_pulled());
}

pub async fn a_revocation_reaches_the_open_requests_of_other_nodes(home: Home) {
    let clock = TestClock::new();
    let (here, there) = (home.node(&clock).await, home.node(&clock).await);
    let mut leashes = Vec::new();
    for _ in 0..3 {
        let portal = here.sign_in().await;
        let emr = here.enter(&portal, "emr").await;
        leashes.push(there.look_up(&emr, "emr").await.leash.unwrap());
    }
    let other = here
        .sessions
        .begin(new_session("lee", "acme"), START)
        .await
        .unwrap()
        .1;
    let kim = PersonId::parse("kim").unwrap();
    assert_eq!(here.sessions.of_person(&kim).await.unwrap().len(), 3);
    assert_eq!(
        here.sessions
            .end_person(&kim, EndCause::Revoked)
            .await
            .unwrap(),
        3
    );
    for leash in &leashes {
        tokio::time::timeout(SECOND, leash.pulled()).await.unwrap();
    }
    assert!(here.sessions.of_person(&kim).await.unwrap().is_empty());
    assert_eq!(there.worth(&other, "portal").await, "live");
}

/// A store whose replies come late: after other things happened.
struct Late {
    store: Arc<dyn Store>,
    held: Option<Held>,
}

/// Replies wait until they are let go, and announcements never come.
#[derive(Clone)]
struct Held {
    read: Arc<AtomicUsize>,
    let_go: Arc<Semaphore>,
    silence: broadcast::Sender<Event>,
}

#[async_trait]
impl Store for Late {
    async fn load(
        &self,
        id: SessionId,
        now: Moment,
    ) -> Result<Option<(Session, LastSeen)>, StoreError> {
        let reply = self.store.load(id, now).await;
        match &self.held {
            Some(held) => {
                held.read.fetch_add(1, Ordering::SeqCst);
                held.let_go.acquire().await.unwrap().forget();
            }
            None => {
                let late = Duration::from_micros(u64::from(id.as_bytes()[0]) * 20);
                tokio::time::sleep(late).await;
            }
        }
        reply
    }
    async fn create(
        &self,
        session: &Session,
        now: Moment,
        life: Duration,
    ) -> Result<(), StoreError> {
        self.store.create(session, now, life).await
    }
    async fn replace(&self, session: &Session, now: Moment) -> Result<bool, StoreError> {
        self.store.replace(session, now).await
    }
    async fn end(&self, id: SessionId) -> Result<bool, StoreError> {
        self.store.end(id).await
    }
    async fn last_seen(&self, id: SessionId) -> Result<Option<LastSeen>, StoreError> {
        self.store.last_seen(id).await
    }
    async fn touch(&self, stamps: &[Stamp]) -> Result<(), StoreError> {
        self.store.touch(stamps).await
    }
    async fn of_person(
        &self,
        person: &PersonId,
        now: Moment,
    ) -> Result<Vec<SessionId>, StoreError> {
        self.store.of_person(person, now).await
    }
    async fn of_company(
        &self,
        company: &CompanyId,
        now: Moment,
    ) -> Result<Vec<SessionId>, StoreError> {
        self.store.of_company(company, now).await
    }
    async fn count(&self, now: Moment) -> Result<u64, StoreError> {
        self.store.count(now).await
    }
    async fn state(&self, key: &str, now: Moment) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.state(key, now).await
    }
    async fn swap_state(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
        life: Duration,
        now: Moment,
    ) -> Result<bool, StoreError> {
        self.store.swap_state(key, expected, new, life, now).await
    }
    async fn take_state(&self, key: &str, now: Moment) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.take_state(key, now).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }
    fn events(&self) -> broadcast::Receiver<Event> {
        match &self.held {
            Some(held) => held.silence.subscribe(),
            None => self.store.events(),
        }
    }
}

pub async fn no_reply_overtakes_its_invalidation(home: Home) {
    const ROUNDS: usize = 1_000;
    let clock = TestClock::new();
    let here = Arc::new(home.node(&clock).await);
    let late = Late {
        store: home.open().await,
        held: None,
    };
    let there = Arc::new(Node::new(Arc::new(late), &clock, None));
    let mut stale = 0;
    for _ in 0..ROUNDS / 50 {
        let rounds: Vec<_> = (0..50)
            .map(|_| {
                let (here, there) = (Arc::clone(&here), Arc::clone(&there));
                tokio::spawn(async move {
                    let portal = here.sign_in().await;
                    let asked = tokio::spawn({
                        let (there, portal) = (Arc::clone(&there), portal.clone());
                        async move { there.worth(&portal, "portal").await }
                    });
                    tokio::task::yield_now().await;
                    assert!(
                        here.sessions
                            .end(id_of(&portal), EndCause::Revoked)
                            .await
                            .unwrap()
                    );
                    asked.await.unwrap();
                    portal
                })
            })
            .collect();
        let mut ended = Vec::new();
        for round in rounds {
            ended.push(round.await.unwrap());
        }
        // One more announcement: when it is heard, so were those before it.
        let last = here.sign_in().await;
        assert_eq!(there.worth(&last, "portal").await, "live");
        here.sessions
            .end(id_of(&last), EndCause::Revoked)
            .await
            .unwrap();
        within_a_second("the last end", async || {
            there.worth(&last, "portal").await == "ended"
        })
        .await;
        for portal in &ended {
            stale += usize::from(there.worth(portal, "portal").await != "ended");
        }
    }
    assert_eq!(stale, 0, "of {ROUNDS}");
}

pub async fn an_older_reply_shuts_nobody_out(home: Home) {
    let clock = TestClock::new();
    let here = home.node(&clock).await;
    let held = Held {
        read: Arc::default(),
        let_go: Arc::new(Semaphore::new(0)),
        silence: broadcast::channel(1).0,
    };
    let late = Late {
        store: home.open().await,
        held: Some(held.clone()),
    };
    let there = Arc::new(Node::new(Arc::new(late), &clock, None));
    let portal = here.sign_in().await;
    let first = tokio::spawn({
        let (there, portal) = (Arc::clone(&there), portal.clone());
        async move { there.worth(&portal, "portal").await }
    });
    within_a_second("the question", async || {
        held.read.load(Ordering::SeqCst) == 1
    })
    .await;

    // A cookie that is made after the store was asked, and waits for the same reply.
    let emr = here.enter(&portal, "emr").await;
    let mut second = Box::pin(there.worth(&emr, "emr"));
    assert!(futures_util::poll!(&mut second).is_pending());
    held.let_go.add_permits(3);
    assert_eq!(second.await, "live");
    assert_eq!(first.await.unwrap(), "live");

    // Nor is the store asked without end about a secret that is nobody's.
    let forged = Token::Session {
        id: id_of(&emr),
        secret: Secret::from_bytes([1; 32]),
    };
    assert_eq!(there.worth(&forged, "emr").await, "ended");
    assert_eq!(held.read.load(Ordering::SeqCst), 3);
}

pub async fn sessions_survive_a_restart(home: Home) {
    let clock = TestClock::new();
    let node = home.node(&clock).await;
    let portal = node.sign_in().await;
    let billing = node.enter(&portal, "billing").await;
    clock.pass(HOUR);
    assert_eq!(node.act(&billing, "billing").await, "live");
    node.sessions.flush().await;
    drop(node);

    let node = home.node(&clock).await;
    clock.pass(2 * HOUR);
    assert_eq!(node.worth(&billing, "billing").await, "live");
    assert_eq!(node.worth(&portal, "portal").await, "live");
    let entered = node.enter(&portal, "billing").await;
    assert_eq!(entered.expose(), billing.expose(), "derived again");
}

pub async fn assertions_are_signed_anew_before_they_end(home: Home) {
    let clock = TestClock::new();
    let node = home.node(&clock).await;
    let portal = node.sign_in().await;
    let emr = node.enter(&portal, "emr").await;
    let ends_at = async || match node.look_up(&emr, "emr").await.known {
        Known::Found(found) => found.presence.unwrap().assertion_expires_at,
        other => panic!("{other:?}"),
    };
    // Somebody at work: what is not used for a while is not signed for.
    let work = async |seconds: u32| {
        for part in std::iter::repeat_n(30, (seconds / 30) as usize).chain([seconds % 30]) {
            clock.pass(part * SECOND);
            node.tick().await;
            ends_at().await;
        }
    };
    let mut first = ends_at().await;
    assert_eq!(first, START.plus(300 * SECOND));
    work(239).await;
    if ends_at().await != first {
        // The announcement of the entry came only now, and the record was read again with it: once.
        // From the next signature on nothing is in between.
        let before = ends_at().await;
        while ends_at().await == before {
            work(1).await;
        }
        first = ends_at().await;
        assert_eq!(first, clock.now().plus(300 * SECOND));
        work(239).await;
    }
    assert_eq!(ends_at().await, first);
    clock.pass(SECOND);
    node.tick().await;
    assert_eq!(ends_at().await, clock.now().plus(300 * SECOND));
    // Without upkeep the request that needs one has it signed.
    clock.pass(271 * SECOND);
    assert_eq!(ends_at().await, clock.now().plus(300 * SECOND));
}

pub async fn the_store_holds_nothing_that_is_a_cookie(home: Home) {
    let clock = TestClock::new();
    let node = home.node(&clock).await;
    let portal = node.sign_in().await;
    let emr = node.enter(&portal, "emr").await;
    assert_eq!(node.act(&emr, "emr").await, "live");
    node.tick().await;
    let id = id_of(&portal);
    let held = held_in(&home).await;
    assert!(held.contains(&id.to_string()), "the record was looked at");
    for token in [&portal, &emr] {
        let written = token.expose();
        let secret = written.split_once('.').unwrap().1;
        assert!(!held.contains(secret));
    }

    // Whatever the store holds that has the form of a secret opens nothing.
    let (session, _) = home.open().await.load(id, START).await.unwrap().unwrap();
    let entry = session.entries.values().next().unwrap().token;
    for hash in [session.portal, session.seed, entry] {
        let hash: SecretHash = hash;
        let token = Token::Session {
            id,
            secret: Secret::parse(hash.to_text().as_bytes()).unwrap(),
        };
        for site in ["portal", "emr"] {
            assert_eq!(node.worth(&token, site).await, "ended");
        }
    }
}

/// Everything that the store keeps, as text.
async fn held_in(home: &Home) -> String {
    let mut held = String::new();
    match home {
        Home::Folder(folder) => {
            for file in std::fs::read_dir(folder.path().join("vestibule:")).unwrap() {
                held += &String::from_utf8_lossy(&std::fs::read(file.unwrap().path()).unwrap());
            }
        }
        Home::Redis(server) => {
            let url = server.lock().unwrap().url();
            let client = ::redis::Client::open(url).unwrap();
            let mut line = client.get_multiplexed_async_connection().await.unwrap();
            let keys: Vec<String> = ::redis::cmd("KEYS")
                .arg("*")
                .query_async(&mut line)
                .await
                .unwrap();
            for key in keys {
                let kind: String = ::redis::cmd("TYPE")
                    .arg(&key)
                    .query_async(&mut line)
                    .await
                    .unwrap();
                let mut command = match kind.as_str() {
                    "hash" => ::redis::cmd("HGETALL"),
                    "zset" => ::redis::cmd("ZRANGE"),
                    other => panic!("{key} is a {other}"),
                };
                command.arg(&key);
                if kind == "zset" {
                    command.arg(0).arg(-1);
                }
                let values: Vec<String> = command.query_async(&mut line).await.unwrap();
                held += &format!("{key} {}\n", values.join(" "));
            }
        }
    }
    held
}

pub async fn unused_records_are_let_go_of(home: Home) {
    let clock = TestClock::new();
    let node = home.node(&clock).await;
    let portal = node.sign_in().await;
    let emr = node.enter(&portal, "emr").await;
    assert_eq!(node.act(&emr, "emr").await, "live");
    clock.pass(HOUR);
    node.tick().await;
    node.tick().await;
    let before = node.counted.from_store.load(Ordering::SeqCst);
    assert_eq!(
        node.act(&emr, "emr").await,
        "live",
        "and nothing was lost with them"
    );
    assert!(node.counted.from_store.load(Ordering::SeqCst) > before);
}

pub async fn what_runs_beside_the_requests_stops_when_told(home: Home) {
    let clock = TestClock::new();
    let node = home.node(&clock).await;
    let portal = node.sign_in().await;
    let emr = node.enter(&portal, "emr").await;
    clock.pass(MINUTE);
    assert_eq!(node.act(&emr, "emr").await, "live");
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(Arc::clone(&node.sessions).run(stopped));
    stop.send(true).unwrap();
    tokio::time::timeout(SECOND, running)
        .await
        .unwrap()
        .unwrap();
    let seen = home
        .open()
        .await
        .last_seen(id_of(&emr))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        seen.anywhere,
        Some(clock.now()),
        "and has written everything"
    );
}

pub async fn the_store_is_asked_before_a_fresh_record_is_taken_for_idle(home: Home) {
    let clock = TestClock::new();
    let (here, there) = (home.node(&clock).await, home.node(&clock).await);
    let portal = here.sign_in().await;
    let billing = here.enter(&portal, "billing").await;
    clock.set(START.plus(2 * HOUR).minus(10 * SECOND));
    assert_eq!(there.worth(&billing, "billing").await, "live");
    clock.pass(5 * SECOND);
    assert_eq!(here.act(&billing, "billing").await, "live");
    clock.set(START.plus(2 * HOUR).plus(MILLI));
    assert_eq!(
        there.worth(&billing, "billing").await,
        "live",
        "seen elsewhere 5 s ago"
    );
}
