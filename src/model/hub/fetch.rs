//! Fetches the files of a model into the cache.

use std::path::Path;

use super::cache::Cache;
use super::client::{Client, Listing};
use super::settings::Settings;
use super::trouble::{HubRequest, Repository};
use super::{DEFAULT_REVISION, Downloads, transfer};
use crate::error::{Diagnostic, Error, Kind, Place, Result};
use crate::model::config::Config;
use crate::model::files::ModelFiles;
use crate::model::weights::shard_names;
use crate::source;

/// Small files that are fetched if the repository has them; config.json and tokenizer.json are required.
const OPTIONAL: &[&str] =
    &["tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json", "generation_config.json"];

/// Index of a sharded checkpoint.
const INDEX: &str = "model.safetensors.index.json";

/// Checkpoint in a single file.
const SINGLE: &str = "model.safetensors";

/// Fetches the files of a model into the cache and returns their paths. The config is checked before any weights are
/// fetched. Without a network the cache is used as it is, with a warning.
///
/// # Errors
/// [`Kind::Hub`] if the hub refuses, sends something other than announced, or cannot be reached and the cache does not
/// hold the model; [`Kind::Missing`] for a repository without tokenizer.json or safetensors; errors of
/// [`Config::from_json`]; [`Error::Interrupted`].
pub fn fetch(
    id: &str,
    revision: Option<&str>,
    settings: &Settings,
    downloads: &mut dyn Downloads,
) -> Result<ModelFiles> {
    let (asked, cache, reached) = request(Repository::Model, id, revision, settings, downloads)?;
    let (client, listing) = match reached {
        Reached::Hub(client, listing) => (client, listing),
        Reached::Cache(commit) => return snapshot(&cache, &commit),
    };
    let folder = cache.snapshot(&listing.commit);
    let mut get = |file: &str| -> Result<()> {
        transfer::file(&client, &cache, &listing.commit, file, downloads)
            .map_err(|trouble| asked.diagnostic(trouble, Some(file)))
    };
    for (file, what) in [("config.json", "the model's config"), ("tokenizer.json", "its tokenizer")] {
        if !listing.has(file) {
            return Err(asked.lacks(file, what, &listing.files));
        }
        get(file)?;
        if file == "config.json" {
            let path = folder.join(file);
            let text = source::read_text(&path, source::SMALL)?;
            Config::from_json(&text, &path)?;
        }
    }
    for file in OPTIONAL.iter().filter(|file| listing.has(file)) {
        get(file)?;
    }
    // A single file takes precedence, as in transformers.
    if listing.has(SINGLE) {
        get(SINGLE)?;
    } else if listing.has(INDEX) {
        get(INDEX)?;
        for shard in shards(&folder)? {
            if !listing.has(&shard) {
                return Err(asked.lacks(&shard, &format!("a shard that {INDEX} names"), &listing.files));
            }
            get(&shard)?;
        }
    } else {
        return Err(asked.lacks(SINGLE, "weights in safetensors format", &listing.files));
    }
    cache.remember(asked.revision, &listing.commit)?;
    snapshot(&cache, &listing.commit)
}

/// Source that a revision is read from.
enum Reached {
    /// The hub, with the revision's files.
    Hub(Box<Client>, Listing),
    /// The cache, with this commit.
    Cache(String),
}

/// Reason why a revision cannot be read.
pub(super) enum Unread {
    /// It is neither on the hub nor, if the hub cannot be reached, in the cache; another revision may be.
    Absent(Error),
    /// Any other error.
    Failed(Error),
}

impl From<Unread> for Error {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Absent(error) | Unread::Failed(error) => error,
        }
    }
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Diagnostic> for Unread {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Failed(diagnostic.into())
    }
}

/// Selected files of a commit, in the cache.
pub(super) struct Chosen {
    /// The repository's cache folder.
    pub(super) cache: Cache,
    /// The commit.
    pub(super) commit: String,
    /// Names of the files.
    pub(super) names: Vec<String>,
}

/// Selects files of a repository; the last argument says who holds them.
type Choice<'c> = &'c dyn Fn(&HubRequest, &[String], &str) -> Result<Vec<String>, Diagnostic>;

/// Fetches into the cache the files that `choose` selects from a revision; without a network, selects from those in the
/// cache.
pub(super) fn chosen(
    repository: Repository,
    id: &str,
    revision: Option<&str>,
    settings: &Settings,
    downloads: &mut dyn Downloads,
    choose: Choice,
) -> Result<Chosen, Unread> {
    let (asked, cache, reached) = request(repository, id, revision, settings, downloads)?;
    let (commit, names) = match reached {
        Reached::Cache(commit) => {
            let names = choose(&asked, &cache.files(&commit), "the cache")?;
            (commit, names)
        }
        Reached::Hub(client, listing) => {
            let names = choose(&asked, &listing.files, "the repository")?;
            for name in &names {
                transfer::file(&client, &cache, &listing.commit, name, downloads)
                    .map_err(|trouble| asked.diagnostic(trouble, Some(name)))?;
            }
            cache.remember(asked.revision, &listing.commit)?;
            (listing.commit, names)
        }
    };
    Ok(Chosen { cache, commit, names })
}

/// The request, the repository's cache folder, and the source to read from.
fn request<'a>(
    repository: Repository,
    id: &'a str,
    revision: Option<&'a str>,
    settings: &'a Settings,
    downloads: &mut dyn Downloads,
) -> Result<(HubRequest<'a>, Cache, Reached), Unread> {
    let revision = revision.unwrap_or(DEFAULT_REVISION);
    check_revision(revision)?;
    let cache = Cache::new(&settings.cache, repository, id);
    let asked = HubRequest { repository, id, revision, settings };
    let reached = reach(&asked, &cache, downloads)?;
    Ok((asked, cache, reached))
}

/// Queries the hub, or the cache if there is no network.
fn reach(asked: &HubRequest, cache: &Cache, downloads: &mut dyn Downloads) -> Result<Reached, Unread> {
    let HubRequest { id, revision, settings, .. } = asked;
    let cached = |why: &str| cache.commit(revision).ok_or_else(|| Unread::Absent(asked.not_cached(why)));
    if settings.offline {
        return Ok(Reached::Cache(cached("HF_HUB_OFFLINE is set")?));
    }
    let client = Client::new(asked)?;
    match client.listing(downloads) {
        Ok(listing) => Ok(Reached::Hub(Box::new(client), listing)),
        Err(trouble) if trouble.is_unreachable() => {
            let commit = cached(&trouble.to_string())?;
            tracing::warn!("{id}: the hub cannot be reached ({trouble}); using the cached revision {commit}");
            Ok(Reached::Cache(commit))
        }
        Err(trouble) if trouble.is_absent_revision() => Err(Unread::Absent(asked.diagnostic(trouble, None))),
        Err(trouble) => Err(asked.diagnostic(trouble, None).into()),
    }
}

/// The files of a commit in the cache, if all that a model needs are present.
fn snapshot(cache: &Cache, commit: &str) -> Result<ModelFiles> {
    let folder = cache.snapshot(commit);
    let there = |file: &str| -> Result<()> {
        let path = folder.join(file);
        if path.is_file() {
            return Ok(());
        }
        Err(Diagnostic::new(Kind::Missing, "the cache holds the model only in part")
            .at(Place::file(path))
            .expected("config.json, tokenizer.json and the weights")
            .found("no such file")
            .remedy("run once with the hub in reach, without HF_HUB_OFFLINE")
            .into())
    };
    there("config.json")?;
    there("tokenizer.json")?;
    let mut weights = vec![SINGLE.to_owned()];
    if !folder.join(SINGLE).is_file() && folder.join(INDEX).is_file() {
        weights = shards(&folder)?;
    }
    weights.iter().try_for_each(|file| there(file))?;
    let promised = weights.into_iter().filter_map(|f| Some((f.clone(), cache.sha256(commit, &f)?))).collect();
    Ok(ModelFiles::cached(folder, commit.to_owned(), promised))
}

fn shards(folder: &Path) -> Result<Vec<String>> {
    let path = folder.join(INDEX);
    let text = source::read_text(&path, source::LARGE)?;
    Ok(shard_names(&text, &path)?.into_iter().collect())
}

/// Checks a revision, which becomes part of a path in the cache.
fn check_revision(revision: &str) -> Result<()> {
    let part = |part: &str| !matches!(part, "" | "." | "..") && !part.chars().any(char::is_control);
    if revision.len() <= 256 && !revision.contains('\\') && revision.split('/').all(part) {
        return Ok(());
    }
    Err(Diagnostic::new(Kind::Invalid, "a revision that cannot be one")
        .expected("a branch, a tag or a commit")
        .found(format!("`{revision}`"))
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_cannot_lead_out_of_the_cache() {
        assert!(check_revision("main").is_ok() && check_revision("refs/pr/3").is_ok());
        for bad in ["", "../main", "a/../b", "/main", "a//b", "a\\b", "a\0b"] {
            assert!(check_revision(bad).is_err(), "{bad}");
        }
    }
}
