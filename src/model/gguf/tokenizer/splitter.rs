//! `tokenizer.ggml.pre`: how the byte-level families split text before merging.

use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;

/// What a byte-level family does before and after merging, as defined by its own `tokenizer.json`.
///
/// The names are llama.cpp's (`tokenizer.ggml.pre`). transformers' reading of GGUF files differs in places (it applies
/// GPT-2's rule to every unknown name, `smollm` and `refact` among them, and omits the normalizer and `ignore_merges`);
/// this table follows the family's own tokenizer, with which the model was trained.
#[derive(Debug, Clone, Copy)]
pub(super) struct Splitter {
    names: &'static [&'static str],
    rule: Rule,
    /// Whether text is first normalised to Unicode NFC.
    pub(super) nfc: bool,
    /// Whether a word that is itself a token is used whole, without merging.
    pub(super) ignore_merges: bool,
    /// Whether a beginning-of-sequence token is added if `tokenizer.ggml.add_bos_token` is missing.
    pub(super) add_bos: bool,
    /// Whether token spans exclude white space at their ends.
    pub(super) trim_spans: bool,
}

#[derive(Debug, Clone, Copy)]
enum Rule {
    /// GPT-2's regular expression.
    Gpt2,
    /// Every digit on its own, then GPT-2's regular expression on the rest.
    DigitsThenGpt2,
    /// A regular expression that matches words.
    Regex(&'static str),
}

/// GPT-4's rule with digits in groups of up to three: Llama 3, OLMo 2, Phi 4.
const CL100K: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// As [`CL100K`] with single digits.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Mistral Nemo's rule.
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// GPT-4o's rule, used by Phi 4 mini.
const O200K: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const PLAIN: Splitter = Splitter {
    names: &[],
    rule: Rule::Gpt2,
    nfc: false,
    ignore_merges: false,
    add_bos: false,
    trim_spans: false,
};

const SPLITTERS: &[Splitter] = &[
    Splitter { names: &["gpt-2"], ..PLAIN },
    // GPT-NeoX and Pythia; OLMo 1 extends their vocabulary.
    Splitter { names: &["olmo"], nfc: true, trim_spans: true, ..PLAIN },
    // SmolLM 1 and 2; StarCoder, and therefore Granite 3.
    Splitter { names: &["smollm", "starcoder", "refact"], rule: Rule::DigitsThenGpt2, ..PLAIN },
    Splitter {
        names: &["llama-bpe", "llama3", "llama-v3"],
        rule: Rule::Regex(CL100K),
        ignore_merges: true,
        add_bos: true,
        ..PLAIN
    },
    // Llama 3's vocabulary without its beginning-of-sequence token: SmolLM 3, Smaug.
    Splitter { names: &["smaug-bpe"], rule: Rule::Regex(CL100K), ignore_merges: true, ..PLAIN },
    // OLMo 2, Phi 4, Granite 4.
    Splitter { names: &["dbrx"], rule: Rule::Regex(CL100K), ..PLAIN },
    Splitter { names: &["qwen2", "deepseek-r1-qwen"], rule: Rule::Regex(QWEN2), nfc: true, ..PLAIN },
    Splitter { names: &["tekken"], rule: Rule::Regex(TEKKEN), ignore_merges: true, add_bos: true, ..PLAIN },
    Splitter { names: &["gpt-4o"], rule: Rule::Regex(O200K), ..PLAIN },
];

/// Architectures whose models all use one splitter, for files older than `tokenizer.ggml.pre`.
const BY_ARCHITECTURE: &[(&str, &str)] = &[("gpt2", "gpt-2"), ("gptneox", "olmo")];

impl Splitter {
    /// The splitter of that name; without one (or with llama.cpp's `default`), the architecture's.
    pub(super) fn find(pre: Option<&str>, architecture: &str) -> Option<&'static Self> {
        let name = match pre {
            None | Some("default") => BY_ARCHITECTURE.iter().find(|(a, _)| *a == architecture)?.1,
            Some(name) => name,
        };
        SPLITTERS.iter().find(|s| s.names.contains(&name))
    }

    /// All known names.
    pub(super) fn names() -> Vec<&'static str> {
        SPLITTERS.iter().flat_map(|s| s.names.iter().copied()).collect()
    }

    /// The splitter as a pre-tokenizer.
    ///
    /// # Errors
    /// If the regular expression does not compile.
    pub(super) fn pre_tokenizer(&self) -> tokenizers::Result<PreTokenizerWrapper> {
        let gpt2 = || ByteLevel::new(false, true, true).into();
        Ok(match self.rule {
            Rule::Gpt2 => gpt2(),
            Rule::DigitsThenGpt2 => Sequence::new(vec![Digits::new(true).into(), gpt2()]).into(),
            Rule::Regex(regex) => {
                let pattern = SplitPattern::Regex(regex.to_owned());
                let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?;
                Sequence::new(vec![split.into(), ByteLevel::new(false, true, false).into()]).into()
            }
        })
    }
}
