use super::*;

const SOON: Duration = Duration::from_millis(20);
const NEVER: Duration = Duration::from_secs(3600);

fn scope() -> RequestScope {
    RequestScope::alone(ConnectionFacts {
        peer: SocketAddr::from(([127, 0, 0, 1], 1)),
        server_name: None,
        http2: true,
        memo: Memo::default(),
    })
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut() {
    let endless = std::future::pending::<Option<()>>();
    assert_eq!(watch_over(endless, &scope(), None, SOON, None).await, None);
}

#[tokio::test]
async fn a_body_that_stops_coming_is_cut() {
    let scope = scope();
    scope.head_is_read();
    scope.body_came();
    let endless = std::future::pending::<Option<()>>();
    assert_eq!(
        watch_over(endless, &scope, None, NEVER, Some(SOON)).await,
        None
    );
}

#[tokio::test]
async fn a_body_that_keeps_coming_is_waited_for() {
    let scope = scope();
    let mut stalled = Stalled::new(SOON);
    let mut rings = 0;
    let ends = std::future::poll_fn(|context| {
        rings += 1;
        if rings > 3 {
            return Poll::Ready("waited for");
        }
        scope.body_came();
        stalled.poll(&scope, context).map(|()| "cut")
    });
    assert_eq!(ends.await, "waited for");
}

#[tokio::test]
async fn the_answer_to_a_whole_body_takes_its_time() {
    let scope = scope();
    scope.head_is_read();
    scope.body_is_read();
    scope.body_came();
    let (answer, answered) = tokio::sync::oneshot::channel();
    let mut late = Stalled::new(SOON * 2);
    let work = async {
        // Longer than the deadline.
        std::future::poll_fn(|context| late.timer.as_mut().poll(context)).await;
        let _ = answer.send("answered");
        answered.await.ok()
    };
    let done = watch_over(work, &scope, None, NEVER, Some(SOON)).await;
    assert_eq!(done, Some("answered"));
}
