//! Candidates as processes: started, measured from outside, ended with this one.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use super::Result;
use super::options::Role;

/// The longest that a candidate takes to open its door; a profiler makes it slow.
const STARTING: Duration = Duration::from_secs(60);
/// The longest that it takes to end by itself; a profiler writes its report meanwhile.
const ENDING: Duration = Duration::from_secs(60);
const READY: &str = "listening on ";

/// A process of this bench, and what it started. Ended when dropped; it also ends when its standard
/// input closes, so that nothing is left behind whatever happens here.
pub struct Running {
    child: Child,
    pub address: SocketAddr,
    /// What is measured are its children alone.
    is_guard: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < ENDING {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// This program again, in a role.
    pub fn start<S: AsRef<OsStr>>(
        role: Role,
        arguments: &[S],
        under: &[String],
    ) -> Result<Running> {
        let own = std::env::current_exe()?;
        let mut command = match under.split_first() {
            Some((program, words)) => {
                let mut command = Command::new(program);
                command.args(words).arg(own);
                command
            }
            None => Command::new(own),
        };
        command.arg("--role").arg(role.as_str()).args(arguments);
        start(command)
    }

    /// Somebody else's program, which will listen there.
    pub fn start_program(address: SocketAddr, words: &[String]) -> Result<Running> {
        let mut all = vec![
            String::from("--listen"),
            address.to_string(),
            String::from("--"),
        ];
        all.extend_from_slice(words);
        let failed = |error| format!("{}: {error}", words.first().map_or("", String::as_str));
        let mut running = Running::start(Role::Guard, &all, &[]).map_err(failed)?;
        running.is_guard = true;
        Ok(running)
    }

    /// The processes that are measured.
    fn processes(&self) -> Result<Vec<u32>> {
        let family = family(self.child.id())?;
        Ok(family
            .into_iter()
            .skip(usize::from(self.is_guard))
            .collect())
    }

    /// CPU time so far, of all threads of the process and of those that it started.
    pub fn cpu(&self) -> Result<Duration> {
        let mut sum = Duration::ZERO;
        for id in self.processes()? {
            sum += threads_cpu(id).map_or_else(|_| process_cpu(id), Ok)?;
        }
        Ok(sum)
    }

    /// MiB of memory in use.
    pub fn resident(&self) -> Result<f64> {
        let mut kib = 0.0;
        for id in self.processes()? {
            let status = fs::read_to_string(format!("/proc/{id}/status"))?;
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("VmRSS:"))
                .ok_or("no VmRSS")?;
            kib += line.trim().trim_end_matches(" kB").parse::<f64>()?;
        }
        Ok(kib / 1024.0)
    }
}

pub struct Candidate {
    pub name: &'static str,
    /// The first is the one that listens.
    parts: Vec<Running>,
    pub address: SocketAddr,
}

impl Candidate {
    pub fn of(name: &'static str, first: Running, others: Vec<Running>) -> Candidate {
        let address = first.address;
        let mut parts = vec![first];
        parts.extend(others);
        Candidate {
            name,
            parts,
            address,
        }
    }

    /// CPU time of all its processes so far.
    pub fn cpu(&self) -> Result<Duration> {
        self.parts.iter().map(Running::cpu).sum()
    }

    /// MiB of memory in use.
    pub fn resident(&self) -> Result<f64> {
        self.parts.iter().map(Running::resident).sum()
    }
}

/// A process, and its children's children.
fn family(id: u32) -> Result<Vec<u32>> {
    let mut parents = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // One that has ended meanwhile is none of ours: ours stay.
        if let Ok(fields) = stat(id) {
            parents.insert(id, fields[1].parse::<u32>()?);
        }
    }
    let mut family = vec![id];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(
            parents
                .iter()
                .filter(|(_, of)| **of == parent)
                .map(|(id, _)| *id),
        );
        next += 1;
    }
    Ok(family)
}

/// From the scheduler, in nanoseconds. Threads are not ended and begun during a round.
fn threads_cpu(id: u32) -> Result<Duration> {
    let mut sum: u64 = 0;
    for thread in fs::read_dir(format!("/proc/{id}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let nanos: u64 = text.split(' ').next().ok_or("empty schedstat")?.parse()?;
        sum += nanos;
    }
    match sum {
        0 => Err("the scheduler keeps no figures".into()),
        nanos => Ok(Duration::from_nanos(nanos)),
    }
}

/// What stands behind a process's name in its line: state, parent, and so on.
fn stat(id: u32) -> Result<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let fields = stat.rsplit(')').next().ok_or("no stat")?;
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

/// From the process's line, in hundredths of a second.
fn process_cpu(id: u32) -> Result<Duration> {
    let fields = stat(id)?;
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}

pub fn start_backend() -> Result<Running> {
    Running::start::<&str>(Role::Backend, &[], &[])
}

fn start(mut command: Command) -> Result<Running> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().ok_or("no output")?;
    let (said, heard) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout)
            .lines()
            .map_while(std::result::Result::ok)
        {
            if let Some(address) = line.strip_prefix(READY) {
                let _ = said.send(address.to_owned());
            }
        }
    });
    // From here on dropping ends the process.
    let mut running = Running {
        child,
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        is_guard: false,
    };
    let address = heard
        .recv_timeout(STARTING)
        .map_err(|_| "a candidate did not open its door")?;
    running.address = address.parse()?;
    Ok(running)
}

pub fn print_ready(address: SocketAddr) {
    println!("{READY}{address}");
}

/// Tells the bench where this candidate listens, and ends it with the bench.
pub fn say_ready(address: SocketAddr) {
    print_ready(address);
    std::thread::spawn(|| {
        // Nothing is ever sent: this ends when the other side is gone.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
}

/// For listeners that tell nobody when they are open.
pub fn say_ready_when_listening(address: SocketAddr) {
    std::thread::spawn(move || {
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() && begun.elapsed() < STARTING {
            std::thread::sleep(Duration::from_millis(20));
        }
        say_ready(address);
    });
}

/// An address that was free a moment ago.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
