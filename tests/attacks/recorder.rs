//! A backend that keeps every byte it is sent and believes nothing: it reads one request after the
//! other to the letter, and answers each with what the test told it to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";

/// One request as the backend read it.
#[derive(Debug, Clone)]
pub struct Asked {
    pub head: String,
    pub body: Vec<u8>,
}

impl Asked {
    /// Method, target, version.
    pub fn line(&self) -> &str {
        self.head.split("\r\n").next().unwrap()
    }

    pub fn target(&self) -> &str {
        self.line().split(' ').nth(1).unwrap()
    }

    /// Every value of this name, in order, the name in whatever case.
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.head
            .split("\r\n")
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }
}

#[derive(Default)]
struct Memory {
    asked: Vec<Asked>,
    transcript: Vec<u8>,
    answers: HashMap<String, Vec<u8>>,
}

pub struct Recorder {
    pub url: String,
    memory: Arc<Mutex<Memory>>,
    task: JoinHandle<()>,
}

impl Recorder {
    pub async fn start() -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let memory: Arc<Mutex<Memory>> = Arc::default();
        let shared = Arc::clone(&memory);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(converse(stream, Arc::clone(&shared)));
            }
        });
        Recorder { url, memory, task }
    }

    /// What is answered, word for word, to whoever asks for `path`.
    pub fn answer(&self, path: &str, bytes: &[u8]) {
        let mut memory = self.memory.lock().unwrap();
        memory.answers.insert(path.to_owned(), bytes.to_vec());
    }

    /// The whole requests since the last time.
    pub fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut self.memory.lock().unwrap().asked)
    }

    pub fn take_one(&self) -> Asked {
        let mut asked = self.take();
        assert_eq!(asked.len(), 1, "one request, not {asked:#?}");
        asked.pop().unwrap()
    }

    /// Whether these bytes ever came, in any case, whatever they were part of.
    pub fn heard(&self, needle: &str) -> bool {
        let memory = self.memory.lock().unwrap();
        let text = String::from_utf8_lossy(&memory.transcript).to_lowercase();
        text.contains(&needle.to_lowercase())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Reader {
    stream: TcpStream,
    buffer: Vec<u8>,
    memory: Arc<Mutex<Memory>>,
}

impl Reader {
    async fn more(&mut self) -> Option<()> {
        let mut chunk = [0; 16 * 1024];
        let count = self.stream.read(&mut chunk).await.ok()?;
        if count == 0 {
            return None;
        }
        let new = &chunk[..count];
        self.memory
            .lock()
            .unwrap()
            .transcript
            .extend_from_slice(new);
        self.buffer.extend_from_slice(new);
        Some(())
    }

    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|w| w == end) {
                let rest = self.buffer.split_off(at + end.len());
                let mut taken = std::mem::replace(&mut self.buffer, rest);
                taken.truncate(at);
                return Some(taken);
            }
            self.more().await?;
        }
    }

    async fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            self.more().await?;
        }
        let rest = self.buffer.split_off(length);
        Some(std::mem::replace(&mut self.buffer, rest))
    }

    async fn request(&mut self) -> Option<Asked> {
        let head = String::from_utf8_lossy(&self.until(b"\r\n\r\n").await?).into_owned();
        let mut asked = Asked {
            head,
            body: Vec::new(),
        };
        if !asked.values("transfer-encoding").is_empty() {
            loop {
                let size = String::from_utf8(self.until(b"\r\n").await?).unwrap();
                let size = usize::from_str_radix(&size, 16).unwrap();
                if size == 0 {
                    self.until(b"\r\n").await?;
                    break;
                }
                asked.body.extend(self.exactly(size).await?);
                self.exactly(2).await?;
            }
        } else if let Some(length) = asked.values("content-length").first() {
            let length = length.parse().unwrap();
            asked.body = self.exactly(length).await?;
        }
        Some(asked)
    }
}

async fn converse(stream: TcpStream, memory: Arc<Mutex<Memory>>) {
    let mut reader = Reader {
        stream,
        buffer: Vec::new(),
        memory: Arc::clone(&memory),
    };
    while let Some(asked) = reader.request().await {
        let path = asked.target().split('?').next().unwrap().to_owned();
        let answer = {
            let mut memory = memory.lock().unwrap();
            memory.asked.push(asked);
            memory.answers.get(&path).cloned()
        };
        let answer = answer.unwrap_or_else(|| ANSWER.to_vec());
        if reader.stream.write_all(&answer).await.is_err() {
            return;
        }
        if answer.starts_with(b"HTTP/1.1 101") {
            while reader.more().await.is_some() {}
            return;
        }
        let head = String::from_utf8_lossy(&answer).to_lowercase();
        if head.contains("connection: close") {
            return;
        }
    }
}
