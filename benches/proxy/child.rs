//! Candidates as processes: started, measured from outside, ended with this one.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
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

/// A process of this bench. Ended when dropped; it also ends when its standard input closes, so
/// that nothing is left behind whatever happens here.
pub struct Running {
    child: Child,
    pub address: SocketAddr,
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

pub struct Candidate {
    pub name: &'static str,
    running: Running,
    pub address: SocketAddr,
}

impl Candidate {
    pub fn start(
        name: &'static str,
        role: Role,
        folder: &Path,
        backend: SocketAddr,
        redis: Option<String>,
        (more, under): (&[&str], &[String]),
    ) -> Result<Candidate> {
        let mut command = command(role, under)?;
        command.arg("--backend").arg(backend.to_string());
        command.arg("--folder").arg(folder).args(more);
        if let Some(redis) = redis {
            command.arg("--redis").arg(redis);
        }
        let running = start(command)?;
        Ok(Candidate {
            name,
            address: running.address,
            running,
        })
    }

    /// CPU time of all threads so far.
    pub fn cpu(&self) -> Result<Duration> {
        let id = self.running.child.id();
        threads_cpu(id).map_or_else(|_| process_cpu(id), Ok)
    }

    /// MiB of memory in use.
    pub fn resident(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.running.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .ok_or("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib / 1024.0)
    }
}

/// From the scheduler, in nanoseconds. Threads are not ended and begun during a round.
fn threads_cpu(id: u32) -> Result<Duration> {
    let mut by_thread: HashMap<String, u64> = HashMap::new();
    for thread in fs::read_dir(format!("/proc/{id}/task"))? {
        let thread = thread?;
        let text = fs::read_to_string(thread.path().join("schedstat"))?;
        let nanos = text.split(' ').next().ok_or("empty schedstat")?.parse()?;
        by_thread.insert(thread.file_name().to_string_lossy().into_owned(), nanos);
    }
    match by_thread.values().sum() {
        0 => Err("the scheduler keeps no figures".into()),
        nanos => Ok(Duration::from_nanos(nanos)),
    }
}

/// From the process's line, in hundredths of a second.
fn process_cpu(id: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .ok_or("no stat")?
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}

pub fn start_backend() -> Result<Running> {
    start(command(Role::Backend, &[])?)
}

fn command(role: Role, under: &[String]) -> Result<Command> {
    let own = std::env::current_exe()?;
    let mut command = match under.split_first() {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).arg(own);
            command
        }
        None => Command::new(own),
    };
    command.arg("--role").arg(role.as_str());
    Ok(command)
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
    };
    let address = heard
        .recv_timeout(STARTING)
        .map_err(|_| "a candidate did not open its door")?;
    running.address = address.parse()?;
    Ok(running)
}

/// Tells the bench where this candidate listens, and ends it with the bench.
pub fn say_ready(address: SocketAddr) {
    println!("{READY}{address}");
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
