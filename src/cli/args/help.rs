//! What stands below the help of each command: examples, which the tests run as printed, and exit codes.

/// Below every short help.
pub(super) const MORE: &str = "--help shows more, with examples and exit codes.";

/// Nobody is there to be asked.
macro_rules! unreached {
    () => {
        "   5  unreachable: no node answers there\n"
    };
}

/// What was typed cannot be.
macro_rules! mistyped {
    () => {
        "  78  configuration: the command line or the environment"
    };
}

/// How a command that only asks can be turned away.
macro_rules! turned_away {
    () => {
        "   3  rejected: the node does not answer this question; it wants its token, for example
   4  unknown: the node is too busy to answer, or leaves
"
    };
}

pub(super) const NODE: &str = "\
Examples:
  node --peers a:8001,b:8001,c:8001
  node --propose blue --exit-after-commit
  echo green | node --propose - --exit-after-commit
  node --on-commit 'cat >> values' --propose red --exit-after-commit

Exit codes:
   0  done; with a proposal: committed
   3  rejected: the value is surely not committed by this request
   4  unknown: it may still commit; asking again with the same --request-id is safe
   5  unreachable: no node answers there
   6  no quorum: too few members are heard to decide
   7  identity: the data directory does not fit what the cluster knows of this node
   8  storage: the disk refuses, the data directory is damaged or in use
   9  address in use: another process listens there
  10  a check failed (config, demo, doctor, log --verify, simulate, status of several)
  78  configuration: flags, environment or file

A node with --config reads its file anew on SIGHUP; `node config init` says which settings can
change that way. SIGTERM and SIGINT let it leave in good order, a second one at once.";

pub(super) const PROPOSE: &str = concat!(
    "\
Examples:
  node propose blue
  node propose @node.toml --json
  echo green | node propose - --request-id 01890a5d-ac96-774b-bcce-b302099a8057
  node propose red --timeout 30s

Exit codes:
   0  committed
   3  rejected: the value is surely not committed by this request
   4  unknown: it may still commit; asking again with the same --request-id is safe
",
    unreached!(),
    "   6  no quorum: too few members are heard to decide; it may still commit\n",
    mistyped!()
);

pub(super) const BENCH: &str = concat!(
    "\
Examples:
  node bench
  node bench --in-flight 64 --duration 500ms --repeat 1
  node bench --via frames,http --in-flight 16 --size 64,1024 --duration 200ms --warm-up 100ms
  node bench --nodes 3,5 --down 1 --in-flight 16 --duration 200ms --repeat 1 --html report.html
  node bench --fill 1000,5000 --in-flight 1 --duration 200ms --repeat 1
  node bench --rate 500,50000 --duration 500ms --repeat 1 --json
  node bench --kills 2 --pauses 1
  node bench --nodes 3,7 --broadcasts 20

With --admin A,B,C the load goes to nodes that run already, else to some that are started for it.
Values stay in the log for ever: measure at a cluster of its own, or let this command start one. What is
printed says how the machine was at that time: compare figures of one run with each other and with the
floor, never with those of another machine.

Per commit: syncs, processor time, and the frames and bytes that nodes send each other, of all nodes
together, over all that was committed from the first to the last moment of a run.

An open loop (--rate) may ask for more than the nodes can do. This command keeps at most 1,024
undecided proposals of each connection, as a node does, and tells what became of all that was due:
  committed  it is synced at a majority
  busy       refused, for too many wait at the node (4,096, or 16 MiB of them): surely not committed
  rejected   refused for another reason: surely not committed
  unknown    it was taken and not decided: it may still commit
  not taken  it never left this command: until the end, no place among the undecided came free for it
What is committed is timed from when it was due, its waiting here included. Recovered: from the end of
the load until a proposal through each node takes at most three times the median of one before it.

A node that stands stopped (--slow, --pauses) while this command is itself killed with -9 stays so until
it is continued or killed.

Exit codes:
   0  done
",
    turned_away!(),
    unreached!(),
    "  10  a check failed: a cluster could not be started, or nothing was committed\n",
    mistyped!()
);

pub(super) const STATUS: &str = concat!(
    "\
Examples:
  node status
  node status --all
  node status --watch
  node status --all --json

Exit codes:
   0  every node that was to be asked answered, and their logs agree as far as they go
",
    turned_away!(),
    unreached!(),
    "  10  a check failed: two nodes hold different entries, or belong to different clusters\n",
    mistyped!()
);

pub(super) const PEERS: &str = concat!(
    "\
Examples:
  node peers
  node peers --json

Exit codes:
   0  done
",
    turned_away!(),
    unreached!(),
    mistyped!()
);

pub(super) const LOG: &str = concat!(
    "\
Examples:
  node log
  node log --from 2 --limit 10 --json
  node log --format raw > values
  node log --verify
  node log --local --follow

Exit codes:
   0  done
",
    turned_away!(),
    unreached!(),
    "   6  no quorum: nobody can say what is newest; --local prints what the node has
  10  a check failed (--verify): the entries do not make the hashes that the node tells
",
    mistyped!()
);

pub(super) const WATCH: &str = concat!(
    "\
Examples:
  node watch
  node watch --only commits,quorum --json
  node watch --from 1 --only commits --limit 1

Commits come in slot order without a hole. If the stream ends, the last line says from which slot
it goes on.

Exit codes:
   0  as many events as wanted came
",
    turned_away!(),
    unreached!(),
    mistyped!()
);

pub(super) const SEND: &str = concat!(
    "\
Examples:
  node send hello
  node send hello --to n2
  date | node send - --json

It waits up to 30 seconds for those who should have it.

Exit codes:
   0  everyone who should have it said so
   3  rejected: the text is too long, or nobody is called that
   4  unknown: some did not say in time that they have it
",
    unreached!(),
    mistyped!()
);

pub(super) const PING: &str = concat!(
    "\
A ping is a message of the text \"ping\", acknowledged by the other end: it takes the same way as
`node send`, and whoever subscribes to messages sees it there. The time goes from this command
through the asked node to the peer and back; the first line tells how much of it is this
command's own way to the node.

Examples:
  node ping
  node ping n2 --count 1 --timeout 1s
  node ping --json

Exit codes:
   0  everyone answered
   3  rejected: nobody is called that
   4  unknown: some did not answer in time
",
    unreached!(),
    mistyped!()
);

pub(super) const CONFIG: &str = "\
Examples:
  node config init --output node.toml
  node config check --config node.toml
  node config show --origin

Exit codes:
   0  done
  78  configuration: all that is wrong is told at once, each with its place";

pub(super) const CONFIG_INIT: &str = "\
Examples:
  node config init
  node config init --name n1 --peers a:8001,b:8001,c:8001
  node config init --cluster blue --output blue.toml

Exit codes:
   0  done
  10  the file cannot be written, or is there already
  78  configuration: the flags";

pub(super) const CONFIG_CHECK: &str = "\
Examples:
  node config check
  node config check --config node.toml
  node config check --config node.toml --json

Exit codes:
   0  a node would start with these settings, as far as they alone can tell; see `node doctor`
  78  configuration: all that is wrong is told at once, each with its place";

pub(super) const CONFIG_SHOW: &str = "\
What it prints is a configuration file.

Examples:
  node config show
  node config show --origin --config node.toml
  node config show --json

Exit codes:
   0  done
  78  configuration: all that is wrong is told at once, each with its place";

pub(super) const DOCTOR: &str = "\
Give it the flags of the node, or start it with the same environment. Nothing is changed: to
measure the disk it writes a file of its own and removes it. Where the node does not run yet, it
listens in its place for a moment, to see whether a peer dials this machine.

Examples:
  node doctor
  node doctor --config node.toml --wait 1s
  node doctor --json --wait 0s

Exit codes:
   0  nothing failed; warnings are no failures
  10  a check failed: the text names it and the next step
  78  configuration: the command line";

pub(super) const DEMO: &str = "\
Examples:
  node demo

Exit codes:
   0  all of it came true
  10  a check failed: the text says at which step";

pub(super) const SIMULATE: &str = "\
Examples:
  node simulate --seeds 10
  node simulate --seed 7 --transcript
  node simulate --seed 7 --chart run.svg --window 300..450
  node simulate --nodes 5 --partition bridge --faults network

Exit codes:
   0  no invariant was broken
  10  a check failed: the text names the invariant and the seed that shows it
  78  configuration: the command line";

pub(super) const COMPLETIONS: &str = "\
Examples:
  node completions bash > node.bash
  node completions zsh > _node
  node completions fish > node.fish

Exit codes:
   0  done
  78  configuration: the command line";

pub(super) const MAN: &str = "\
Examples:
  node man > node.1
  node man --dir man

Exit codes:
   0  done
  10  the directory cannot be written";

pub(super) const VERSION: &str = "\
Examples:
  node version
  node version --json

Exit codes:
   0  done";
