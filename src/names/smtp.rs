//! Whom a mail is for, as a client of SMTP says it in the clear (RFC 5321).

use super::name::Name;

/// What the first mail of a stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mail {
    /// It is for somebody of this domain, which is not its sender's.
    For(Name),
    /// It stays with its sender's own, or there is none.
    Nobodys,
    /// That will be known when more has come.
    Wants,
}

/// Reads what a client said so far. Of several recipients the first that is not of the sender's owner counts.
pub(super) fn first_mail(bytes: &[u8]) -> Mail {
    let mut sender = None;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        if !line.ends_with(b"\n") {
            break;
        }
        if let Some(path) = behind(line, b"MAIL FROM:") {
            sender = domain(path);
        } else if let Some(path) = behind(line, b"RCPT TO:") {
            let is_others = |to: &Name| sender.as_ref().and_then(Name::owner) != to.owner();
            if let Some(to) = domain(path).filter(is_others) {
                return Mail::For(to);
            }
        } else if behind(line, b"DATA").or_else(|| behind(line, b"BDAT")).is_some() {
            return Mail::Nobodys;
        }
    }
    Mail::Wants
}

/// What stands behind a command's words, in any case of letters.
fn behind<'a>(line: &'a [u8], words: &[u8]) -> Option<&'a [u8]> {
    let (begin, rest) = line.split_at_checked(words.len())?;
    begin.eq_ignore_ascii_case(words).then_some(rest)
}

/// The domain of `<somebody@domain>`, which many servers take without the brackets too; `None` where there is none
/// that could be somebody's.
fn domain(path: &[u8]) -> Option<Name> {
    let path = path.trim_ascii().strip_prefix(b"<").unwrap_or(path.trim_ascii());
    let path = path.split(|byte| b"> ".contains(byte)).next()?;
    let at = path.iter().rposition(|&byte| byte == b'@')?;
    Name::of(&path[at + 1..]).filter(|name| name.destination().is_some())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mail(said: &str) -> Option<String> {
        match first_mail(said.as_bytes()) {
            Mail::For(name) => Some(name.to_string()),
            Mail::Nobodys => Some("nobody's".to_owned()),
            Mail::Wants => None,
        }
    }

    #[test]
    fn who_a_mail_is_for() {
        let from = "EHLO pc\r\nMAIL FROM:<me@mail.corp.example>\r\n";
        for (said, to) in [
            ("RCPT TO:<you@Files.Example>\r\n", Some("files.example")),
            ("rcpt to: <you@files.example> NOTIFY=NEVER\r\n", Some("files.example")),
            ("RCPT TO:<me@corp.example>\r\nRCPT TO:<you@b.example>\r\n", Some("b.example")),
            ("RCPT TO:<me@corp.example>\r\nDATA\r\n", Some("nobody's")),
            ("RCPT TO:<me@[192.0.2.1]>\r\nRCPT TO:<postmaster>\r\nDATA\r\n", Some("nobody's")),
            ("RCPT TO: you@b.example NOTIFY=NEVER\r\n", Some("b.example")),
            ("RCPT TO:<@a.example,@c.example:you@b.example>\r\n", Some("b.example")),
            ("RCPT TO:<me@corp.example>\r\n", None),
            ("RCPT TO:<you@files.exa", None),
            ("", None),
        ] {
            assert_eq!(mail(&format!("{from}{said}")).as_deref(), to, "{said}");
        }
        // A mail from nobody says that another could not be delivered.
        assert_eq!(mail("MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\n").as_deref(), Some("b.example"));
    }

    proptest! {
        #[test]
        fn a_beginning_decides(said in "(MAIL FROM:|RCPT TO:|DATA|<|>|@|a\\.example|b\\.example|\r\n){0,30}", more in ".{0,20}") {
            if first_mail(said.as_bytes()) != Mail::Wants {
                prop_assert_eq!(mail(&format!("{said}{more}")), mail(&said));
            }
        }
    }
}
