//! Threads that compute behind those that forward.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

/// How long a thread that gets only what is left over may take before the machine is taken for one that has nothing
/// left over.
const PATIENCE: Duration = Duration::from_millis(500);
/// How far back the next one steps, of 19: a weight of 110 beside the others' 1,024.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// What a thread gets of a busy processor. Where the system knows no such thing, everybody is equal.
#[derive(Debug, Clone, Copy)]
enum Share {
    /// What is left over: it gives way at once.
    Rest,
    /// A tenth at least. Whoever comes may have to wait until its slice ends, a millisecond or two.
    Tenth,
}

/// Runs jobs so that nobody else notices, and that they end all the same.
pub struct Behind {
    /// For each thread that has to be content with the rest. A job that starves goes on as another one, and
    /// keeps its place here: as long as it does nobody else need try.
    places: Arc<Semaphore>,
    patience: Duration,
}

impl Behind {
    pub fn new(places: usize) -> Behind {
        Behind::with_patience(places, PATIENCE)
    }

    fn with_patience(places: usize, patience: Duration) -> Behind {
        Behind {
            places: Arc::new(Semaphore::new(places)),
            patience,
        }
    }

    /// `None` if the system has no thread for it. The job may be run twice; the result is of the first that ends.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl Fn() -> T + Send + Sync + 'static,
    ) -> Option<T> {
        let job = Arc::new(job);
        let (done, mut results) = mpsc::unbounded_channel();
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            begin(Share::Rest, Some(place), job.clone(), done.clone()).ok()?;
            if let Ok(result) = timeout(self.patience, results.recv()).await {
                return result;
            }
        }
        begin(Share::Tenth, None, job, done).ok()?;
        results.recv().await
    }
}

/// A thread of its own costs a thousandth of a hash: one of the runtime's could not be given its place in the
/// queue back.
fn begin<T: Send + 'static>(
    share: Share,
    place: Option<OwnedSemaphorePermit>,
    job: Arc<impl Fn() -> T + Send + Sync + 'static>,
    done: mpsc::UnboundedSender<T>,
) -> io::Result<()> {
    let begun = thread::Builder::new()
        .name(String::from("password"))
        .spawn(move || {
            step_back(share);
            let result = job();
            drop(place);
            // The other thread was there first.
            let _ = done.send(result);
        });
    begun.map(drop)
}

/// Without the right to, the thread stays equal: the bounds of the pool hold all the same.
#[cfg(target_os = "linux")]
fn step_back(share: Share) {
    use thread_priority::{
        NormalThreadSchedulePolicy as Policy, ThreadPriority, ThreadSchedulePolicy,
        set_thread_priority_and_policy, thread_native_id,
    };
    // `SCHED_IDLE`, sched(7).
    const IDLE: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(Policy::Idle);
    // On Linux each thread has its own niceness; elsewhere that would be the whole process's.
    let _ = rustix::process::setpriority_process(None, NICE);
    if let Share::Rest = share {
        let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, IDLE);
    }
}

#[cfg(not(target_os = "linux"))]
fn step_back(_share: Share) {}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc as blocking;

    use super::*;

    /// This thread's niceness and policy, as the kernel has them (proc_pid_stat(5), fields 19 and 41).
    fn place_in_the_queue() -> (i32, u32) {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<&str> = fields.split(' ').collect();
        (fields[16].parse().unwrap(), fields[38].parse().unwrap())
    }

    const NORMAL: u32 = 0;
    const IDLE: u32 = 5;

    #[tokio::test]
    async fn a_job_is_content_with_what_is_left_over() {
        let behind = Behind::with_patience(1, Duration::MAX);
        let (_, policy) = behind.run(place_in_the_queue).await.unwrap();
        assert_eq!(policy, IDLE);
        // The place is free again.
        let (_, policy) = behind.run(place_in_the_queue).await.unwrap();
        assert_eq!(policy, IDLE);
        assert_eq!(
            place_in_the_queue(),
            (0, NORMAL),
            "who asked stays where they were"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_starves_is_begun_again_nearer_and_nobody_else_tries() {
        let behind = Behind::new(1);
        let (feed, food) = blocking::channel::<()>();
        let food = Mutex::new(food);
        let starving = behind.run(move || {
            let place = place_in_the_queue();
            if place.1 == IDLE {
                let _ = food.lock().unwrap().recv();
            }
            place
        });
        assert_eq!(starving.await.unwrap(), (NICE, NORMAL));
        let (_, policy) = behind.run(place_in_the_queue).await.unwrap();
        assert_eq!(policy, NORMAL, "one starves already");
        feed.send(()).unwrap();
        assert!(
            behind.places.acquire().await.is_ok(),
            "its place is free again"
        );
    }
}
