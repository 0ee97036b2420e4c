//! People who sign in, switch, idle and are revoked, hour after hour, and a model that says
//! beforehand what each of them is answered. Time is the tests' own, so that an hour of this is a
//! year of theirs.
//!
//! In rounds: while a round lasts the clock stands still, browsers act beside each other at whichever
//! gateway chance has it, and each knows its own answers. Between rounds an administrator acts, and
//! time passes. `VESTIBULE_SOAK_SECONDS` says how long, `VESTIBULE_SOAK_SEED` which story.

mod model;
mod traffic;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::http::HeaderMap;
use vestibule::gate::name::{Login, PersonId, ProductId};
use vestibule::sessions::EndCause;

use self::model::{HOUR, MINUTE, PRIVATE, Person, Policy, World};
use self::traffic::{Client, Dice, Ghost};
use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, password, soon};
use crate::postgres;
use crate::redis::Redis;

const COMPANIES: [&str; 2] = ["acme-rehab", "northside"];
const PEOPLE: usize = 6;
const BROWSERS: usize = 12;
/// So many wrong passwords in this time, from everybody: throttles are another test's.
const GUESSES: usize = 1;
const GUESSED_WITHIN: i64 = 20 * MINUTE;
const BURIED: usize = 64;
/// What may wait to be written when time jumps: activity that is younger than this.
const UNWRITTEN: i64 = 2_000;
/// Shorter runs say nothing about memory.
const SETTLED: Duration = Duration::from_secs(60);

fn seconds() -> u64 {
    let told = std::env::var("VESTIBULE_SOAK_SECONDS").ok();
    told.map_or(10, |told| told.parse().unwrap())
}

fn seed() -> u64 {
    let told = std::env::var("VESTIBULE_SOAK_SEED").ok();
    told.map_or_else(
        || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs(),
        |told| told.parse().unwrap(),
    )
}

fn people() -> Vec<Person> {
    let person = |number: usize| Person {
        id: format!("person{number}"),
        company: COMPANIES[number % 2].to_owned(),
        analytics: number.is_multiple_of(3),
        paired: number != 1,
        disabled: false,
    };
    (0..PEOPLE).map(person).collect()
}

/// The same people, as they are imported.
fn imported(people: &[Person]) -> String {
    let mut lines: Vec<serde_json::Value> = COMPANIES
        .iter()
        .map(|id| serde_json::json!({"kind": "company", "id": id, "name": id}))
        .collect();
    for person in people {
        let grants: &[&str] = if person.analytics {
            &["analytics"]
        } else {
            &[]
        };
        lines.push(
            serde_json::json!({"kind": "person", "id": person.id, "company": person.company,
            "name": person.id, "email": format!("{}@clinic.example", person.id),
            "roles": ["therapist"], "grants": grants}),
        );
        for product in [model::Product::Emr, model::Product::Billing] {
            let mut account = serde_json::json!({"kind": "account", "product": product.name(),
                "login": person.login(product), "password": password(&person.id),
                "companies": [person.company], "default_company": person.company});
            if product == model::Product::Emr || person.paired {
                account["person"] = person.id.clone().into();
            }
            lines.push(account);
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn text(policy: Policy) -> String {
    let rule = if policy.denies_private {
        format!(
            "[[rules]]\nname = \"closed\"\naction = \"deny\"\nproducts = [\"emr\"]\npaths = [\"{PRIVATE}\"]\n"
        )
    } else {
        String::new()
    };
    let minutes = policy.billing_idle / MINUTE;
    format!(
        "name = \"Soak\"\n[mfa]\nmode = \"off\"\nmethods = [\"totp\"]\n\
         [products.billing]\nidle = \"{minutes}m\"\n{rule}"
    )
}

/// Says whom it was told of, and remembers nothing.
async fn backend() -> Backend {
    let app = Router::new().fallback(async |headers: HeaderMap| {
        let told = |name: &str| {
            let value = headers.get(name).map(|value| value.to_str().unwrap());
            value.unwrap_or("nothing").to_owned()
        };
        assert!(headers.contains_key("x-vestibule-jwt-assertion"));
        let host = told("x-forwarded-host");
        format!(
            "inside {} {} {} {}",
            told("x-forwarded-user"),
            told("x-vestibule-person"),
            told("x-vestibule-company"),
            host.split(':').next().unwrap()
        )
    });
    Backend::serving(app).await
}

/// The site, its story so far, and who is in it.
struct Site {
    gateways: Vec<Gateway>,
    world: World,
    clients: Vec<Client>,
    ghosts: Vec<Ghost>,
    guesses: Vec<i64>,
    dice: Dice,
    /// How much time has passed since activity was last written by all.
    unwritten: i64,
    slowest_end: Duration,
}

impl Site {
    async fn open(setups: Vec<Setup>, dice: Dice) -> Site {
        let people = people();
        let policy = Policy {
            billing_idle: 2 * HOUR,
            denies_private: false,
        };
        let policies: BTreeMap<_, _> = COMPANIES
            .iter()
            .map(|company| ((*company).to_owned(), policy))
            .collect();
        let mut gateways: Vec<Gateway> = Vec::new();
        for mut setup in setups {
            for (company, policy) in &policies {
                setup = setup.policy(&format!("{company}.toml"), &text(*policy));
            }
            // No connection is to be closed for idleness in the moment in which it is used.
            // And however busy the machine is, nobody is too slow.
            setup.more = String::from(
                "[limits]\nconnections_per_address = 0\nidle = \"3h\"\nhandshake = \"5m\"\nhead = \"5m\"\n",
            );
            setup.people = imported(&people);
            if let Some(first) = gateways.first() {
                setup = setup.beside(first);
            }
            gateways.push(setup.start().await);
        }
        let world = World {
            now: gateways[0].clock.now().millis(),
            people,
            policies,
        };
        let mut dice = dice;
        let clients = (0..BROWSERS)
            .map(|number| {
                let own = Dice::new(dice.roll());
                let users = [number % PEOPLE, (number + 1) % PEOPLE];
                Client::new(format!("browser {number}"), &gateways, users, own)
            })
            .collect();
        Site {
            gateways,
            world,
            clients,
            ghosts: Vec::new(),
            guesses: Vec::new(),
            dice,
            unwritten: 0,
            slowest_end: Duration::ZERO,
        }
    }

    async fn round(&mut self) {
        let world = Arc::new(self.world.clone());
        let guesser = self.may_guess().then(|| self.dice.below(BROWSERS));
        let mut playing = Vec::new();
        for (number, client) in std::mem::take(&mut self.clients).into_iter().enumerate() {
            let guesses = guesser == Some(number);
            let acts = if guesses { 1 } else { 1 + self.dice.below(4) };
            let world = Arc::clone(&world);
            playing.push(tokio::spawn(client.live(world, acts, guesses)));
        }
        for client in playing {
            let mut client = client.await.unwrap();
            self.ghosts.append(&mut client.ghosts);
            self.clients.push(client);
        }
        self.administer().await;
        self.haunt().await;
        self.pass().await;
    }

    fn may_guess(&mut self) -> bool {
        let since = self.world.now - GUESSED_WITHIN;
        self.guesses.retain(|at| *at >= since);
        let may = self.guesses.len() < GUESSES && self.dice.one_in(3);
        if may {
            self.guesses.push(self.world.now);
        }
        may
    }

    async fn administer(&mut self) {
        let person = self.dice.below(PEOPLE);
        match self.dice.below(40) {
            0..=3 => self.end(person, EndCause::Revoked).await,
            4..=5 => self.disable(person, true).await,
            6..=9 => {
                if let Some(away) = self.world.people.iter().position(|p| p.disabled) {
                    self.disable(away, false).await;
                }
            }
            10..=12 => self.pair(person).await,
            13..=16 => self.decide().await,
            _ => {}
        }
    }

    fn any(&mut self) -> usize {
        self.dice.below(self.gateways.len())
    }

    async fn disable(&mut self, person: usize, disabled: bool) {
        let node = self.any();
        let id = PersonId::parse(&self.world.people[person].id).unwrap();
        let directory = &self.gateways[node].running.directory;
        assert!(directory.set_disabled(&id, disabled).await.unwrap());
        self.world.people[person].disabled = disabled;
        if disabled {
            self.end(person, EndCause::PersonDisabled).await;
        }
    }

    /// Ends whatever this person is signed in with, at one of the gateways; all feel it.
    async fn end(&mut self, person: usize, cause: EndCause) {
        let node = self.any();
        let id = PersonId::parse(&self.world.people[person].id).unwrap();
        let mut ended = Vec::new();
        for client in &mut self.clients {
            let ghosts = client.ghosts_of_now();
            if client.model.revoke(&self.world, person) {
                ended.extend(ghosts);
            }
        }
        let sessions = &self.gateways[node].running.sessions;
        soon("they are ended", async || {
            sessions.end_person(&id, cause).await.is_ok()
        })
        .await;
        let begun = Instant::now();
        for ghost in &mut ended {
            ghost.fades().await;
        }
        self.slowest_end = self.slowest_end.max(begun.elapsed());
        self.ghosts.extend(ended);
    }

    /// Takes this person's link to Billing away, or makes it.
    async fn pair(&mut self, person: usize) {
        let node = self.any();
        let running = &self.gateways[node].running;
        let known = &mut self.world.people[person];
        let id = PersonId::parse(&known.id).unwrap();
        let product = |name| ProductId::parse(name).unwrap();
        if known.paired {
            let kept = product("emr");
            let left = running.directory.unpair(&id, &kept).await.unwrap();
            soon("they have left", async || {
                let done = running.sessions.leave(&id, &left, EndCause::Unlinked);
                done.await.is_ok()
            })
            .await;
            known.paired = false;
            let mut left = Vec::new();
            for client in &mut self.clients {
                if client.model.person(&self.world) == Some(person) {
                    left.extend(client.ghosts_of_now());
                }
                client.model.unpair(person);
            }
            for mut ghost in left.into_iter().filter(Ghost::is_of_billing) {
                ghost.fades().await;
            }
        } else {
            let login = Login::parse(&known.login(model::Product::Billing)).unwrap();
            let billing = product("billing");
            let account = running.directory.account(&billing, &login);
            let account = account.await.unwrap().unwrap();
            running.directory.pair(&account, &id).await.unwrap();
            known.paired = true;
        }
    }

    /// A company's policy becomes another, everywhere.
    async fn decide(&mut self) {
        let company = self.dice.of(&COMPANIES);
        let policy = Policy {
            billing_idle: self.dice.of(&[HOUR, 90 * MINUTE, 2 * HOUR]),
            denies_private: self.dice.one_in(2),
        };
        self.world.policies.insert(company.to_owned(), policy);
        for gateway in &self.gateways {
            let file = gateway.path(&format!("policies/{company}.toml"));
            std::fs::write(file, text(policy)).unwrap();
            gateway.running.reload().await;
        }
    }

    /// Cookies of sign-ins that have ended open nothing, then or later.
    async fn haunt(&mut self) {
        let excess = self.ghosts.len().saturating_sub(BURIED);
        self.ghosts.drain(..excess);
        if !self.ghosts.is_empty() {
            let (node, at) = (self.any(), self.dice.below(self.ghosts.len()));
            let worth = self.ghosts[at].worth(node).await;
            assert_eq!(worth, 401, "a sign-in that had ended opened a door");
        }
    }

    /// Activity that a node has not written may wait for seconds, not for hours that never were.
    async fn pass(&mut self) {
        let span = match self.dice.below(100) {
            0..=49 => self.dice.below(500),
            50..=74 => self.dice.below(20 * 60_000),
            75..=88 => self.dice.below(90 * 60_000),
            // To the millisecond.
            89..=92 => 2 * 3_600_000 + self.dice.below(2),
            93..=94 => 3_600_000 + self.dice.below(2),
            95..=97 => 8 * 3_600_000 + self.dice.below(2),
            _ => 12 * 3_600_000 + self.dice.below(2),
        };
        let span = i64::try_from(span).unwrap();
        self.unwritten += span;
        if self.unwritten > UNWRITTEN {
            for gateway in &self.gateways {
                let sessions = &gateway.running.sessions;
                soon("activity is written", async || sessions.flush().await).await;
            }
            self.unwritten = 0;
        }
        self.world.now += span;
        let span = Duration::from_millis(u64::try_from(span).unwrap());
        self.gateways[0].clock.pass(span);
    }
}

/// What this process holds: gateways, browsers and backend.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.unwrap().split_whitespace().nth(1).unwrap();
    number.parse().unwrap()
}

async fn soak(setups: Vec<Setup>) {
    let (seed, span) = (seed(), Duration::from_secs(seconds()));
    println!("VESTIBULE_SOAK_SEED={seed}");
    let mut site = Site::open(setups, Dice::new(seed)).await;
    let (begun, first) = (Instant::now(), site.world.now);
    let mut memory = Vec::new();
    let mut rounds = 0_u64;
    while begun.elapsed() < span {
        site.round().await;
        rounds += 1;
        memory.push((begun.elapsed(), resident_kib()));
    }
    let answers: u64 = site.clients.iter().map(|client| client.answers).sum();
    let told_to_wait: u64 = site.clients.iter().map(|client| client.told_to_wait).sum();
    let most = |from: u32, to: u32| {
        let within = |at: &Duration| *at >= span * from / 3 && *at <= span * to / 3;
        let kept = memory.iter().filter(|(at, _)| within(at));
        kept.map(|(_, kib)| *kib).max().unwrap_or_default()
    };
    let thirds = [most(0, 1), most(1, 2), most(2, 4)];
    let turned_away: u64 = site.clients.iter().map(|client| client.turned_away).sum();
    println!(
        "{answers} answers in {rounds} rounds and {} days, none wrong, {told_to_wait} times told to come again, {turned_away} sign-ins too many; an end was felt within {:?}; \
         resident KiB at most, by thirds of the run: {thirds:?}",
        (site.world.now - first) / (24 * HOUR),
        site.slowest_end,
    );
    assert!(answers > 0);
    // A few where the machine is busy; what is turned away for good would hide what the model says.
    assert!(
        turned_away <= 3 + answers / 20,
        "{turned_away} of {answers}"
    );
    if span >= SETTLED {
        let most = thirds[1] + thirds[1] / 5 + 16 * 1024;
        assert!(thirds[2] <= most, "memory grows: {thirds:?}");
    }
    drop(site.clients);
    for gateway in site.gateways {
        gateway.stop().await;
    }
}

#[ignore = "minutes of a machine that does little else: tools/soak"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_of_two_gateways_over_redis_and_postgresql() {
    let backend = backend().await;
    let redis = tokio::task::spawn_blocking(Redis::start).await.unwrap();
    let database = postgres::database().await;
    let setup = || {
        let mut setup = Setup::new(&backend.url);
        setup.sessions = redis.url();
        setup.directory = database.clone();
        setup
    };
    soak(vec![setup(), setup()]).await;
}

#[ignore = "minutes of a machine that does little else: tools/soak"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_of_one_gateway_on_the_embedded_store() {
    let backend = backend().await;
    soak(vec![Setup::new(&backend.url)]).await;
}
