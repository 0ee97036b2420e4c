//! What stands in deploy/ can be read by those whom it is for, and says what the program does.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::fetched;
use crate::{read, root};

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|problem| panic!("{problem}\n{text}"))
}

const CHART: &str = "deploy/helm/vestibule";

fn helm(arguments: &[&str]) -> String {
    let mut helm = Command::new(fetched("helm"));
    output(helm.current_dir(root()).args(arguments))
}

fn output(command: &mut Command) -> String {
    let done = command.output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    let complaints = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}{complaints}");
    said
}

/// Every object of a release named `clinic`.
fn chart() -> Vec<(String, Value)> {
    rendered(&[])
}

fn rendered(arguments: &[&str]) -> Vec<(String, Value)> {
    let text = helm(&[&["template", "clinic", CHART], arguments].concat());
    let objects = text.split("\n---\n").map(yaml);
    objects
        .map(|object| (object["kind"].as_str().unwrap().to_owned(), object))
        .collect()
}

fn of_kind(kind: &str) -> Value {
    object(&chart(), kind, "clinic")
}

fn object(chart: &[(String, Value)], kind: &str, name: &str) -> Value {
    let mut all = chart.iter();
    let found = all.find(|(found, object)| found == kind && object["metadata"]["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no {kind} {name}"));
    found.1.clone()
}

/// Settings that a text of gateway.toml and an environment come to.
fn settings(text: &str, variables: &[(String, String)]) -> vestibule::config::Settings {
    let variables = variables.iter().cloned();
    vestibule::config::read(
        text,
        Path::new("/etc/vestibule/gateway.toml"),
        variables,
        &[],
    )
    .unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn the_chart_is_of_this_version_and_its_objects_fit_together() {
    helm(&["lint", "--strict", CHART]);
    let chart = yaml(&read("deploy/helm/vestibule/Chart.yaml"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    let kinds: BTreeSet<String> = self::chart().into_iter().map(|(kind, _)| kind).collect();
    let expected = ["ConfigMap", "PodDisruptionBudget", "Service", "StatefulSet"];
    assert_eq!(
        kinds.iter().map(String::as_str).collect::<Vec<_>>(),
        expected
    );

    let deployment = of_kind("StatefulSet");
    let pod = &deployment["spec"]["template"];
    let selector = &of_kind("Service")["spec"]["selector"];
    assert_eq!(selector, &pod["metadata"]["labels"]);
    assert_eq!(selector, &deployment["spec"]["selector"]["matchLabels"]);
    assert_eq!(
        selector,
        &of_kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    );

    let pods = deployment["spec"]["serviceName"].as_str().unwrap();
    let pods = object(&self::chart(), "Service", pods);
    assert_eq!(selector, &pods["spec"]["selector"]);

    let spec = &pod["spec"];
    let claims = deployment["spec"]["volumeClaimTemplates"]
        .as_array()
        .unwrap();
    let claims = claims.iter().map(|claim| &claim["metadata"]);
    let volumes: BTreeSet<&str> = spec["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .chain(claims)
        .map(|volume| volume["name"].as_str().unwrap())
        .collect();
    for container in spec["containers"].as_array().unwrap() {
        let security = &container["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["capabilities"]["drop"][0], "ALL");
        for mount in container["volumeMounts"].as_array().unwrap() {
            assert!(volumes.contains(mount["name"].as_str().unwrap()), "{mount}");
        }
    }
    assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
    let gateway = &spec["containers"][0];
    let ports: BTreeSet<&str> = gateway["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| port["name"].as_str().unwrap())
        .collect();
    for port in of_kind("Service")["spec"]["ports"].as_array().unwrap() {
        assert!(
            ports.contains(port["targetPort"].as_str().unwrap()),
            "{port}"
        );
    }
    for (probe, path) in [
        ("readinessProbe", "/readyz?own"),
        ("livenessProbe", "/healthz"),
    ] {
        assert_eq!(gateway[probe]["httpGet"]["path"], path);
        assert!(ports.contains(gateway[probe]["httpGet"]["port"].as_str().unwrap()));
    }
}

#[test]
fn the_charts_configuration_is_one_that_the_program_takes() {
    let map = of_kind("ConfigMap");
    let deployment = of_kind("StatefulSet");
    let gateway = &deployment["spec"]["template"]["spec"]["containers"][0];
    let variables: Vec<(String, String)> = gateway["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| {
            let name = variable["name"].as_str().unwrap().to_owned();
            let secret = variable["valueFrom"]["secretKeyRef"]["key"].as_str();
            let text = match secret {
                Some("sessions") => "redis://redis:6379",
                Some("directory") => "postgres://vestibule@postgres/vestibule",
                Some(other) => panic!("{other}"),
                None => variable["value"].as_str().unwrap(),
            };
            (name, text.to_owned())
        })
        .collect();
    let settings = settings(map["data"]["gateway.toml"].as_str().unwrap(), &variables);
    assert_eq!(settings.store.data_dir, Path::new("/var/lib/vestibule"));
    assert_eq!(
        settings.store.master_key,
        Path::new("/etc/vestibule/master/master.key")
    );
    assert_eq!(settings.policies_dir, Path::new("/etc/vestibule/policies"));
    let grace = &deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"];
    assert!(grace.as_u64().unwrap() > settings.limits.drain.as_secs());

    policies(&chart(), &["default.toml"]);
}

/// The files that the pods have as their policies: those, and the program takes them.
fn policies(chart: &[(String, Value)], expected: &[&str]) {
    let map = object(chart, "ConfigMap", "clinic-policies");
    let files = map["data"].as_object().unwrap();
    assert_eq!(files.keys().collect::<Vec<_>>(), expected);
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text.as_str().unwrap()).unwrap();
    }
    let any = vestibule::config::ProductIds::any();
    vestibule::policies::PolicyFolder::examine(folder.path(), any).unwrap();
}

/// The volume of the pods with this name.
fn volume(pods: &Value, name: &str) -> Value {
    let volumes = pods["spec"]["template"]["spec"]["volumes"].as_array();
    let mut volumes = volumes.unwrap().iter();
    let found = volumes.find(|volume| volume["name"] == name);
    found.unwrap_or_else(|| panic!("no volume {name}")).clone()
}

#[test]
fn what_is_set_in_the_values_is_what_the_pods_have() {
    let acme = "name = \"Acme \\\"Rehab\\\"\"\n\n[mfa]\nmode = \"required\"\n";
    let values = json!({
        "policies": { "acme-rehab.toml": acme },
        "secrets": { "master": "our-key" },
        "data": { "size": "20Gi", "storageClass": "fast" },
        "replicas": 3,
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.json");
    std::fs::write(&file, values.to_string()).unwrap();
    let chart = rendered(&["--values", file.to_str().unwrap()]);
    policies(&chart, &["acme-rehab.toml", "default.toml"]);
    let map = object(&chart, "ConfigMap", "clinic-policies");
    assert_eq!(map["data"]["acme-rehab.toml"], acme);

    let pods = object(&chart, "StatefulSet", "clinic");
    assert_eq!(pods["spec"]["replicas"], 3);
    // Whole folders, so that a change arrives: no item of them, and no sub-path.
    let config = volume(&pods, "policies");
    assert_eq!(config["configMap"]["name"], "clinic-policies");
    assert!(config["configMap"]["items"].is_null(), "{config}");
    let master = volume(&pods, "master");
    assert_eq!(master["secret"]["secretName"], "our-key");
    // The group reads it, and nobody else.
    assert_eq!(master["secret"]["defaultMode"], 0o440);
    let spec = &pods["spec"]["template"]["spec"];
    assert!(spec["initContainers"].is_null(), "nothing copies the key");
    assert!(spec["securityContext"]["fsGroup"].is_u64());
    let mounts = spec["containers"][0]["volumeMounts"].as_array().unwrap();
    let at = |name: &str| {
        let mut mounts = mounts.iter();
        let found = mounts.find(|mount| mount["name"] == name);
        found.unwrap_or_else(|| panic!("{name} is not mounted"))
    };
    assert_eq!(at("master")["mountPath"], "/etc/vestibule/master");
    assert_eq!(at("master")["readOnly"], true);
    assert!(at("master")["subPath"].is_null());

    // The audit trail is where the data is, and that outlives the pod.
    assert_eq!(at("data")["mountPath"], "/var/lib/vestibule");
    let claim = &pods["spec"]["volumeClaimTemplates"][0];
    assert_eq!(claim["metadata"]["name"], "data");
    assert_eq!(claim["spec"]["storageClassName"], "fast");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "20Gi");
}

#[test]
fn hadolint_finds_nothing_in_the_dockerfile() {
    let mut hadolint = Command::new(fetched("hadolint"));
    output(hadolint.current_dir(root()).arg("Dockerfile"));
}

#[test]
fn the_compose_file_names_what_there_is() {
    let compose = yaml(&read("deploy/compose.yaml"));
    let services = compose["services"].as_object().unwrap();
    assert_eq!(
        services.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        BTreeSet::from(["gateway", "postgres", "redis"])
    );
    for (name, service) in services {
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = volume.as_str().unwrap().split(':').next().unwrap();
            let known = source.starts_with("../")
                || !compose["volumes"][source].is_null()
                || compose["volumes"].as_object().unwrap().contains_key(source);
            assert!(known, "{name}: {volume}");
        }
        for secret in service["secrets"].as_array().into_iter().flatten() {
            assert!(!compose["secrets"][secret.as_str().unwrap()].is_null());
        }
    }
    let gateway = &services["gateway"];
    for other in gateway["depends_on"].as_object().unwrap().keys() {
        assert!(!services[other]["healthcheck"].is_null(), "{other}");
    }
    let variables: Vec<(String, String)> = gateway["environment"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect();
    // Where `exec` finds it too, and over what the image says.
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("directory.url");
    std::fs::write(&url, "postgres://vestibule:secret@postgres/vestibule\n").unwrap();
    let mut variables = variables;
    for (name, value) in &mut variables {
        if name == "VESTIBULE_STORE__DIRECTORY__FILE" {
            assert_eq!(value, "/run/secrets/directory_url");
            *value = url.display().to_string();
        }
    }
    let image = (
        "VESTIBULE_STORE__DIRECTORY",
        "sqlite:/var/lib/vestibule/vestibule.db",
    );
    assert!(read("Dockerfile").contains(&format!("{}={}", image.0, image.1)));
    variables.push((image.0.to_owned(), image.1.to_owned()));
    let settings = settings(&read("gateway.toml"), &variables);
    let directory = settings.store.directory.expose();
    assert_eq!(directory, "postgres://vestibule:secret@postgres/vestibule");
    assert!(
        gateway["entrypoint"].is_null(),
        "a shell's own variables are hidden from `exec`"
    );
}

/// The lines of a unit file, `Section.Key=value`.
fn unit(name: &str) -> Vec<(String, String)> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in read(&format!("deploy/systemd/{name}")).lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            found.push((format!("{section}.{key}"), value.to_owned()));
        }
    }
    found
}

fn line<'a>(unit: &'a [(String, String)], key: &str) -> &'a str {
    let found = unit.iter().find(|(found, _)| found == key);
    &found.unwrap_or_else(|| panic!("no {key}")).1
}

/// The units in a folder of their own, with a program that there is.
fn units() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(root().join("deploy/systemd")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() == "environment" {
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let text = text.replace("/usr/bin/vestibule", env!("CARGO_BIN_EXE_vestibule"));
        std::fs::write(folder.path().join(entry.file_name()), text).unwrap();
    }
    folder
}

#[test]
fn systemd_takes_the_units_and_finds_the_service_shut() {
    let folder = units();
    let files = std::fs::read_dir(folder.path()).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let mut verify = Command::new("systemd-analyze");
    let done = verify.args(["verify", "--man=no"]).args(files).output();
    let done = done.unwrap();
    // An unknown key is no failure to it, but said; so is what is wrong with units of this machine's own.
    let complaints = String::from_utf8(done.stderr).unwrap();
    let ours: Vec<&str> = complaints
        .lines()
        .filter(|line| line.contains("vestibule"))
        .collect();
    assert!(done.status.success() && ours.is_empty(), "{complaints}");

    // From 0, nothing to lose, to 10; times ten.
    let service = folder.path().join("vestibule.service");
    let mut judge = Command::new("systemd-analyze");
    let judge = judge.args(["security", "--offline=true", "--threshold=15"]);
    output(judge.arg(service));
}

#[test]
fn the_units_hand_over_sockets_that_the_program_knows_and_shut_everything_else() {
    let service = unit("vestibule.service");
    for (socket, name) in [
        ("vestibule.socket", "https"),
        ("vestibule-http.socket", "http"),
    ] {
        let unit = unit(socket);
        assert_eq!(line(&unit, "Socket.FileDescriptorName"), name);
        assert_eq!(line(&unit, "Socket.Service"), "vestibule.service");
        assert!(line(&service, "Unit.Requires").contains(socket));
    }
    assert_eq!(line(&service, "Service.Type"), "notify");
    assert_eq!(line(&service, "Service.NotifyAccess"), "all");
    for (key, value) in [
        ("CapabilityBoundingSet", ""),
        ("NoNewPrivileges", "true"),
        ("ProtectSystem", "strict"),
        ("PrivateDevices", "true"),
        ("MemoryDenyWriteExecute", "true"),
        ("UMask", "0077"),
    ] {
        assert_eq!(line(&service, &format!("Service.{key}")), value, "{key}");
    }
    // A filter that forgets it would leave hashing in the way of what is forwarded, silently.
    let mut filters = service
        .iter()
        .filter(|(key, _)| key == "Service.SystemCallFilter");
    assert_eq!(
        filters.next_back().unwrap().1,
        "setpriority sched_setscheduler"
    );
    // One company's mistake must not keep the others out at the next start.
    let before = line(&service, "Service.ExecStartPre");
    let before = before
        .strip_prefix('-')
        .expect("a check that fails stops nothing");
    for command in [before, line(&service, "Service.ExecStart")] {
        crate::assert_is_command(&command.replace("/usr/bin/vestibule", "vestibule"));
    }
    // What the unit alone knew, commands would not.
    assert!(!service.iter().any(|(key, _)| key == "Service.Environment"));
    let file = line(&service, "Service.EnvironmentFile");
    assert_eq!(file, "/etc/vestibule/environment");
    let variables: Vec<(String, String)> = read("deploy/systemd/environment")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, text) = line.split_once('=').unwrap();
            (name.to_owned(), text.to_owned())
        })
        .collect();
    let settings = settings(&read("gateway.toml"), &variables);
    assert_eq!(
        settings.store.master_key,
        Path::new("/var/lib/vestibule/master.key")
    );
    let stop = line(&service, "Service.TimeoutStopSec").trim_end_matches('s');
    assert!(stop.parse::<u64>().unwrap() > settings.limits.drain.as_secs());
}
