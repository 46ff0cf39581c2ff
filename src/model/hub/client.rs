//! Requests to the hub: the contents of a revision, a file's metadata, and its bytes from an offset on.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hf_hub::progress::{DownloadEvent, ProgressEvent, ProgressHandler};
use reqwest::blocking::{self, Response};
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, LOCATION, RANGE, RETRY_AFTER,
};
use reqwest::redirect::Policy;
use serde::Deserialize;

use super::cache::is_commit;
use super::trouble::{HubRequest, Repository, Trouble};
use super::{Downloads, Patience};
use crate::error::{Diagnostic, Kind, Result};

/// A connection to a hub, for one revision of one repository.
#[derive(Clone)]
pub struct Client {
    api: hf_hub::HFRepositorySync<hf_hub::repository::RepoTypeModel>,
    follow: blocking::Client,
    stay: blocking::Client,
    info: String,
    repository: Repository,
    base: String,
    token: Option<String>,
    revision: String,
    patience: Patience,
}

/// Commit and files of a revision.
pub struct Listing {
    /// Commit of the revision.
    pub commit: String,
    /// Paths of the files.
    pub files: Vec<String>,
}

impl Listing {
    /// Whether there is a file of this name.
    pub fn has(&self, file: &str) -> bool {
        self.files.iter().any(|f| f == file)
    }
}

/// The hub's answer about a revision; other fields are ignored.
#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// Longest accepted answer about a revision, in bytes; a repository of 100,000 files takes 10 MB.
const MOST_INFO: u64 = 64 << 20;

/// Metadata of a file.
pub struct Meta {
    /// Identifies the content: SHA-256 for large files, a git hash otherwise.
    pub etag: String,
    /// Size in bytes, if the hub reports it.
    pub size: Option<u64>,
    /// Whether the content is available through Xet.
    pub xet: bool,
}

/// Maximum number of redirects followed.
const HOPS: usize = 10;

impl Client {
    /// Creates a client; sends nothing yet.
    ///
    /// # Errors
    /// [`Kind::Hub`] if the system's TLS cannot be set up.
    pub fn new(asked: &HubRequest) -> Result<Self> {
        let settings = asked.settings;
        let failed = |e: &dyn std::error::Error| {
            Diagnostic::new(Kind::Hub, "no connection to a hub can be made").found(e.to_string())
        };
        let agent = concat!("vstar/", env!("CARGO_PKG_VERSION"));
        let silence = settings.patience.silence;
        let client = || {
            let client = blocking::Client::builder().user_agent(agent).timeout(silence);
            // A proxy cannot reach loopback addresses of this machine.
            if is_loopback(&settings.endpoint) { client.no_proxy() } else { client }
        };
        let mut asynchronous =
            reqwest::Client::builder().user_agent(agent).connect_timeout(silence).read_timeout(silence);
        if is_loopback(&settings.endpoint) {
            asynchronous = asynchronous.no_proxy();
        }
        let mut api = hf_hub::HFClient::builder()
            .endpoint(&settings.endpoint)
            .cache_dir(&settings.cache)
            .client(asynchronous.build().map_err(|e| failed(&e))?)
            // Retries are counted here, where `Retry-After` is honoured.
            .retry_max_attempts(0);
        if let Some(token) = &settings.token {
            api = api.token(token);
        }
        let (owner, name) = hf_hub::split_id(asked.id);
        Ok(Self {
            api: api.build_sync().map_err(|e| failed(&e))?.model(owner, name),
            follow: client().redirect(Policy::limited(HOPS)).build().map_err(|e| failed(&e))?,
            stay: client().redirect(Policy::none()).build().map_err(|e| failed(&e))?,
            info: format!("{}/api/{}/{}/revision", settings.endpoint, asked.repository.kind(), asked.id),
            base: format!("{}/{}{}/resolve", settings.endpoint, asked.repository.prefix(), asked.id),
            repository: asked.repository,
            token: settings.token.clone(),
            revision: asked.revision.to_owned(),
            patience: settings.patience,
        })
    }

    /// The commit and the files of the revision.
    pub fn listing(&self, downloads: &mut dyn Downloads) -> Result<Listing, Trouble> {
        let info = match self.patiently(downloads, Self::info) {
            // Not every hub says what is missing: if the repository exists, it is the revision.
            Err(Trouble::Status { status: 404, code, message, wait })
                if code.is_empty() && self.repository == Repository::Model =>
            {
                let there = self.patiently(downloads, |me| Ok(me.api.exists().send()?))?;
                let code = if there { "RevisionNotFound" } else { "RepoNotFound" }.to_owned();
                return Err(Trouble::Status { status: 404, code, message, wait });
            }
            other => other?,
        };
        if !is_commit(&info.sha) {
            return Err(Trouble::Malformed(format!("a commit `{}`", info.sha)));
        }
        Ok(Listing { commit: info.sha, files: info.siblings.into_iter().map(|s| s.rfilename).collect() })
    }

    /// The hub's description of the revision. hf-hub makes the same request without a bound on the answer.
    fn info(&self) -> Result<Info, Trouble> {
        let mut url = reqwest::Url::parse(&self.info)
            .map_err(|e| Trouble::Malformed(format!("the address of the hub: {e}")))?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(&self.revision);
        }
        let answer = self.signed(self.follow.get(url)).send()?;
        if !answer.status().is_success() {
            return Err(self.refused(answer));
        }
        let mut body = Vec::new();
        answer.take(MOST_INFO + 1).read_to_end(&mut body).map_err(|e| Trouble::CutOff(e.to_string()))?;
        if body.len() as u64 > MOST_INFO {
            return Err(Trouble::Malformed(format!("a list of files of more than {} MiB", MOST_INFO >> 20)));
        }
        serde_json::from_slice(&body)
            .map_err(|e| Trouble::Malformed(format!("a list of files that is none: {e}")))
    }

    /// Metadata of a file, taken from the hub's own answer; the store that it redirects to knows neither the hash nor
    /// the size of the file.
    pub fn meta(&self, commit: &str, file: &str) -> Result<Meta, Trouble> {
        let mut url = self.url(commit, file)?;
        for _ in 0..HOPS {
            let request = self.stay.head(url.clone()).header(ACCEPT_ENCODING, "identity");
            let answer = self.signed(request).send()?;
            let status = answer.status();
            let next = text(answer.headers(), LOCATION).and_then(|l| url.join(&l).ok());
            if let Some(next) = next.filter(|n| status.is_redirection() && n.origin() == url.origin()) {
                url = next;
                continue;
            }
            if !status.is_success() && !status.is_redirection() {
                return Err(self.refused(answer));
            }
            let mut meta = meta(answer.headers(), status.is_success(), file)?;
            // hf-hub's Xet is used for models only; data files are smaller and are fetched plainly.
            meta.xet &= self.repository == Repository::Model;
            return Ok(meta);
        }
        Err(Trouble::Malformed(format!("{HOPS} redirects")))
    }

    /// The bytes of a file from `start` on. The hub may send the whole file regardless: the second value is the offset
    /// at which the answer begins.
    pub fn open(&self, commit: &str, file: &str, start: u64) -> Result<(Response, u64), Trouble> {
        let mut request = self.follow.get(self.url(commit, file)?).header(ACCEPT_ENCODING, "identity");
        if start > 0 {
            request = request.header(RANGE, format!("bytes={start}-"));
        }
        let answer = self.signed(request).send()?;
        match answer.status().as_u16() {
            200 => Ok((answer, 0)),
            206 => {
                let begins = text(answer.headers(), CONTENT_RANGE).and_then(|range| {
                    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse::<u64>().ok()
                });
                match begins {
                    Some(begins) if begins == start => Ok((answer, begins)),
                    other => Err(Trouble::Malformed(format!("bytes from {other:?}, asked from {start}"))),
                }
            }
            _ => Err(self.refused(answer)),
        }
    }

    /// Turns a failed answer into an error; a token echoed by the server is removed from it.
    fn refused(&self, answer: Response) -> Trouble {
        let headers = answer.headers();
        let wait = text(headers, RETRY_AFTER).and_then(|w| w.trim().parse().ok()).map(Duration::from_secs);
        let said = |name: &str| {
            let text = text(headers, name).unwrap_or_default();
            self.token
                .as_ref()
                .filter(|t| !t.is_empty())
                .map_or(text.clone(), |token| text.replace(token, "(the token)"))
        };
        Trouble::Status {
            status: answer.status().as_u16(),
            code: said("x-error-code"),
            message: said("x-error-message"),
            wait,
        }
    }

    /// Fetches a blob into the cache through Xet, by hf-hub, which cannot be stopped: on an interruption this returns
    /// at once, and the unfinished file remains under a temporary name.
    pub fn xet(
        &self,
        commit: &str,
        file: &str,
        size: Option<u64>,
        downloads: &mut dyn Downloads,
    ) -> Result<(), Trouble> {
        let arrived = Arc::new(AtomicU64::new(0));
        let (api, commit, name) = (self.api.clone(), commit.to_owned(), file.to_owned());
        let counter = Counter(Arc::clone(&arrived));
        let transfer = std::thread::spawn(move || {
            api.download_file().filename(name).revision(commit).progress(counter).send().map(drop)
        });
        downloads.begin(file, size.unwrap_or(0), 0);
        let mut told = 0;
        await_end(transfer, Duration::from_millis(20), || {
            let now = arrived.load(Ordering::Relaxed).max(told);
            downloads.advance(now - told)?;
            told = now;
            Ok(())
        })??;
        downloads.advance(size.unwrap_or(told).saturating_sub(told))?;
        downloads.end();
        Ok(())
    }

    /// Retries if that may help, after the wait that the hub asks for or with increasing waits.
    pub fn patiently<T: Send + 'static>(
        &self,
        downloads: &mut dyn Downloads,
        request: impl Fn(&Self) -> Result<T, Trouble> + Clone + Send + 'static,
    ) -> Result<T, Trouble> {
        let mut tries = 0;
        loop {
            match self.apart(downloads, request.clone()) {
                Err(trouble) => {
                    tries += 1;
                    self.wait(downloads, trouble, tries)?;
                }
                done => return done,
            }
        }
    }

    /// Sends a request on its own thread, so that an interruption is not delayed by a silent hub.
    fn apart<T: Send + 'static>(
        &self,
        downloads: &mut dyn Downloads,
        request: impl FnOnce(&Self) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let me = self.clone();
        let asking = std::thread::spawn(move || request(&me));
        await_end(asking, Duration::from_millis(2), || Ok(downloads.advance(0)?))?
    }

    /// Waits before the next attempt, or returns the error if there is to be none.
    pub fn wait(&self, downloads: &mut dyn Downloads, trouble: Trouble, tries: u32) -> Result<(), Trouble> {
        let asked = match &trouble {
            Trouble::Status { wait, .. } => *wait,
            _ => None,
        };
        // Without a network, requests fail at once and retries do not help.
        let limit = match &trouble {
            Trouble::Unreachable(_) => self.patience.tries.min(3),
            _ => self.patience.tries,
        };
        let pause = asked.unwrap_or(self.patience.first_wait * 2u32.pow(tries.clamp(1, 16) - 1));
        if !trouble.is_passing() || tries >= limit || pause > self.patience.longest_wait {
            return Err(trouble);
        }
        tracing::info!("{trouble}; trying again in {pause:?}");
        let mut left = pause;
        while !left.is_zero() {
            downloads.advance(0)?;
            let slice = left.min(Duration::from_millis(100));
            std::thread::sleep(slice);
            left -= slice;
        }
        Ok(())
    }

    fn url(&self, commit: &str, file: &str) -> Result<reqwest::Url, Trouble> {
        reqwest::Url::parse(&format!("{}/{commit}/{file}", self.base))
            .map_err(|e| Trouble::Malformed(format!("address of {file}: {e}")))
    }

    fn signed(&self, request: blocking::RequestBuilder) -> blocking::RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

/// Waits for a thread, calling `meanwhile` repeatedly; an error of `meanwhile` abandons the thread.
fn await_end<T>(
    thread: JoinHandle<T>,
    every: Duration,
    mut meanwhile: impl FnMut() -> Result<(), Trouble>,
) -> Result<T, Trouble> {
    while !thread.is_finished() {
        std::thread::sleep(every);
        meanwhile()?;
    }
    thread.join().map_err(|_| Trouble::CutOff("the transfer panicked".into()))
}

/// Counts the bytes received.
struct Counter(Arc<AtomicU64>);

impl ProgressHandler for Counter {
    fn on_progress(&self, event: &ProgressEvent) {
        let bytes = match event {
            ProgressEvent::Download(DownloadEvent::Progress { files }) => {
                files.iter().map(|f| f.bytes_completed).sum()
            }
            ProgressEvent::Download(DownloadEvent::AggregateProgress { bytes_completed, .. }) => {
                *bytes_completed
            }
            _ => return,
        };
        self.0.fetch_max(bytes, Ordering::Relaxed);
    }
}

fn is_loopback(endpoint: &str) -> bool {
    let url = reqwest::Url::parse(endpoint).ok();
    url.is_some_and(|u| u.host_str().is_some_and(|h| matches!(h, "localhost" | "127.0.0.1" | "[::1]")))
}

fn text(headers: &HeaderMap, name: impl reqwest::header::AsHeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn meta(headers: &HeaderMap, whole: bool, file: &str) -> Result<Meta, Trouble> {
    let etag = text(headers, "x-linked-etag").or_else(|| text(headers, ETAG));
    let etag = etag.map(|e| e.trim().trim_start_matches("W/").trim_matches('"').to_owned());
    let Some(etag) = etag.filter(|etag| is_name(etag)) else {
        return Err(Trouble::Malformed(format!("{file} without an ETag that could name it")));
    };
    // The length of a redirect's own body says nothing about the file.
    let length = || whole.then(|| text(headers, CONTENT_LENGTH)).flatten();
    let size = text(headers, "x-linked-size").or_else(length).and_then(|s| s.trim().parse().ok());
    Ok(Meta { etag, size, xet: headers.contains_key("x-xet-hash") })
}

/// Whether an etag is valid as a file name in the cache.
fn is_name(etag: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (8..=128).contains(&etag.len()) && etag.bytes().all(allowed)
}
