//! What goes out to providers, and what becomes of it when they are slow, failing or talk nonsense.
//! The providers are the tests' own, on free ports.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use vestibule::gate::contact::{Address, Number};
use vestibule::messages::{
    Channel, EmailProvider, Hushed, Messages, Observer, Route, SendError, Settings, SmsProvider,
};

const NUMBER: &str = "+15550100007";
const TEXT: &str = "Clinic: your one-time code is 493817.";

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Observer for Heard {
    fn message(&self, channel: &'static str, result: &'static str) {
        self.0.lock().unwrap().push(format!("{channel} {result}"));
    }
}

/// A server that does as it is told with each connection, and keeps what it was sent.
struct Fake {
    port: u16,
    got: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    fn got(&self) -> Vec<String> {
        self.got.lock().unwrap().clone()
    }
}

/// Answers each HTTP request with these bytes; `None` never answers.
async fn http(answer: Option<&str>) -> Fake {
    let answer = answer.map(str::to_owned);
    serve(move |stream, got| {
        let answer = answer.clone();
        async move {
            let mut stream = BufReader::new(stream);
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                    return;
                }
                if line == "\r\n" {
                    break;
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            let whole = format!("{head}\n{}", String::from_utf8(body).unwrap());
            got.lock().unwrap().push(whole);
            match answer {
                Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap_or(()),
                None => std::future::pending().await,
            }
        }
    })
    .await
}

/// A mail server of a few lines: `greeting` first, `extensions` to EHLO, `last` to the mail itself.
async fn smtp(greeting: &'static str, extensions: &'static str, last: &'static str) -> Fake {
    serve(move |stream, got| async move {
        let mut stream = BufReader::new(stream);
        stream.write_all(greeting.as_bytes()).await.unwrap_or(());
        let mut in_mail = false;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            got.lock().unwrap().push(line.trim_end().to_owned());
            let answer = match line.trim_end() {
                "." => {
                    in_mail = false;
                    last
                }
                _ if in_mail => continue,
                "DATA" => {
                    in_mail = true;
                    "354 go on\r\n"
                }
                "QUIT" => "221 bye\r\n",
                line if line.starts_with("EHLO") => extensions,
                _ => "250 ok\r\n",
            };
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await
}

const GREETING: &str = "220 mail.test ESMTP\r\n";
const PLAIN: &str = "250-mail.test\r\n250 8BITMIME\r\n";

async fn serve<F, W>(talk: F) -> Fake
where
    F: Fn(TcpStream, Arc<Mutex<Vec<String>>>) -> W + Send + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let got = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&got);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, Arc::clone(&kept)));
        }
    });
    Fake { port, got }
}

#[tokio::test]
async fn what_is_under_way_at_the_end_is_waited_for() {
    // The server is in no hurry: it takes the mail when it is told to.
    let (go, told) = tokio::sync::watch::channel(false);
    let fake = serve(move |mut stream, got| {
        let mut told = told.clone();
        async move {
            got.lock().unwrap().push(String::from("connected"));
            let _ = told.wait_for(|go| *go).await;
            // Whatever it is, it is over: a refusal is an end too.
            let _ = stream.write_all(b"554 no\r\n").await;
        }
    })
    .await;
    let heard = Arc::new(Heard::default());
    let settings = Settings {
        email: route(
            EmailProvider::Smtp {
                url: Hushed::new(&format!("smtp://127.0.0.1:{}", fake.port)),
            },
            None,
        ),
        email_from: Some(String::from("no-reply@clinic.test")),
        ..Settings::default()
    };
    let observer = Arc::clone(&heard) as Arc<dyn Observer>;
    let messages = Arc::new(Messages::new(settings, observer).unwrap());
    assert!(
        messages.settle(Duration::ZERO).await,
        "nothing is under way"
    );
    let to = Address::parse("kim@clinic.test").unwrap();
    messages.mail_soon(&to, "Subject", String::from("Text\n"));
    assert!(!messages.settle(Duration::ZERO).await, "it is under way");
    go.send(true).unwrap();
    assert!(messages.settle(Duration::from_secs(60)).await);
    assert_eq!(*heard.0.lock().unwrap(), ["email failed"]);
}

fn route<P>(first: P, second: Option<P>) -> Option<Route<P>> {
    Some(Route {
        first,
        second,
        deadline: Duration::from_secs(5),
    })
}

fn webhook(fake: &Fake) -> SmsProvider {
    SmsProvider::Http {
        url: Hushed::new(&format!("http://127.0.0.1:{}/send?key=k3y", fake.port)),
        token: Some(Hushed::new("t0ken\n")),
    }
}

fn twilio(fake: &Fake, from: &str) -> SmsProvider {
    SmsProvider::Twilio {
        url: format!("http://127.0.0.1:{}", fake.port),
        account: String::from("AC/../1"),
        token: Hushed::new("t0ken"),
        from: from.to_owned(),
    }
}

fn texting(first: SmsProvider, second: Option<SmsProvider>) -> (Arc<Messages>, Arc<Heard>) {
    open(Settings {
        sms: route(first, second),
        ..Settings::default()
    })
}

fn mailing(url: &str) -> (Arc<Messages>, Arc<Heard>) {
    let first = EmailProvider::Smtp {
        url: Hushed::new(url),
    };
    open(Settings {
        email: route(first, None),
        email_from: Some(String::from("Clinic sign-in <no-reply@clinic.test>")),
        ..Settings::default()
    })
}

fn open(settings: Settings) -> (Arc<Messages>, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let observer = Arc::clone(&heard) as Arc<dyn Observer>;
    (Arc::new(Messages::new(settings, observer).unwrap()), heard)
}

async fn text(messages: &Messages) -> Result<(), SendError> {
    messages
        .send_sms(&Number::parse(NUMBER).unwrap(), TEXT)
        .await
}

async fn mail(messages: &Messages) -> Result<(), SendError> {
    let to = Address::parse("kim@acme.test").unwrap();
    messages
        .send_mail(&to, "Ihr Code für heute", "Hello,\nyour code is 493817.\n")
        .await
}

#[tokio::test]
async fn a_webhook_gets_number_and_text_as_json_with_its_token() {
    let fake = http(Some("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")).await;
    let (messages, heard) = texting(webhook(&fake), None);
    assert_eq!(text(&messages).await, Ok(()));
    let got = fake.got().remove(0);
    let (head, body) = got.split_once("\n\n").unwrap_or_else(|| panic!("{got}"));
    assert!(head.starts_with("POST /send?key=k3y HTTP/1.1"), "{head}");
    assert!(
        head.to_lowercase()
            .contains("authorization: bearer t0ken\r\n"),
        "{head}"
    );
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body, serde_json::json!({"to": NUMBER, "text": TEXT}));
    assert_eq!(*heard.0.lock().unwrap(), ["sms sent"]);
}

#[tokio::test]
async fn twilio_gets_a_form_and_must_answer_as_twilio_does() {
    let queued = "{\"sid\":\"SM1\",\"status\":\"queued\"}";
    for (status, body, wanted) in [
        ("201 Created", queued, Ok(())),
        (
            "201 Created",
            "{\"sid\":\"SM1\",\"status\":\"failed\"}",
            Err(SendError::Answer),
        ),
        (
            "200 OK",
            "<html>Welcome to the wifi</html>",
            Err(SendError::Answer),
        ),
        ("200 OK", "", Err(SendError::Answer)),
        (
            "401 Unauthorized",
            "{\"code\":20003}",
            Err(SendError::Refused(401)),
        ),
        (
            "302 Found\r\nlocation: http://127.0.0.1:1/",
            "",
            Err(SendError::Refused(302)),
        ),
    ] {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
        let fake = http(Some(&answer)).await;
        let (messages, _) = texting(twilio(&fake, "+15550100000"), None);
        assert_eq!(text(&messages).await, wanted, "{status} {body}");
        let got = fake.got().remove(0);
        let path = "POST /2010-04-01/Accounts/AC%2F..%2F1/Messages.json HTTP/1.1";
        assert!(
            got.starts_with(path),
            "the account stays in its segment: {got}"
        );
        assert!(
            got.to_lowercase().contains("authorization: basic "),
            "{got}"
        );
        let form =
            "To=%2B15550100007&From=%2B15550100000&Body=Clinic%3A+your+one-time+code+is+493817.";
        assert!(got.ends_with(form), "{got}");
    }
    let answer = format!(
        "HTTP/1.1 201 Created\r\ncontent-length: {}\r\n\r\n{queued}",
        queued.len()
    );
    let fake = http(Some(&answer)).await;
    let (messages, _) = texting(twilio(&fake, "MG0123"), None);
    assert_eq!(text(&messages).await, Ok(()));
    assert!(fake.got()[0].contains("&MessagingServiceSid=MG0123&"));
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let flood = format!(
        "HTTP/1.1 201 Created\r\ncontent-length: 9999999\r\n\r\n{}",
        "x".repeat(200_000)
    );
    let fake = http(Some(&flood)).await;
    let (messages, _) = texting(twilio(&fake, "+15550100000"), None);
    assert_eq!(text(&messages).await, Err(SendError::Answer));
}

#[tokio::test]
async fn garbage_and_a_closed_door_are_failures() {
    let fake = http(Some("\0\0SSH-2.0-nonsense\r\n\r\n")).await;
    let (messages, heard) = texting(webhook(&fake), None);
    assert_eq!(text(&messages).await, Err(SendError::Answer));
    assert_eq!(*heard.0.lock().unwrap(), ["sms failed"]);
    let closed = Fake {
        port: std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port(),
        got: Arc::default(),
    };
    let (messages, _) = texting(webhook(&closed), None);
    assert_eq!(text(&messages).await, Err(SendError::Connection));
    let (messages, _) = open(Settings::default());
    assert!(!messages.can(Channel::Sms) && !messages.can(Channel::Email));
    assert_eq!(text(&messages).await, Err(SendError::NotConfigured));
}

/// The clock runs by itself while everybody waits.
#[tokio::test(start_paused = true)]
async fn a_slow_provider_is_given_up_at_the_deadline() {
    let fake = http(None).await;
    let (messages, heard) = texting(webhook(&fake), None);
    assert_eq!(text(&messages).await, Err(SendError::Late));
    assert_eq!(*heard.0.lock().unwrap(), ["sms failed"]);
    let fake = smtp("", "", "").await;
    let (messages, _) = mailing(&format!("smtp://127.0.0.1:{}", fake.port));
    assert_eq!(mail(&messages).await, Err(SendError::Late));
}

#[tokio::test]
async fn the_second_provider_is_asked_once_when_the_first_fails() {
    let broken = http(Some("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")).await;
    let good = http(Some("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let (messages, heard) = texting(webhook(&broken), Some(webhook(&good)));
    assert_eq!(text(&messages).await, Ok(()));
    assert_eq!((broken.got().len(), good.got().len()), (1, 1));
    assert_eq!(*heard.0.lock().unwrap(), ["sms retried", "sms sent"]);
    let (messages, heard) = texting(webhook(&good), Some(webhook(&broken)));
    assert_eq!(text(&messages).await, Ok(()));
    assert_eq!(broken.got().len(), 1, "not while the first is well");
    assert_eq!(*heard.0.lock().unwrap(), ["sms sent"]);
    let (messages, heard) = texting(webhook(&broken), Some(webhook(&broken)));
    assert_eq!(text(&messages).await, Err(SendError::Refused(500)));
    assert_eq!(*heard.0.lock().unwrap(), ["sms retried", "sms failed"]);
}

#[tokio::test]
async fn a_mail_is_handed_over_whole() {
    let fake = smtp(GREETING, PLAIN, "250 queued\r\n").await;
    let (messages, heard) = mailing(&format!("smtp://localhost:{}", fake.port));
    assert_eq!(mail(&messages).await, Ok(()));
    let got = fake.got().join("\n");
    for wanted in [
        "MAIL FROM:<no-reply@clinic.test>",
        "RCPT TO:<kim@acme.test>",
        "From: \"Clinic sign-in\" <no-reply@clinic.test>",
        "To: kim@acme.test",
        "Subject: Ihr Code",
        "Content-Type: text/plain; charset=utf-8",
        "your code is 493817.",
    ] {
        assert!(got.contains(wanted), "{wanted} in {got}");
    }
    assert_eq!(*heard.0.lock().unwrap(), ["email sent"]);
}

#[tokio::test]
async fn what_a_mail_server_refuses_is_a_failure() {
    for (greeting, last, wanted) in [
        (GREETING, "452 full\r\n", SendError::Refused(452)),
        (
            GREETING,
            "554 kim@acme.test is unknown\r\n",
            SendError::Refused(554),
        ),
        ("554 go away\r\n", "", SendError::Refused(554)),
    ] {
        let fake = smtp(greeting, PLAIN, last).await;
        let (messages, heard) = mailing(&format!("smtp://127.0.0.1:{}", fake.port));
        assert_eq!(mail(&messages).await, Err(wanted));
        assert_eq!(*heard.0.lock().unwrap(), ["email failed"]);
    }
    let fake = smtp("HTTP/1.1 400 Bad Request\r\n\r\n", PLAIN, "").await;
    let (messages, _) = mailing(&format!("smtp://127.0.0.1:{}", fake.port));
    assert!(mail(&messages).await.is_err());
}

/// `localhost.` leads to this machine and is not known to: it stands for any server.
#[tokio::test]
async fn without_starttls_nothing_is_said_to_another_machine() {
    let fake = smtp(GREETING, PLAIN, "250 queued\r\n").await;
    let url = format!("smtp://clinic:s3cret@localhost.:{}", fake.port);
    let (messages, _) = mailing(&url);
    assert!(mail(&messages).await.is_err());
    let got = fake.got().join("\n");
    assert!(!got.contains("MAIL FROM") && !got.contains("AUTH"), "{got}");
    // TLS from the first byte, against a server that has none.
    let (messages, _) = mailing(&format!("smtps://localhost:{}", fake.port));
    assert!(mail(&messages).await.is_err());
    assert!(!fake.got().join("\n").contains("MAIL FROM"));
}

#[tokio::test]
async fn a_mail_in_the_background_arrives() {
    let fake = smtp(GREETING, PLAIN, "250 queued\r\n").await;
    let (messages, heard) = mailing(&format!("smtp://127.0.0.1:{}", fake.port));
    let to = Address::parse("kim@acme.test").unwrap();
    messages.mail_soon(&to, "Your factors were reset", String::from("Hello\n"));
    for _ in 0..2_000 {
        if !heard.0.lock().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(*heard.0.lock().unwrap(), ["email notice"]);
    assert!(
        fake.got()
            .contains(&String::from("Subject: Your factors were reset"))
    );
}

/// What is logged at any level, on this thread.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_of_a_message_is_logged_at_any_level() {
    let written = Written::default();
    let sink = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || sink.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let broken = http(Some("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")).await;
    let (messages, _) = texting(webhook(&broken), Some(twilio(&broken, "+15550100000")));
    assert!(text(&messages).await.is_err());
    println!("{messages:?}");
    let refusing = smtp(GREETING, PLAIN, "554 kim@acme.test is unknown\r\n").await;
    let url = format!("smtp://127.0.0.1:{}", refusing.port);
    let (mails, _) = mailing(&url);
    assert!(mail(&mails).await.is_err());
    let log = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    assert!(
        log.contains("a message was not sent") && log.contains("refused with 554"),
        "{log}"
    );
    let settings = format!("{:?} {:?}", webhook(&broken), messages);
    for secret in ["493817", "5550100007", "kim@acme", "t0ken", "k3y"] {
        assert!(!log.contains(secret), "{secret} in {log}");
        assert!(!settings.contains(secret), "{secret} in {settings}");
    }
}
