//! Looks after a program that knows nothing of this bench: says when its door is open, and ends it,
//! whatever becomes of the bench.

use std::io::{copy, sink, stdin};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::options::Options;
use super::{Result, child};

/// The longest that a program takes to open its door.
const OPENING: Duration = Duration::from_secs(20);
/// The longest that it takes to end when it is asked to.
const ENDING: Duration = Duration::from_secs(10);

struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // SIGTERM, and not SIGKILL at once: nginx's master ends its workers.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let begun = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) && begun.elapsed() < ENDING {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn run(options: &Options) -> Result<()> {
    let (program, arguments) = options.program.split_first().ok_or("no program")?;
    let address = options.listen.ok_or("no address")?;
    let started = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("{program} can't be started: {error}"))?;
    let mut guarded = Guarded(started);
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        if let Some(status) = guarded.0.try_wait()? {
            return Err(format!("{program} ended at once: {status}").into());
        }
        if begun.elapsed() > OPENING {
            return Err(format!("{program} does not listen on {address}").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child::print_ready(address);
    // Nothing is ever sent: this ends when the bench lets go, or is gone.
    let _ = copy(&mut stdin(), &mut sink());
    Ok(())
}
