//! `vestibule policy diff --traffic`: a recorded access log asked again, of both policy folders, by
//! the code that serves. It says how many real requests would have gone differently, and of which
//! it can't say.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io::{self, BufRead, Read as _};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::explain::{ExplainArgs, explain};
use crate::gate::policy::Policies;
use crate::gate::product::Products;
use crate::gate::session::Profile;
use crate::gate::time::Moment;

/// Longer than any line that the gateway writes, in bytes.
const LONGEST: u64 = 64 << 10;
/// Where the gateway cuts a path.
const CUT: usize = 2048;
/// People named in a group; the others are counted.
const NAMED: usize = 5;

/// What stands in a line, as far as a decision hangs on it. What is not asked for may be missing:
/// other versions write other lines.
#[derive(Deserialize)]
struct Line {
    time: String,
    product: Option<String>,
    #[serde(default)]
    method: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    address: String,
    decision: String,
    reason: String,
    person: Option<String>,
    company: Option<String>,
    factor_age_s: Option<u64>,
    #[serde(default)]
    remembered_device: bool,
    session_age_s: Option<u64>,
    idle_s: Option<u64>,
}

/// Requests that change alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Alike {
    company: String,
    product: String,
    method: String,
    /// With `*` for what is another in each.
    path: String,
    old: &'static str,
    new: &'static str,
    rule: Option<String>,
}

#[derive(Debug, Clone, Default)]
struct Group {
    requests: u64,
    people: BTreeSet<String>,
}

/// What a log came to.
#[derive(Debug, Default)]
pub struct Traffic {
    requests: u64,
    judged: u64,
    different: u64,
    /// Of those judged: the old folder says otherwise than was recorded.
    recorded_otherwise: u64,
    groups: BTreeMap<Alike, Group>,
    unjudged: BTreeMap<&'static str, u64>,
}

/// Both sides of the question.
pub struct Sides<'a> {
    pub old: &'a Policies,
    pub new: &'a Policies,
    pub products: &'a Products,
    /// As the directory knows them now.
    pub people: &'a HashMap<String, Profile>,
}

// Why a line is not judged.
const NO_LINE: &str = "are no lines of an access log";
const NOT_A_PRODUCTS: &str = "were the portal's and the gateway's own, or refused as malformed";
const NOBODY: &str =
    "came from nobody who was signed in, or for an open path: no policy answers them";
const NOT_DECIDED: &str = "came while the session store was away, or were refused as a websocket";
const NO_AGES: &str = "don't say how old session and factor were: an older version wrote them";
const STRANGER: &str = "are of people whom the directory does not know any more";
const NO_PRODUCT: &str = "are of products that gateway.toml does not have any more";
const CUT_OFF: &str = "have a path that was too long for the log";

/// Asks both sides every line of `log`.
///
/// # Errors
/// The log can't be read.
pub fn replay(mut log: impl BufRead, sides: &Sides<'_>) -> io::Result<Traffic> {
    let mut traffic = Traffic::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut log).take(LONGEST).read_until(b'\n', &mut line)? == 0 {
            return Ok(traffic);
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        traffic.requests += 1;
        if let Err(why) = traffic.judge(&line, sides) {
            *traffic.unjudged.entry(why).or_default() += 1;
        }
    }
}

impl Traffic {
    fn judge(&mut self, line: &[u8], sides: &Sides<'_>) -> Result<(), &'static str> {
        let line: Line = serde_json::from_slice(line).map_err(|_| NO_LINE)?;
        let question = line.question(sides)?;
        let person = line.person.as_deref().and_then(|id| sides.people.get(id));
        let person = person.ok_or(STRANGER)?;
        let ask = |policies| {
            explain(
                &question,
                sides.products,
                policies,
                Some(person.clone()),
                Moment::EPOCH,
            )
            .map_err(|_| NO_LINE)
        };
        let (old, new) = (ask(sides.old)?, ask(sides.new)?);
        self.judged += 1;
        self.recorded_otherwise += u64::from(line.recorded() != old.decision);
        if old.decision == new.decision {
            return Ok(());
        }
        self.different += 1;
        let alike = Alike {
            company: question.company,
            product: question.product,
            method: question.method,
            path: shape(&line.path),
            old: old.decision,
            new: new.decision,
            rule: new.rule.or(old.rule),
        };
        let group = self.groups.entry(alike).or_default();
        group.requests += 1;
        group.people.insert(person.id.to_string());
        Ok(())
    }

    pub fn to_json(&self) -> Value {
        let groups: Vec<Value> = self
            .most_first()
            .into_iter()
            .map(|(alike, group)| {
                json!({
                    "company": alike.company, "product": alike.product, "method": alike.method,
                    "path": alike.path, "old": alike.old, "new": alike.new, "rule": alike.rule,
                    "requests": group.requests, "people": group.people,
                })
            })
            .collect();
        json!({
            "requests": self.requests,
            "judged": self.judged,
            "different": self.different,
            "recorded_otherwise": self.recorded_otherwise,
            "groups": groups,
            "not_judged": self.unjudged,
        })
    }

    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{} of {} judged requests would have gone differently\n",
            self.different, self.judged
        );
        for (alike, group) in self.most_first() {
            let named: Vec<&str> = group
                .people
                .iter()
                .take(NAMED)
                .map(String::as_str)
                .collect();
            let more = match group.people.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let rule = alike
                .rule
                .as_ref()
                .map(|rule| format!(" (rule {rule:?})"))
                .unwrap_or_default();
            let _ = writeln!(
                text,
                "  {} {} {} {}: {} -> {}{rule}: {} requests of {}{more}",
                alike.company,
                alike.product,
                alike.method,
                alike.path,
                alike.old,
                alike.new,
                group.requests,
                named.join(", ")
            );
        }
        if self.recorded_otherwise > 0 {
            let _ = writeln!(
                text,
                "{} of the judged are answered by the old folder otherwise than was recorded: other \
                 policies, roles or grants were in force then",
                self.recorded_otherwise
            );
        }
        let all: u64 = self.unjudged.values().sum();
        if all > 0 {
            let _ = writeln!(text, "{all} of {} were not judged; of these", self.requests);
        }
        for (why, count) in &self.unjudged {
            let _ = writeln!(text, "  {count} {why}");
        }
        text.push_str(
            "Each request is judged by itself, with the roles and grants of today; how long the \
             sign-in was idle in other products is not in the log.\n",
        );
        text
    }

    fn most_first(&self) -> Vec<(&Alike, &Group)> {
        let mut groups: Vec<(&Alike, &Group)> = self.groups.iter().collect();
        groups.sort_by(|a, b| b.1.requests.cmp(&a.1.requests).then(a.0.cmp(b.0)));
        groups
    }
}

impl Line {
    /// The same request, for `policy explain`.
    fn question(&self, sides: &Sides<'_>) -> Result<ExplainArgs, &'static str> {
        let product = self.product.as_deref().ok_or(NOT_A_PRODUCTS)?;
        match self.decision.as_str() {
            "allow" | "deny" | "sign_in" => {}
            "unavailable" => return Err(NOT_DECIDED),
            _ => return Err(NOT_A_PRODUCTS),
        }
        if self.reason == "upgrade" {
            return Err(NOT_DECIDED);
        }
        let (Some(_), Some(company)) = (&self.person, &self.company) else {
            return Err(NOBODY);
        };
        let (Some(session_age), Some(idle)) = (self.session_age_s, self.idle_s) else {
            return Err(NO_AGES);
        };
        if sides.products.by_id(product).is_none() {
            return Err(NO_PRODUCT);
        }
        if self.path.len() >= CUT {
            return Err(CUT_OFF);
        }
        let seconds = |age: u64| format!("{age}s");
        Ok(ExplainArgs {
            company: company.clone(),
            person: self.person.clone(),
            product: product.to_owned(),
            method: self.method.clone(),
            path: written(&self.path),
            at: Some(self.time.clone()),
            ip: self.address.parse().map_err(|_| NO_LINE)?,
            roles: Vec::new(),
            grants: Vec::new(),
            factor_age: Some(
                self.factor_age_s
                    .map_or_else(|| String::from("none"), seconds),
            ),
            remembered_device: self.remembered_device,
            session_age: Some(seconds(session_age)),
            idle: Some(seconds(idle)),
        })
    }

    fn recorded(&self) -> &str {
        match (self.decision.as_str(), self.reason.as_str()) {
            ("sign_in", "step_up") => "step_up",
            (decision, _) => decision,
        }
    }
}

/// The log has the canonical path in plain text; this is one that reads as it. Escapes in it are
/// what can't be plain text, so the percent sign stays.
pub(super) fn written(path: &str) -> String {
    const ESCAPED: AsciiSet = CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'#')
        .add(b'<')
        .add(b'>')
        .add(b'?')
        .add(b'[')
        .add(b']')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}');
    utf8_percent_encode(path, &ESCAPED).to_string()
}

/// `/patients/7/notes` and `/patients/8/notes` are one: a segment with a digit is `*`.
fn shape(path: &str) -> String {
    path.split('/')
        .map(|segment| {
            if segment.bytes().any(|byte| byte.is_ascii_digit()) {
                "*"
            } else {
                segment
            }
        })
        .collect::<Vec<_>>()
        .join("/")
}

#[cfg(test)]
#[path = "traffic_tests.rs"]
mod tests;
