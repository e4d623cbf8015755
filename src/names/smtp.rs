//! Whom a mail is for, as a client of SMTP says it in the clear (RFC 5321).

use super::name::Name;

/// The first mail of a stream, as far as its client has said whom it is for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Mail {
    /// The domain of the first recipient who is not of the sender's owner.
    pub(super) to: Option<Name>,
    /// Recipients that the client has named.
    pub(super) recipients: u16,
    /// Has it begun to say what is in the mail?
    pub(super) is_whole: bool,
}

/// Reads what a client said so far.
pub(super) fn first_mail(bytes: &[u8]) -> Mail {
    let (mut mail, mut sender) = (Mail::default(), None);
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        if !line.ends_with(b"\n") {
            break;
        }
        if let Some(path) = behind(line, b"MAIL FROM:") {
            (mail, sender) = (Mail::default(), domain(path));
        } else if let Some(path) = behind(line, b"RCPT TO:") {
            mail.recipients = mail.recipients.saturating_add(1);
            let is_others = |to: &Name| sender.as_ref().and_then(Name::owner) != to.owner();
            mail.to = mail.to.or_else(|| domain(path).filter(is_others));
        } else if behind(line, b"DATA").or_else(|| behind(line, b"BDAT")).is_some() {
            return Mail { is_whole: true, ..mail };
        }
    }
    mail
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

    #[test]
    fn who_a_mail_is_for() {
        let from = "EHLO pc\r\nMAIL FROM:<me@mail.corp.example>\r\n";
        for (said, to, recipients) in [
            ("RCPT TO:<you@Files.Example>\r\n", Some("files.example"), 1),
            ("rcpt to: <you@files.example> NOTIFY=NEVER\r\n", Some("files.example"), 1),
            ("RCPT TO:<me@corp.example>\r\nRCPT TO:<you@b.example>\r\n", Some("b.example"), 2),
            ("RCPT TO:<a@b.example>\r\nRCPT TO:<a@c.example>\r\n", Some("b.example"), 2),
            ("RCPT TO:<me@corp.example>\r\nDATA\r\n", None, 1),
            ("RCPT TO:<me@[192.0.2.1]>\r\nRCPT TO:<postmaster>\r\nBDAT 9\r\n", None, 2),
            ("RCPT TO: you@b.example NOTIFY=NEVER\r\n", Some("b.example"), 1),
            ("RCPT TO:<@a.example,@c.example:you@b.example>\r\n", Some("b.example"), 1),
            ("RCPT TO:<a@b.example>\r\nRSET\r\nMAIL FROM:<a@corp.example>\r\n", None, 0),
            ("RCPT TO:<me@corp.example>\r\n", None, 1),
            ("RCPT TO:<you@files.exa", None, 0),
            ("", None, 0),
        ] {
            let mail = first_mail(format!("{from}{said}").as_bytes());
            assert_eq!(mail.to.as_ref().map(Name::as_str), to, "{said}");
            assert_eq!(mail.recipients, recipients, "{said}");
            assert_eq!(mail.is_whole, said.contains("DA"), "{said}");
        }
        // A mail from nobody says that another could not be delivered.
        let bounce = first_mail(b"MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\n");
        assert_eq!(bounce.to.unwrap().as_str(), "b.example");
        let many = first_mail("RCPT TO:<a@b.example>\r\n".repeat(70_000).as_bytes());
        assert_eq!(many.recipients, u16::MAX);
    }

    proptest! {
        #[test]
        fn a_beginning_decides(said in "(MAIL FROM:|RCPT TO:|DATA|<|>|@|a\\.example|b\\.example|\r\n){0,30}", more in ".{0,20}") {
            let mail = first_mail(said.as_bytes());
            if mail.is_whole {
                prop_assert_eq!(first_mail(format!("{said}{more}").as_bytes()), mail);
            }
        }
    }
}
