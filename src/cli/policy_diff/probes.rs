//! The questions that tell two policies apart, made of what stands in them: for each condition's
//! edges one value on either side, and of values that all conditions take alike only one.

use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use http::Method;
use ipnet::IpNet;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::paths::{self, Compared};
use crate::gate::name::ProductId;
use crate::gate::policy::{Action, CompanyPolicy, Conditions, Hours, Rule};
use crate::gate::product::{Access, OpenAccess, Product};
use crate::gate::time::Moment;

/// How a second factor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Factor {
    /// Proved too long ago for any rule.
    Old,
    None,
    /// As long ago as that.
    Aged(Duration),
    Device,
}

/// Everything to ask of one product: each with each.
#[derive(Debug, Clone)]
pub struct Probes {
    pub paths: Vec<String>,
    pub methods: Vec<Method>,
    pub addresses: Vec<IpAddr>,
    /// `None`: any time, for no rule looks at it.
    pub moments: Vec<Option<Moment>>,
    pub factors: Vec<Factor>,
}

/// One rule's condition, with what it is compared by.
struct Condition<'a> {
    is: &'a Conditions,
    /// A match lets somebody through.
    opens: bool,
    timezone: &'a TimeZone,
}

impl Probes {
    /// For these policies, old and new, of one company.
    pub fn of(policies: [&CompanyPolicy; 2], product: &Product, now: Moment) -> Probes {
        let conditions: Vec<Condition<'_>> = policies
            .into_iter()
            .flat_map(|policy| conditions(policy, &product.id))
            .collect();
        let hours: Vec<(&Hours, &TimeZone)> = conditions
            .iter()
            .filter_map(|one| Some((one.is.hours.as_ref()?, one.timezone)))
            .collect();
        let rules = policies.iter().flat_map(|policy| policy.rules.iter());
        Probes {
            paths: paths::examples(&compared(&conditions, product)),
            methods: methods(&conditions),
            addresses: addresses(&conditions),
            moments: moments(&hours, now),
            factors: factors(
                rules,
                policies.iter().any(|p| !p.mfa.remember_device.is_zero()),
            ),
        }
    }
}

/// Those of rules that can touch this product.
fn conditions<'a>(policy: &'a CompanyPolicy, product: &ProductId) -> Vec<Condition<'a>> {
    let here = |conditions: &Conditions| {
        let products = conditions.products.as_ref();
        products.is_none_or(|products| products.contains(product))
    };
    let mut found = Vec::new();
    for rule in policy.rules.iter().filter(|rule| here(&rule.when)) {
        let opens = rule.action == Action::Allow;
        let except = rule.except.as_ref().filter(|except| here(except));
        for (is, opens) in std::iter::once((&rule.when, opens)).chain(except.map(|e| (e, !opens))) {
            found.push(Condition {
                is,
                opens,
                timezone: &policy.timezone,
            });
        }
    }
    found
}

/// The rules' patterns, and those of the product's own open paths, where no rule is asked.
fn compared<'a>(conditions: &[Condition<'a>], product: &'a Product) -> Vec<Compared<'a>> {
    let ruled = conditions.iter().flat_map(|one| {
        one.is.paths.iter().flatten().map(|pattern| Compared {
            pattern,
            to_the_letter: one.opens,
        })
    });
    let table = match &product.access {
        Access::ByPath(table) => table.as_slice(),
        Access::Required | Access::Optional | Access::Public => &[],
    };
    let open = table.iter().map(|(pattern, access)| Compared {
        pattern,
        to_the_letter: *access != OpenAccess::Required,
    });
    ruled.chain(open).collect()
}

/// Each that is named, and one that is not.
fn methods(conditions: &[Condition<'_>]) -> Vec<Method> {
    let named = conditions
        .iter()
        .flat_map(|one| one.is.methods.iter().flatten());
    let mut methods: Vec<Method> = Vec::new();
    for method in named {
        if !methods.contains(method) {
            methods.push(method.clone());
        }
    }
    let others = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
    ];
    let odd = ["REPORT", "SEARCH", "MERGE", "LOCK"];
    let odd = odd
        .iter()
        .filter_map(|text| Method::from_bytes(text.as_bytes()).ok());
    let unnamed = others
        .into_iter()
        .chain(odd)
        .find(|one| !methods.contains(one));
    methods.extend(unnamed);
    methods
}

/// In each network and beside it: networks lie in one another or apart, so that their first
/// addresses, and those after their last, are in every corner.
fn addresses(conditions: &[Condition<'_>]) -> Vec<IpAddr> {
    let networks: Vec<&IpNet> = conditions
        .iter()
        .flat_map(|one| one.is.networks.iter().flatten())
        .collect();
    let edges = networks
        .iter()
        .flat_map(|net| std::iter::once(net.network()).chain(next_to(net.broadcast())));
    let anywhere = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv4Addr::UNSPECIFIED.into(),
        Ipv6Addr::LOCALHOST.into(),
        Ipv6Addr::UNSPECIFIED.into(),
    ];
    let all = anywhere.into_iter().chain(edges);
    told_apart(all.map(|ip| ip.to_canonical()), |ip| {
        networks.iter().map(|net| net.contains(ip)).collect()
    })
}

fn next_to(last: IpAddr) -> Option<IpAddr> {
    match last {
        IpAddr::V4(ip) => Some(Ipv4Addr::from(u32::from(ip).checked_add(1)?).into()),
        IpAddr::V6(ip) => Some(Ipv6Addr::from(u128::from(ip).checked_add(1)?).into()),
    }
}

/// Of what all conditions take alike, the first only.
fn told_apart<T>(all: impl Iterator<Item = T>, ways: impl Fn(&T) -> Vec<bool>) -> Vec<T> {
    let mut seen = HashSet::new();
    all.filter(|one| seen.insert(ways(one))).collect()
}

/// Two weeks of days; a year of them where hours are of two time zones, which move against one
/// another in summer.
const DAYS: i64 = 15;
const DAYS_OF_TWO_ZONES: i64 = 380;

/// One moment for each way in which hours can hold together: they begin and end at their own
/// minutes, at midnight, and when clocks are changed.
fn moments(hours: &[(&Hours, &TimeZone)], now: Moment) -> Vec<Option<Moment>> {
    if hours.is_empty() {
        return vec![None];
    }
    let mut zones: Vec<&TimeZone> = Vec::new();
    for (_, zone) in hours {
        if !zones.contains(zone) {
            zones.push(zone);
        }
    }
    let days = if zones.len() > 1 {
        DAYS_OF_TWO_ZONES
    } else {
        DAYS
    };
    let minutes: BTreeSet<u16> = hours
        .iter()
        .flat_map(|(hours, _)| hours.edges())
        .chain([0])
        .collect();
    let mut all = BTreeSet::from([now]);
    for zone in zones {
        edges(zone, &minutes, days, now, &mut all);
    }
    let ways = |at: &Moment| {
        hours
            .iter()
            .map(|(hours, zone)| hours.include(*at, zone))
            .collect()
    };
    let apart = told_apart(all.into_iter(), ways);
    apart.into_iter().map(Some).collect()
}

fn edges(
    zone: &TimeZone,
    minutes: &BTreeSet<u16>,
    days: i64,
    now: Moment,
    all: &mut BTreeSet<Moment>,
) {
    let Ok(began) = Timestamp::from_millisecond(now.millis()) else {
        return;
    };
    let today = zone.to_datetime(began).date();
    let moment = |at: Timestamp| Moment::from_millis(at.as_millisecond());
    for day in 0..days {
        let Ok(date) = today.checked_add(day.days()) else {
            continue;
        };
        for minute in minutes {
            let clock = (i8::try_from(minute / 60), i8::try_from(minute % 60));
            let (Ok(hour), Ok(minute)) = clock else {
                continue;
            };
            // 24:00 is the next day's midnight, which is there too.
            let Ok(time) = Time::new(hour, minute, 0, 0) else {
                continue;
            };
            if let Ok(at) = zone.to_timestamp(date.to_datetime(time)) {
                all.insert(moment(at));
            }
        }
    }
    let over = now.plus(Duration::from_secs(
        u64::try_from(days).unwrap_or(0) * 86_400,
    ));
    let changes = zone
        .following(began)
        .map(|change| moment(change.timestamp()));
    all.extend(changes.take_while(|at| *at <= over));
    *all = all.split_off(&now);
}

/// None, one for each `within` that it just meets, and one that is too old for all.
fn factors<'a>(rules: impl Iterator<Item = &'a Rule>, devices: bool) -> Vec<Factor> {
    let mut spans: BTreeSet<Duration> = rules
        .filter_map(|rule| match rule.action {
            Action::StepUp { within } => Some(within),
            Action::Allow | Action::Deny => None,
        })
        .collect();
    if spans.is_empty() {
        spans.insert(Duration::ZERO);
    }
    let mut factors = vec![Factor::Old, Factor::None];
    factors.extend(spans.into_iter().map(Factor::Aged));
    factors.extend(devices.then_some(Factor::Device));
    factors
}
