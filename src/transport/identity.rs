//! Who this node is, for as long as its data directory lives: an ed25519 key and a count of starts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};

use crate::storage::{next_step, replace};
use crate::types::NodeId;
use crate::wire::Hex;

const KEY_FILE: &str = "identity";
const KEY_TAG: &str = "quorate identity 1";
const BOOT_FILE: &str = "boot";

/// A node's key, the id that follows from it, and which of its lives this is.
pub struct Identity {
    key: SigningKey,
    node: NodeId,
    boot: u64,
    instance: Hex<16>,
}

/// Why a node cannot say who it is. Every text names the file and the next step.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A log without the key that it was written under.
    #[error(
        "{path} is missing beside a log: the log belongs to a node whose key is lost; put the file \
         back from a copy, or start with an empty data directory and let the node join as a new one"
    )]
    Missing {
        /// Where the key should be.
        path: PathBuf,
    },
    /// A file does not hold what was written there.
    #[error(
        "{path} does not hold {expected}: put it back from a copy; for a new node, empty the data directory"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// Reading or writing failed.
    #[error("cannot {action} {path}: {source}; the node does not start: {hint}", hint = next_step(source.kind()))]
    Io {
        /// What was done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Identity {
    /// The identity that lives in `dir`, made there if there is none, with its count of starts
    /// raised by one, durably. `has_log` says whether a log stands beside it.
    ///
    /// # Errors
    /// [`IdentityError`]; the node must not start.
    pub fn open(dir: &Path, has_log: bool) -> Result<Self, IdentityError> {
        fs::create_dir_all(dir).map_err(failed("create", dir))?;
        let path = dir.join(KEY_FILE);
        let key = match fs::read_to_string(&path) {
            Ok(text) => read_key(&text)
                .ok_or(IdentityError::Damaged { path, expected: "the node's key" })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && has_log => {
                return Err(IdentityError::Missing { path });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = SigningKey::from_bytes(&random());
                let text = format!("{KEY_TAG}\n{}\n", Hex(key.to_bytes()));
                write(dir, KEY_FILE, text.as_bytes())?;
                key
            }
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let boot = count_boot(dir)?;
        Ok(Self::from_key(key, boot, Hex(random())))
    }

    /// Whose key lies in `dir`, if one does. Nothing is made and no start is counted.
    ///
    /// # Errors
    /// [`IdentityError`] if it cannot be read.
    pub fn who_lives_in(dir: &Path) -> Result<Option<NodeId>, IdentityError> {
        let path = dir.join(KEY_FILE);
        match fs::read_to_string(&path) {
            Ok(text) => match read_key(&text) {
                Some(key) => Ok(Some(id_of(&Hex(key.verifying_key().to_bytes())))),
                None => Err(IdentityError::Damaged { path, expected: "the node's key" }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    /// An identity that lives in no directory.
    pub(crate) fn from_key(key: SigningKey, boot: u64, instance: Hex<16>) -> Self {
        let node = id_of(&Hex(key.verifying_key().to_bytes()));
        Self { key, node, boot, instance }
    }

    /// The node's id.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// How often the node has been started, this time included.
    pub fn boot(&self) -> u64 {
        self.boot
    }

    /// Drawn at this start.
    pub fn instance(&self) -> Hex<16> {
        self.instance
    }

    /// The public key.
    pub fn public_key(&self) -> Hex<32> {
        Hex(self.key.verifying_key().to_bytes())
    }

    /// The signature of this node over `bytes`.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Hex<64> {
        Hex(self.key.sign(bytes).to_bytes())
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("node", &self.node).field("boot", &self.boot).finish()
    }
}

/// The id that belongs to a public key.
pub(crate) fn id_of(key: &Hex<32>) -> NodeId {
    NodeId::from_key_hash(&Sha256::digest(key.0).into())
}

/// Bytes that nobody can foretell.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has randomness once it runs programs");
    bytes
}

fn read_key(text: &str) -> Option<SigningKey> {
    let digits = text.strip_prefix(KEY_TAG)?.strip_prefix('\n')?.strip_suffix('\n')?;
    let seed: Hex<32> = digits.parse().ok()?;
    Some(SigningKey::from_bytes(&seed.0))
}

/// Raises the count of starts. A lost count would make peers take this life for an earlier one, so
/// the new count is durable before anyone hears it.
fn count_boot(dir: &Path) -> Result<u64, IdentityError> {
    let path = dir.join(BOOT_FILE);
    let last: u64 = match fs::read_to_string(&path) {
        Ok(text) => text
            .trim_end()
            .parse()
            .map_err(|_| IdentityError::Damaged { path, expected: "a count of starts" })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(failed("read", &path)(error)),
    };
    let boot = last.saturating_add(1);
    write(dir, BOOT_FILE, format!("{boot}\n").as_bytes())?;
    Ok(boot)
}

fn write(dir: &Path, name: &str, content: &[u8]) -> Result<(), IdentityError> {
    replace(dir, name, content).map_err(failed("write", &dir.join(name)))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    let path = path.to_owned();
    move |source| IdentityError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_a_restart_and_counts_it() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Identity::who_lives_in(dir.path()).unwrap().is_none());
        let first = Identity::open(dir.path(), false).unwrap();
        assert_eq!(Identity::who_lives_in(dir.path()).unwrap(), Some(first.node()));
        let second = Identity::open(dir.path(), true).unwrap();
        assert_eq!(first.node(), second.node());
        assert_eq!(first.public_key(), second.public_key());
        assert_eq!((first.boot(), second.boot()), (1, 2));
        assert_ne!(first.instance(), second.instance());
        assert_eq!(first.node(), id_of(&first.public_key()));
    }

    #[test]
    fn an_error_of_the_disk_names_the_file_and_the_next_step() {
        let told =
            |kind: io::ErrorKind| failed("write", Path::new("d/boot"))(kind.into()).to_string();
        let full = told(io::ErrorKind::StorageFull);
        assert!(full.starts_with("cannot write d/boot: "), "{full}");
        assert!(full.ends_with("free some space, then start the node again"), "{full}");
        assert!(told(io::ErrorKind::PermissionDenied).contains("mend owner and permissions"));
    }

    #[test]
    fn a_log_without_its_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = Identity::open(dir.path(), true).unwrap_err();
        assert!(matches!(error, IdentityError::Missing { .. }), "{error}");
        assert!(!dir.path().join(KEY_FILE).exists());
    }

    #[test]
    fn damaged_files_are_refused_by_name() {
        for (file, content) in [(KEY_FILE, "quorate identity 1\nzz\n"), (BOOT_FILE, "soon")] {
            let dir = tempfile::tempdir().unwrap();
            Identity::open(dir.path(), false).unwrap();
            fs::write(dir.path().join(file), content).unwrap();
            let error = Identity::open(dir.path(), false).unwrap_err();
            assert!(error.to_string().contains(file), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_key_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("identity.tmp"), "left by a crash").unwrap();
        Identity::open(dir.path(), false).unwrap();
        let mode = fs::metadata(dir.path().join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!dir.path().join("identity.tmp").exists());
    }
}
