//! The token that clients show where the HTTP interface has one.
//!
//! Both sides are compared as digests, every byte of them: how long a comparison takes says nothing about
//! the token.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// The shortest token, in characters: what a machine made is longer, what a person made up is not.
const CHARS_MIN: usize = 16;

/// The longest token, in characters: it stands in the head of every request.
const CHARS_MAX: usize = 1_024;

/// What a client must show. Its text is never printed.
#[derive(Clone)]
pub struct Token(String);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("the token file {} cannot be read: {source}; name a file that this user may read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What the file holds is no token.
    #[error(
        "the token file {} does not hold one line of {CHARS_MIN} to {CHARS_MAX} printable characters without \
         spaces; make one with: openssl rand -hex 32", path.display()
    )]
    Unfit {
        /// The file.
        path: PathBuf,
    },
}

impl Token {
    /// The token in a file: its one line.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let text = fs::read_to_string(path)
            .map_err(|source| TokenError::Unreadable { path: path.to_owned(), source })?;
        Self::new(text.trim()).ok_or_else(|| TokenError::Unfit { path: path.to_owned() })
    }

    /// This text, if it can be a token.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (CHARS_MIN..=CHARS_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    /// The value of the header that shows it.
    pub(super) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Whether this header shows it.
    pub(super) fn is_shown_by(&self, header: &[u8]) -> bool {
        const SCHEME: &[u8] = b"bearer ";
        let Some((scheme, shown)) = header.split_at_checked(SCHEME.len()) else { return false };
        let (ours, theirs) = (Sha256::digest(self.0.as_bytes()), Sha256::digest(shown));
        let differing = ours.iter().zip(&theirs).fold(0, |bits, (a, b)| bits | (a ^ b));
        scheme.eq_ignore_ascii_case(SCHEME) && differing == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_behind_its_scheme_is_taken() {
        let token = Token::new("0123456789abcdef").unwrap();
        for (header, taken) in [
            ("Bearer 0123456789abcdef", true),
            ("bearer 0123456789abcdef", true),
            ("Bearer 0123456789abcde", false),
            ("Bearer 0123456789abcdef0", false),
            ("Bearer 0123456789abcdeF", false),
            ("Bearer  0123456789abcdef", false),
            ("Basic  0123456789abcdef", false),
            ("0123456789abcdef", false),
            ("Bearer", false),
            ("", false),
        ] {
            assert_eq!(token.is_shown_by(header.as_bytes()), taken, "{header:?}");
        }
        assert!(token.is_shown_by(token.header().as_bytes()));
    }

    #[test]
    fn a_token_is_one_long_word_and_never_printed() {
        for unfit in
            ["", "short", "fifteen-letters", "two words are not one", "tschüß-und-auf-wiedersehen"]
        {
            assert!(Token::new(unfit).is_none(), "{unfit}");
        }
        let token = Token::new("0123456789abcdef").unwrap();
        assert!(!format!("{token:?}").contains("0123"));
    }

    #[test]
    fn a_token_file_is_named_when_it_is_of_no_use() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let told = Token::read(&path).unwrap_err().to_string();
        assert!(told.contains("token cannot be read"), "{told}");
        fs::write(&path, "short\n").unwrap();
        assert!(matches!(Token::read(&path), Err(TokenError::Unfit { .. })));
        fs::write(&path, "0123456789abcdef\r\n").unwrap();
        assert!(Token::read(&path).unwrap().is_shown_by(b"Bearer 0123456789abcdef"));
    }
}
