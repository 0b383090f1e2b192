//! What people read, and what programs read.

use std::time::Duration;

use serde_json::{Value, json};

use crate::load::Round;
use crate::stats::{Spread, count, percentile, time};

/// More than this by anything else here, or by the machine below, in cores, and a round is not clean.
pub(crate) const FOREIGN_CORES_MAX: f64 = 0.25;

/// One round of one product.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) contender: &'static str,
    pub(crate) clients: usize,
    pub(crate) round: usize,
    pub(crate) measured: Duration,
    pub(crate) result: Result<Round, String>,
}

impl Round {
    /// Whether nothing else disturbed it.
    pub(crate) fn is_clean(&self) -> bool {
        self.used.foreign_cores <= FOREIGN_CORES_MAX
            && self.used.stolen_cores <= FOREIGN_CORES_MAX
            && self.lost == 0
            && self.led_throughout
            && self.is_confirmed()
    }

    /// Whether the product itself counts as many writes as it acknowledged.
    fn is_confirmed(&self) -> bool {
        self.written.is_some_and(|written| written >= self.acknowledged)
    }

    fn part(&self, share: f64) -> f64 {
        percentile(&self.took, share).as_secs_f64()
    }

    /// Processor time for one commit, in seconds.
    fn each(&self, used: Duration) -> f64 {
        used.as_secs_f64() / (self.took.len().max(1) as f64)
    }

    /// What must be known beside the figures.
    fn remarks(&self) -> String {
        let mut all = Vec::new();
        let (foreign, stolen) = (self.used.foreign_cores, self.used.stolen_cores);
        if !self.is_clean() {
            all.push("NOT CLEAN".to_owned());
        }
        if self.lost > 0 {
            all.push(format!("{} clients without an answer", self.lost));
        }
        if !self.led_throughout {
            all.push("another leader at its end".to_owned());
        }
        if !self.is_confirmed() {
            let (acknowledged, written) = (self.acknowledged, self.written);
            all.push(format!(
                "{acknowledged} acknowledged, but {written:?} counted by the product"
            ));
        }
        if self.refused > 0 {
            all.push(format!("{} refusals", self.refused));
        }
        if let Some(said) = &self.said {
            all.push(format!("{said:?}"));
        }
        all.push(format!("other load {foreign:.2}, stolen {stolen:.2} cores"));
        all.join(", ")
    }
}

impl Line {
    fn rate(&self) -> Option<f64> {
        let round = self.result.as_ref().ok()?;
        Some(round.took.len() as f64 / self.measured.as_secs_f64())
    }

    /// As it goes.
    pub(crate) fn shown(&self) -> String {
        let Self { contender, clients, round, .. } = self;
        let result = match &self.result {
            Ok(result) => result,
            Err(why) => return format!("  {clients:>3} {round:>2} {contender:13} {why}"),
        };
        let at: Vec<_> = (result.clients_at.iter().enumerate())
            .map(|(at, clients)| format!("{clients}{}", if at == result.leader { "*" } else { "" }))
            .collect();
        format!(
            "  {clients:>3} {round:>2} {contender:13} {:>8}/s  p50 {:>8}  p99 {:>8}  clients at {:12} {}",
            count(self.rate().unwrap_or(0.0)),
            time(result.part(0.5)),
            time(result.part(0.99)),
            at.join("+"),
            result.remarks()
        )
    }

    /// All of it, times in seconds.
    pub(crate) fn raw(&self) -> Value {
        let mut raw = json!({
            "contender": self.contender,
            "in_flight": self.clients,
            "round": self.round,
            "measured": self.measured.as_secs_f64(),
        });
        match &self.result {
            Err(why) => raw["failed"] = json!(why),
            Ok(round) => {
                raw["commits"] = json!(round.took.len());
                raw["commits_per_second"] = json!(self.rate());
                for (name, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("most", 1.0)] {
                    raw[name] = json!(round.part(share));
                }
                raw["generator_cpu_per_commit"] = json!(round.each(round.used.generator));
                raw["servers_cpu_per_commit"] = json!(round.each(round.used.servers));
                raw["generator_cores"] =
                    json!(round.used.generator.as_secs_f64() / self.measured.as_secs_f64());
                raw["foreign_cores"] = json!(round.used.foreign_cores);
                raw["stolen_cores"] = json!(round.used.stolen_cores);
                raw["clients_at"] = json!(round.clients_at);
                raw["leader"] = json!(round.leader);
                raw["led_throughout"] = json!(round.led_throughout);
                raw["acknowledged_with_warm_up"] = json!(round.acknowledged);
                raw["written_with_warm_up"] = json!(round.written);
                raw["refused"] = json!(round.refused);
                raw["lost"] = json!(round.lost);
                raw["clean"] = json!(round.is_clean());
            }
        }
        raw
    }
}

/// A line for each contender at one number of clients: medians of its clean rounds, or of all where none was.
/// `ours` is the one that the others are compared with.
pub(crate) fn table(lines: &[Line], contenders: &[&'static str], ours: &str) -> String {
    let mut text = format!(
        "  {:13} {:28} {:30} {:30} {:22} {:>16}  clean\n",
        "",
        "commits/s",
        "p50",
        "p99",
        format!("{ours} does"),
        "CPU µs: load, servers"
    );
    for &contender in contenders {
        let (chosen, clean) = chosen(lines, contender);
        let spread = |one: &dyn Fn(&Line, &Round) -> f64| {
            Spread::of(chosen.iter().map(|(line, round)| one(line, round)).collect())
        };
        let shown = |spread: Option<Spread>, one: &dyn Fn(f64) -> String| {
            spread.map_or("-".to_owned(), |spread| spread.shown(one))
        };
        let [load, servers] = [
            spread(&|_, round| round.each(round.used.generator) * 1e6),
            spread(&|_, round| round.each(round.used.servers) * 1e6),
        ]
        .map(|cpu| cpu.map_or("-".to_owned(), |cpu| format!("{:.0}", cpu.median)));
        text.push_str(&format!(
            "  {contender:13} {:28} {:30} {:30} {:22} {:>16}  {clean}\n",
            shown(spread(&|line, _| line.rate().unwrap_or(0.0)), &count),
            shown(spread(&|_, round| round.part(0.5)), &time),
            shown(spread(&|_, round| round.part(0.99)), &time),
            shown(Spread::of(ratios(lines, ours, contender)), &|ratio| format!("{ratio:.2}×")),
            format!("{load}, {servers}"),
        ));
    }
    text
}

/// The rounds that count, and how many of how many were clean.
fn chosen<'a>(lines: &'a [Line], contender: &str) -> (Vec<(&'a Line, &'a Round)>, String) {
    let own = lines.iter().filter(|line| line.contender == contender);
    let all: Vec<_> =
        own.clone().filter_map(|line| Some((line, line.result.as_ref().ok()?))).collect();
    let clean: Vec<_> = all.iter().copied().filter(|(_, round)| round.is_clean()).collect();
    let text = format!("{} of {}", clean.len(), own.count());
    if clean.is_empty() { (all, format!("{text}: NONE")) } else { (clean, text) }
}

/// How many times as much the one does as the other, in each round that both have; the clean ones, if any.
fn ratios(lines: &[Line], ours: &str, theirs: &str) -> Vec<f64> {
    if ours == theirs {
        return Vec::new();
    }
    let (ours, _) = chosen(lines, ours);
    let (theirs, _) = chosen(lines, theirs);
    let pairs = ours.iter().filter_map(|(our, _)| {
        let (their, _) = theirs.iter().find(|(their, _)| their.round == our.round)?;
        Some(our.rate()? / their.rate()?)
    });
    pairs.filter(|ratio| ratio.is_finite()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Used;

    fn line(contender: &'static str, round: usize, commits: usize, foreign_cores: f64) -> Line {
        let used = Used {
            generator: Duration::from_millis(1),
            servers: Duration::from_millis(1),
            foreign_cores,
            stolen_cores: 0.0,
        };
        let result = Round {
            took: vec![Duration::from_millis(1); commits],
            used,
            clients_at: [1, 0, 0],
            leader: 0,
            led_throughout: true,
            acknowledged: commits as u64,
            written: Some(commits as u64),
            refused: 0,
            said: None,
            lost: 0,
        };
        let measured = Duration::from_secs(1);
        Line { contender, clients: 1, round, measured, result: Ok(result) }
    }

    #[test]
    fn rounds_are_compared_in_pairs() {
        let lines = [
            line("a", 1, 300, 0.0),
            line("b", 1, 100, 0.0),
            line("a", 2, 400, 0.0),
            line("b", 2, 200, 0.0),
        ];
        assert_eq!(ratios(&lines, "a", "b"), [3.0, 2.0]);
        assert!(ratios(&lines, "a", "a").is_empty());
    }

    #[test]
    fn a_disturbed_round_counts_only_where_none_is_clean() {
        let lines = [
            line("a", 1, 300, 0.0),
            line("b", 1, 100, 0.5),
            line("a", 2, 400, 0.0),
            line("b", 2, 200, 0.0),
            line("c", 1, 50, 0.3),
        ];
        assert_eq!(ratios(&lines, "a", "b"), [2.0]);
        assert_eq!(ratios(&lines, "a", "c"), [6.0]);
        assert_eq!(chosen(&lines, "b").1, "1 of 2");
        assert!(chosen(&lines, "c").1.contains("NONE"));
        assert!(lines[1].shown().contains("NOT CLEAN"));
        assert!(!lines[0].shown().contains("NOT CLEAN"));
    }

    #[test]
    fn what_the_product_itself_does_not_count_is_not_believed() {
        for written in [None, Some(299)] {
            let mut line = line("a", 1, 300, 0.0);
            line.result.as_mut().unwrap().written = written;
            assert!(!line.result.as_ref().unwrap().is_clean());
            assert!(line.shown().contains("300 acknowledged, but"), "{}", line.shown());
        }
    }

    #[test]
    fn time_that_the_machine_below_took_disturbs_a_round() {
        let mut line = line("a", 1, 300, 0.25);
        assert!(!line.shown().contains("NOT CLEAN"));
        line.result.as_mut().unwrap().used.stolen_cores = 0.26;
        assert!(line.shown().contains("NOT CLEAN"));
    }

    #[test]
    fn a_round_that_failed_is_told_and_not_counted() {
        let mut failed = line("a", 1, 1, 0.0);
        failed.result = Err("no node answers".to_owned());
        assert!(failed.shown().contains("no node answers"));
        assert_eq!(failed.raw()["failed"], "no node answers");
        let table = table(&[failed], &["a"], "a");
        assert!(table.contains("0 of 1"), "{table}");
    }
}
