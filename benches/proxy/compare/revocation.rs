//! How long a session that was ended on one node is still good on another.

use std::time::{Duration, Instant};

use reqwest::header::{COOKIE, ORIGIN};
use reqwest::{Client, Method};

use super::paper::Table;
use super::targets::{Bound, Targets};
use super::{Ground, programs};
use crate::backend::Page;
use crate::child::Running;
use crate::options::Options;
use crate::report::percentile;
use crate::visits::Visits;
use crate::{HOST, Result};

const BOUND: Bound = Bound {
    most: 100.0,
    unit: " ms",
};
/// The longest that is waited for the other node.
const PATIENCE: Duration = Duration::from_secs(10);

struct Node {
    client: Client,
    port: u16,
    /// Ended with this.
    _running: Running,
}

impl Node {
    fn of(running: Running) -> Result<Node> {
        let client = Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .redirect(reqwest::redirect::Policy::none())
            .resolve(HOST, running.address)
            .http1_only()
            .timeout(PATIENCE)
            .build()?;
        Ok(Node {
            client,
            port: running.address.port(),
            _running: running,
        })
    }

    async fn ask(&self, method: Method, path: &str, cookie: &str) -> Result<u16> {
        let answer = self
            .client
            .request(method, format!("https://{HOST}:{}{path}", self.port))
            .header("sec-fetch-mode", "cors")
            .header("sec-fetch-dest", "empty")
            .header("sec-fetch-site", "same-origin")
            .header(ORIGIN, format!("https://{HOST}"))
            .header(COOKIE, cookie)
            .send()
            .await?;
        let status = answer.status().as_u16();
        // To its end, so that the connection serves the next one.
        answer.bytes().await?;
        Ok(status)
    }
}

pub async fn measure(options: &Options, ground: &Ground, targets: &mut Targets) -> Result<String> {
    let what = String::from("revocation at a second node, p99");
    let Some(redis) = &ground.redis else {
        targets.hold(what, BOUND, Vec::new());
        return Ok(format!(
            "### Revocation\n\nWants Redis: `{}`\n",
            programs::APT
        ));
    };
    let plan = ground.shared("node-a", redis);
    let people = Visits::prepare(ground.path(), &plan, options.revocations).await?;
    let ending = Node::of(plan.start(ground.path(), &options.under)?)?;
    let other = ground.shared("node-b", redis);
    let other = Node::of(other.start(ground.path(), &options.under)?)?;
    let (mut since_asked, mut since_answered) = (Vec::new(), Vec::new());
    for number in 0..people.len() {
        let cookie = people.get(number).ok_or("nobody")?;
        let (asked, answered) = revoke(&ending, &other, cookie).await?;
        since_asked.push(asked);
        since_answered.push(answered);
    }
    let mut table = Table::new([
        "until the other node refuses",
        "p50 ms",
        "p99 ms",
        "most ms",
    ]);
    for (name, times) in [
        ("from the request that ended the session", &mut since_asked),
        ("from the answer to it", &mut since_answered),
    ] {
        times.sort();
        let of = |thousandth| format!("{:.2}", millis(percentile(times, thousandth)));
        table.row([name.to_owned(), of(500), of(990), of(1_000)]);
    }
    targets.hold(what, BOUND, vec![millis(percentile(&since_asked, 990))]);
    Ok(format!(
        "### Revocation\n\n{} sessions signed out on one node while the other is asked without a pause, with the session in its cache.\n\n{table}",
        people.len()
    ))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// How long the other node let the session in, from the request that ended it and from its answer.
async fn revoke(ending: &Node, other: &Node, cookie: &str) -> Result<(Duration, Duration)> {
    let path = Page::Notes.path();
    // Into the cache, and from it.
    for _ in 0..2 {
        let status = other.ask(Method::GET, path, cookie).await?;
        if status != 200 {
            return Err(format!("a session that has begun is answered with {status}").into());
        }
    }
    let begun = Instant::now();
    let end = async {
        let status = ending
            .ask(Method::POST, "/.vestibule/sign_out", cookie)
            .await?;
        match status {
            200..=399 => Ok::<_, Box<dyn std::error::Error>>(begun.elapsed()),
            status => Err(format!("signing out is answered with {status}").into()),
        }
    };
    let refused = async {
        while begun.elapsed() < PATIENCE {
            // What is under way when the session ends is cut: then the next one tells.
            if matches!(other.ask(Method::GET, path, cookie).await, Ok(401)) {
                return Ok(begun.elapsed());
            }
        }
        let late = "the other node goes on for ten seconds";
        Err::<Duration, Box<dyn std::error::Error>>(late.into())
    };
    let (answered, refused) = tokio::try_join!(end, refused)?;
    Ok((refused, refused.saturating_sub(answered)))
}
