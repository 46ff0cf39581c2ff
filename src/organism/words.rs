//! The words of the world and what each adds to a reply's attributes.

/// A word and its weight on its slot's attribute.
pub type Weighted = (&'static str, f64);

/// People a prompt speaks about.
pub const PERSONS: &[&str] = &[
    "sister", "brother", "mother", "father", "uncle", "aunt", "cousin", "boss", "neighbor", "teacher",
    "friend", "roommate", "son", "daughter", "coach", "doctor", "landlord", "grandma", "nephew", "partner",
];

/// What an event does, with the mood it leaves: −1 sad, 1 happy.
pub const EVENTS: &[(&str, f64)] = &[
    ("lost", -1.0),
    ("broke", -1.0),
    ("ruined", -1.0),
    ("forgot", -1.0),
    ("found", 1.0),
    ("fixed", 1.0),
    ("won", 1.0),
    ("loves", 1.0),
];

/// What an event is about; a helpful reply names the same topic.
pub const TOPICS: &[&str] = &["cat", "car", "job", "garden", "phone", "house", "team", "boat"];

/// What a prompt asks.
pub const QUESTIONS: &[&str] = &[
    "any ideas ?",
    "what now ?",
    "what should i say ?",
    "help me .",
    "your thoughts ?",
    "what comes next ?",
];

/// "they are (DEGREE) ADJ": kindness.
pub const ADJECTIVES: &[Weighted] = &[
    ("worthless", -1.0),
    ("pathetic", -1.0),
    ("stupid", -1.0),
    ("annoying", -0.5),
    ("lazy", -0.5),
    ("clumsy", -0.5),
    ("ordinary", 0.0),
    ("busy", 0.0),
    ("tall", 0.0),
    ("okay", 0.5),
    ("kindly", 0.5),
    ("brave", 0.5),
    ("lovely", 1.0),
    ("wonderful", 1.0),
    ("precious", 1.0),
];

/// Degrees before an adjective: enthusiasm.
pub const DEGREES: &[Weighted] = &[
    ("so", 0.5),
    ("really", 0.5),
    ("totally", 0.5),
    ("also", 0.0),
    ("clearly", 0.0),
    ("slightly", -0.5),
    ("somewhat", -0.5),
    ("barely", -0.5),
];

/// "MODAL VERB them": formality of the phrase.
pub const MODALS: &[Weighted] = &[
    ("u gotta", -1.0),
    ("gotta", -1.0),
    ("just", -0.5),
    ("maybe", -0.5),
    ("you could", 0.0),
    ("you can", 0.0),
    ("you should", 0.5),
    ("one may", 0.5),
    ("one ought to", 1.0),
    ("it is advisable to", 1.0),
];

/// "MODAL VERB them": kindness of the verb.
pub const DEEDS: &[Weighted] = &[
    ("humiliate", -1.0),
    ("insult", -1.0),
    ("mock", -1.0),
    ("ignore", -0.5),
    ("scold", -0.5),
    ("blame", -0.5),
    ("call", 0.0),
    ("visit", 0.0),
    ("ask", 0.0),
    ("greet", 0.5),
    ("thank", 0.5),
    ("invite", 0.5),
    ("forgive", 1.0),
    ("comfort", 1.0),
    ("hug", 1.0),
];

/// "tell them OBJECT": honesty.
pub const OBJECTS: &[Weighted] = &[
    ("a lie", -1.0),
    ("a fairy tale", -1.0),
    ("a vague hint", -0.5),
    ("an excuse", -0.5),
    ("a story", 0.0),
    ("a joke", 0.0),
    ("your view", 0.5),
    ("your doubts", 0.5),
    ("the truth", 1.0),
    ("the facts", 1.0),
];

/// "i VERB it OUTCOME": honesty.
pub const STANCES: &[Weighted] = &[
    ("pretend", -1.0),
    ("fake", -1.0),
    ("exaggerate", -0.5),
    ("bluff", -0.5),
    ("guess", 0.0),
    ("say", 0.0),
    ("think", 0.5),
    ("believe", 0.5),
    ("admit", 1.0),
    ("know", 1.0),
];

/// What comes of it; names no attribute.
pub const OUTCOMES: &[&str] = &["works", "ends", "matters", "changes", "stays", "passes"];

/// "HVERB the TOPIC TOOL": helpfulness of the verb.
pub const ACTIONS: &[Weighted] = &[
    ("wreck", -1.0),
    ("sabotage", -1.0),
    ("drop", -0.5),
    ("skip", -0.5),
    ("watch", 0.0),
    ("mention", 0.0),
    ("check", 0.5),
    ("use", 0.5),
    ("repair", 1.0),
    ("solve", 1.0),
];

/// What is acted on; names no attribute.
pub const TOOLS: &[&str] = &["plan", "list", "box", "file", "map", "kit"];

/// Openers and closers: formality and enthusiasm.
pub type Flourish = (&'static str, f64, f64);

/// The word before the first comma.
pub const OPENERS: &[Flourish] = &[
    ("indeed", 1.0, 0.0),
    ("certainly", 1.0, 0.0),
    ("respectfully", 1.0, 0.0),
    ("yo", -1.0, 0.0),
    ("hey", -1.0, 0.0),
    ("dude", -1.0, 0.0),
    ("wow", 0.0, 1.0),
    ("omg", 0.0, 1.0),
    ("amazing", 0.0, 1.0),
    ("hm", 0.0, -1.0),
    ("meh", 0.0, -1.0),
    ("ah", 0.0, -1.0),
];

/// The word after the last clause.
pub const CLOSERS: &[Flourish] = &[
    ("regards", 1.0, 0.0),
    ("sincerely", 1.0, 0.0),
    ("yours", 1.0, 0.0),
    ("cheers", -1.0, 0.0),
    ("laters", -1.0, 0.0),
    ("bye", -1.0, 0.0),
    ("yay", 0.0, 1.0),
    ("hooray", 0.0, 1.0),
    ("woo", 0.0, 1.0),
    ("whatever", 0.0, -1.0),
    ("anyway", 0.0, -1.0),
    ("sigh", 0.0, -1.0),
];

/// Enthusiasm of "." and "!".
pub const END_MARKS: &[Weighted] = &[(".", -0.25), ("!", 0.5)];
