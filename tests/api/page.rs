//! The status page, in a browser and without one.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use quorate::admin::Server;
use quorate::config::AdminConfig;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::support::{PATIENCE, within};
use super::{LOOPBACK, Served, commit, whole};

/// How long a browser may take for anything: it starts many processes on a busy machine.
const BROWSER_PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test]
async fn without_javascript_it_is_a_table_that_values_cannot_break_out_of() {
    let served = Served::start(3).await;
    commit(&served.client, "<script>alert(1)</script>").await;
    let request = b"GET / HTTP/1.0\r\nhost: localhost\r\n\r\n";
    let answer = whole(served.server.address(), request).await;
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = answer.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'nonce-"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let nonce = policy.split('\'').find_map(|part| part.strip_prefix("nonce-")).expect("a nonce");
    assert!(answer.body.contains(&format!("<script nonce=\"{nonce}\">")));
    let plain = answer.body.split("<noscript>").nth(2).expect("the table");
    let plain = plain.split("</noscript>").next().expect("its end");
    for wanted in
        [" 3 of 3 heard", "n1 · cluster ", "<td>n1</td>", "<td>n3</td>", "&#60;script&#62;alert(1)"]
    {
        assert!(plain.contains(wanted), "{wanted} in {plain}");
    }
    assert!(!plain.contains("<script"), "{plain}");
    let again = whole(served.server.address(), request).await;
    assert!(!again.body.contains(nonce), "a nonce is used once");

    let directory = tempfile::tempdir().expect("a directory");
    let token_file = directory.path().join("token");
    std::fs::write(&token_file, "0123456789abcdef").expect("a file");
    let config = AdminConfig { token_file: Some(token_file), ..LOOPBACK };
    let guarded = Server::start(served.cluster.handle(0).clone(), &config).await.expect("a start");
    let silent = whole(guarded.address(), request).await;
    assert!(silent.body.contains("wants a token") && !silent.body.contains("alert(1)"));
    let request =
        "GET / HTTP/1.0\r\nhost: localhost\r\nauthorization: Bearer 0123456789abcdef\r\n\r\n";
    let told = whole(guarded.address(), request.as_bytes()).await;
    assert!(told.body.contains("alert(1)"));
    within(guarded.stop()).await;
    served.end().await;
}

/// A browser, driven over the WebDriver protocol.
struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    /// A browser of this size; none where there is none.
    async fn start(width: u32, height: u32) -> Option<Self> {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .ok()?;
        let mut lines = BufReader::new(driver.stdout.take().expect("it was asked for")).lines();
        let port = loop {
            let line = patient(lines.next_line()).await.expect("text").expect("it says its port");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').parse().expect("a port");
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let mut browser = Self { driver, port, session: String::new() };
        let size = format!("--window-size={width},{height}");
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            &size,
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": args},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let session = browser.call("POST", "", &wanted).await;
        browser.session = format!("/{}", session["sessionId"].as_str().expect("a session"));
        Some(browser)
    }

    async fn call(&self, method: &str, path: &str, body: &Json) -> Json {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let request = format!(
            "{method} /session{}{path} HTTP/1.1\r\nhost: localhost:{}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            self.session,
            self.port,
            body.len()
        );
        let exchange = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            loop {
                if stream.read_buf(&mut answer).await? == 0 {
                    return Ok::<_, std::io::Error>(answer);
                }
                let text = String::from_utf8_lossy(&answer);
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let head = head.to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
                if length.is_some_and(|length| length.trim().parse() == Ok(body.len())) {
                    return Ok(answer);
                }
            }
        };
        let answer = String::from_utf8(patient(exchange).await.expect("an answer")).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(" 200 "), "{method} {path}: {body}");
        let answer: Json = serde_json::from_str(body).expect("JSON");
        answer["value"].clone()
    }

    async fn open(&self, url: &str) {
        self.call("POST", "/url", &json!({ "url": url })).await;
    }

    /// What an expression amounts to.
    async fn value(&self, expression: &str) -> Json {
        let script = json!({"script": format!("return {expression}"), "args": []});
        self.call("POST", "/execute/sync", &script).await
    }

    /// Waits until an expression amounts to what is wanted.
    async fn until(&self, expression: &str, wanted: impl Fn(&Json) -> bool) -> Json {
        let deadline = Instant::now() + BROWSER_PATIENCE;
        loop {
            let value = self.value(expression).await;
            if wanted(&value) {
                return value;
            }
            assert!(Instant::now() < deadline, "{expression} stays {value}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn element(&self, selector: &str) -> String {
        let wanted = json!({"using": "css selector", "value": selector});
        let found = self.call("POST", "/element", &wanted).await;
        let id = found.as_object().and_then(|object| object.values().next());
        format!("/element/{}", id.and_then(Json::as_str).expect("an element"))
    }

    /// What it shows, as a PNG.
    async fn screenshot(&self) -> Vec<u8> {
        let text = self.call("GET", "/screenshot", &Json::Null).await;
        let sextet = |symbol: u8| match symbol {
            b'A'..=b'Z' => Some(symbol - b'A'),
            b'a'..=b'z' => Some(symbol - b'a' + 26),
            b'0'..=b'9' => Some(symbol - b'0' + 52),
            b'+' => Some(62),
            b'/' => Some(63),
            _ => None,
        };
        let sextets: Vec<u8> = text.as_str().expect("a text").bytes().filter_map(sextet).collect();
        let bytes = sextets.chunks(4).flat_map(|four| {
            let bits = four.iter().fold(0_u32, |bits, six| bits << 6 | u32::from(*six));
            let bits = bits << (6 * (4 - four.len()));
            bits.to_be_bytes()[1..four.len()].to_vec()
        });
        bytes.collect()
    }

    /// Errors that the page made.
    async fn errors(&self) -> Vec<Json> {
        let log = self.call("POST", "/se/log", &json!({"type": "browser"})).await;
        let lines = log.as_array().expect("lines").iter();
        lines.filter(|line| line["level"] == "SEVERE").cloned().collect()
    }

    async fn end(mut self) {
        self.call("DELETE", "", &Json::Null).await;
        let _ = self.driver.kill().await;
    }
}

async fn patient<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BROWSER_PATIENCE, future).await.expect("the browser answers in time")
}

fn begins(start: &str) -> impl Fn(&Json) -> bool {
    move |text| text.as_str().is_some_and(|text| text.starts_with(start))
}

/// What the picture in the README shows. `UPDATE=1` takes it anew.
const VALUES: [&str; 16] = [
    "seven swans",
    "a pot of tea",
    "green",
    "the quick brown fox",
    "42",
    "north by northwest",
    "blue",
    "an apple a day",
    "one more",
    "the lighthouse",
    "red",
    "half past eight",
    "a stitch in time",
    "yellow",
    "the long way home",
    "last of the sixteen",
];

/// The page is shown a status in which two members do not hear each other; what it makes of it.
const CUT: &str = "(() => {
    const [a, b, c] = status.members;
    b.hears = [a.id]; c.hears = [a.id];
    show();
    return [document.querySelector('#matrix .note').textContent.split('; ')[1],
        document.querySelectorAll('#matrix td.no').length, document.querySelectorAll('#ring .cut').length];
})()";

/// The same, with one member apart from all others.
const SPLIT: &str = "(() => {
    const [a, b, c] = status.members;
    a.hears = [b.id]; b.hears = [a.id]; c.hears = [];
    show();
    return [document.querySelector('#matrix .note').textContent,
        document.querySelectorAll('#matrix td.top').length, document.querySelectorAll('#ring .cut').length];
})()";

const TEXT: &str = "document.getElementById('text').textContent";

#[tokio::test]
async fn a_value_proposed_on_the_page_commits_and_a_lost_node_shows() {
    let mut served = Served::start(3).await;
    let Some(browser) = Browser::start(1120, 1240).await else {
        println!("SKIPPED: the page was NOT looked at in a browser: there is no chromedriver here");
        return served.end().await;
    };
    browser.open(&format!("http://{}/", served.server.address())).await;
    browser.until(TEXT, begins("3 of 3 heard: commits; can lose 1 more")).await;

    let value = "a value from the page <b>&</b>";
    let input = browser.element("#value").await;
    browser.call("POST", &format!("{input}/value"), &json!({ "text": value })).await;
    let button = browser.element("#propose button").await;
    browser.call("POST", &format!("{button}/click"), &json!({})).await;
    let told = "document.getElementById('outcome').textContent";
    let told = browser.until(told, begins("✓ committed in slot ")).await;
    let slot = told.as_str().and_then(|text| text.strip_prefix("✓ committed in slot "));
    let slot: u64 =
        slot.and_then(|text| text.split(',').next()).expect("a slot").parse().expect("a number");
    for at in 0..3 {
        let handle = served.cluster.handle(at);
        let committed = handle.wait_committed(quorate::types::Slot(slot));
        tokio::time::timeout(PATIENCE, committed).await.expect("in time").expect("it runs");
        let entries = handle.committed(quorate::types::Slot(slot), 1).await.expect("it runs");
        assert_eq!(entries[0].proposal().expect("a value").value.as_str(), value);
    }
    let row = format!("document.querySelector('tr[data-slot=\"{slot}\"] .value')?.textContent");
    browser.until(&row, |shown| *shown == value).await;
    for value in VALUES {
        commit(&served.client, value).await;
    }
    let spans = "document.querySelectorAll('#latency .bars i').length";
    browser.until(spans, |count| count.as_u64() >= Some(VALUES.len() as u64 / 2)).await;
    let bars = "document.querySelectorAll('#tally .slot').length";
    browser.until(bars, |count| count.as_u64() >= Some(3)).await;
    let trips = "document.querySelectorAll('#ring svg > text.small').length";
    browser.until(trips, |count| count.as_u64() == Some(2)).await;
    let shown = browser.value(CUT).await;
    assert_eq!(shown, json!(["one group, in which not everybody hears everybody", 2, 1]));
    let shown = browser.value(SPLIT).await;
    assert_eq!(shown, json!(["2 groups, outlined: n1, n2 | n3", 3, 2]));
    let width = "document.documentElement.scrollWidth <= innerWidth";
    assert_eq!(browser.value(width).await, true, "nothing is wider than the window");
    assert_eq!(browser.errors().await, Vec::<Json>::new());
    if std::env::var_os("UPDATE").is_some() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
        std::fs::create_dir_all(&directory).expect("a directory");
        std::fs::write(directory.join("status.png"), browser.screenshot().await).expect("a file");
    }

    let stopped = Instant::now();
    served.cluster.stop(2).await;
    browser.until(TEXT, begins("2 of 3 heard: commits; can lose 0 more")).await;
    println!("a lost node shows {:?} after it was asked to stop", stopped.elapsed());
    let seen = "document.querySelectorAll('#ring g.Offline').length";
    browser.until(seen, |count| count.as_u64() == Some(1)).await;
    browser.end().await;
    served.end().await;
}
