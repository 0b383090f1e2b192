//! How a log line is written: its event by name, its fields escaped and bounded, as text or as JSON.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt::{self, Write as _};
use std::time;

use serde_json::Value as Json;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::config::LogFormat;

/// The longest text of one field, in characters: a sentence fits, a flood does not.
const FIELD_CHARS_MAX: usize = 1_024;

/// The name of the field that holds what was said without one.
const MESSAGE: &str = "message";

/// How lines are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    pub(super) format: LogFormat,
    /// Whether the system's journal reads: it has a clock of its own, and takes priorities as `<4>`.
    pub(super) journal: bool,
    pub(super) colours: bool,
}

impl Format {
    /// Hands over the line of an event, with its end.
    pub(super) fn with_line<T>(&self, event: &Event<'_>, take: impl FnOnce(&str) -> T) -> T {
        let metadata = event.metadata();
        let mut line = Line::begin(*self, metadata.target());
        line.head(*metadata.level());
        event.record(&mut line);
        line.end();
        let taken = take(&line.written);
        KEPT.set(Some((line.written, line.shown)));
        taken
    }
}

/// The time, in UTC, to the microsecond. All but its fraction is written anew once a second.
fn timestamp(line: &mut String) {
    /// As in `2026-01-02T03:04:05`.
    const SECONDS: usize = 19;
    thread_local! {
        static WRITTEN: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
    }
    let since_1970 =
        || time::SystemTime::now().duration_since(time::UNIX_EPOCH).unwrap_or_default();
    WRITTEN.with_borrow_mut(|(second, written)| {
        let now = since_1970();
        if *second != now.as_secs() || written.is_empty() {
            written.clear();
            // Memory does not fail to be written.
            let _ = SystemTime.format_time(&mut Writer::new(written));
            *second = now.as_secs();
            if since_1970().as_secs() != *second {
                // It may be of the next one already: right, and not to be kept.
                line.push_str(written);
                written.clear();
                return;
            }
        }
        let mut fraction = *b".000000Z";
        put_digits(&mut fraction[1..7], now.subsec_micros().into());
        line.push_str(&written[..SECONDS]);
        line.push_str(ascii(&fraction));
    });
}

/// Writes a number to the end of `into`; tells where it begins.
fn put_digits(into: &mut [u8], mut number: u64) -> usize {
    let mut start = into.len();
    while number > 0 {
        start -= 1;
        into[start] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    start
}

fn ascii(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("digits are ASCII")
}

/// Whether this is the stable name of an event, as listed in docs/LOGS.md.
fn is_name(said: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    said.contains('.') && said.split('.').all(is_part)
}

/// The numbers of syslog.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= FIELD_CHARS_MAX {
        return text.into();
    }
    match text.char_indices().nth(FIELD_CHARS_MAX) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]).into(),
    }
}

/// What was written to be shown: as it is where it is a word or quoted already, else quoted.
fn as_written(text: &str) -> Cow<'_, str> {
    if is_plain_word(text) {
        return text.into();
    }
    let text = cut(text);
    let is_word = !text.is_empty() && !text.contains([' ', '"']);
    if text.contains(|symbol: char| symbol.is_control()) || !is_word && !is_quoted(&text) {
        format!("{text:?}").into()
    } else {
        text
    }
}

/// Whether it is short, and a word that no one can take for more.
fn is_plain_word(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"';
    (1..=FIELD_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}

/// Whether it is one quoted text, all of it.
fn is_quoted(text: &str) -> bool {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let mut is_escaped = false;
    let ends_early = |symbol: char| {
        let ends = symbol == '"' && !is_escaped;
        is_escaped = symbol == '\\' && !is_escaped;
        ends
    };
    inner.is_some_and(|inner| !inner.chars().any(ends_early)) && !is_escaped
}

/// How much of it, from the start, stands for itself in quotes, in text and in JSON.
fn plain_bytes(text: &str) -> usize {
    let is_odd = |byte: &u8| !(0x20..0x7f).contains(byte) || *byte == b'"' || *byte == b'\\';
    // By blocks first, each without a branch.
    let is_plain = |block: &&[u8]| !block.iter().fold(false, |odd, byte| odd | is_odd(byte));
    let blocks = text.as_bytes().chunks_exact(32).take_while(is_plain).count() * 32;
    let behind = text.as_bytes()[blocks..].iter();
    blocks + behind.take_while(|byte| !is_odd(byte)).count()
}

thread_local! {
    /// The room that the line before needed, for the next.
    static KEPT: Cell<Option<(String, String)>> = const { Cell::new(None) };
}

const PLAIN: &str = "\u{1b}[0m";
const DIM: &str = "\u{1b}[2m";

/// A line under way: when, how grave, what is said, and the fields of the event.
///
/// As JSON it is one object: `timestamp`, `level`, `event`, `target`, and the fields beside them.
struct Line<'e> {
    format: Format,
    target: &'e str,
    written: String,
    /// Where in it what is said belongs, before all fields.
    said_at: usize,
    is_said: bool,
    /// What a field shows of itself, before it is known how that is written.
    shown: String,
}

impl<'e> Line<'e> {
    fn begin(format: Format, target: &'e str) -> Self {
        let (mut written, shown) = KEPT.take().unwrap_or_default();
        written.clear();
        Self { format, target, written, said_at: 0, is_said: false, shown }
    }

    /// When, and how grave.
    fn head(&mut self, level: Level) {
        let Format { format, journal, colours } = self.format;
        let line = &mut self.written;
        if journal {
            line.push_str(priority(level));
        }
        if format == LogFormat::Json {
            line.push_str("{\"timestamp\":\"");
            timestamp(line);
            line.extend(["\",\"level\":\"", level.as_str(), "\""]);
        } else {
            let dye = |colour: &'static str| if colours { colour } else { "" };
            if !journal {
                line.push_str(dye(DIM));
                timestamp(line);
                line.extend([dye(PLAIN), " "]);
            }
            let (colour, name) = match level {
                Level::ERROR => ("\u{1b}[31m", "ERROR"),
                Level::WARN => ("\u{1b}[33m", " WARN"),
                Level::INFO => ("\u{1b}[32m", " INFO"),
                Level::DEBUG => ("\u{1b}[34m", "DEBUG"),
                Level::TRACE => ("\u{1b}[34m", "TRACE"),
            };
            line.extend([dye(colour), name, dye(PLAIN), " "]);
        }
        self.said_at = self.written.len();
    }

    /// The name of the event, or a library's sentence, which is none.
    fn say(&mut self, said: &str) {
        let fields = self.written.split_off(self.said_at);
        match self.format.format {
            LogFormat::Text => self.written.push_str(&as_written(said)),
            LogFormat::Json => {
                self.name(if is_name(said) { "event" } else { MESSAGE });
                self.text(said);
                self.name("target");
                self.text(self.target);
            }
        }
        self.written.push_str(&fields);
        self.is_said = true;
    }

    fn end(&mut self) {
        if !self.is_said {
            self.say("");
        }
        self.written.push_str(match self.format.format {
            LogFormat::Text => "\n",
            LogFormat::Json => "}\n",
        });
    }

    fn name(&mut self, name: &str) {
        let (before, behind) = match (self.format.format, self.format.colours) {
            (LogFormat::Json, _) => (",\"", "\":"),
            (LogFormat::Text, false) => (" ", "="),
            // As `DIM` and `PLAIN`.
            (LogFormat::Text, true) => (" \u{1b}[2m", "=\u{1b}[0m"),
        };
        self.written.extend([before, name, behind]);
    }

    /// A text: quoted, where a person reads it and where a machine does.
    fn text(&mut self, text: &str) {
        let text = cut(text);
        // Most texts that are not plain are plain and cut.
        let (text, ellipsis) = text.strip_suffix('…').map_or((&*text, ""), |text| (text, "…"));
        let (plain, odd) = text.split_at(plain_bytes(text));
        self.written.push('"');
        self.written.push_str(plain);
        if !odd.is_empty() {
            let quoted = match self.format.format {
                LogFormat::Text => format!("{odd:?}"),
                LogFormat::Json => Json::from(odd).to_string(),
            };
            self.written.push_str(&quoted[1..quoted.len() - 1]);
        }
        self.written.push_str(ellipsis);
        self.written.push('"');
    }

    /// A number or a truth.
    fn plain(&mut self, field: &Field, value: impl fmt::Display) {
        self.name(field.name());
        // Memory does not fail to be written.
        let _ = write!(self.written, "{value}");
    }
}

impl Visit for Line<'_> {
    /// What something shows of itself: for a person as a word, if it is one.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let is_message = field.name() == MESSAGE;
        if !is_message {
            self.name(field.name());
        }
        let start = self.written.len();
        // Memory does not fail to be written.
        let _ = write!(self.written, "{value:?}");
        let written = &self.written[start..];
        if !is_message && self.format.format == LogFormat::Text && is_plain_word(written) {
            return;
        }
        let mut shown = std::mem::take(&mut self.shown);
        shown.clear();
        shown.push_str(written);
        self.written.truncate(start);
        match self.format.format {
            _ if is_message => self.say(&shown),
            LogFormat::Text => self.written.push_str(&as_written(&shown)),
            LogFormat::Json => self.text(&shown),
        }
        self.shown = shown;
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            return self.say(value);
        }
        self.name(field.name());
        self.text(value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        let mut digits = [b'0'; 20];
        let start = put_digits(&mut digits, value).min(digits.len() - 1);
        self.name(field.name());
        self.written.push_str(ascii(&digits[start..]));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.plain(field, Json::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::Subscriber;
    use tracing::level_filters::LevelFilter;
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    struct Page(Format, Arc<Mutex<String>>);

    impl<S: Subscriber> Layer<S> for Page {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.with_line(event, |line| self.1.lock().unwrap().push_str(line));
        }
    }

    /// What `tell` writes in this format.
    fn written(format: Format, tell: impl FnOnce()) -> String {
        let page = Arc::default();
        let lines = Page(format, Arc::clone(&page)).with_filter(LevelFilter::INFO);
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, tell);
        let text = page.lock().unwrap();
        text.clone()
    }

    const TEXT: Format = Format { format: LogFormat::Text, journal: true, colours: false };
    const JSON: Format = Format { format: LogFormat::Json, journal: false, colours: false };

    /// One test, for how tracing remembers who listens spans all threads.
    #[test]
    fn a_line_is_one_line_whatever_its_fields_hold() {
        let wild = "a\n\u{1b}[31m\"b\"";
        let tell = || {
            let none: Option<u64> = None;
            tracing::info!(target: "quorate::commit", slot = 3_u64, value = "blue", none, votes = %"2/3", "value.committed");
            tracing::warn!(ok = true, wild, shown = %wild, words = %"two words", quoted = %"\"n 1\"", "peer.odd");
            tracing::warn!(name = %r#""n2" votes="9/9""#, "peer.liar");
            tracing::error!(long = %"é".repeat(FIELD_CHARS_MAX + 5), "node.halted");
            tracing::debug!("a library's sentence. Really");
        };
        let text = written(TEXT, tell);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], r#"<6> INFO value.committed slot=3 value="blue" votes=2/3"#);
        assert_eq!(
            lines[1],
            r#"<4> WARN peer.odd ok=true wild="a\n\u{1b}[31m\"b\"" shown="a\n\u{1b}[31m\"b\"" words="two words" quoted="n 1""#
        );
        assert_eq!(lines[2], r#"<4> WARN peer.liar name="\"n2\" votes=\"9/9\"""#);
        assert!(lines[3].starts_with("<3>ERROR node.halted long=éé"), "{text}");
        assert_eq!(lines[3].matches('é').count(), FIELD_CHARS_MAX);
        assert_eq!(lines.len(), 4, "debug lines are off by default: {text}");

        let text = written(JSON, tell);
        let lines: Vec<Json> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["event"], "value.committed");
        assert_eq!((&lines[0]["slot"], &lines[0]["votes"]), (&3.into(), &"2/3".into()));
        assert_eq!(
            (&lines[0]["level"], &lines[0]["target"]),
            (&"INFO".into(), &"quorate::commit".into())
        );
        assert_eq!((&lines[1]["wild"], &lines[1]["ok"]), (&wild.into(), &true.into()));
        assert!(lines[0]["timestamp"].as_str().unwrap().ends_with('Z'), "{text}");
        assert!(lines[0].get("none").is_none() && lines[0].get("message").is_none(), "{text}");

        let sentence = written(JSON, || tracing::info!("connection closed"));
        assert!(sentence.contains(r#""message":"connection closed""#), "{sentence}");
        let late = || {
            tracing::info!(ok = true, message = "peer.late");
            tracing::info!(ok = true);
        };
        assert_eq!(written(TEXT, late), "<6> INFO peer.late ok=true\n<6> INFO \"\" ok=true\n");
        let target = concat!(r#""target":""#, module_path!(), r#"","ok":true}"#);
        let ends =
            [format!(r#""event":"peer.late",{target}"#), format!(r#""message":"",{target}"#)];
        for (line, end) in written(JSON, late).lines().zip(ends) {
            assert!(line.ends_with(&end), "{line}");
        }
        let coloured = Format { colours: true, journal: false, ..TEXT };
        let text = written(coloured, tell);
        assert!(
            text.starts_with("\u{1b}[2m") && text.contains("\u{1b}[33m WARN\u{1b}[0m"),
            "{text}"
        );
    }

    #[test]
    fn only_words_with_dots_are_names() {
        for name in ["value.committed", "log.lines_dropped"] {
            assert!(is_name(name), "{name}");
        }
        for other in ["value", "a. b", "a.", ".a", "A.b", "", "a.b-c"] {
            assert!(!is_name(other), "{other}");
        }
    }
}
