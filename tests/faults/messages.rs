//! What codes go out by: a text message's webhook and a mail server, behind lines that fail. Whoever
//! waits is told in time, a second provider stands in, and it works again by itself.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use vestibule::gate::contact::{Address, Number};
use vestibule::messages::{
    EmailProvider, Hushed, Messages, Observer, Route, SendError, Settings, SmsProvider,
};

use crate::backend::Backend;
use crate::fault::{Fault, Line};

const DEADLINE: Duration = Duration::from_secs(3);

const FAULTS: [Fault; 7] = [
    Fault::Garbage(b"\x00\x01nonsense\r\n\r\n"),
    Fault::Garbage(b"220 \r\n"),
    Fault::Garbage(b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"),
    Fault::HalfClose,
    Fault::CutShort,
    Fault::Refuse,
    Fault::Blackhole,
];

/// Well within the deadline, however many pieces there are.
const SLOW: Fault = Fault::Delay(Duration::from_millis(20));

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Observer for Heard {
    fn message(&self, channel: &'static str, result: &'static str) {
        self.0.lock().unwrap().push(format!("{channel} {result}"));
    }
}

async fn webhook() -> Backend {
    Backend::serving(Router::new().route("/send", post(async || "ok"))).await
}

fn provider(url: &str) -> SmsProvider {
    SmsProvider::Http {
        url: Hushed::new(&format!("{url}/send")),
        token: None,
    }
}

fn texting(first: SmsProvider, second: Option<SmsProvider>) -> (Messages, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let settings = Settings {
        sms: Some(Route {
            first,
            second,
            deadline: DEADLINE,
        }),
        ..Settings::default()
    };
    let observer = Arc::clone(&heard) as Arc<dyn Observer>;
    (Messages::new(settings, observer).unwrap(), heard)
}

async fn text(messages: &Messages) -> Result<(), SendError> {
    let to = Number::parse("+15550100007").unwrap();
    messages.send_sms(&to, "Clinic: your code is 493817.").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_behind_a_failing_line_is_told_of_and_comes_back() {
    let server = webhook().await;
    let line = Line::to_url(&server.url).await;
    let (messages, heard) = texting(provider(&format!("http://{}", line.address)), None);
    assert_eq!(text(&messages).await, Ok(()));
    line.set(SLOW);
    assert_eq!(text(&messages).await, Ok(()), "slow, and in time");
    for fault in FAULTS {
        line.set(fault);
        line.cut();
        let begun = Instant::now();
        assert!(text(&messages).await.is_err(), "{fault:?}");
        assert!(begun.elapsed() < 4 * DEADLINE, "{fault:?}");
        line.set(Fault::None);
        line.cut();
        assert_eq!(text(&messages).await, Ok(()), "after {fault:?}");
    }
    let failed = heard
        .0
        .lock()
        .unwrap()
        .iter()
        .filter(|told| *told == "sms failed")
        .count();
    assert_eq!(failed, FAULTS.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_provider_stands_in_for_every_fault_of_the_first() {
    let (server, other) = (webhook().await, webhook().await);
    let line = Line::to_url(&server.url).await;
    let first = provider(&format!("http://{}", line.address));
    let (messages, heard) = texting(first, Some(provider(&other.url)));
    for fault in FAULTS {
        line.set(fault);
        line.cut();
        assert_eq!(text(&messages).await, Ok(()), "{fault:?}");
    }
    let heard = heard.0.lock().unwrap();
    assert!(!heard.iter().any(|told| told == "sms failed"), "{heard:?}");
}

/// A mail server of a few lines.
async fn mail_server() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(take_mail(stream));
        }
    });
    address
}

async fn take_mail(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 mail.test ESMTP\r\n").await?;
    let mut in_mail = false;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let answer = match line.trim_end() {
            "." => {
                in_mail = false;
                "250 queued\r\n"
            }
            _ if in_mail => continue,
            "DATA" => {
                in_mail = true;
                "354 go on\r\n"
            }
            "QUIT" => "221 bye\r\n",
            line if line.starts_with("EHLO") => "250-mail.test\r\n250 8BITMIME\r\n",
            _ => "250 ok\r\n",
        };
        stream.write_all(answer.as_bytes()).await?;
    }
}

fn mailing(first: SocketAddr, second: Option<SocketAddr>) -> (Messages, Arc<Heard>) {
    let provider = |address: SocketAddr| EmailProvider::Smtp {
        url: Hushed::new(&format!("smtp://{address}")),
    };
    let settings = Settings {
        email: Some(Route {
            first: provider(first),
            second: second.map(provider),
            deadline: DEADLINE,
        }),
        email_from: Some(String::from("Clinic <no-reply@clinic.test>")),
        ..Settings::default()
    };
    let heard = Arc::new(Heard::default());
    let observer = Arc::clone(&heard) as Arc<dyn Observer>;
    (Messages::new(settings, observer).unwrap(), heard)
}

async fn mail(messages: &Messages) -> Result<(), SendError> {
    let to = Address::parse("kim@acme.test").unwrap();
    messages.send_mail(&to, "Your code", "493817\n").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_mail_server_stands_in_for_every_fault_of_the_first() {
    let line = Line::to(mail_server().await).await;
    let (messages, heard) = mailing(line.address, Some(mail_server().await));
    for fault in FAULTS {
        line.set(fault);
        line.cut();
        assert_eq!(mail(&messages).await, Ok(()), "{fault:?}");
    }
    let heard = heard.0.lock().unwrap();
    assert!(
        !heard.iter().any(|told| told.ends_with(" failed")),
        "{heard:?}"
    );
}

/// Whatever the other side does, and whatever is said about it at any level.
#[tokio::test]
async fn of_a_message_that_can_not_be_sent_nothing_is_logged() {
    let said = Said::default();
    let log = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(said.clone())
        .finish();
    let _log = tracing::subscriber::set_default(log);
    let (webhook, server) = (webhook().await, mail_server().await);
    let (texts, mails) = (Line::to_url(&webhook.url).await, Line::to(server).await);
    let (texting, _) = texting(provider(&format!("http://{}", texts.address)), None);
    let (mailing, _) = mailing(mails.address, None);
    for fault in FAULTS {
        for line in [&texts, &mails] {
            line.set(fault);
            line.cut();
        }
        assert!(text(&texting).await.is_err(), "{fault:?}");
        assert!(mail(&mailing).await.is_err(), "{fault:?}");
    }
    let said = said.0.lock().unwrap();
    let said = String::from_utf8_lossy(&said);
    assert!(!said.is_empty(), "something is told");
    for secret in ["493817", "+15550100007", "15550100007", "kim@acme.test"] {
        assert!(!said.contains(secret), "{secret} in {said}");
    }
}

/// The log of one test.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Said {
    type Writer = Said;

    fn make_writer(&self) -> Said {
        self.clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_server_behind_a_failing_line_is_told_of_and_comes_back() {
    let line = Line::to(mail_server().await).await;
    let (messages, _) = mailing(line.address, None);
    let send = async || mail(&messages).await;
    assert_eq!(send().await, Ok(()));
    line.set(SLOW);
    assert_eq!(send().await, Ok(()), "slow, and in time");
    for fault in FAULTS {
        line.set(fault);
        line.cut();
        let begun = Instant::now();
        assert!(send().await.is_err(), "{fault:?}");
        assert!(begun.elapsed() < 4 * DEADLINE, "{fault:?}");
        line.set(Fault::None);
        line.cut();
        assert_eq!(send().await, Ok(()), "after {fault:?}");
    }
}
