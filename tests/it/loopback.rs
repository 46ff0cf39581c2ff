//! A small local hub: the routes used to load a model, with every failure.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use vstar::artifact::sha256;

/// A received request.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `HEAD`.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Whether it was sent to the store that the hub redirects to.
    pub store: bool,
}

impl Request {
    /// First byte of a `Range`.
    pub fn start(&self) -> Option<usize> {
        self.headers.get("range")?.strip_prefix("bytes=")?.split('-').next()?.parse().ok()
    }
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    cut: Option<usize>,
}

impl Answer {
    /// An answer without a body.
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds a body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Announces the whole body, but closes the connection after this many bytes.
    pub fn cut(mut self, after: usize) -> Self {
        self.cut = Some(after);
        self
    }
}

/// Called for each request first; on `None` the hub answers normally.
type Script = Box<dyn FnMut(&Request) -> Option<Answer> + Send>;

/// A hub with one repository.
pub struct Hub {
    /// Its address.
    pub endpoint: String,
    state: Arc<State>,
}

struct State {
    id: String,
    commit: String,
    files: BTreeMap<String, Vec<u8>>,
    store: String,
    log: Mutex<Vec<Request>>,
    script: Mutex<Script>,
    stop: AtomicBool,
}

/// The commit of `main`.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

impl Hub {
    /// Serves the files of a folder as the repository `owner/tiny`.
    pub fn of_folder(folder: &Path) -> Self {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(folder).expect("a fixture") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            files.insert(name, std::fs::read(&path).expect("a file"));
        }
        Self::of_files(files)
    }

    /// Serves files as the repository `owner/tiny`.
    pub fn of_files(files: BTreeMap<String, Vec<u8>>) -> Self {
        let hub = TcpListener::bind("127.0.0.1:0").expect("a port");
        let store = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = |l: &TcpListener| format!("http://{}", l.local_addr().expect("an address"));
        let endpoint = address(&hub);
        let state = Arc::new(State {
            id: "owner/tiny".into(),
            commit: COMMIT.into(),
            files,
            store: address(&store),
            log: Mutex::default(),
            script: Mutex::new(Box::new(|_| None)),
            stop: AtomicBool::new(false),
        });
        for (listener, is_store) in [(hub, false), (store, true)] {
            let state = Arc::clone(&state);
            std::thread::spawn(move || {
                for connection in listener.incoming() {
                    if state.stop.load(Ordering::SeqCst) {
                        return;
                    }
                    if let Ok(connection) = connection {
                        let state = Arc::clone(&state);
                        std::thread::spawn(move || serve(&state, &connection, is_store));
                    }
                }
            });
        }
        Self { endpoint, state }
    }

    /// Calls the script for each request from now on.
    pub fn script(&self, script: impl FnMut(&Request) -> Option<Answer> + Send + 'static) {
        *self.state.script.lock().expect("script") = Box::new(script);
    }

    /// Returns all requests so far and clears the record.
    pub fn take_log(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.log.lock().expect("log"))
    }

    /// Closes the hub: further connections are refused.
    pub fn close(self) -> String {
        self.state.stop.store(true, Ordering::SeqCst);
        for address in [&self.endpoint, &self.state.store] {
            // Wakes the listener, which then stops and is dropped.
            let address = address.trim_start_matches("http://");
            let _ = TcpStream::connect(address);
            while TcpStream::connect(address).is_ok() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        self.endpoint.clone()
    }
}

fn serve(state: &State, mut connection: &TcpStream, store: bool) {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let mut words = line.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let path = words.next().unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let request = Request { method, path, headers, store };
    state.log.lock().expect("log").push(request.clone());
    let scripted = (state.script.lock().expect("script"))(&request);
    let answer = scripted.unwrap_or_else(|| route(state, &request));
    let mut head = format!("HTTP/1.1 {} it is\r\nConnection: close\r\n", answer.status);
    if !answer.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        head += &format!("Content-Length: {}\r\n", answer.body.len());
    }
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    let _ = connection.write_all(head.as_bytes());
    if request.method != "HEAD" {
        let end = answer.cut.unwrap_or(answer.body.len()).min(answer.body.len());
        let _ = connection.write_all(&answer.body[..end]);
    }
    let _ = connection.flush();
    let _ = connection.shutdown(std::net::Shutdown::Write);
}

/// Large files are in the store, identified by SHA-256; small ones by a git hash.
pub fn etag(name: &str, bytes: &[u8]) -> String {
    use sha1::{Digest, Sha1};
    if name.ends_with(".safetensors") || name.ends_with(".gguf") {
        return sha256(bytes);
    }
    let mut digest = Sha1::new();
    digest.update(format!("blob {}\0", bytes.len()));
    digest.update(bytes);
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn route(state: &State, request: &Request) -> Answer {
    let not_found = |code: &str| {
        Answer::new(404).header("X-Error-Code", code).header("X-Error-Message", "it is not there").body("no")
    };
    // A data set of the same id, which the hub keeps as parquet where its files say so.
    let path = request.path.strip_prefix("/datasets").unwrap_or(&request.path);
    let of_data = path.replacen("/api/datasets/", "/api/models/", 1);
    let converted = state.files.keys().any(|name| name.starts_with("default/"));
    if of_data != path && of_data.ends_with("refs%2Fconvert%2Fparquet") {
        let main = of_data.replace("refs%2Fconvert%2Fparquet", "main");
        let found = || route(state, &Request { path: main.clone(), ..request.clone() });
        return if converted { found() } else { not_found("RevisionNotFound") };
    }
    let path = of_data.as_str();
    if request.store {
        let found = state.files.iter().find(|(name, bytes)| path == format!("/{}", etag(name, bytes)));
        return found.map_or_else(|| Answer::new(404), |(_, bytes)| bytes_from(request, bytes));
    }
    if let Some(rest) = path.strip_prefix("/api/models/") {
        let Some(rest) = rest.strip_prefix(&state.id) else { return not_found("RepoNotFound") };
        let revision = rest.strip_prefix("/revision/").unwrap_or("main");
        if !["main", "v1", "refs%2Fpr%2F1", state.commit.as_str()].contains(&revision) {
            return not_found("RevisionNotFound");
        }
        let siblings: Vec<_> = state.files.keys().map(|f| serde_json::json!({"rfilename": f})).collect();
        let info = serde_json::json!({"id": state.id, "sha": state.commit, "siblings": siblings});
        return Answer::new(200).header("Content-Type", "application/json").body(info.to_string());
    }
    if let Some(name) = path.strip_prefix("/direct/") {
        return match state.files.get(name) {
            Some(bytes) => bytes_from(request, bytes)
                .header("ETag", format!("\"{}\"", etag(name, bytes)))
                .header("X-Repo-Commit", &state.commit),
            None => not_found("EntryNotFound"),
        };
    }
    let prefix = format!("/{}/resolve/{}/", state.id, state.commit);
    let Some(name) = path.strip_prefix(&prefix) else { return not_found("RepoNotFound") };
    let Some(bytes) = state.files.get(name) else { return not_found("EntryNotFound") };
    let etag = etag(name, bytes);
    if etag.len() == 64 {
        return Answer::new(302)
            .header("Location", format!("{}/{etag}", state.store))
            .header("X-Linked-ETag", format!("\"{etag}\""))
            .header("X-Linked-Size", bytes.len())
            .header("X-Repo-Commit", &state.commit)
            .body("Found. Redirecting");
    }
    Answer::new(307).header("Location", format!("/direct/{name}")).body("Temporary Redirect")
}

fn bytes_from(request: &Request, bytes: &[u8]) -> Answer {
    match request.start() {
        Some(start) if start >= bytes.len() => Answer::new(416),
        Some(start) => Answer::new(206)
            .header("Content-Range", format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len()))
            .body(&bytes[start..]),
        None => Answer::new(200).header("Content-Length", bytes.len()).body(bytes),
    }
}
