//! Client programs, by what they say of themselves.

use std::hash::BuildHasher;

use ring::digest;
use serde::{Deserialize, Serialize};

/// What a client program said of itself, by a digest. The text is in the [`Directory`](super::Directory).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Client(u32);

impl Client {
    pub(super) fn of(text: &str) -> Self {
        Self(foldhash::fast::FixedState::default().hash_one(text) as u32)
    }
}

/// A client program whatever its version: the first bytes of a SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Program([u8; 4]);

impl Program {
    /// The program that says this of itself. Of JA4 its updates change least what carries the hello, the protocol
    /// within and the ciphers; of banners and agents all but the digits.
    pub fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let lasting: Vec<u8> = if is_ja4(bytes) {
            [&bytes[..1], &bytes[8..23]].concat()
        } else {
            bytes.iter().copied().filter(|byte| !b"0123456789._".contains(byte)).collect()
        };
        let digest = digest::digest(&digest::SHA256, &lasting);
        Self(digest.as_ref()[..4].try_into().expect("a digest of 32 bytes"))
    }
}

fn is_ja4(text: &[u8]) -> bool {
    text.len() == 36 && text[10] == b'_' && text[23] == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_leaves_the_program_and_another_is_another() {
        for (one, other, is_same) in [
            ("curl/8.5.0", "curl/8.14.1", true),
            ("curl/8.5.0", "Wget/1.21.4", false),
            ("SSH-2.0-OpenSSH_9.2p1", "SSH-2.0-OpenSSH_10.0p2", true),
            ("SSH-2.0-OpenSSH_9.2p1", "SSH-2.0-PuTTY_Release_0.81", false),
            ("t13d1516h2_8daaf6152771_02713d6af862", "t13d1517h2_8daaf6152771_b0da82dd1658", true),
            ("t13d1516h2_8daaf6152771_02713d6af862", "t13d1516h2_5b57614c22b0_02713d6af862", false),
            ("t13d1516h2_8daaf6152771_02713d6af862", "q13d1516h3_8daaf6152771_02713d6af862", false),
        ] {
            assert_eq!(Program::of(one) == Program::of(other), is_same, "{one} {other}");
        }
    }
}
