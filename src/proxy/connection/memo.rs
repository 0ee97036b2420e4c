//! What a connection's requests have in common. A browser says the same host and sends the same
//! cookies with each of them: what these bytes come to is read once, and known again by comparing
//! them; so are the lines that a backend is told of a person. Nothing here depends on anything that
//! changes, so that nothing can be out of date.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::Bytes;
use http::header::{COOKIE, HeaderMap, HeaderValue};

use crate::gate::cookies::{self, Rewritten};
use crate::gate::decide::Permit;
use crate::gate::facts::{Malformed, Presented};
use crate::gate::host::Host;
use crate::gate::product::Product;
use crate::gate::session::Presence;
use crate::proxy::forward::Lines;

/// Longer Cookie lines are read anew each time: they would stay for as long as the connection.
const LONGEST: usize = 4 * 1024;

/// An authority as it was written, and the host that it names.
pub type Named = (Box<[u8]>, Host);

#[derive(Default)]
pub struct Memo {
    host: Last<Named>,
    cookies: Last<Cookies>,
    told: Last<Told>,
}

/// There are secrets in it.
impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memo(…)")
    }
}

/// The Cookie lines of a request, read.
pub struct Cookies {
    lines: Box<[HeaderValue]>,
    pub presented: Presented,
    /// What the backend gets of them.
    pub onward: Onward,
}

impl Cookies {
    /// In constant time for each line: a proxy before us may send somebody else's request over the
    /// same connection.
    fn are<'a>(&self, mut lines: impl Iterator<Item = &'a HeaderValue>) -> bool {
        let same = |line: &HeaderValue, known: &HeaderValue| {
            verify_slices_are_equal(line.as_bytes(), known.as_bytes()).is_ok()
        };
        let mut known = self.lines.iter();
        lines.all(|line| known.next().is_some_and(|known| same(line, known)))
            && known.next().is_none()
    }
}

/// [`Rewritten`], ready to be sent.
#[derive(PartialEq, Eq)]
pub enum Onward {
    Unchanged,
    Nothing,
    Line(HeaderValue),
}

impl From<Rewritten> for Onward {
    fn from(rewritten: Rewritten) -> Onward {
        match rewritten {
            Rewritten::Unchanged => Onward::Unchanged,
            Rewritten::Nothing => Onward::Nothing,
            // Parts of header values, and blanks between them: always a header value.
            Rewritten::Line(line) => HeaderValue::from_maybe_shared(Bytes::from(line))
                .map_or(Onward::Nothing, Onward::Line),
        }
    }
}

/// What a product's backend is told of a person, and of where the request came from.
pub struct Told {
    product: Arc<Product>,
    presence: Option<Arc<Presence>>,
    address: IpAddr,
    pub lines: Lines,
}

impl Told {
    /// Neither product nor presence ever changes: others take their place.
    fn is_of(&self, permit: &Permit, address: IpAddr) -> bool {
        let same_person = match (&self.presence, permit.presence()) {
            (Some(known), Some(presence)) => Arc::ptr_eq(known, presence),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        same_person && Arc::ptr_eq(&self.product, permit.product()) && self.address == address
    }
}

impl Memo {
    /// # Errors
    /// What [`Host::parse_authority`] says of it.
    pub fn host(&self, raw: &[u8]) -> Result<Arc<Named>, Malformed> {
        match self.host.get(|(known, _)| **known == *raw) {
            Some(known) => Ok(known),
            None => Ok(self.host.put((raw.into(), Host::parse_authority(raw)?))),
        }
    }

    pub fn cookies(&self, headers: &HeaderMap) -> Arc<Cookies> {
        let lines = || headers.get_all(COOKIE).iter();
        if let Some(known) = self.cookies.get(|known| known.are(lines())) {
            return known;
        }
        let bytes = || lines().map(HeaderValue::as_bytes);
        let read = |lines| Cookies {
            lines,
            presented: cookies::presented(bytes()),
            onward: cookies::without_ours(bytes()).into(),
        };
        if bytes().map(<[u8]>::len).sum::<usize>() > LONGEST {
            return Arc::new(read(Box::default()));
        }
        // Copies: the values of a request are parts of all that was read with it.
        let copies = bytes().filter_map(|line| HeaderValue::from_bytes(line).ok());
        self.cookies.put(read(copies.collect()))
    }

    /// `say` makes the lines, where they are not those of before.
    pub fn told(&self, permit: &Permit, address: IpAddr, say: impl FnOnce() -> Lines) -> Arc<Told> {
        let known = self.told.get(|told| told.is_of(permit, address));
        known.unwrap_or_else(|| {
            self.told.put(Told {
                product: Arc::clone(permit.product()),
                presence: permit.presence().map(Arc::clone),
                address,
                lines: say(),
            })
        })
    }
}

/// The last answer to a question that is asked again and again.
struct Last<T>(Mutex<Option<Arc<T>>>);

impl<T> Default for Last<T> {
    fn default() -> Last<T> {
        Last(Mutex::new(None))
    }
}

impl<T> Last<T> {
    fn get(&self, fits: impl FnOnce(&T) -> bool) -> Option<Arc<T>> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|last| fits(last)).map(Arc::clone)
    }

    fn put(&self, answer: T) -> Arc<T> {
        let answer = Arc::new(answer);
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(Arc::clone(&answer));
        answer
    }
}

#[cfg(test)]
mod tests {
    use http::header::HOST;

    use super::*;
    use crate::gate::decide::{Decision, decide};
    use crate::gate::product::Access;
    use crate::gate::samples::{facts, found, known, noon, policies, policy, product, session};
    use crate::gate::session::{Secret, Token};

    fn headers(lines: &[&str]) -> HeaderMap {
        let line = |line: &&str| (COOKIE, HeaderValue::from_str(line).unwrap());
        lines.iter().map(line).collect()
    }

    fn visitor(byte: u8) -> String {
        let token = Token::Visitor(Secret::from_bytes([byte; 32]));
        format!("__Host-vestibule={}", token.expose())
    }

    fn whose(cookies: &Cookies) -> Option<String> {
        match &cookies.presented {
            Presented::Token(token) => Some(token.expose()),
            Presented::Nothing | Presented::Malformed => None,
        }
    }

    #[test]
    fn each_request_is_read_by_its_own_cookies() {
        let memo = Memo::default();
        let (one, other) = (&*visitor(1), &*visitor(2));
        let long = format!("{one}; a={}", "b".repeat(LONGEST));
        for lines in [
            &[][..],
            &[one],
            &[one],
            &[other],
            &[one, other],
            &[one],
            &[],
            &[&long],
            &[],
            &[&long],
            &["a=b"],
            &[other, "a=b"],
        ] {
            let headers = headers(lines);
            let fresh = Memo::default().cookies(&headers);
            let read = memo.cookies(&headers);
            assert_eq!(whose(&read), whose(&fresh), "{lines:?}");
            assert!(read.onward == fresh.onward, "{lines:?}");
            assert_eq!(whose(&memo.cookies(&headers)), whose(&fresh), "{lines:?}");
        }
    }

    #[test]
    fn the_same_lines_are_read_once_unless_they_are_long() {
        let memo = Memo::default();
        let same = |lines: &[&str]| {
            let headers = headers(lines);
            Arc::ptr_eq(&memo.cookies(&headers), &memo.cookies(&headers))
        };
        assert!(same(&["a=b", &visitor(1)]));
        assert!(!same(&[&"a".repeat(LONGEST + 1)]));
    }

    fn permit(product: &Arc<Product>) -> Permit {
        let found = found(known(session(), product));
        let decision = decide(
            &facts(product, "GET /"),
            &found,
            &policies(policy()),
            noon(),
        );
        let Decision::Forward(permit) = decision else {
            panic!("Kim is signed in");
        };
        permit
    }

    #[test]
    fn backends_are_told_of_each_person_product_and_address_by_themselves() {
        let memo = Memo::default();
        let (emr, billing) = (product("emr"), product("billing"));
        let mut public = Product::clone(&emr);
        public.access = Access::Public;
        let permits = [
            permit(&emr),
            permit(&emr),
            permit(&Arc::new(Product::clone(&emr))),
            permit(&billing),
            permit(&Arc::new(public)),
        ];
        let addresses = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap());
        for places in [0, 1, 0, 2, 1, 3, 4, 0, 4].windows(2) {
            for (place, at) in places.iter().zip(addresses).chain([(&0, addresses[0])]) {
                let label = format!("{place} {at}");
                let said = HeaderMap::from_iter([(HOST, label.parse().unwrap())]);
                let say = || Lines::new(&said, Box::default());
                let told = memo.told(&permits[*place], at, say);
                assert_eq!(told.lines, say());
                let nothing = || Lines::new(&HeaderMap::new(), Box::default());
                let again = memo.told(&permits[*place], at, nothing);
                assert!(Arc::ptr_eq(&told, &again), "{label}");
            }
        }
    }

    #[test]
    fn what_is_known_of_a_connection_prints_no_secret() {
        let memo = Memo::default();
        let cookie = visitor(1);
        memo.cookies(&headers(&[&cookie]));
        assert_eq!(format!("{memo:?}"), "Memo(…)");
    }

    #[test]
    fn each_request_is_for_the_host_that_it_names() {
        let memo = Memo::default();
        for raw in ["a.test", "a.test", "A.test:443", "b.test", "a.test"] {
            let expected = Host::parse_authority(raw.as_bytes()).unwrap();
            assert_eq!(memo.host(raw.as_bytes()).unwrap().1, expected, "{raw}");
        }
        assert_eq!(memo.host(b"a b").unwrap_err(), Malformed::Host);
        assert_eq!(memo.host(b"a.test").unwrap().1.as_str(), "a.test");
    }
}
