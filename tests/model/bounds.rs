//! What a check covers, as one would say it: `members=3 rounds=2 slots=2 crashes=1`.

use std::fmt;

use quorate::consensus::EpochConfig;
use quorate::types::{Epoch, NodeId};

use super::flaw::Flaw;

/// The bounds of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) members: u64,
    /// The highest round that anyone may lead.
    pub(super) rounds: u64,
    pub(super) slots: u64,
    /// How many values are offered in each round.
    pub(super) values: u64,
    /// How many crashes happen at most in one history.
    pub(super) crashes: u64,
    pub(super) network: Network,
    pub(super) disk: Disk,
    /// Entries that are pulled travel as everything does; else they are there at once.
    pub(super) slow: bool,
    /// Every vote is handed over and counted as it comes; else those that decide something: with three
    /// members one by one, with more all at once.
    pub(super) apart: bool,
    /// A mistake that the check is to find.
    pub(super) flaw: Option<Flaw>,
}

/// What becomes of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    /// Each arrives once or never, in any order; a later one of the same kind, round and way takes the
    /// place of the earlier.
    Newest,
    /// Each may arrive at any time, any number of times, or never.
    All,
}

/// When what is written becomes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disk {
    /// Before the next input: a crash takes away what one input made.
    AtOnce,
    /// Any time later: other inputs come before; a crash leaves any number of whole batches.
    Later,
}

impl Bounds {
    pub(super) const fn new(members: u64, rounds: u64, slots: u64) -> Self {
        Self {
            members,
            rounds,
            slots,
            values: 1,
            crashes: 0,
            network: Network::Newest,
            disk: Disk::AtOnce,
            slow: false,
            apart: false,
            flaw: None,
        }
    }

    /// Reads what [`Bounds`] prints; what is not named is as small as it can be.
    pub(super) fn read(text: &str) -> Self {
        let mut bounds = Self::new(3, 1, 1);
        for word in text.split_whitespace() {
            let (name, value) = word.split_once('=').unwrap_or((word, "1"));
            let number = || value.parse().unwrap_or_else(|_| panic!("{word}: a number is due"));
            match (name, value) {
                ("members", _) => bounds.members = number(),
                ("rounds", _) => bounds.rounds = number(),
                ("slots", _) => bounds.slots = number(),
                ("values", _) => bounds.values = number(),
                ("crashes", _) => bounds.crashes = number(),
                ("network", "newest") => bounds.network = Network::Newest,
                ("network", "all") => bounds.network = Network::All,
                ("disk", "at_once") => bounds.disk = Disk::AtOnce,
                ("disk", "later") => bounds.disk = Disk::Later,
                ("pulls", "later") => bounds.slow = true,
                ("pulls", "at_once") => bounds.slow = false,
                ("votes", "apart") => bounds.apart = true,
                ("votes", "deciding") => bounds.apart = false,
                _ => panic!("{word}: not a bound of the model check"),
            }
        }
        bounds
    }

    pub(super) fn config(&self) -> EpochConfig {
        EpochConfig::new(Epoch(1), (1..=u128::from(self.members)).map(NodeId::from_u128))
    }

    pub(super) fn quorum(&self) -> usize {
        self.members as usize / 2 + 1
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { members, rounds, slots, values, crashes, network, disk, slow, apart, flaw } =
            self;
        write!(f, "members={members} rounds={rounds} slots={slots} values={values}")?;
        let network = match network {
            Network::Newest => "newest",
            Network::All => "all",
        };
        let disk = match disk {
            Disk::AtOnce => "at_once",
            Disk::Later => "later",
        };
        let pulls = if *slow { "later" } else { "at_once" };
        let votes = if *apart { "apart" } else { "deciding" };
        write!(f, " crashes={crashes} network={network} disk={disk} pulls={pulls} votes={votes}")?;
        flaw.map_or(Ok(()), |flaw| write!(f, " flaw={flaw:?}"))
    }
}
