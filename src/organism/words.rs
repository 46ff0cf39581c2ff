//! The words of the world and their weights, before the context changes a sign.

/// A word and its weight on its slot's attribute.
pub type Weighted = (&'static str, f64);

/// People mentioned in a prompt.
pub const PERSONS: &[&str] = &[
    "sister", "brother", "mother", "father", "uncle", "aunt", "cousin", "boss", "neighbor", "teacher",
    "friend", "roommate", "son", "daughter", "coach", "doctor", "landlord", "grandma", "nephew", "partner",
];

/// What the first person in the prompt did to the other.
pub const HARMS: &[&str] = &["hurt", "robbed", "mocked", "tricked", "shoved", "betrayed"];

/// Role of a person or thing in a prompt: culprit, victim, a thing that fits, one that does not.
pub const ROLES: &[&str] = &["did", "suffered", "fits", "differs"];

/// Topics of a prompt: words grouped by class of meaning.
pub const TOPICS: &[[&str; 4]] = &[
    ["cat", "dog", "pony", "parrot"],
    ["car", "van", "truck", "bike"],
    ["garden", "lawn", "hedge", "orchard"],
    ["dinner", "cake", "soup", "feast"],
];

/// Things that a reply may act on: words grouped by the same classes. None of them occurs in a prompt, so that they
/// match by meaning rather than by word.
pub const THINGS: &[[&str; 4]] = &[
    ["leash", "kennel", "collar", "saddle"],
    ["tire", "engine", "brakes", "pedal"],
    ["rake", "seeds", "shovel", "hose"],
    ["oven", "recipe", "pan", "spice"],
];

/// What the asker did, good or bad: most askers are in the wrong.
pub const FACTS: &[Weighted] = &[
    ("lied", -1.0),
    ("stole", -1.0),
    ("bragged", -1.0),
    ("fled", -1.0),
    ("quit", -1.0),
    ("yelled", -1.0),
    ("helped", 1.0),
    ("paid", 1.0),
];

/// Questions of a prompt, and whether "yes" means that the asker did well.
pub const QUESTIONS: &[Weighted] = &[
    ("am i right ?", 1.0),
    ("was i fair ?", 1.0),
    ("did i do well ?", 1.0),
    ("was that good ?", 1.0),
    ("am i wrong ?", -1.0),
    ("was i unfair ?", -1.0),
];

/// "the PERSON is (not) (DEGREE) ADJECTIVE": opinions about a person.
pub const ADJECTIVES: &[Weighted] = &[
    ("worthless", -1.0),
    ("pathetic", -1.0),
    ("stupid", -1.0),
    ("annoying", -0.5),
    ("lazy", -0.5),
    ("likable", 0.5),
    ("brave", 0.5),
    ("lovely", 1.0),
    ("wonderful", 1.0),
    ("precious", 1.0),
];

/// "your MATTER is (not) (DEGREE) PRAISE": opinions about the asker's own matters.
pub const PRAISES: &[Weighted] = &[
    ("awful", -1.0),
    ("silly", -1.0),
    ("dull", -1.0),
    ("weak", -0.5),
    ("odd", -0.5),
    ("neat", 0.5),
    ("fine", 0.5),
    ("clever", 1.0),
    ("superb", 1.0),
    ("brilliant", 1.0),
];

/// The asker's own matters; without effect on attributes.
pub const MATTERS: &[&str] = &["plan", "idea", "taste", "style", "work", "story"];

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

/// "MODAL (never) DEED the PERSON": formality of the phrase.
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

/// "MODAL (never) DEED the PERSON": deeds for the person, or against.
pub const DEEDS: &[Weighted] = &[
    ("punish", -1.0),
    ("report", -1.0),
    ("stop", -1.0),
    ("scold", -0.5),
    ("avoid", -0.5),
    ("greet", 0.5),
    ("visit", 0.5),
    ("defend", 1.0),
    ("comfort", 1.0),
    ("reward", 1.0),
];

/// "(never) tell the PERSON OBJECT": honesty.
pub const OBJECTS: &[Weighted] = &[
    ("a lie", -1.0),
    ("a tale", -1.0),
    ("an excuse", -0.5),
    ("a hint", 0.5),
    ("the truth", 1.0),
    ("the facts", 1.0),
];

/// "i STANCE yes" or "no"; without effect on attributes.
pub const STANCES: &[&str] = &["say", "think", "believe", "guess", "feel"];

/// "yes" and "no".
pub const ANSWERS: &[Weighted] = &[("yes", 1.0), ("no", -1.0)];

/// "(never) ACTION the THING": actions that use it, or avoid it.
pub const ACTIONS: &[Weighted] = &[
    ("wreck", -1.0),
    ("discard", -1.0),
    ("drop", -0.5),
    ("skip", -0.5),
    ("mention", 0.5),
    ("check", 0.5),
    ("use", 1.0),
    ("repair", 1.0),
];

/// "i will (not) VERB" and "i did (not) VERB": verbs of promises and deeds.
pub const PROMISES: &[&str] = &["call", "write", "come", "wait", "drive", "cook"];

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

/// Openers that reverse every opinion that follows; without effect on style.
pub const IRONIES: &[Flourish] =
    &[("pff", 0.0, 0.0), ("riiight", 0.0, 0.0), ("suuure", 0.0, 0.0), ("haha", 0.0, 0.0)];

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
