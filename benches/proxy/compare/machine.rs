//! Where, when and how figures were made.

use std::fs;

use super::programs;
use crate::options::Options;

pub fn describe(options: &Options) -> String {
    let mut text = format!(
        "Made on {} with\n\n```sh\ncargo bench --bench proxy -- {}\n```\n\n",
        jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC"),
        options.words.join(" "),
    );
    if cfg!(debug_assertions) {
        text += "**A build without optimisation: these figures say nothing about speed.**\n\n";
    }
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    text += &format!(
        "Machine: {cores} processors ({}), {} of memory, Linux {}. ",
        processor(),
        memory(),
        line("/proc/sys/kernel/osrelease"),
    );
    text += &format!(
        "Vestibule {}, pingora 0.9.1; {}.\n",
        env!("CARGO_PKG_VERSION"),
        programs::packages().join(", "),
    );
    text += &load_average("at the beginning");
    text += &format!(
        "\n{} rounds in turns, {} requests each over {} connections of TLS 1.3 (AES-256-GCM, X25519, a P-256 certificate) after {} to warm up; \
         {} people in use; two worker threads or processes each. Medians (least–most).\n",
        options.rounds, options.requests, options.connections, options.warm_up, options.busy,
    );
    text
}

/// Load of the last minute: what else the machine did.
pub fn load_average(when: &str) -> String {
    let text = line("/proc/loadavg");
    let minute = text.split(' ').next().unwrap_or("unknown");
    format!("Load of the machine {when}: {minute}.\n")
}

fn line(file: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_else(|_| String::from("unknown"));
    text.trim().to_owned()
}

fn processor() -> String {
    let text = line("/proc/cpuinfo");
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or("unknown", |(_, name)| name.trim()).to_owned()
}

fn memory() -> String {
    let text = line("/proc/meminfo");
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    format!("{} GiB", kib.unwrap_or(0) >> 20)
}
