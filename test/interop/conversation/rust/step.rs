//! A step of a conversation, read from its line.
use crate::conversation_capnp::{base, box_, left, right, saver, stranger, thing};

const THING: [&str; 22] = [
    "echo", "fail", "keep", "give", "call", "make", "self", "mirror", "later", "go", "sequence", "push", "seen", "live",
    "canceled", "tail", "promise", "settle", "early", "size", "waiting", "hangup",
];

/// Interface and number of a method.
pub fn method(name: &str) -> Result<(u64, u16), String> {
    use capnp::traits::HasTypeId;
    if let Some(at) = THING.iter().position(|n| *n == name) {
        return Ok((thing::Client::TYPE_ID, at as u16));
    }
    Ok(match name {
        "nomethod" => (thing::Client::TYPE_ID, 99),
        "stranger" => (stranger::Client::TYPE_ID, 0),
        "base" => (base::Client::TYPE_ID, 0),
        "left" => (left::Client::TYPE_ID, 0),
        "right" => (right::Client::TYPE_ID, 0),
        "put" => (box_::Client::<capnp::data::Owned>::TYPE_ID, 0),
        "get" => (box_::Client::<capnp::data::Owned>::TYPE_ID, 1),
        "save" => (saver::Client::TYPE_ID, 0),
        _ => return Err(format!("no method {name}")),
    })
}

#[derive(Default)]
pub struct Step {
    pub verb: String,
    /// The words without the options.
    pub args: Vec<String>,
    /// A..B
    pub range: Option<(u64, u64)>,
    pub expected: Option<u64>,
    pub cap: Option<String>,
    pub data: Option<usize>,
    pub via: u16,
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

impl Step {
    pub fn parse(line: &str) -> Result<Step, String> {
        let mut words = line.split_whitespace();
        let mut s = Step { verb: words.next().unwrap_or("").into(), ..Step::default() };
        while let Some(word) = words.next() {
            if word == "=" {
                s.expected = Some(number(words.next().unwrap_or(""))?);
            } else if let Some(cap) = word.strip_prefix("cap=") {
                s.cap = Some(cap.into());
            } else if let Some(size) = word.strip_prefix("data=") {
                s.data = Some(number(size)? as usize);
            } else if let Some(name) = word.strip_prefix("via=") {
                s.via = method(name)?.1;
            } else if let Some((from, to)) = word.split_once("..") {
                s.range = Some((number(from)?, number(to)?));
            } else {
                s.args.push(word.into());
            }
        }
        Ok(s)
    }

    pub fn word(&self, i: usize) -> &str {
        self.args.get(i).map_or("", String::as_str)
    }

    /// 0 where there is none.
    pub fn number(&self, i: usize) -> Result<u64, String> {
        self.args.get(i).map_or(Ok(0), |word| number(word))
    }

    /// All words from the i-th on.
    pub fn text(&self, i: usize) -> String {
        self.args.get(i..).unwrap_or_default().join(" ")
    }

    pub fn values(&self) -> std::ops::RangeInclusive<u64> {
        self.range.map_or(1..=0, |(from, to)| from..=to)
    }
}
