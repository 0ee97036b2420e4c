use std::collections::BTreeSet;

use super::*;
use crate::gate::name::ProductId;
use crate::gate::product::{
    Access, Accounts, ActivityRules, IdentityHeaders, Product, Unauthenticated,
};

/// Section 11 of the interface.
const SECTION_11: &[&str] = &[
    "vestibule_requests_total{product,code}",
    "vestibule_request_duration_seconds{product}",
    "vestibule_upstream_duration_seconds{product}",
    "vestibule_decisions_total{product,decision,reason}",
    "vestibule_sign_ins_total{result}",
    "vestibule_factor_challenges_total{method,result}",
    "vestibule_sessions_active",
    "vestibule_sessions_ended_total{product,cause}",
    "vestibule_session_lookups_total{source}",
    "vestibule_store_duration_seconds{operation}",
    "vestibule_messages_sent_total{channel,result}",
    "vestibule_policy_companies",
    "vestibule_policy_last_reload_successful",
    "vestibule_policy_rejected_files",
    "vestibule_certificate_expiry_seconds{name}",
    "vestibule_backends_healthy{product}",
    "vestibule_build_info",
];

/// Beyond section 11.
const BEYOND: &[&str] = &[
    "vestibule_access_lines_lost_total",
    "vestibule_connections_refused_total",
    "vestibule_strangers_held_back_seconds_total",
    "vestibule_audit_failures_total",
    "vestibule_malformed_requests_total{reason}",
    "vestibule_trace_spans_total{result}",
    "vestibule_config_last_reload_successful",
    "vestibule_break_glass_open",
    "vestibule_sign_ons_total{product,result}",
    "vestibule_rollout_companies_reached{feature}",
    "vestibule_rollout_people_reached{feature}",
    "vestibule_rollout_paused{feature}",
    "vestibule_certificate_orders_total{result}",
];

fn products() -> Products {
    let product = |index: usize, id: &str| {
        Arc::new(Product {
            id: ProductId::parse(id).unwrap(),
            index,
            name: id.to_owned(),
            host: crate::gate::host::Host::parse_authority(format!("{id}.localhost").as_bytes())
                .unwrap(),
            origin: format!("https://{id}.localhost:8443"),
            primary: index == 0,
            needs_grant: false,
            accounts: Accounts::Own,
            access: Access::Required,
            idle: None,
            activity: ActivityRules::default(),
            identity: IdentityHeaders::Forwarded,
            unauthenticated: Unauthenticated::Auto,
            websockets: true,
        })
    };
    Products::new(vec![product(0, "emr"), product(1, "billing")]).unwrap()
}

/// Metrics after one of everything.
fn used() -> Metrics {
    let metrics = Metrics::new(&products());
    metrics.request(Some(0), 200, Duration::from_millis(3));
    metrics.upstream(0, Duration::from_millis(2));
    metrics.decision(Some(0), "allow", "session");
    metrics.malformed(Malformed::Framing);
    metrics.sign_in("ok");
    metrics.sign_on("billing", "ok");
    metrics.factor_challenge("totp", "ok");
    metrics.sessions_active(3);
    metrics.session_ended(Some("billing"), "product_idle");
    metrics.lookup("cache");
    metrics.store_call("load", Duration::from_micros(200));
    metrics.message_sent("sms", "ok");
    metrics.policies(12, true, 0);
    metrics.certificate_expiry("site", 86_400);
    metrics.certificate_order("issued");
    metrics.backends_healthy("emr", 2);
    metrics.spans("sent").inc();
    metrics.rollout_reached("mfa", 2, 31);
    metrics.rollout_paused("mfa", false);
    metrics
}

/// `name{label,label}` of every family, as section 11 writes it.
fn shapes(text: &str) -> BTreeSet<String> {
    let mut shapes = BTreeSet::new();
    let families: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    for sample in text.lines().filter(|line| !line.starts_with('#')) {
        let name = sample.split(['{', ' ']).next().unwrap();
        let family = families
            .iter()
            .find(|family| {
                name.strip_prefix(**family)
                    .is_some_and(|rest| matches!(rest, "" | "_bucket" | "_sum" | "_count"))
            })
            .unwrap();
        let labels = sample
            .split_once('{')
            .map_or("", |(_, rest)| rest.split_once('}').unwrap().0);
        let keys: BTreeSet<&str> = labels
            .split(',')
            .filter_map(|pair| Some(pair.split_once('=')?.0))
            .filter(|key| *key != "le")
            .collect();
        shapes.insert(shape(family, keys));
    }
    shapes
}

fn shape(name: &str, keys: BTreeSet<&str>) -> String {
    // The version is a label, but section 11 does not show it.
    if keys.is_empty() || name == "vestibule_build_info" {
        return name.to_owned();
    }
    format!(
        "{name}{{{}}}",
        keys.into_iter().collect::<Vec<_>>().join(",")
    )
}

#[test]
fn the_names_and_labels_are_section_11s_and_no_others() {
    let expected = SECTION_11.iter().chain(BEYOND).map(|line| {
        let (name, labels) = line.split_once('{').unwrap_or((line, ""));
        shape(
            name,
            labels
                .trim_end_matches('}')
                .split(',')
                .filter(|key| !key.is_empty())
                .collect(),
        )
    });
    assert_eq!(shapes(&used().render()), expected.collect());
}

#[test]
fn what_is_described_is_what_is_shown() {
    let described = Metrics::described().into_iter().map(|family| {
        let keys = family.labels.iter().map(String::as_str).collect();
        shape(&family.name, keys)
    });
    assert_eq!(described.collect::<BTreeSet<_>>(), shapes(&used().render()));
}

#[test]
fn what_is_counted_is_shown() {
    let metrics = used();
    metrics.request(Some(0), 200, Duration::from_millis(3));
    metrics.request(None, 302, Duration::ZERO);
    metrics.request(Place::Nowhere, 400, Duration::ZERO);
    metrics.request(Some(1), 0, Duration::ZERO);
    metrics.session_ended(None, "signed_out");
    let text = metrics.render();
    for line in [
        "vestibule_requests_total{code=\"200\",product=\"emr\"} 2",
        "vestibule_requests_total{code=\"302\",product=\"portal\"} 1",
        "vestibule_requests_total{code=\"400\",product=\"none\"} 1",
        "vestibule_requests_total{code=\"other\",product=\"billing\"} 1",
        "vestibule_request_duration_seconds_count{product=\"emr\"} 2",
        "vestibule_decisions_total{decision=\"allow\",product=\"emr\",reason=\"session\"} 1",
        "vestibule_sessions_ended_total{cause=\"product_idle\",product=\"billing\"} 1",
        "vestibule_sessions_ended_total{cause=\"signed_out\",product=\"all\"} 1",
        "vestibule_session_lookups_total{source=\"cache\"} 1",
        "vestibule_session_lookups_total{source=\"store\"} 0",
        "vestibule_policy_last_reload_successful 1",
        "vestibule_certificate_expiry_seconds{name=\"site\"} 86400",
        "vestibule_messages_sent_total{channel=\"sms\",result=\"sent\"} 0",
        "vestibule_messages_sent_total{channel=\"sms\",result=\"verified\"} 0",
        "vestibule_messages_sent_total{channel=\"email\",result=\"verified\"} 0",
    ] {
        assert!(
            text.lines().any(|shown| shown == line),
            "{line} is not in\n{text}"
        );
    }
}

#[test]
fn more_words_than_slots_are_counted_all_the_same() {
    let metrics = Metrics::new(&products());
    let words: Vec<&'static str> = (0..PAIRS + 8)
        .map(|n| &*format!("reason_{n}").leak())
        .collect();
    for _ in 0..2 {
        for reason in &words {
            metrics.decision(0, "deny", reason);
        }
    }
    let text = metrics.render();
    for reason in words {
        let line = format!(
            "vestibule_decisions_total{{decision=\"deny\",product=\"emr\",reason=\"{reason}\"}} 2"
        );
        assert!(text.contains(&line), "{line}");
    }
}

#[test]
fn counts_survive_a_change_of_products() {
    let before = used();
    let after = before.for_products(&products());
    after.request(Some(0), 200, Duration::ZERO);
    assert!(
        after
            .render()
            .contains("vestibule_requests_total{code=\"200\",product=\"emr\"} 2")
    );
}

#[test]
fn counting_in_parallel_loses_nothing() {
    let metrics = Metrics::new(&products());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    metrics.request(Some(0), 200, Duration::ZERO);
                    metrics.decision(Some(0), "allow", "session");
                    metrics.decision(Some(0), "deny", "rule");
                }
            });
        }
    });
    let text = metrics.render();
    assert!(text.contains("vestibule_requests_total{code=\"200\",product=\"emr\"} 4000"));
    assert!(text.contains("{decision=\"allow\",product=\"emr\",reason=\"session\"} 4000"));
    assert!(text.contains("{decision=\"deny\",product=\"emr\",reason=\"rule\"} 4000"));
}
