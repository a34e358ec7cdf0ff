//! A real HTTP server that takes webhooks, answers as it was told, and remembers.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\n";

/// An answer that is no answer: the connection is closed after the request was read.
pub(crate) const HANG_UP: &str = "";

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// Whether it was answered with [`OK`].
    pub(crate) accepted: bool,
}

impl Request {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    answers: Arc<Mutex<VecDeque<&'static str>>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let receiver = Self { url, requests: Arc::default(), answers: Arc::default() };
        let serving = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move { serving.serve(stream).await.ok() });
            }
        });
        receiver
    }

    /// What to answer next, in order; then [`OK`] again.
    pub(crate) fn answer(&self, answers: impl IntoIterator<Item = &'static str>) {
        self.answers.lock().unwrap().extend(answers);
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// `kind` of every request, in order.
    pub(crate) fn kinds(&self) -> Vec<String> {
        let kind = |request: &Request| request.json()["kind"].as_str().unwrap().to_owned();
        self.requests().iter().map(kind).collect()
    }

    /// A `[[channel]]` named `hook` that leads here.
    pub(crate) fn channel(&self) -> String {
        format!("[[channel]]\nname = 'hook'\nkind = 'webhook'\nurl = '{}'\n", self.url)
    }

    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                // The sender died in the middle of its request.
                return Ok(());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(": ") {
                headers.insert(name.to_ascii_lowercase(), value.to_owned());
            }
        }
        let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(OK);
        let request = Request { headers, body, accepted: answer == OK };
        self.requests.lock().unwrap().push(request);
        if answer != HANG_UP {
            let answer = format!("{answer}Content-Length: 2\r\nConnection: close\r\n\r\nno");
            stream.write_all(answer.as_bytes()).await?;
        }
        stream.shutdown().await
    }
}
