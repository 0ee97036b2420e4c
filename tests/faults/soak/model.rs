//! What the gateway must answer: sums and maps, and nothing of the gateway's own. Time is milliseconds.

use std::collections::BTreeMap;

pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;
const MAXIMUM: i64 = 12 * HOUR;
const IDLE: i64 = 8 * HOUR;
/// A path that a company's rule may deny in EMR.
pub const PRIVATE: &str = "/private/notes";
pub const OPEN: &str = "/rounds";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Product {
    Emr,
    Billing,
    Analytics,
}

pub const PRODUCTS: [Product; 3] = [Product::Emr, Product::Billing, Product::Analytics];

impl Product {
    pub const fn name(self) -> &'static str {
        match self {
            Product::Emr => "emr",
            Product::Billing => "billing",
            Product::Analytics => "analytics",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Person {
    pub id: String,
    pub company: String,
    pub analytics: bool,
    /// The account in Billing is theirs to use.
    pub paired: bool,
    pub disabled: bool,
}

impl Person {
    pub fn login(&self, product: Product) -> String {
        match product {
            // Analytics takes the primary account's.
            Product::Emr | Product::Analytics => self.id.clone(),
            Product::Billing => format!("{}-billing", self.id),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Policy {
    pub billing_idle: i64,
    pub denies_private: bool,
}

/// What is true of everybody at one moment.
#[derive(Debug, Clone)]
pub struct World {
    pub now: i64,
    pub people: Vec<Person>,
    pub policies: BTreeMap<String, Policy>,
}

/// What somebody does. `node`s are chosen by who plays it: it must not matter which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// A page.
    Visit(Product, &'static str),
    /// By the link of another product's bar.
    Switch(Product, Product),
    /// A GET by a script: no activity.
    Poll(Product, &'static str),
    /// A POST by a script.
    Change(Product, &'static str),
    /// How long is left.
    Remaining(Product),
    Extend(Product),
    /// The launch page of the portal.
    Apps,
    /// From the page of this product, which asks for it.
    SignIn(Product, usize, Password),
    SignOut(Product),
    /// With the right id and a secret of somebody's own making.
    Forge(Product),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Password {
    Right,
    Wrong,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The backend was asked, and told of this account, person and company.
    Inside {
        product: Product,
        login: String,
        person: String,
        company: String,
    },
    /// Seconds: until idle, until the maximum.
    Left(i64, i64),
    Apps,
    SignInPage,
    /// The page where an account is paired.
    Connect,
    NotGranted,
    Denied,
    /// The sign-in page again, with what was wrong.
    Refused,
    /// 401.
    SignedOut,
    /// 204.
    Gone,
    /// 503: whoever is told to come again does, and nothing was done.
    ComeAgain,
    /// 429: each attempt to sign in counts, also one that was told to come again.
    TooMany,
}

#[derive(Debug, Clone)]
struct Session {
    person: usize,
    started: i64,
    /// The last activity anywhere, and in each product that was entered.
    anywhere: i64,
    entries: BTreeMap<Product, i64>,
}

/// One browser, as far as the gateway may know it.
#[derive(Debug, Clone, Default)]
pub struct Browser {
    session: Option<Session>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Nobody,
    /// Inside, and never been there.
    Elsewhere,
    Live,
    /// This product alone was left alone for too long.
    Closed,
}

impl World {
    fn policy(&self, person: usize) -> Policy {
        self.policies[&self.people[person].company]
    }
}

impl Browser {
    /// Who is signed in, if that is worth anything still.
    pub fn person(&self, world: &World) -> Option<usize> {
        self.live(world).map(|session| session.person)
    }

    pub fn is_inside(&self, world: &World, product: Product) -> bool {
        self.standing(world, product) == Standing::Live
    }

    /// Whether its pages would ask for a password.
    pub fn is_asked(&self, world: &World, product: Product) -> bool {
        let standing = self.standing(world, product);
        matches!(standing, Standing::Nobody | Standing::Closed)
    }

    /// Ends the sign-in of this person. Says whether there was one.
    pub fn revoke(&mut self, world: &World, person: usize) -> bool {
        let theirs = self.person(world) == Some(person);
        if theirs {
            self.session = None;
        }
        theirs
    }

    /// The link of this person's account in Billing is gone.
    pub fn unpair(&mut self, person: usize) {
        if let Some(session) = self.session.as_mut().filter(|s| s.person == person) {
            session.entries.remove(&Product::Billing);
        }
    }

    /// The last activity anywhere, and in this product.
    pub fn seen(&self, product: Product) -> Option<(i64, Option<i64>)> {
        let session = self.session.as_ref()?;
        Some((session.anywhere, session.entries.get(&product).copied()))
    }

    pub fn entered(&self) -> Vec<Product> {
        let entries = self.session.iter().flat_map(|session| &session.entries);
        entries.map(|(product, _)| *product).collect()
    }

    /// What this is answered, and what comes of it.
    pub fn act(&mut self, world: &World, act: Act) -> Answer {
        match act {
            Act::Visit(product, path) => self.visit(world, product, path),
            Act::Switch(_, to) => self.visit(world, to, "/"),
            Act::Poll(product, path) => self.ask(world, product, path, false),
            Act::Change(product, path) => self.ask(world, product, path, true),
            Act::Remaining(product) => self.remaining(world, product),
            Act::Extend(product) => {
                if self.is_inside(world, product) {
                    self.see(world, product);
                }
                self.remaining(world, product)
            }
            Act::Apps => match self.live(world) {
                Some(_) => self.at_portal(world, Answer::Apps),
                None => Answer::SignInPage,
            },
            Act::SignIn(product, person, password) => {
                self.sign_in(world, product, person, password)
            }
            Act::SignOut(product) => {
                // Whoever has this product's cookie ends it all; whoever has none is out already.
                if matches!(
                    self.standing(world, product),
                    Standing::Live | Standing::Closed
                ) {
                    self.session = None;
                }
                Answer::Gone
            }
            Act::Forge(_) => Answer::SignedOut,
        }
    }

    fn live(&self, world: &World) -> Option<&Session> {
        self.session.as_ref().filter(|session| {
            world.now - session.started <= MAXIMUM && world.now - session.anywhere <= IDLE
        })
    }

    fn standing(&self, world: &World, product: Product) -> Standing {
        let Some(session) = self.live(world) else {
            return Standing::Nobody;
        };
        let Some(seen) = session.entries.get(&product) else {
            return Standing::Elsewhere;
        };
        let idle = world.policy(session.person).billing_idle;
        if product == Product::Billing && world.now - seen > idle {
            Standing::Closed
        } else {
            Standing::Live
        }
    }

    fn see(&mut self, world: &World, product: Product) {
        if let Some(session) = &mut self.session {
            session.anywhere = world.now;
            session.entries.insert(product, world.now);
        }
    }

    /// A page of the portal is activity like any other page, in no product.
    fn at_portal(&mut self, world: &World, page: Answer) -> Answer {
        if let Some(session) = &mut self.session {
            session.anywhere = world.now;
        }
        page
    }

    fn inside(&self, world: &World, product: Product) -> Answer {
        let session = self.session.as_ref().unwrap();
        let person = &world.people[session.person];
        Answer::Inside {
            product,
            login: person.login(product),
            person: person.id.clone(),
            company: person.company.clone(),
        }
    }

    fn visit(&mut self, world: &World, product: Product, path: &str) -> Answer {
        match self.standing(world, product) {
            Standing::Nobody | Standing::Closed => return Answer::SignInPage,
            Standing::Live => {}
            Standing::Elsewhere => {
                let person = &world.people[self.session.as_ref().unwrap().person];
                match product {
                    Product::Analytics if !person.analytics => return Answer::NotGranted,
                    Product::Billing if !person.paired => {
                        return self.at_portal(world, Answer::Connect);
                    }
                    // Entering is activity, whatever is found behind the door.
                    _ => self.see(world, product),
                }
            }
        }
        self.ask(world, product, path, true)
    }

    /// A request with the product's own cookie.
    fn ask(&mut self, world: &World, product: Product, path: &str, active: bool) -> Answer {
        if !self.is_inside(world, product) {
            return Answer::SignedOut;
        }
        let person = self.session.as_ref().unwrap().person;
        if product == Product::Emr && path == PRIVATE && world.policy(person).denies_private {
            return Answer::Denied;
        }
        if active {
            self.see(world, product);
        }
        self.inside(world, product)
    }

    fn remaining(&self, world: &World, product: Product) -> Answer {
        if !self.is_inside(world, product) {
            return Answer::SignedOut;
        }
        let session = self.session.as_ref().unwrap();
        let maximum = session.started + MAXIMUM - world.now;
        let mut idle = session.anywhere + IDLE - world.now;
        if product == Product::Billing {
            let here = session.entries[&product];
            idle = idle.min(here + world.policy(session.person).billing_idle - world.now);
        }
        Answer::Left(idle.min(maximum) / 1000, maximum / 1000)
    }

    fn sign_in(
        &mut self,
        world: &World,
        product: Product,
        person: usize,
        password: Password,
    ) -> Answer {
        if password == Password::Wrong || world.people[person].disabled {
            return Answer::Refused;
        }
        let closed = self.standing(world, product) == Standing::Closed;
        match &mut self.session {
            // Who proves themselves for the product that was closed goes on, in the same session.
            Some(session) if closed && session.person == person => {
                session.anywhere = world.now;
                session.entries.insert(product, world.now);
            }
            _ => {
                self.session = Some(Session {
                    person,
                    started: world.now,
                    anywhere: world.now,
                    entries: BTreeMap::new(),
                });
            }
        }
        self.visit(world, product, OPEN)
    }
}
