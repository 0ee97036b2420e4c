//! One browser at several gateways, played as the model says it is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use url::Url;

use super::model::{Act, Answer, Browser, OPEN, PRIVATE, PRODUCTS, Password, Product, World};
use crate::gateway::{Gateway, password};
use crate::visitor::{self, Visitor};

/// An end is promised to be felt within a second; a machine that is busy with all of this gets more.
const PATIENCE: Duration = Duration::from_secs(120);

const LATELY: usize = 12;

/// Numbers that follow from a seed (Steele, Lea, Flood: SplitMix64).
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % end as u64).unwrap()
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// A browser: what it is, and what the model takes it for.
pub struct Client {
    pub name: String,
    /// The same browser, before each gateway.
    there: Vec<Visitor>,
    pub model: Browser,
    dice: Dice,
    /// Cookies that opened a product once, and may not any more.
    pub ghosts: Vec<Ghost>,
    pub answers: u64,
    /// How often it was told to come again in a moment.
    pub told_to_wait: u64,
    /// How often a sign-in was one too many.
    pub turned_away: u64,
    /// Where the last activity was, and the last in each product.
    active: usize,
    active_in: BTreeMap<Product, usize>,
    /// When, where and what it did lately, for who looks for the cause of a wrong answer.
    lately: VecDeque<(i64, usize, Act)>,
    /// Who uses this browser: so few that nobody's right passwords alone are too many at once.
    users: [usize; 2],
}

/// Cookies of a sign-in that has ended.
#[derive(Clone)]
pub struct Ghost {
    there: Vec<Visitor>,
    product: Product,
}

impl Ghost {
    /// What it is worth at one of the gateways.
    pub async fn worth(&mut self, node: usize) -> u16 {
        let begun = Instant::now();
        loop {
            let worth = self.there[node].worth(self.product.name()).await;
            if worth != 503 || begun.elapsed() > PATIENCE {
                return worth;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    pub fn is_of_billing(&self) -> bool {
        self.product == Product::Billing
    }

    /// An end is felt everywhere, soon.
    pub async fn fades(&mut self) {
        let product = self.product.name();
        for there in &mut self.there {
            let begun = Instant::now();
            while there.worth(product).await != 401 {
                assert!(begun.elapsed() < PATIENCE, "what has ended opens {product}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

impl Client {
    pub fn new(name: String, gateways: &[Gateway], users: [usize; 2], dice: Dice) -> Client {
        Client {
            name,
            there: gateways.iter().map(Visitor::new).collect(),
            model: Browser::default(),
            dice,
            ghosts: Vec::new(),
            answers: 0,
            told_to_wait: 0,
            turned_away: 0,
            active: 0,
            active_in: BTreeMap::new(),
            lately: VecDeque::new(),
            users,
        }
    }

    /// Copies of its cookies, one for each product that they open.
    pub fn ghosts_of_now(&self) -> Vec<Ghost> {
        let entered = self.model.entered().into_iter();
        entered
            .map(|product| Ghost {
                there: self.there.clone(),
                product,
            })
            .collect()
    }

    /// Some acts, each answered as the model says.
    pub async fn live(mut self, world: Arc<World>, acts: usize, may_guess: bool) -> Client {
        for _ in 0..acts {
            let act = self.choose(&world, may_guess);
            self.play(&world, act).await;
        }
        self
    }

    fn choose(&mut self, world: &World, may_guess: bool) -> Act {
        let product = self.dice.of(&PRODUCTS);
        let path = self.dice.of(&[OPEN, OPEN, PRIVATE]);
        if self.model.is_asked(world, product) && !self.dice.one_in(4) {
            let same = self.model.person(world);
            let person = match same {
                // Mostly whoever was there before; at times somebody else sits down.
                Some(person) if !self.dice.one_in(8) => person,
                _ => self.dice.of(&self.users.clone()),
            };
            let wrong = may_guess && self.dice.one_in(2);
            if !world.people[person].disabled || may_guess {
                let password = if wrong {
                    Password::Wrong
                } else {
                    Password::Right
                };
                return Act::SignIn(product, person, password);
            }
        }
        match self.dice.below(20) {
            0..=5 => Act::Visit(product, path),
            6..=7 => Act::Switch(self.dice.of(&PRODUCTS), product),
            8..=11 => Act::Poll(product, path),
            12..=14 => Act::Change(product, path),
            15..=16 => Act::Remaining(product),
            17 => Act::Extend(product),
            18 => match self.dice.below(4) {
                0 => Act::SignOut(product),
                1 => Act::Forge(product),
                _ => Act::Apps,
            },
            _ => Act::Apps,
        }
    }

    async fn play(&mut self, world: &World, act: Act) {
        let node = self.dice.below(self.there.len());
        self.lately.truncate(LATELY);
        self.lately.push_front((world.now, node, act));
        let before = self.ghosts_of_now();
        let seen_before = PRODUCTS.map(|product| self.model.seen(product));
        let started = self.model.person(world);
        let model = self.model.clone();
        let expected = self.model.act(world, act);
        let seen = self.ask(world, act, node).await;
        if seen == Answer::TooMany {
            // How many attempts a busy machine makes of one no model knows: this one was none.
            self.turned_away += 1;
            self.model = model;
            return;
        }
        let fits = match (&expected, &seen) {
            // Elsewhere it may not be known yet how long ago the last activity was; never more is
            // left than that says, and what ends a session asks first.
            (Answer::Left(idle, maximum), Answer::Left(left, whole)) if !self.knows(node, act) => {
                *left <= idle + 1 && whole == maximum
            }
            // To the second before.
            (Answer::Left(idle, maximum), Answer::Left(left, whole)) => {
                idle.abs_diff(*left) <= 1 && whole == maximum
            }
            _ => expected == seen,
        };
        assert!(
            fits,
            "{} at node {node}: {act:?} was answered {seen:?} instead of {expected:?}; {:?}, {:?}, {world:?}",
            self.name, self.model, self.lately
        );
        self.answers += 1;
        self.note(seen_before, node);
        let cookies = self.there[node].clone();
        for there in &mut self.there {
            there.adopt_cookies(&cookies);
        }
        let replaced = matches!(act, Act::SignIn(_, person, _) if started.is_some_and(|s| s != person))
            && !matches!(expected, Answer::Refused);
        let out = started.is_some() && self.model.person(world).is_none();
        if out || replaced {
            for mut ghost in before {
                ghost.fades().await;
                self.ghosts.push(ghost);
            }
        }
    }

    /// Whether all that decides how long is left was seen by this node.
    fn knows(&self, node: usize, act: Act) -> bool {
        let Act::Remaining(product) = act else {
            return true;
        };
        self.active == node && self.active_in.get(&product) == Some(&node)
    }

    /// Whatever moved on in the model was seen by this node: a page, or the entering of a product
    /// whose page was denied then.
    fn note(&mut self, before: [Option<(i64, Option<i64>)>; 3], node: usize) {
        for (product, before) in PRODUCTS.into_iter().zip(before) {
            let now = self.model.seen(product);
            let anywhere = |seen: Option<(i64, _)>| seen.map(|(anywhere, _)| anywhere);
            let here = |seen: Option<(_, Option<i64>)>| seen.and_then(|(_, here)| here);
            if anywhere(now) != anywhere(before) {
                self.active = node;
            }
            if here(now) != here(before) {
                self.active_in.insert(product, node);
            }
        }
    }

    /// Until it is answered: on a machine that is busy enough a store is given up for a moment.
    async fn ask(&mut self, world: &World, act: Act, node: usize) -> Answer {
        let (begun, mut again) = (Instant::now(), false);
        loop {
            let answer = self.request(world, act, node, again).await;
            if answer != Answer::ComeAgain || begun.elapsed() > PATIENCE {
                return answer;
            }
            again = true;
            self.told_to_wait += 1;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// `again`: somebody was told to come again, and may have been let in before that.
    async fn request(&mut self, world: &World, act: Act, node: usize, again: bool) -> Answer {
        let there = &mut self.there[node];
        match act {
            Act::Visit(product, path) => {
                let url = there.url(product.name(), path);
                let page = there.open(url.clone()).await;
                read(past_what_is_kept(there, page, url).await)
            }
            Act::Switch(from, to) => {
                let path = format!("/.vestibule/switch?to={}", to.name());
                let url = there.url(from.name(), &path);
                let page = there.open(url).await;
                let wanted = there.url(to.name(), "/");
                read(past_what_is_kept(there, page, wanted).await)
            }
            Act::Poll(product, path) => {
                let url = there.url(product.name(), path);
                read(there.fetch(Method::GET, url).await)
            }
            Act::Change(product, path) => {
                let url = there.url(product.name(), path);
                read(there.fetch(Method::POST, url).await)
            }
            Act::Remaining(product) => {
                let url = there.url(product.name(), "/.vestibule/session");
                read(there.fetch(Method::GET, url).await)
            }
            Act::Extend(product) => {
                let url = there.url(product.name(), "/.vestibule/session/extend");
                read(there.fetch(Method::POST, url).await)
            }
            Act::Apps => {
                let url = there.url("login", "/apps");
                read(there.open(url).await)
            }
            Act::SignIn(product, person, typed) => {
                let url = there.url(product.name(), OPEN);
                let page = there.open(url.clone()).await;
                let page = past_what_is_kept(there, page, url.clone()).await;
                if page.status == 503 {
                    return Answer::ComeAgain;
                }
                if again && page.url.path() != "/login" {
                    return read(page);
                }
                assert_eq!(page.url.path(), "/login", "{}: {}", page.url, page.body);
                let login = &world.people[person].id;
                let typed = match typed {
                    Password::Right => password(login),
                    Password::Wrong => String::from("a guess"),
                };
                let fields = [("username", login.as_str()), ("password", &typed)];
                let page = there.submit(&page, &fields).await;
                read(past_what_is_kept(there, page, url).await)
            }
            Act::SignOut(product) => {
                let url = there.url(product.name(), "/.vestibule/sign_out");
                read(there.fetch(Method::POST, url).await)
            }
            Act::Forge(product) => {
                let mut forger = there.clone();
                let host = format!("{}.test", product.name());
                let id = there
                    .cookie(&host)
                    .and_then(|cookie| cookie.split_once('.'));
                let id = id.map_or("x", |(id, _)| id);
                forger.set_cookie(&host, &format!("{id}.{}", "A".repeat(43)));
                let url = forger.url(product.name(), OPEN);
                read(forger.fetch(Method::GET, url).await)
            }
        }
    }
}

/// Who comes in again is offered first what scripts sent meanwhile: it is thrown away.
async fn past_what_is_kept(
    there: &mut Visitor,
    page: visitor::Answer,
    wanted: Url,
) -> visitor::Answer {
    if page.url.path() != "/.vestibule/kept" || page.status != 200 {
        return page;
    }
    let form = page.field("form").unwrap();
    let thrown = [("deed", "throw_away"), ("form", form.as_str())];
    let thrown = there.submit_only(&page, &thrown).await;
    assert!(thrown.status.is_redirection(), "{}", thrown.body);
    there.open(wanted).await
}

/// What an answer amounts to.
fn read(answer: visitor::Answer) -> Answer {
    let host = answer.url.host_str().unwrap().to_owned();
    let (status, path) = (answer.status.as_u16(), answer.url.path().to_owned());
    let body = &answer.body;
    match status {
        200 if body.starts_with("inside ") => {
            let told: Vec<&str> = body.split(' ').collect();
            let product = PRODUCTS
                .into_iter()
                .find(|product| host == format!("{}.test", product.name()))
                .unwrap();
            assert_eq!(told[4], host, "another product's backend answered");
            Answer::Inside {
                product,
                login: told[1].to_owned(),
                person: told[2].to_owned(),
                company: told[3].to_owned(),
            }
        }
        200 if path.starts_with("/.vestibule/session") => {
            let told = answer.json();
            let left = |key: &str| told[key].as_i64().unwrap();
            Answer::Left(left("idle_remaining_s"), left("maximum_remaining_s"))
        }
        200 if host == "login.test" && path == "/login" => Answer::SignInPage,
        200 if path == "/apps" => Answer::Apps,
        200 if path == "/connect/billing" => Answer::Connect,
        403 if host == "login.test" && path == "/login" => Answer::Refused,
        403 if body.contains("given to people one by one") => Answer::NotGranted,
        403 if body.contains("rule") => Answer::Denied,
        401 => Answer::SignedOut,
        204 => Answer::Gone,
        429 if host == "login.test" && path == "/login" => Answer::TooMany,
        503 => Answer::ComeAgain,
        _ => panic!("{status} at {}: {}", answer.url, title(body)),
    }
}

fn title(page: &str) -> &str {
    let title = page.split("<title>").nth(1).unwrap_or(page);
    title.split("</title>").next().unwrap_or(title)
}
