//! Panels and alerts ask for what there is: a metric, a label or a word that the program does not
//! have would be an empty panel in the night when somebody looks at it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use vestibule::observe::metrics::{Described, Metrics};

use crate::{read, root};

/// What Prometheus itself adds.
const ADDED: [&str; 3] = ["instance", "job", "le"];

fn described() -> BTreeMap<String, Described> {
    let all = Metrics::described().into_iter();
    all.map(|family| (family.name.clone(), family)).collect()
}

/// Every word that the program could use as a label's value.
fn words() -> String {
    fn gather(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                gather(&path, text);
            } else {
                text.push_str(&std::fs::read_to_string(&path).unwrap_or_default());
            }
        }
    }
    let mut text = String::new();
    gather(&root().join("src"), &mut text);
    text
}

fn is_name(byte: char) -> bool {
    byte.is_ascii_alphanumeric() || byte == '_'
}

/// The names in an expression that are ours, with what stands in braces after each.
fn selectors(expression: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find("vestibule_") {
        let name: String = rest[at..].chars().take_while(|c| is_name(*c)).collect();
        rest = &rest[at + name.len()..];
        let braces = match rest.strip_prefix('{') {
            Some(inner) => inner[..inner.find('}').unwrap()].to_owned(),
            None => String::new(),
        };
        found.push((name, braces));
    }
    found
}

/// `key="value"`, `key=~"value"` and so on.
fn matchers(braces: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = braces;
    while let Some((key, after)) = rest.split_once('=') {
        let key = key.trim_matches([',', ' ', '!']).to_owned();
        let value = after.trim_start_matches('~').strip_prefix('"').unwrap();
        let (value, after) = value.split_once('"').unwrap();
        found.push((key, value.to_owned()));
        rest = after;
    }
    found
}

/// What is grouped by, or shown: `by (a, b)` and `{{a}}` or `{{ $labels.a }}`.
fn grouped(text: &str) -> Vec<String> {
    let lists = text
        .split("by (")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap());
    let keys = lists.flat_map(|list| list.split(','));
    keys.map(|key| key.trim().to_owned()).collect()
}

fn shown(text: &str) -> Vec<String> {
    let tags = text
        .split("{{")
        .skip(1)
        .map(|rest| rest.split("}}").next().unwrap().trim());
    tags.map(|tag| tag.trim_start_matches("$labels.").to_owned())
        .collect()
}

/// What is wrong with an expression and the words beside it.
fn problems(place: &str, expression: &str, legend: &str, sources: &str) -> Vec<String> {
    let families = described();
    let mut problems = Vec::new();
    let mut labels: BTreeSet<String> = ADDED.iter().map(|label| (*label).to_owned()).collect();
    for (name, braces) in selectors(expression) {
        let suffixes = ["_bucket", "_sum", "_count"];
        let base = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
        let family = match (
            families.get(&name),
            base.and_then(|base| families.get(base)),
        ) {
            (Some(family), _) if !family.histogram => family,
            (None, Some(family)) if family.histogram => family,
            _ => {
                problems.push(format!("{place}: there is no metric {name}"));
                continue;
            }
        };
        for (key, value) in matchers(&braces) {
            if ADDED.contains(&key.as_str()) {
                continue;
            }
            if !family.labels.contains(&key) {
                problems.push(format!("{place}: {name} has no label {key}"));
            }
            let plain = |word: &&str| word.chars().all(is_name) && !word.is_empty();
            for word in value.split('|').filter(plain) {
                let digits = word.chars().all(|c| c.is_ascii_digit());
                if !digits && !sources.contains(&format!("\"{word}\"")) {
                    problems.push(format!("{place}: {key} of {name} is never {word}"));
                }
            }
        }
        labels.extend(family.labels.iter().cloned());
    }
    for label in grouped(expression).into_iter().chain(shown(legend)) {
        if !labels.contains(&label) {
            problems.push(format!("{place}: nothing here has a label {label}"));
        }
    }
    problems
}

/// Title, expression and legend of every panel of every dashboard.
fn panels() -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join("deploy/grafana")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            for target in panel["targets"].as_array().into_iter().flatten() {
                let part = |key: &str| target[key].as_str().unwrap().to_owned();
                found.push((title.to_owned(), part("expr"), part("legendFormat")));
            }
        }
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            let query = variable["query"].as_str().unwrap_or_default();
            if let Some(inner) = query.strip_prefix("label_values(") {
                let (metric, label) = inner.trim_end_matches(')').split_once(", ").unwrap();
                let legend = format!("{{{{{label}}}}}");
                found.push((format!("variable {label}"), metric.to_owned(), legend));
            }
        }
    }
    found
}

fn alerts() -> Vec<Value> {
    let file: Value = serde_saphyr::from_str(&read("deploy/prometheus/alerts.yml")).unwrap();
    let groups = file["groups"].as_array().unwrap().iter();
    groups
        .flat_map(|group| group["rules"].as_array().unwrap().clone())
        .collect()
}

#[test]
fn every_panel_asks_for_what_there_is() {
    let sources = words();
    let panels = panels();
    assert!(panels.len() > 20);
    let wrong: Vec<String> = panels
        .iter()
        .flat_map(|(title, expression, legend)| problems(title, expression, legend, &sources))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_alert_asks_for_what_there_is_and_says_what_it_means() {
    let sources = words();
    let alerts = alerts();
    assert!(alerts.len() > 10);
    let mut wrong = Vec::new();
    for alert in &alerts {
        let name = alert["alert"].as_str().unwrap();
        let summary = alert["annotations"]["summary"].as_str().unwrap();
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["page", "ticket"].contains(&severity), "{name}: {severity}");
        wrong.extend(problems(
            name,
            alert["expr"].as_str().unwrap(),
            summary,
            &sources,
        ));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn promtool(arguments: &[&str]) {
    let mut promtool = Command::new("promtool");
    let done = promtool.current_dir(root()).args(arguments).output();
    let done = done.expect("promtool, of the package prometheus");
    let said = String::from_utf8_lossy(&done.stdout);
    let complaints = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}{complaints}");
}

#[test]
fn prometheus_understands_what_the_panels_ask() {
    let rules: Vec<Value> = panels()
        .into_iter()
        .map(|(_, expression, _)| {
            // What Grafana fills in.
            let filled = expression.replace("$__rate_interval", "5m");
            json!({ "record": "asked", "expr": filled.replace('$', "") })
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("panels.yml");
    let groups = json!({ "groups": [{ "name": "panels", "rules": rules }] });
    std::fs::write(&file, groups.to_string()).unwrap();
    promtool(&["check", "rules", "--lint=none", file.to_str().unwrap()]);
}

#[test]
fn every_alert_fires_when_it_should() {
    let file = "tests/prometheus/alerts.yml";
    promtool(&["test", "rules", file]);

    let stories: Value = serde_saphyr::from_str(&read(file)).unwrap();
    let stories = stories["tests"].as_array().unwrap();
    let sources = words();
    let (mut fired, mut wrong) = (BTreeSet::new(), Vec::new());
    for story in stories {
        for series in story["input_series"].as_array().unwrap() {
            let series = series["series"].as_str().unwrap();
            wrong.extend(problems(file, series, "", &sources));
        }
        for expected in story["alert_rule_test"].as_array().unwrap() {
            if !expected["exp_alerts"].as_array().unwrap().is_empty() {
                fired.insert(expected["alertname"].as_str().unwrap().to_owned());
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let all = alerts();
    let all = all.iter().map(|alert| alert["alert"].as_str().unwrap());
    assert_eq!(fired, all.map(str::to_owned).collect());
}

#[test]
fn every_metric_is_looked_at_by_a_panel() {
    let asked: String = panels()
        .into_iter()
        .map(|(_, expression, _)| expression)
        .collect();
    let forgotten: Vec<String> = described()
        .into_keys()
        .filter(|name| !asked.contains(name.as_str()))
        .collect();
    assert!(
        forgotten.is_empty(),
        "no panel shows {}",
        forgotten.join(", ")
    );
}

#[test]
fn what_is_not_there_is_found() {
    let sources = words();
    for (expression, legend, expected) in [
        (
            "rate(vestibule_requests_totals[5m])",
            "",
            "there is no metric vestibule_requests_totals",
        ),
        (
            "vestibule_request_duration_seconds{}",
            "",
            "there is no metric",
        ),
        ("vestibule_sessions_active_bucket", "", "there is no metric"),
        (
            "vestibule_requests_total{company=\"acme\"}",
            "",
            "has no label company",
        ),
        (
            "vestibule_sign_ins_total{result=\"wonderful_ness\"}",
            "",
            "is never wonderful_ness",
        ),
        (
            "sum by (person) (vestibule_requests_total)",
            "",
            "nothing here has a label person",
        ),
        (
            "vestibule_requests_total",
            "{{reason}}",
            "nothing here has a label reason",
        ),
    ] {
        let found = problems("here", expression, legend, &sources);
        assert!(
            found.iter().any(|problem| problem.contains(expected)),
            "{expression}: {found:?}"
        );
    }
    let right = "sum by (le) (rate(vestibule_request_duration_seconds_bucket{product=~\"emr|portal\"}[5m]))";
    assert_eq!(
        problems("here", right, "{{le}}", &sources),
        Vec::<String>::new()
    );
}

/// The ten questions are answered by what exists: each names a panel of the dashboard, or a command.
#[test]
fn each_of_the_ten_questions_is_answered_by_a_panel_or_a_command_that_exists() {
    let page = read("docs/operating.md");
    let from = page.find("## Ten questions").unwrap();
    let rest = &page[from + 3..];
    let section = &rest[..rest.find("\n## ").unwrap_or(rest.len())];
    let titles: BTreeSet<String> = panels().into_iter().map(|(title, _, _)| title).collect();
    let rows: Vec<&str> = section
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| question"))
        .collect();
    assert_eq!(rows.len(), 10, "{rows:#?}");
    for row in rows {
        let answer = row.split(" | ").nth(1).unwrap();
        let panels: Vec<&str> = answer.split('*').skip(1).step_by(2).collect();
        for panel in &panels {
            assert!(titles.contains(*panel), "no panel is called {panel:?}");
        }
        let commands: Vec<&str> = crate::quoted(answer)
            .filter(|word| word.starts_with("vestibule ") && !word.starts_with("vestibule_"))
            .collect();
        assert!(!panels.is_empty() || !commands.is_empty(), "{row}");
        for command in commands {
            crate::assert_is_command(command);
        }
    }
}
