use super::*;

const SOON: Duration = Duration::from_millis(20);
const NEVER: Duration = Duration::from_secs(3600);

fn bodies(body: Duration) -> Deadlines {
    Deadlines {
        head: NEVER,
        idle: NEVER,
        body,
    }
}

fn scope(http2: bool) -> RequestScope {
    RequestScope::alone(ConnectionFacts {
        peer: SocketAddr::from(([127, 0, 0, 1], 1)),
        server_name: None,
        http2,
        memo: Memo::default(),
        turns: crate::proxy::turns::Turns::new().0,
        row: crate::proxy::turns::Row::new(1),
        idle: crate::proxy::backend::idle::Idle::new(0),
    })
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut() {
    let endless = std::future::pending::<Option<()>>();
    assert_eq!(
        watch_over(endless, &scope(true), None, SOON, bodies(NEVER)).await,
        None
    );
}

#[tokio::test]
async fn a_body_that_stops_coming_is_cut() {
    let scope = scope(true);
    scope.head_is_read();
    scope.body_came(10_000);
    let endless = std::future::pending::<Option<()>>();
    assert_eq!(
        watch_over(endless, &scope, None, NEVER, bodies(SOON)).await,
        None
    );
}

#[tokio::test]
async fn a_body_that_drips_is_cut() {
    for http2 in [false, true] {
        let scope = scope(http2);
        scope.head_is_read();
        let dripping = async {
            let mut pace = tokio::time::interval(SOON / 10);
            loop {
                pace.tick().await;
                scope.body_came(1);
                if NEVER.is_zero() {
                    return Some(());
                }
            }
        };
        assert_eq!(
            watch_over(dripping, &scope, None, NEVER, bodies(SOON)).await,
            None
        );
    }
}

/// What comes of three rings of the timer when so much came before each.
async fn after_three_rings(mut watch: Stalled, each: usize) -> &'static str {
    let counter = AtomicU64::new(0);
    let mut rings = 0;
    std::future::poll_fn(|context| {
        rings += 1;
        if rings > 3 {
            return Poll::Ready("waited for");
        }
        more(&counter, each);
        watch.poll(&counter, context).map(|()| "cut")
    })
    .await
}

#[tokio::test]
async fn a_body_that_keeps_coming_is_waited_for() {
    for (http2, each, expected) in [
        (true, 4096, "waited for"),
        (true, 4095, "cut"),
        (true, 0, "cut"),
        (false, 4096, "waited for"),
        (false, 4095, "cut"),
        // Its backend takes nothing, or pingora cuts it.
        (false, 0, "waited for"),
    ] {
        let watch = Stalled::new(SOON, LEAST_OF_A_BODY, http2);
        assert_eq!(
            after_three_rings(watch, each).await,
            expected,
            "{http2} {each}"
        );
    }
}

#[tokio::test]
async fn the_answer_to_a_whole_body_takes_its_time() {
    let scope = scope(true);
    scope.head_is_read();
    scope.body_is_read();
    scope.body_came(1);
    let work = async {
        // Longer than the deadline.
        tokio::time::sleep(SOON * 2).await;
        Some("answered")
    };
    let done = watch_over(work, &scope, None, NEVER, bodies(SOON)).await;
    assert_eq!(done, Some("answered"));
}

#[tokio::test]
async fn a_conversation_of_small_messages_goes_on_until_it_is_silent() {
    for (each, expected) in [(1, Some("over")), (0, None)] {
        let scope = scope(true);
        scope.head_is_read();
        scope.body_came(5);
        let talk = async {
            tokio::task::yield_now().await;
            scope.body_may_be_slow();
            for _ in 0..50 {
                scope.body_came(each);
                tokio::time::sleep(SOON / 10).await;
            }
            Some("over")
        };
        assert_eq!(
            watch_over(talk, &scope, None, NEVER, bodies(SOON)).await,
            expected
        );
    }
}

/// How long a client is listened to after our side is closed.
async fn listened_to(mut closing: Closing, client: &mut (impl AsyncRead + Unpin)) -> Duration {
    let begun = tokio::time::Instant::now();
    std::future::poll_fn(|context| closing.poll(client, context)).await;
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_after_our_end_is_not_waited_for_long() {
    let (mut wire, mut client) = tokio::io::duplex(64);
    client.write_all(b"a little more").await.unwrap();
    let waited = listened_to(Closing::begin(), &mut wire).await;
    assert!((Closing::SILENCE..Closing::SILENCE + SOON).contains(&waited));
    drop(client);
    let waited = listened_to(Closing::begin(), &mut wire).await;
    assert_eq!(waited, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_goes_on_after_our_end_is_cut() {
    let (mut wire, mut client) = tokio::io::duplex(64);
    let go_on = async {
        while client.write_all(b"more").await.is_ok() {
            tokio::time::sleep(Closing::SILENCE - SOON).await;
        }
    };
    let waited = tokio::select! {
        waited = listened_to(Closing::begin(), &mut wire) => waited,
        () = go_on => Duration::ZERO,
    };
    assert!((Closing::IN_ALL..Closing::IN_ALL + SOON).contains(&waited));

    let closing = Closing::begin();
    tokio::time::advance(Closing::IN_ALL).await;
    let waited = listened_to(closing, &mut tokio::io::repeat(b'x')).await;
    assert_eq!(waited, Duration::ZERO, "there is always more");
}
