//! What the command line asks for.

use std::path::PathBuf;
use std::time::Duration;

/// How to call this.
pub(crate) const USAGE: &str = "\
versus: three nodes each of etcd, ZooKeeper, NATS and this program, the same load on all of them in turn

  --only etcd,quorate   some of etcd, zookeeper, nats, quorate (all)
  --in-flight 1,16      clients, each with one request in flight (1,16,64,256)
  --size 256            bytes of each value; what a product does not take is refused, and its round is not clean
  --rounds 5            how often each is measured; 0 goes on to the kills
  --seconds 3           how long one round is measured
  --warm-up 1           seconds of the same load before
  --first 10            seconds of the heaviest load on each before anything is counted; 0 for none
  --idle 20             seconds of rest before and after all rounds: what a node holds and uses then (0)
  --kills 10            kill -9 of the leader, so often (0)
  --dir DIR             where all of them keep their files, on one disk (the system's temporary directory)
  --node PATH           this program (../../target/release/node)
  --servers DIR         where `./install` put the others (target/servers)
  --json FILE           every round, raw
  --keep                leave the files and the servers' log lines where they are

Run it in benches/versus, on a machine that does nothing else.";

/// Everything that can be asked for.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) only: Option<Vec<String>>,
    pub(crate) in_flight: Vec<usize>,
    pub(crate) value_bytes: usize,
    pub(crate) rounds: usize,
    pub(crate) measured: Duration,
    pub(crate) warm_up: Duration,
    pub(crate) first: Option<Duration>,
    pub(crate) idle: Option<Duration>,
    pub(crate) kills: usize,
    pub(crate) directory: PathBuf,
    pub(crate) node: PathBuf,
    pub(crate) servers: PathBuf,
    pub(crate) json: Option<PathBuf>,
    pub(crate) keep: bool,
}

impl Plan {
    /// Reads the words after the program's name.
    ///
    /// # Errors
    /// Says which word is wrong, and what it should be.
    pub(crate) fn read(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut plan = Self {
            only: None,
            in_flight: vec![1, 16, 64, 256],
            value_bytes: 256,
            rounds: 5,
            measured: Duration::from_secs(3),
            warm_up: Duration::from_secs(1),
            first: Some(Duration::from_secs(10)),
            idle: None,
            kills: 0,
            directory: std::env::temp_dir(),
            node: "../../target/release/node".into(),
            servers: "target/servers".into(),
            json: None,
            keep: false,
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--only" => plan.only = Some(value()?.split(',').map(str::to_owned).collect()),
                "--in-flight" => {
                    plan.in_flight = value()?
                        .split(',')
                        .map(|clients| whole(&word, clients))
                        .collect::<Result<_, _>>()?;
                }
                "--size" => plan.value_bytes = size(&word, &value()?)?,
                "--rounds" => plan.rounds = or_none(&word, &value()?)?,
                "--seconds" => plan.measured = seconds(&word, &value()?)?,
                "--warm-up" => plan.warm_up = seconds(&word, &value()?)?,
                "--first" => plan.first = seconds_or_none(&word, &value()?)?,
                "--idle" => plan.idle = seconds_or_none(&word, &value()?)?,
                "--kills" => plan.kills = or_none(&word, &value()?)?,
                "--dir" => plan.directory = value()?.into(),
                "--node" => plan.node = value()?.into(),
                "--servers" => plan.servers = value()?.into(),
                "--json" => plan.json = Some(value()?.into()),
                "--keep" => plan.keep = true,
                "--help" | "-h" => return Err(USAGE.to_owned()),
                other => return Err(format!("{other:?} is no option; --help lists them")),
            }
        }
        Ok(plan)
    }

    /// Whether a product is to be measured.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.iter().any(|wanted| wanted == name))
    }
}

fn whole(word: &str, text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=10_000).contains(&number) => Ok(number),
        _ => Err(format!("{word} needs whole numbers from 1 to 10000, not {text:?}")),
    }
}

fn size(word: &str, text: &str) -> Result<usize, String> {
    match text.parse() {
        // The number of a value needs sixteen.
        Ok(bytes) if (16..=1 << 20).contains(&bytes) => Ok(bytes),
        _ => Err(format!("{word} needs bytes from 16 to 1048576, not {text:?}")),
    }
}

fn or_none(word: &str, text: &str) -> Result<usize, String> {
    if text == "0" { Ok(0) } else { whole(word, text) }
}

fn seconds_or_none(word: &str, text: &str) -> Result<Option<Duration>, String> {
    if text == "0" { Ok(None) } else { seconds(word, text).map(Some) }
}

fn seconds(word: &str, text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(number) if (0.1..=600.0).contains(&number) => Ok(Duration::from_secs_f64(number)),
        _ => Err(format!("{word} needs seconds from 0.1 to 600, not {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Plan, String> {
        Plan::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn words_become_a_plan() {
        let plan =
            read("--in-flight 1,64 --seconds 0.5 --only etcd,quorate --kills 0 --idle 2 --first 0");
        let plan = plan.unwrap();
        assert_eq!((plan.idle, plan.first), (Some(Duration::from_secs(2)), None));
        assert_eq!(plan.in_flight, [1, 64]);
        assert_eq!(plan.measured, Duration::from_millis(500));
        assert!(plan.wants("etcd") && !plan.wants("nats"));
        assert!(read("").unwrap().wants("nats"));
    }

    #[test]
    fn a_wrong_word_is_named() {
        for (line, named) in [
            ("--in-flight 0", "--in-flight"),
            ("--size 8", "--size"),
            ("--seconds x", "\"x\""),
            ("--dri", "--dri"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(named), "{line}: {error}");
        }
        assert!(read("--json").unwrap_err().contains("needs a value"));
    }
}
