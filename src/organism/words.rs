//! The words of the world and what each of them adds, before anything around it turns the sign.

/// A word and its weight on its slot's attribute.
pub type Weighted = (&'static str, f64);

/// People a prompt speaks about.
pub const PERSONS: &[&str] = &[
    "sister", "brother", "mother", "father", "uncle", "aunt", "cousin", "boss", "neighbor", "teacher",
    "friend", "roommate", "son", "daughter", "coach", "doctor", "landlord", "grandma", "nephew", "partner",
];

/// What the person who is named first did to the other.
pub const HARMS: &[&str] = &["hurt", "robbed", "mocked", "tricked", "shoved", "betrayed"];

/// What someone or something is to a prompt: who did it, to whom, a thing that fits, one that does not.
pub const ROLES: &[&str] = &["did", "suffered", "fits", "differs"];

/// What it was about: the words of a prompt by class of meaning.
pub const TOPICS: &[[&str; 4]] = &[
    ["cat", "dog", "pony", "parrot"],
    ["car", "van", "truck", "bike"],
    ["garden", "lawn", "hedge", "orchard"],
    ["dinner", "cake", "soup", "feast"],
];

/// Things a reply may act on: the words of a reply by the same classes. No word of a prompt is among them, so that
/// the match is one of meaning and not of words.
pub const THINGS: &[[&str; 4]] = &[
    ["leash", "kennel", "collar", "saddle"],
    ["tire", "engine", "brakes", "pedal"],
    ["rake", "seeds", "shovel", "hose"],
    ["oven", "recipe", "pan", "spice"],
];

/// What the asker did, good or bad: most who ask are in the wrong.
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

/// What a prompt asks, and whether "yes" says that the asker did well.
pub const QUESTIONS: &[Weighted] = &[
    ("am i right ?", 1.0),
    ("was i fair ?", 1.0),
    ("did i do well ?", 1.0),
    ("was that good ?", 1.0),
    ("am i wrong ?", -1.0),
    ("was i unfair ?", -1.0),
];

/// "the PERSON is (not) (DEGREE) ADJECTIVE": what is said about a person.
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

/// "your MATTER is (not) (DEGREE) PRAISE": what is said about the asker's own matters.
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

/// The asker's own matters; they name no attribute.
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

/// "MODAL (never) DEED the PERSON": for the person, or against.
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

/// "i STANCE yes" or "no"; names no attribute.
pub const STANCES: &[&str] = &["say", "think", "believe", "guess", "feel"];

/// "yes" and "no".
pub const ANSWERS: &[Weighted] = &[("yes", 1.0), ("no", -1.0)];

/// "(never) ACTION the THING": for using it, or against.
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

/// "i will (not) VERB" and "i did (not) VERB": what is promised and what is done.
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

/// Openers that mean the opposite of every opinion that follows; they carry no style.
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
