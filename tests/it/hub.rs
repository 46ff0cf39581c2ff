//! Models from a hub, end to end against a local one: the same readings as from a folder, and every failure of a hub.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use candle_core::{DType, Device};
use vstar::error::{Error, Kind, Result};
use vstar::model::gguf::GgufFile;
use vstar::model::hub::{Downloads, Patience, Settings, Unwatched, fetch, fetch_dataset, fetch_gguf};
use vstar::model::{LoadOptions, Model, ModelFiles, ModelSource};

use crate::loopback::{Answer, COMMIT, Hub, Request, etag};
use crate::stories::fixture;

const ID: &str = "owner/tiny";

fn settings(hub: &Hub, cache: &Path) -> Settings {
    Settings {
        endpoint: hub.endpoint.clone(),
        token: None,
        cache: cache.to_owned(),
        offline: false,
        patience: Patience {
            tries: 3,
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_secs(5),
            silence: Duration::from_secs(5),
        },
    }
}

struct Scene {
    hub: Hub,
    cache: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self::of("llama_chat")
    }

    fn of(model: &str) -> Self {
        let hub = Hub::of_folder(&fixture(&format!("models/{model}")));
        Self { hub, cache: tempfile::tempdir().expect("a folder") }
    }

    fn settings(&self) -> Settings {
        settings(&self.hub, self.cache.path())
    }

    fn fetch(&self) -> Result<ModelFiles> {
        fetch(ID, None, &self.settings(), &mut Unwatched)
    }

    fn refused(&self) -> String {
        refused(self.fetch())
    }

    /// Cached files whose name ends with `end`.
    fn cached(&self, end: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(self.cache.path(), &mut found);
        found.retain(|p| p.to_string_lossy().ends_with(end));
        found
    }

    /// Scripts the answers to requests for this file's bytes, counted from 0.
    fn on_bytes(&self, file: &str, answer: impl Fn(usize, &Request) -> Option<Answer> + Send + 'static) {
        let direct = format!("/direct/{file}");
        let bytes = fs::read(fixture("models/llama_chat").join(file)).expect("a file");
        let store = format!("/{}", etag(file, &bytes));
        let count = AtomicUsize::new(0);
        self.hub.script(move |request| {
            let asked = request.method == "GET" && (request.path == direct || request.path == store);
            if asked { answer(count.fetch_add(1, Ordering::SeqCst), request) } else { None }
        });
    }
}

fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { walk(&path, out) } else { out.push(path) }
    }
}

fn refused<T>(result: Result<T>) -> String {
    match result {
        Err(e @ Error::Diagnostic(_)) => e.to_string(),
        Err(e) => panic!("not a refusal: {e}"),
        Ok(_) => panic!("it should have refused"),
    }
}

fn options() -> LoadOptions {
    LoadOptions { dtype: DType::F32, device: Device::Cpu, stream: false, quantize: None, adapter: None }
}

fn same_files(files: &ModelFiles, fixture: &Path) {
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"] {
        let (ours, theirs) = (fs::read(files.path().join(name)), fs::read(fixture.join(name)));
        assert!(ours.expect("fetched") == theirs.expect("a fixture"), "{name}");
    }
}

#[derive(Default)]
struct Counted {
    files: Vec<(String, u64, u64)>,
    bytes: u64,
    ended: usize,
    stop_after: Option<u64>,
}

impl Downloads for Counted {
    fn begin(&mut self, file: &str, bytes: u64, already: u64) {
        self.files.push((file.to_owned(), bytes, already));
    }

    fn advance(&mut self, bytes: u64) -> Result<()> {
        self.bytes += bytes;
        if self.stop_after.is_some_and(|most| self.bytes > most) { Err(Error::Interrupted) } else { Ok(()) }
    }

    fn end(&mut self) {
        self.ended += 1;
    }
}

/// `vstar capture` with the hub's environment; readings, revision and what it wrote to standard error.
struct Captured {
    resid: Vec<u8>,
    meta: std::collections::HashMap<String, String>,
    stderr: String,
}

fn capture(endpoint: &str, home: &Path, extra: &[&str], environment: &[(&str, &str)]) -> Captured {
    let folder = tempfile::tempdir().expect("a folder");
    let items = folder.path().join("items.jsonl");
    fs::write(&items, "{\"id\":\"a\",\"prompt\":\"the tea\",\"responses\":[\"is good\",\"is not\"]}\n")
        .expect("items");
    let mut command = Command::cargo_bin("vstar").expect("the program");
    command.args(["capture", "--out", "out", "--data", "items.jsonl"]).args(extra);
    command.current_dir(folder.path()).env("HF_ENDPOINT", endpoint).env("HF_HOME", home);
    for name in ["HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "VSTAR_LOG"] {
        command.env_remove(name);
    }
    let output = command.envs(environment.iter().copied()).output().expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    let bytes = fs::read(folder.path().join("out/observations.safetensors")).expect("observations");
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).expect("a header");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("tensors");
    let resid = tensors.tensor("resid").expect("readings").data().to_vec();
    Captured { resid, meta: header.metadata().clone().unwrap_or_default(), stderr }
}

#[test]
fn the_readings_are_those_of_the_folder_online_offline_and_with_the_hub_gone() {
    let scene = Scene::new();
    let home = scene.cache.path();
    let folder = fixture("models/llama_chat");
    let local = capture(&scene.hub.endpoint, home, &["--model", &folder.to_string_lossy()], &[]);
    assert!(scene.hub.take_log().is_empty(), "a folder needs no hub");
    assert_eq!(local.meta["revision"], "");

    let model = ["--model", ID];
    let online = capture(&scene.hub.endpoint, home, &model, &[("HF_TOKEN", "hf_secret")]);
    assert!(online.resid == local.resid, "the readings differ");
    assert_eq!((online.meta["revision"].as_str(), online.meta["model"].as_str()), (COMMIT, ID));
    // The token goes to the hub with every request, and never to the store that it redirects to.
    let log = scene.hub.take_log();
    assert!(log.iter().any(|r| r.store) && log.iter().any(|r| !r.store));
    for request in &log {
        let token = request.headers.get("authorization").map(String::as_str);
        assert_eq!(token, (!request.store).then_some("Bearer hf_secret"), "{request:?}");
    }

    // Cached files are not fetched again.
    let again = capture(&scene.hub.endpoint, home, &["--model", ID, "--revision", "v1"], &[]);
    assert!(again.resid == local.resid);
    assert_eq!(scene.hub.take_log().len(), 1);

    let endpoint = scene.hub.close();
    let offline = capture(&endpoint, home, &model, &[("HF_HUB_OFFLINE", "1")]);
    assert!(offline.resid == local.resid && !offline.stderr.contains("warning"), "{}", offline.stderr);
    assert_eq!(offline.meta["revision"], COMMIT);

    let gone = capture(&endpoint, home, &model, &[]);
    assert!(gone.resid == local.resid);
    assert_eq!(gone.meta["revision"], COMMIT);
    assert!(
        gone.stderr.contains("using the cached revision") && gone.stderr.contains(COMMIT),
        "{}",
        gone.stderr
    );
}

#[test]
fn a_sharded_model_is_fetched_whole() {
    let scene = Scene::of("llama_sharded");
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(fixture("models/llama_sharded")).expect("a fixture") {
        let path = entry.expect("an entry").path();
        files.insert(
            path.file_name().expect("a name").to_string_lossy().into_owned(),
            fs::read(&path).expect("bytes"),
        );
    }
    // The fixture has no tokenizer of its own.
    let tokenizer = fs::read(fixture("models/llama_chat/tokenizer.json")).expect("a tokenizer");
    files.insert("tokenizer.json".into(), tokenizer);
    let hub = Hub::of_files(files);
    let mut counted = Counted::default();
    let fetched = fetch(ID, None, &settings(&hub, scene.cache.path()), &mut counted).expect("fetched");
    let model = Model::open(&fetched, ID, &options()).expect("it loads");
    assert_eq!(model.identity.weights_sha256.len(), 2);
    assert_eq!(model.identity.revision, COMMIT);
    let names: Vec<&str> = counted.files.iter().map(|(f, ..)| f.as_str()).collect();
    let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    assert_eq!(names[..2], ["config.json", "tokenizer.json"]);
    assert_eq!(names[names.len() - 3..], ["model.safetensors.index.json", shards[0], shards[1]]);
    assert_eq!(counted.bytes, counted.files.iter().map(|(_, bytes, _)| bytes).sum::<u64>());
    assert_eq!(counted.ended, counted.files.len());
}

#[test]
fn a_revision_is_resolved_once_and_remembered() {
    let scene = Scene::new();
    for revision in ["v1", "refs/pr/1", COMMIT] {
        let files = fetch(ID, Some(revision), &scene.settings(), &mut Unwatched).expect("fetched");
        assert_eq!(files.revision(), COMMIT);
    }
    let offline = Settings { offline: true, ..scene.settings() };
    for revision in ["v1", "refs/pr/1", COMMIT] {
        let files = fetch(ID, Some(revision), &offline, &mut Unwatched).expect("cached");
        assert_eq!(files.revision(), COMMIT);
        same_files(&files, &fixture("models/llama_chat"));
    }
    // `main` was never requested: the cache cannot resolve it.
    let text = refused(fetch(ID, None, &offline, &mut Unwatched));
    assert!(text.contains("not in the cache") && text.contains("HF_HUB_OFFLINE"), "{text}");
}

#[test]
fn an_unknown_family_is_refused_before_any_weight_is_fetched() {
    let mut files = BTreeMap::new();
    files.insert("config.json".to_owned(), br#"{"model_type": "mamba"}"#.to_vec());
    for name in ["tokenizer.json", "model.safetensors"] {
        files.insert(name.to_owned(), fs::read(fixture("models/llama_chat").join(name)).expect("a file"));
    }
    let scene = Scene { hub: Hub::of_files(files), cache: tempfile::tempdir().expect("a folder") };
    let text = scene.refused();
    assert!(text.contains("mamba"), "{text}");
    assert!(
        scene.hub.take_log().iter().all(|r| !r.path.contains("tokenizer") && !r.path.contains("model.saf"))
    );
}

#[test]
fn a_repository_without_safetensors_is_refused_by_what_it_has() {
    let folder = fixture("models/llama_chat");
    let mut files = BTreeMap::new();
    for name in ["config.json", "tokenizer.json"] {
        files.insert(name.to_owned(), fs::read(folder.join(name)).expect("a file"));
    }
    files.insert("pytorch_model.bin".to_owned(), vec![0]);
    let scene = Scene { hub: Hub::of_files(files.clone()), cache: tempfile::tempdir().expect("a folder") };
    let text = scene.refused();
    assert!(text.contains("pytorch_model.bin, a pickle") && text.contains("safe_serialization"), "{text}");
    files.remove("tokenizer.json");
    let scene = Scene { hub: Hub::of_files(files), cache: tempfile::tempdir().expect("a folder") };
    let text = scene.refused();
    assert!(text.contains("no tokenizer.json"), "{text}");
}

/// A repository of GGUF files, one of them in parts.
fn gguf_files() -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let bytes = |name: &str| fs::read(fixture("gguf").join(name)).expect("a fixture");
    files.insert("README.md".to_owned(), b"# tiny".to_vec());
    files.insert("tiny-F32.gguf".to_owned(), bytes("llama_chat/model.gguf"));
    files.insert("tiny-Q8_0.gguf".to_owned(), bytes("llama_tied/model.gguf"));
    files.insert("other-Q8_0.gguf".to_owned(), bytes("qwen2_yarn/model.gguf"));
    for i in 1..=3 {
        let name = format!("model-{i:05}-of-00003.gguf");
        files.insert(format!("parts/tiny-Q5_0-{i:05}-of-00003.gguf"), bytes(&format!("llama_split/{name}")));
    }
    files
}

#[test]
fn a_gguf_file_is_fetched_by_its_name_or_type_with_all_its_parts() {
    let scene = Scene { hub: Hub::of_files(gguf_files()), cache: tempfile::tempdir().expect("a folder") };
    let get = |wanted: &str| fetch_gguf(ID, None, wanted, &scene.settings(), &mut Unwatched);
    let mut counted = Counted::default();
    let files = fetch_gguf(ID, None, "q5_0", &scene.settings(), &mut counted).expect("fetched");
    assert_eq!((files.revision(), counted.ended), (COMMIT, 3), "its parts and nothing else");
    let path = files.gguf().expect("a GGUF model").to_owned();
    assert!(path.ends_with("parts/tiny-Q5_0-00001-of-00003.gguf"), "{}", path.display());
    let model = GgufFile::open(&path).expect("it opens");
    assert_eq!(model.paths().count(), 3);
    // Files with a known hash are compared by hash.
    let hashes = |good: bool| -> BTreeMap<String, String> {
        let hash =
            |p: &Path| if good { vstar::artifact::sha256_file(p).expect("a hash") } else { "0".repeat(64) };
        let name = |p: &Path| p.file_name().expect("a name").to_string_lossy().into_owned();
        model.paths().map(|p| (name(p), hash(p))).collect()
    };
    files.verify(&hashes(true)).expect("what the hub sent");
    assert!(refused(files.verify(&hashes(false))).contains("not what the hub sent"));

    assert!(get("F32").expect("fetched").gguf().is_some_and(|p| p.ends_with("tiny-F32.gguf")));
    assert!(get("TINY-q8_0.gguf").expect("fetched").gguf().is_some_and(|p| p.ends_with("tiny-Q8_0.gguf")));
    let several = refused(get("Q8_0"));
    assert!(several.contains("other-Q8_0.gguf, tiny-Q8_0.gguf") && several.contains(ID), "{several}");
    let absent = refused(get("Q4_K_M"));
    assert!(
        absent.contains("Q4_K_M") && absent.contains("tiny-F32.gguf") && absent.contains("parts/"),
        "{absent}"
    );

    // Offline, the cache is used with the same request: it has the fetched files.
    let offline = Settings { offline: true, ..scene.settings() };
    let cached = |wanted: &str| fetch_gguf(ID, None, wanted, &offline, &mut Unwatched);
    assert_eq!(cached("Q5_0").expect("cached").gguf(), Some(path.as_path()));
    assert!(refused(cached("other-Q8_0.gguf")).contains("the cache has no GGUF file"));

    // The readings are those of the file on this disk, from the hub and from the cache alone.
    let home = scene.cache.path();
    let local = fixture("gguf/llama_chat/model.gguf").to_string_lossy().into_owned();
    let local = capture(&scene.hub.endpoint, home, &["--model", &local], &[]);
    let name = format!("{ID}:f32");
    for offline in [&[][..], &[("HF_HUB_OFFLINE", "1")]] {
        let from_hub = capture(&scene.hub.endpoint, home, &["--model", &name, "--revision", "v1"], offline);
        assert!(from_hub.resid == local.resid, "the readings differ");
        let (model, revision) = (from_hub.meta["model"].as_str(), from_hub.meta["revision"].as_str());
        assert_eq!((model, revision), (name.as_str(), COMMIT));
    }

    // Without a file name the repository is not a model; the error explains how to name one.
    let text = scene.refused();
    assert!(text.contains(&format!("name a GGUF file: {ID}:")), "{text}");
}

#[test]
fn what_is_not_there_is_told_apart() {
    let scene = Scene::new();
    let text = refused(fetch("owner/other", None, &scene.settings(), &mut Unwatched));
    assert!(text.contains("no repository `owner/other`") && text.contains("a local folder"), "{text}");
    let text = refused(fetch(ID, Some("v9"), &scene.settings(), &mut Unwatched));
    assert!(text.contains("no revision `v9`") && text.contains("a tag or a commit"), "{text}");
    // A hub that does not say which of the two is missing.
    scene.hub.script(|r| r.path.contains("/revision/").then(|| Answer::new(404)));
    let text = refused(fetch(ID, Some("v9"), &scene.settings(), &mut Unwatched));
    assert!(text.contains("no revision `v9`"), "{text}");
    scene.hub.script(|_| Some(Answer::new(404)));
    let text = refused(fetch(ID, Some("v9"), &scene.settings(), &mut Unwatched));
    assert!(text.contains("no repository"), "{text}");
    // A file that is listed but missing.
    scene.hub.script(|r| r.path.ends_with("tokenizer.json").then(|| Answer::new(404)));
    assert!(scene.refused().contains("lists tokenizer.json but does not have it"));
}

#[test]
fn a_gated_or_private_repository_names_the_token_and_the_page() {
    for (status, code, what) in
        [(401, "", "private, gated, or not there"), (403, "GatedRepo", "the repository is gated")]
    {
        let scene = Scene::new();
        scene.hub.script(move |_| Some(Answer::new(status).header("X-Error-Code", code)));
        let text = scene.refused();
        let page = format!("{}/{ID}", scene.hub.endpoint);
        assert!(text.contains(what) && text.contains("HF_TOKEN") && text.contains(&page), "{text}");
        assert!(text.contains("no token was sent"), "{text}");
        let settings = Settings { token: Some("hf_secret".into()), ..scene.settings() };
        let text = refused(fetch(ID, None, &settings, &mut Unwatched));
        assert!(text.contains("the token that was sent") && !text.contains("hf_secret"), "{text}");
        assert!(scene.cached("").is_empty());
    }
    // A gated repository may show its list and small files, but not its weights.
    let scene = Scene::new();
    scene.hub.script(|r| r.path.ends_with("model.safetensors").then(|| Answer::new(403)));
    let text = scene.refused();
    assert!(text.contains("model.safetensors") && text.contains("HF_TOKEN"), "{text}");
}

#[test]
fn a_rate_limit_is_waited_for_as_long_as_the_hub_asks() {
    for place in ["/api/", "/direct/config.json"] {
        let scene = Scene::new();
        let times = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&times);
        scene.hub.script(move |r| {
            if !r.path.starts_with(place) {
                return None;
            }
            let mut times = seen.lock().expect("times");
            times.push(std::time::Instant::now());
            (times.len() == 1).then(|| Answer::new(429).header("Retry-After", 1))
        });
        same_files(&scene.fetch().expect("after a while"), &fixture("models/llama_chat"));
        let times = times.lock().expect("times");
        assert!(times[1] - times[0] >= Duration::from_secs(1), "it did not wait");
    }
}

#[test]
fn a_rate_limit_without_end_is_an_error() {
    let scene = Scene::new();
    scene.hub.script(|_| Some(Answer::new(429)));
    let text = scene.refused();
    assert!(text.contains("limits the rate") && text.contains("429"), "{text}");
    assert_eq!(scene.hub.take_log().len(), 3, "as many tries as patience says");
    // Does not wait if a hub asks for an hour.
    scene.hub.script(|_| Some(Answer::new(429).header("Retry-After", 3600)));
    assert!(scene.refused().contains("in 3600 s"));
    assert_eq!(scene.hub.take_log().len(), 1);
}

#[test]
fn a_failing_hub_is_tried_again_then_the_cache_is_used() {
    let scene = Scene::new();
    let count = AtomicUsize::new(0);
    scene.hub.script(move |_| (count.fetch_add(1, Ordering::SeqCst) == 0).then(|| Answer::new(503)));
    scene.fetch().expect("after one failure");
    scene.hub.script(|_| Some(Answer::new(500)));
    same_files(&scene.fetch().expect("the cache"), &fixture("models/llama_chat"));
    // But a refusal is reported even if the cache holds the model.
    scene.hub.script(|_| Some(Answer::new(403)));
    assert!(scene.refused().contains("HF_TOKEN"));
}

#[test]
fn a_transfer_that_is_cut_off_goes_on_where_it_stopped() {
    let scene = Scene::new();
    let bytes = fs::read(fixture("models/llama_chat/model.safetensors")).expect("weights");
    let whole = bytes.clone();
    // Each answer breaks off after 30,000 bytes, more often than would be tolerated without progress.
    scene.on_bytes("model.safetensors", move |_, request| {
        let start = request.start().unwrap_or(0);
        let answer = Answer::new(if start > 0 { 206 } else { 200 });
        let range = format!("bytes {start}-{}/{}", whole.len() - 1, whole.len());
        Some(answer.header("Content-Range", range).body(&whole[start..]).cut(30_000))
    });
    let mut counted = Counted::default();
    let files = fetch(ID, None, &scene.settings(), &mut counted).expect("resumed");
    same_files(&files, &fixture("models/llama_chat"));
    let ranges: Vec<_> = scene.hub.take_log().iter().filter(|r| r.store).map(Request::start).collect();
    let expected: Vec<_> = (0..bytes.len().div_ceil(30_000)).map(|i| (i > 0).then_some(30_000 * i)).collect();
    assert_eq!(ranges, expected, "each byte is fetched once");
    assert_eq!(scene.cached(".incomplete"), Vec::<PathBuf>::new());
}

#[test]
fn a_later_run_goes_on_with_what_an_earlier_one_left() {
    let scene = Scene::new();
    let bytes = fs::read(fixture("models/llama_chat/model.safetensors")).expect("weights");
    let half = bytes[..40_000].to_vec();
    // Without a correct length, only the size given by the hub shows that the file is incomplete.
    scene.on_bytes("model.safetensors", move |n, _| {
        Some(if n == 0 { Answer::new(200).body(half.clone()) } else { Answer::new(500) })
    });
    let text = scene.refused();
    assert!(text.contains("model.safetensors") && text.contains("what has arrived is kept"), "{text}");
    // A partial file is never treated as complete.
    assert!(scene.cached("model.safetensors").is_empty());
    let left = scene.cached(".incomplete");
    assert_eq!(left.len(), 1);
    assert_eq!(fs::metadata(&left[0]).expect("left").len(), 40_000);
    let offline = Settings { offline: true, ..scene.settings() };
    let text = refused(fetch(ID, Some(COMMIT), &offline, &mut Unwatched));
    assert!(text.contains("only in part") && text.contains("model.safetensors"), "{text}");

    scene.hub.take_log();
    scene.hub.script(|_| None);
    let mut counted = Counted::default();
    let files = fetch(ID, None, &scene.settings(), &mut counted).expect("resumed");
    same_files(&files, &fixture("models/llama_chat"));
    assert_eq!(counted.files, [("model.safetensors".to_owned(), bytes.len() as u64, 40_000)]);
    let ranges: Vec<_> = scene.hub.take_log().iter().filter(|r| r.store).map(Request::start).collect();
    assert_eq!(ranges, [Some(40_000)]);
    assert_eq!(scene.cached(".incomplete"), Vec::<PathBuf>::new());
}

#[test]
fn a_store_that_ignores_ranges_is_read_from_the_beginning() {
    let scene = Scene::new();
    let bytes = fs::read(fixture("models/llama_chat/model.safetensors")).expect("weights");
    scene.on_bytes("model.safetensors", move |n, _| {
        let whole = Answer::new(200).body(bytes.clone());
        Some(if n == 0 { whole.cut(30_000) } else { whole })
    });
    same_files(&scene.fetch().expect("fetched"), &fixture("models/llama_chat"));
}

#[test]
fn what_is_not_what_the_hub_promised_is_never_taken() {
    let bytes = fs::read(fixture("models/llama_chat/model.safetensors")).expect("weights");
    let mut changed = bytes.clone();
    changed[50_000] ^= 1;
    let longer = [bytes.as_slice(), b"more"].concat();
    for (wrong, says) in [(changed, "SHA-256"), (longer, "more than")] {
        let scene = Scene::new();
        let sent = wrong.clone();
        scene.on_bytes("model.safetensors", move |_, _| Some(Answer::new(200).body(sent.clone())));
        let text = scene.refused();
        assert!(text.contains("not what the hub promised") && text.contains(says), "{text}");
        assert!(scene.cached("model.safetensors").is_empty() && scene.cached(".incomplete").is_empty());
        // First wrong, then right.
        scene.on_bytes("model.safetensors", move |n, _| {
            (n == 0).then(|| Answer::new(200).body(wrong.clone()))
        });
        same_files(&scene.fetch().expect("the second time"), &fixture("models/llama_chat"));
    }
    // An error page is not accepted as a file, even with status 200.
    let scene = Scene::new();
    scene.on_bytes("config.json", |_, _| Some(Answer::new(200).body("<html>sign in</html>")));
    assert!(scene.refused().contains("config.json"));
    assert!(scene.cached("config.json").is_empty());
}

#[test]
fn a_file_that_changed_in_the_cache_is_refused() {
    let scene = Scene::new();
    let files = scene.fetch().expect("fetched");
    Model::open(&files, ID, &options()).expect("it loads");
    let path = fs::canonicalize(files.path().join("model.safetensors")).expect("a blob");
    let mut bytes = fs::read(&path).expect("weights");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).expect("damage");
    let text = refused(Model::open(&files, ID, &options()));
    assert!(text.contains("not what the hub sent") && text.contains("delete the file"), "{text}");
}

#[test]
fn an_etag_or_a_commit_cannot_lead_out_of_the_cache() {
    let scene = Scene::new();
    scene
        .hub
        .script(|r| (r.method == "HEAD").then(|| Answer::new(200).header("ETag", "\"../../../../outside\"")));
    assert!(scene.refused().contains("ETag"));
    let info = r#"{"id":"owner/tiny","sha":"../../../outside","siblings":[{"rfilename":"config.json"}]}"#;
    scene.hub.script(move |_| Some(Answer::new(200).body(info)));
    assert!(scene.refused().contains("outside"));
    let index = r#"{"weight_map": {"a": "../../../../outside.safetensors"}}"#;
    let mut files = BTreeMap::new();
    for name in ["config.json", "tokenizer.json"] {
        files.insert(name.to_owned(), fs::read(fixture("models/llama_chat").join(name)).expect("a file"));
    }
    files.insert("model.safetensors.index.json".to_owned(), index.into());
    let scene = Scene { hub: Hub::of_files(files), cache: tempfile::tempdir().expect("a folder") };
    assert!(scene.refused().contains("outside its folder"));
}

#[test]
fn without_a_xet_store_the_file_is_fetched_plainly() {
    let scene = Scene::new();
    let bytes = fs::read(fixture("models/llama_chat/model.safetensors")).expect("weights");
    let (hash, size) = (etag("model.safetensors", &bytes), bytes.len());
    scene.hub.script(move |r| {
        if r.path.contains("/xet-read-token/") {
            return Some(Answer::new(404));
        }
        let asked = r.method == "HEAD" && r.path.ends_with("model.safetensors");
        asked.then(|| {
            Answer::new(200)
                .header("ETag", format!("\"{hash}\""))
                .header("Content-Length", size)
                .header("X-Repo-Commit", COMMIT)
                .header("X-Xet-Hash", "0".repeat(64))
        })
    });
    same_files(&scene.fetch().expect("fetched"), &fixture("models/llama_chat"));
    let log = scene.hub.take_log();
    assert!(log.iter().any(|r| r.path.contains("/xet-read-token/")), "Xet was not tried");
}

#[test]
fn every_command_takes_a_model_of_the_hub_and_its_revision() {
    let scene = Scene::new();
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("items.jsonl"), crate::cli::items(9)).expect("items");
    let experiment = |revision: &str| {
        let text = format!(
            "[model]\nhub = \"{ID}\"\nrevision = \"{revision}\"\n[data]\nfiles = [\"items.jsonl\"]\n"
        );
        fs::write(folder.path().join(format!("{revision}.toml")), text).expect("an experiment");
    };
    experiment("v1");
    experiment("v9");
    let run = |arguments: &[&str]| {
        let mut command = Command::cargo_bin("vstar").expect("the program");
        command.args(arguments).current_dir(folder.path());
        command.env("HF_ENDPOINT", &scene.hub.endpoint).env("HF_HOME", scene.cache.path());
        for name in ["HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"] {
            command.env_remove(name);
        }
        let output = command.output().expect("it runs");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.success(), text)
    };
    let data = ["--data", "items.jsonl"];
    for (arguments, revisions) in [
        (vec!["check", ID], ["v1", "v9"]),
        ([&["preview", "--model", ID], &data[..]].concat(), ["v1", "v9"]),
        ([&["judge", "--model", ID, "--out", "o"], &data[..]].concat(), ["", "v9"]),
        (vec!["run", "--dry-run"], ["v1.toml", "v9.toml"]),
    ] {
        for revision in revisions {
            let mut arguments = arguments.clone();
            match revision {
                "" => continue,
                file if file.ends_with(".toml") => arguments.push(file),
                name => arguments.extend(["--revision", name]),
            }
            let (ok, text) = run(&arguments);
            let good = revision.starts_with("v1");
            assert_eq!(ok, good, "{arguments:?}: {text}");
            assert!(good || text.contains("no revision `v9`"), "{arguments:?}: {text}");
        }
    }
}

#[test]
fn ctrl_c_keeps_what_has_arrived() {
    let scene = Scene::new();
    let small: u64 = ["config.json", "tokenizer.json", "tokenizer_config.json"]
        .iter()
        .map(|f| fs::metadata(fixture("models/llama_chat").join(f)).expect("a file").len())
        .sum();
    let mut counted = Counted { stop_after: Some(small), ..Counted::default() };
    let stopped = fetch(ID, None, &scene.settings(), &mut counted);
    assert!(matches!(stopped, Err(Error::Interrupted)));
    assert_eq!(scene.cached(".incomplete").len(), 1);
    same_files(&scene.fetch().expect("resumed"), &fixture("models/llama_chat"));
}

#[test]
fn two_at_once_fetch_each_content_once() {
    let scene = Scene::new();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| same_files(&scene.fetch().expect("fetched"), &fixture("models/llama_chat")));
        }
    });
    assert_eq!(scene.hub.take_log().iter().filter(|r| r.store).count(), 1);
}

#[test]
fn offline_without_a_cache_says_what_to_do() {
    let scene = Scene::new();
    let offline = Settings { offline: true, ..scene.settings() };
    let text = refused(fetch(ID, None, &offline, &mut Unwatched));
    assert!(text.contains("HF_HUB_OFFLINE") && text.contains("HF_HOME"), "{text}");
    assert!(scene.hub.take_log().is_empty(), "offline asks nobody");
    let mut settings = scene.settings();
    let cache = scene.cache;
    settings.endpoint = scene.hub.close();
    let text = refused(fetch(ID, None, &settings, &mut Unwatched));
    assert!(text.contains("cannot be asked") && text.contains("HF_ENDPOINT"), "{text}");
    assert!(fs::read_dir(cache.path()).expect("a folder").next().is_none());
}

#[test]
fn a_hub_that_says_nothing_is_not_waited_for_without_end() {
    let scene = Scene::new();
    let mut settings = scene.settings();
    settings.patience.silence = Duration::from_millis(100);
    settings.patience.tries = 2;
    scene.hub.script(|_| {
        std::thread::sleep(Duration::from_millis(600));
        None
    });
    let text = refused(fetch(ID, None, &settings, &mut Unwatched));
    assert!(text.contains("cannot be asked"), "{text}");
}

#[test]
fn a_name_is_a_folder_a_hub_id_or_an_embedded_model() {
    let parse = |name: &str, revision: Option<&str>| ModelSource::parse(name, revision);
    let folder = fixture("models/llama").to_string_lossy().into_owned();
    assert_eq!(parse(&folder, None).expect("a folder"), ModelSource::Folder(PathBuf::from(&folder)));
    let hub = |gguf: Option<&str>| ModelSource::Hub {
        id: ID.into(),
        revision: Some("v1".into()),
        gguf: gguf.map(str::to_owned),
    };
    assert_eq!(parse(ID, Some("v1")).expect("an id"), hub(None));
    for file in ["Q4_K_M", "m-q8_0.gguf", "sub/m-q8_0.gguf"] {
        assert_eq!(parse(&format!("{ID}:{file}"), Some("v1")).expect("an id with a file"), hub(Some(file)));
    }
    let file = fixture("gguf/llama_chat/model.gguf").to_string_lossy().into_owned();
    assert_eq!(parse(&file, None).expect("a GGUF file"), ModelSource::Gguf(PathBuf::from(&file)));
    let scratch = tempfile::tempdir().expect("a folder");
    // A blob without the extension is recognised by its first bytes.
    let blob = scratch.path().join("sha256-0123");
    fs::copy(&file, &blob).expect("copied");
    assert_eq!(parse(&blob.to_string_lossy(), None).expect("a GGUF file"), ModelSource::Gguf(blob.clone()));
    let other = fixture("models/llama/config.json").to_string_lossy().into_owned();
    assert_eq!(parse("embedded:x", None).expect("a name"), ModelSource::Embedded("x".into()));
    for (name, revision, kind) in [
        ("gpt9", None, Kind::Missing),
        ("models/gone.gguf", None, Kind::Missing),
        (other.as_str(), None, Kind::Missing),
        (file.as_str(), Some("v1"), Kind::Invalid),
        ("./models/x", None, Kind::Missing),
        ("/no/such/folder", None, Kind::Missing),
        (folder.as_str(), Some("v1"), Kind::Invalid),
        ("embedded:x", Some("v1"), Kind::Invalid),
    ] {
        assert_eq!(parse(name, revision).expect_err("refused").kind(), Some(kind), "{name}");
    }
    let text = refused(ModelSource::Embedded("no-such".into()).fetch(&mut Unwatched));
    assert!(text.contains("embedded:no-such"), "{text}");
}

#[test]
fn files_from_memory_are_the_same_model_as_the_folder() {
    let folder = fixture("models/llama_chat");
    let names = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"];
    let bytes: Vec<_> = names.iter().map(|n| fs::read(folder.join(n)).expect("a file")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().copied().zip(bytes.iter().map(Vec::as_slice)).collect();
    let name = "embedded:tiny";
    let load = || {
        let files = ModelFiles::in_memory(&files).expect("written");
        (Model::open(&files, name, &options()).expect("it loads"), files.path().to_owned())
    };
    let ((first, path), (second, _)) = (load(), load());
    assert_eq!(first.identity, second.identity);
    let local = Model::open(&ModelFiles::folder(&folder), name, &options()).expect("it loads");
    assert_eq!(first.identity, local.identity);
    assert!(path.is_dir(), "the files live as long as the model");
    drop(first);
    assert!(!path.exists(), "and no longer");
}

#[test]
fn a_small_file_that_was_altered_on_the_way_is_refused() {
    for file in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        let scene = Scene::new();
        let mut altered = fs::read(fixture("models/llama_chat").join(file)).expect("a file");
        let at = altered.iter().position(|b| *b == b'1').expect("a digit");
        altered[at] = b'2';
        let name = etag(file, &fs::read(fixture("models/llama_chat").join(file)).expect("a file"));
        scene.on_bytes(file, move |_, _| {
            Some(Answer::new(200).header("ETag", format!("\"{name}\"")).body(altered.clone()))
        });
        let text = scene.refused();
        assert!(text.contains("the git hash") && text.contains(file), "{text}");
    }
}

#[test]
fn a_list_of_files_without_end_is_refused_and_a_token_is_not_repeated() {
    let scene = Scene::new();
    scene.hub.script(|request| {
        let body = format!(
            "{{\"sha\": \"{COMMIT}\", \"siblings\": [{}",
            "{\"rfilename\": \"aaaaaaaa\"},".repeat(3 << 20)
        );
        request.path.starts_with("/api/").then(|| Answer::new(200).body(body))
    });
    let text = scene.refused();
    assert!(text.contains("more than 64 MiB"), "{text}");
    let scene = Scene::new();
    scene.hub.script(|_| Some(Answer::new(401).header("X-Error-Message", "the token hf_secret is bad")));
    let with_token = Settings { token: Some("hf_secret".into()), ..scene.settings() };
    let text = refused(fetch(ID, None, &with_token, &mut Unwatched));
    assert!(!text.contains("hf_secret"), "{text}");
}

#[test]
fn who_interrupts_does_not_wait_for_a_silent_hub() {
    struct Stops(Instant);
    impl Downloads for Stops {
        fn begin(&mut self, _: &str, _: u64, _: u64) {}
        fn advance(&mut self, _: u64) -> Result<()> {
            if self.0.elapsed() > Duration::from_millis(100) { Err(Error::Interrupted) } else { Ok(()) }
        }
        fn end(&mut self) {}
    }
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", silent.local_addr().expect("an address"));
    let scene = Scene::new();
    let settings = Settings { endpoint, ..scene.settings() };
    let settings =
        Settings { patience: Patience { silence: Duration::from_secs(60), ..settings.patience }, ..settings };
    let began = Instant::now();
    let stopped = fetch(ID, None, &settings, &mut Stops(began));
    assert!(matches!(stopped, Err(Error::Interrupted)));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// A cache that was copied without its `refs` still holds the one commit.
#[test]
fn a_cache_without_refs_is_used_where_it_holds_one_commit() {
    let scene = Scene::new();
    scene.fetch().expect("fetched");
    for folder in fs::read_dir(scene.cache.path()).expect("the cache").flatten() {
        let _ = fs::remove_dir_all(folder.path().join("refs"));
    }
    let offline = Settings { offline: true, ..scene.settings() };
    assert_eq!(fetch(ID, None, &offline, &mut Unwatched).expect("cached").revision(), COMMIT);
}

#[test]
fn a_data_set_is_fetched_by_its_name_and_read() {
    let input = fixture("input");
    let file = |name: &str| fs::read(input.join(name)).expect("a file");
    let converted = BTreeMap::from([
        ("default/train/0000.parquet".to_owned(), file("rated.parquet")),
        ("default/train/0001.parquet".to_owned(), file("pairs_gzip.parquet")),
        ("default/test/0000.parquet".to_owned(), file("pairs_lz4.parquet")),
    ]);
    let plain = BTreeMap::from([
        ("README.md".to_owned(), b"-".to_vec()),
        ("train.jsonl".to_owned(), file("pairs.jsonl")),
    ]);
    for (files, part, expected, items) in [
        (converted.clone(), None, 2, 4),
        (converted.clone(), Some("test"), 1, 2),
        (plain, Some("train"), 1, 5),
    ] {
        let scene = Scene { hub: Hub::of_files(files), cache: tempfile::tempdir().expect("a folder") };
        let got = fetch_dataset(ID, part, &scene.settings(), &mut Unwatched).expect("fetched");
        assert_eq!(got.len(), expected);
        let read = vstar::input::read_items(&got, &Default::default()).expect("items");
        assert_eq!(read.items.len(), items);
        assert!(read.items[0].id.starts_with("tiny:"), "{}", read.items[0].id);
        // Without the hub the cache suffices.
        let offline = Settings { offline: true, ..scene.settings() };
        assert_eq!(fetch_dataset(ID, part, &offline, &mut Unwatched).expect("cached"), got);
    }
    let scene = Scene { hub: Hub::of_files(converted), cache: tempfile::tempdir().expect("a folder") };
    let text = refused(fetch_dataset(ID, Some("valid"), &scene.settings(), &mut Unwatched));
    assert!(text.contains("no part `valid`") && text.contains("default/test"), "{text}");
}
