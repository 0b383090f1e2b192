//! Who this node is, for as long as its data directory lives: an ed25519 key, and which of its lives this is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};

use crate::storage::{
    Disk, DurableLog, LogError, begin_starts, next_step, read_file, starts, write_file,
};
use crate::types::NodeId;
use crate::wire::Hex;

const KEY_FILE: &str = "identity";
const KEY_TAG: &str = "quorate identity 1";

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
    /// A directory that a node was started on, without that node's key.
    #[error(
        "{path} is missing: this directory belongs to a node whose key is lost; put the file \
         back from a copy; an empty directory makes another node, which cannot take the place of this one"
    )]
    Missing {
        /// Where the key should be.
        path: PathBuf,
    },
    /// The key is not what was written there.
    #[error(
        "{path} does not hold the node's key: put it back from a copy; an empty directory makes another node, which cannot take the \
         place of this one"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A key without the count of starts that is older than it: more of the directory may be gone.
    #[error(
        "{path} holds a key, and nothing beside it tells whether a node was ever started under it: put the whole \
         directory back as it was; an empty directory makes another node, which cannot take the place of this one"
    )]
    Alone {
        /// The key's file.
        path: PathBuf,
    },
    /// The rest of the directory cannot be read.
    #[error(transparent)]
    Directory(#[from] LogError),
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
    /// The identity that lives on `disk`, made there if no node was ever started on it. Before the node is heard,
    /// [`Identity::in_life`] must say which of its lives this is.
    ///
    /// # Errors
    /// [`IdentityError`]; the node must not start.
    pub fn open<D: Disk>(disk: &D) -> Result<Self, IdentityError> {
        let path = disk.path(KEY_FILE);
        let key = match read_file(disk, KEY_FILE).map_err(failed("read", &path))? {
            Some(_) if starts(disk)?.is_none() => return Err(IdentityError::Alone { path }),
            Some(bytes) => read_key(&bytes).ok_or(IdentityError::Damaged { path })?,
            None if DurableLog::is_begun(disk)? => return Err(IdentityError::Missing { path }),
            None => {
                begin_starts(disk)?;
                let key = SigningKey::from_bytes(&random());
                let text = format!("{KEY_TAG}\n{}\n", Hex(key.to_bytes()));
                write_file(disk, KEY_FILE, text.as_bytes()).map_err(failed("write", &path))?;
                key
            }
        };
        Ok(Self::from_key(key, 0, Hex(random())))
    }

    /// The same, in its life number `boot`.
    pub fn in_life(self, boot: u64) -> Self {
        Self { boot, ..self }
    }

    /// Whose key lies in `dir`, if one does. Nothing is made and no start is counted.
    ///
    /// # Errors
    /// [`IdentityError`] if it cannot be read.
    pub fn who_lives_in(dir: &Path) -> Result<Option<NodeId>, IdentityError> {
        let path = dir.join(KEY_FILE);
        match fs::read(&path) {
            Ok(bytes) => match read_key(&bytes) {
                Some(key) => Ok(Some(id_of(&Hex(key.verifying_key().to_bytes())))),
                None => Err(IdentityError::Damaged { path }),
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

    /// How often the node has been started, this time included; 0 until that is known.
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

fn read_key(bytes: &[u8]) -> Option<SigningKey> {
    let text = str::from_utf8(bytes).ok()?;
    let digits = text.strip_prefix(KEY_TAG)?.strip_prefix('\n')?.strip_suffix('\n')?;
    let seed: Hex<32> = digits.parse().ok()?;
    Some(SigningKey::from_bytes(&seed.0))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    let path = path.to_owned();
    move |source| IdentityError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{MemoryDisk, RealDisk, count_start};

    #[test]
    fn an_identity_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(dir.path()).unwrap();
        assert!(Identity::who_lives_in(dir.path()).unwrap().is_none());
        let first = Identity::open(&disk).unwrap().in_life(count_start(&disk, 0).unwrap());
        assert_eq!(Identity::who_lives_in(dir.path()).unwrap(), Some(first.node()));
        let second = Identity::open(&disk).unwrap().in_life(count_start(&disk, 0).unwrap());
        assert_eq!(first.node(), second.node());
        assert_eq!(first.public_key(), second.public_key());
        assert_eq!((first.boot(), second.boot()), (1, 2));
        assert_ne!(first.instance(), second.instance());
        assert_eq!(first.node(), id_of(&first.public_key()));
    }

    #[test]
    fn a_first_start_cut_off_anywhere_leaves_a_directory_that_a_node_can_start_on() {
        let whole = MemoryDisk::default();
        Identity::open(&whole).unwrap();
        for stop in 0..whole.changes() {
            let disk = MemoryDisk::default();
            disk.fail_after(stop);
            Identity::open(&disk).unwrap_err();
            for crash in 0..20 {
                let found = disk.crashed(crash);
                Identity::open(&found).unwrap();
                assert_eq!(starts(&found).unwrap(), Some(0), "cut off after {stop} changes");
            }
        }
    }

    #[test]
    fn an_error_of_the_disk_names_the_file_and_the_next_step() {
        let told =
            |kind: io::ErrorKind| failed("write", Path::new("d/identity"))(kind.into()).to_string();
        let full = told(io::ErrorKind::StorageFull);
        assert!(full.starts_with("cannot write d/identity: "), "{full}");
        assert!(full.ends_with("free some space, then start the node again"), "{full}");
        assert!(told(io::ErrorKind::PermissionDenied).contains("mend owner and permissions"));
    }

    #[test]
    fn a_directory_that_was_used_and_has_no_key_is_refused() {
        let disk = MemoryDisk::default();
        count_start(&disk, 0).unwrap();
        let error = Identity::open(&disk).unwrap_err();
        assert!(matches!(error, IdentityError::Missing { .. }), "{error}");
        assert!(disk.open(KEY_FILE).unwrap().is_none());
    }

    #[test]
    fn a_key_alone_is_refused() {
        let disk = MemoryDisk::default();
        Identity::open(&disk).unwrap();
        disk.remove("boot").unwrap();
        let error = Identity::open(&disk).unwrap_err();
        assert!(matches!(error, IdentityError::Alone { .. }), "{error}");
    }

    #[test]
    fn a_damaged_key_is_refused_by_name() {
        let disk = MemoryDisk::default();
        Identity::open(&disk).unwrap();
        write_file(&disk, KEY_FILE, b"quorate identity 1\nzz\n").unwrap();
        let error = Identity::open(&disk).unwrap_err();
        assert!(error.to_string().contains(KEY_FILE), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn the_key_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("identity.new"), "left by a crash").unwrap();
        Identity::open(&RealDisk::open(dir.path()).unwrap()).unwrap();
        let mode = fs::metadata(dir.path().join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!dir.path().join("identity.new").exists());
    }
}
