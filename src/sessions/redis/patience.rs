//! How long Redis is waited for. Counted in short pieces of time, each of them a turn of this process:
//! one that had no turn for seconds, since the machine was busy or asleep, finds at most one piece
//! gone, and then reads what has come meanwhile. One long timer would be over before that.

use std::pin::pin;
use std::time::Duration;

const PIECE: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy)]
pub struct Patience(u32);

impl Patience {
    /// For one reply. A machine that has too much to do answers after a second; who asked it would
    /// rather wait than be sent away.
    pub const REPLY: Patience = Patience(4);
    /// For a connection that is tried since another may come through sooner.
    pub const TRY: Patience = Patience(2);
    /// For a connection with all that belongs to it (names, TLS, AUTH, SUBSCRIBE, Sentinels), to a
    /// server that is slow to answer each question.
    pub const CONNECTION: Patience = Patience(20);

    /// `None`: it did not come.
    pub async fn wait<T>(self, what: impl Future<Output = T>) -> Option<T> {
        let mut what = pin!(what);
        for _ in 0..self.0 {
            if let Ok(came) = tokio::time::timeout(PIECE, &mut what).await {
                return Some(came);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, advance, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_is_waited_for_until_the_end() {
        let begun = Instant::now();
        let never = std::future::pending::<()>();
        assert!(Patience::REPLY.wait(never).await.is_none());
        assert_eq!(begun.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_the_process_had_no_turn_does_not_count() {
        let (came, coming) = tokio::sync::oneshot::channel();
        let waiting = tokio::spawn(Patience::REPLY.wait(coming));
        tokio::task::yield_now().await;
        // The one who brings it is as late to have a turn.
        tokio::spawn(async {
            sleep(Duration::from_millis(100)).await;
            tokio::task::yield_now().await;
            came.send(7)
        });
        tokio::task::yield_now().await;
        advance(Duration::from_secs(3600)).await;
        assert_eq!(waiting.await.unwrap().unwrap(), Ok(7));
    }
}
