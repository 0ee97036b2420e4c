//! Where somebody is going, as it stands in addresses and hidden fields: each tab carries its own.
//! Nothing in it is believed: every use judges it again.

use std::sync::Arc;
use std::time::Duration;

use url::form_urlencoded::Serializer;

use super::State;
use super::fields::Fields;
use crate::gate::arrival::FreshFactor;
use crate::gate::name::ProductId;
use crate::gate::product::Product;
use crate::gate::return_to::ReturnTo;
use crate::gate::session::SecretHash;
use crate::pages::Hidden;

/// Longer ones lead to the default product, in bytes.
const LONGEST: usize = 2048;

/// Without `within`: a factor that was proved just now, before this page.
const RIGHT_NOW: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Default)]
pub struct Errand {
    rd: Option<String>,
    bind: Option<SecretHash>,
    /// How often the hand-over was begun again.
    pub again: u8,
    need: bool,
    within: Option<u64>,
    /// Why they were sent here: chooses one of our own sentences.
    pub reason: Option<String>,
}

/// What an errand leads to.
#[derive(Debug, Clone)]
pub enum Landing {
    Portal {
        url: String,
    },
    Product {
        product: Arc<Product>,
        url: String,
        path: String,
    },
}

impl Errand {
    pub fn of(fields: &Fields) -> Errand {
        Errand {
            rd: fields
                .of("rd")
                .filter(|rd| rd.len() <= LONGEST)
                .map(str::to_owned),
            bind: fields.of("bind").and_then(SecretHash::parse),
            again: fields
                .of("again")
                .and_then(|again| again.parse().ok())
                .unwrap_or(0),
            need: fields.of("need") == Some("factor"),
            within: fields.of("within").and_then(|within| within.parse().ok()),
            reason: fields
                .of("reason")
                .filter(|reason| reason.len() <= 32)
                .map(str::to_owned),
        }
    }

    /// To one of the portal's own pages.
    pub fn to_portal(state: &State, path: &str) -> Errand {
        Errand {
            rd: Some(format!("{}{path}", state.portal_origin)),
            ..Errand::default()
        }
    }

    /// The same, where a factor not older than `within` is wanted.
    pub fn needing(self, within: Duration) -> Errand {
        Errand {
            need: true,
            within: Some(within.as_secs()),
            ..self
        }
    }

    pub fn bind(&self) -> Option<&SecretHash> {
        self.bind.as_ref()
    }

    pub fn fresh_factor(&self) -> FreshFactor {
        let within = self.within.map_or(RIGHT_NOW, Duration::from_secs);
        self.need.then_some(within.max(RIGHT_NOW))
    }

    /// What was wanted is done: the door judges whether it suffices.
    pub fn satisfied(&self) -> Errand {
        Errand {
            need: false,
            within: None,
            reason: None,
            ..self.clone()
        }
    }

    pub fn because(&self, reason: &str) -> Errand {
        Errand {
            reason: Some(reason.to_owned()),
            ..self.clone()
        }
    }

    /// A page of the portal with this errand in its address.
    pub fn on(&self, page: &str) -> String {
        let pairs = self.pairs();
        if pairs.is_empty() {
            return page.to_owned();
        }
        let query = Serializer::new(String::new()).extend_pairs(pairs).finish();
        format!("{page}?{query}")
    }

    /// The same with one pair more.
    pub fn on_with(&self, page: &str, name: &str, value: &str) -> String {
        self.on_with_all(page, &[(name, value)])
    }

    /// The same with several.
    pub fn on_with_all(&self, page: &str, more: &[(&str, &str)]) -> String {
        let query = Serializer::new(String::new())
            .extend_pairs(self.pairs())
            .extend_pairs(more)
            .finish();
        format!("{page}?{query}")
    }

    pub fn hidden(&self, token: String) -> Hidden {
        let mut hidden = self.pairs();
        hidden.push(("csrf", token));
        hidden
    }

    /// For a form that only looks something up.
    pub fn hidden_without_token(&self) -> Hidden {
        self.pairs()
    }

    fn pairs(&self) -> Hidden {
        let mut pairs = Vec::new();
        let mut add = |name: &'static str, value: Option<String>| {
            pairs.extend(value.map(|value| (name, value)));
        };
        add("rd", self.rd.clone());
        add("bind", self.bind.map(|bind| bind.to_text()));
        add("again", (self.again > 0).then(|| self.again.to_string()));
        add("need", self.need.then(|| String::from("factor")));
        add("within", self.within.map(|within| within.to_string()));
        add("reason", self.reason.clone());
        pairs
    }

    /// The product that is wanted by name, for the page's heading.
    pub fn wanted(&self, state: &State) -> Option<Arc<Product>> {
        self.read(state)?.product().cloned()
    }

    /// What is wanted, or the person's default product, or the primary one.
    pub fn landing(&self, state: &State, default: Option<&ProductId>) -> Landing {
        match self.read(state) {
            Some(to) => match to.product() {
                Some(product) => Landing::Product {
                    product: Arc::clone(product),
                    url: to.url().to_owned(),
                    path: to.path_and_query().to_owned(),
                },
                None => Landing::Portal {
                    url: to.url().to_owned(),
                },
            },
            None => {
                let default = default.and_then(|id| state.products.by_id(id.as_str()));
                let product = default.unwrap_or_else(|| state.products.primary());
                Landing::Product {
                    product: Arc::clone(product),
                    url: format!("{}/", product.origin),
                    path: String::from("/"),
                }
            }
        }
    }

    /// Whether it leads back to a form that is kept.
    pub fn has_form(&self, state: &State) -> bool {
        self.read(state).is_some_and(|to| to.is_kept_form())
    }

    /// Whether it leads to where they are told that a form could not be kept.
    pub fn has_lost_form(&self, state: &State) -> bool {
        self.read(state).is_some_and(|to| to.is_lost_form())
    }

    /// Whether nothing but the primary product's first page is wanted: that is where people come to
    /// sign in, wherever they want to work.
    pub fn is_front_door(&self, state: &State) -> bool {
        self.read(state).is_none_or(|to| {
            let primary = to.product().is_some_and(|product| product.primary);
            primary && to.path_and_query() == "/"
        })
    }

    pub fn has_rd(&self) -> bool {
        self.rd.is_some()
    }

    fn read(&self, state: &State) -> Option<ReturnTo> {
        ReturnTo::parse(self.rd.as_deref()?, &state.products, &state.portal_origin)
    }
}
