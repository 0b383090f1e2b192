//! Data directories that are lost, copied and brought back, and processes that leave in good order.

use crate::engine::Input;
use crate::sim::checker::Invariant;
use crate::sim::cluster::{Cluster, unusable};
use crate::sim::copy::Copy;
use crate::sim::disk::{Disk, Lost};
use crate::sim::node::successor;
use crate::storage::{self, LogError};

impl Cluster {
    /// Whether the cluster can do without one member more.
    pub(super) fn can_lose_one(&self) -> bool {
        let quorum = self.setup.size / 2 + 1;
        self.setup.size - self.checker.out() > quorum
    }

    /// The directory of `node` is lost with key and log; what starts there has a new key, and is another node. Not while
    /// founders meet, who would take it for one of them, and not where no quorum remained.
    pub(super) fn wipe(&mut self, node: usize) {
        if self.setup.must_form || self.checker.is_out(node) || !self.can_lose_one() {
            return;
        }
        self.kill(node);
        let next = successor(self.nodes[node].id);
        let settings = storage::Settings { node: next, ..self.setup.storage.clone() };
        let machine = &mut self.nodes[node];
        machine.id = next;
        machine.disk = Disk::new(settings);
        machine.is_opening_cut = false;
        self.checker.wiped(node, next);
        self.counters.directories_wiped += 1;
    }

    /// The log of `node` is lost, or part of it, and the rest of its directory is not: whoever starts there has the key
    /// and has forgotten what was said under it, so nobody may start there again. Not where no quorum remained.
    pub(super) fn lose_log(&mut self, node: usize) {
        let is_spared = self.setup.must_form || self.checker.is_out(node) || !self.can_lose_one();
        if is_spared || !self.nodes[node].disk.has_started() {
            return;
        }
        self.kill(node);
        let lost = *self.rng.pick(&Lost::ALL);
        let disk = &mut self.nodes[node].disk;
        disk.lose(lost);
        match disk.start() {
            Err(LogError::Lost { .. } | LogError::Damaged { .. }) => {
                self.checker.lost(node);
                self.counters.logs_lost += 1;
            }
            Err(error) => self.judge(Some(node), Err(unusable(error))),
            Ok(_) => {
                let what = format!("starts on a directory without its {lost:?}");
                self.judge(Some(node), Err((Invariant::Excluded, what)));
            }
        }
    }

    /// Copies what is durable on the disk of `node`.
    pub(super) fn copy(&self, node: usize) -> Copy {
        Copy { image: self.nodes[node].disk.image(), copied: self.checker.copied(node) }
    }

    /// Starts `node` on a copy of its directory.
    pub(super) fn restore(&mut self, node: usize, copy: Copy) {
        self.kill(node);
        self.nodes[node].disk.restore(&copy.image);
        self.checker.restored(node, copy.copied);
        self.counters.copies_restored += 1;
        self.start(node);
    }

    /// The process of `node` says good-bye, makes all it wrote durable, and ends.
    pub(super) fn leave(&mut self, node: usize) {
        if self.nodes[node].process.as_ref().is_none_or(|process| process.held.is_some()) {
            return;
        }
        let life = self.nodes[node].life;
        self.tell(node, Input::Leave);
        if !self.lives(node, life) {
            return;
        }
        let machine = &mut self.nodes[node];
        let process = machine.process.as_mut().expect("it lives");
        for (_, records) in std::mem::take(&mut process.waiting) {
            process.appended += records.len();
            if let Err(error) = machine.disk.append(&records) {
                return self.stop_for_disk(node, &error);
            }
        }
        let records = std::mem::take(&mut process.appended);
        if let Err(error) = machine.disk.sync() {
            return self.stop_for_disk(node, &error);
        }
        let verdict = self.checker.synced(node, records);
        self.judge(Some(node), verdict);
        self.counters.leaves += 1;
        self.transcript.left(self.now, node);
        let machine = &mut self.nodes[node];
        machine.process = None;
        machine.doom = None;
        machine.disk.close();
        self.close_links(node);
        self.start_later(node);
    }
}
