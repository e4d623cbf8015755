//! The head of an HTTP/1 request (RFC 9112).

use super::name::Name;

/// What the head of a request says.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// The host that is asked.
    pub(super) host: Option<Name>,
    /// Is it a proxy that is asked for a tunnel to `host` (RFC 9110, section 9.3.6)?
    pub(super) is_connect: bool,
    /// Is it a proxy that is asked for anything?
    pub(super) is_proxied: bool,
    pub(super) user_agent: Option<Vec<u8>>,
}

impl Request {
    /// Reads a request's head. `None` when it is not all there and, unless `is_over`, may still come.
    pub(super) fn of(bytes: &[u8], is_over: bool) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(bytes) {
            Ok(httparse::Status::Complete(_)) => Some(Self::new(&request)),
            Ok(httparse::Status::Partial) if !is_over => None,
            Ok(httparse::Status::Partial) | Err(_) => Some(Self::of_part(bytes)),
        }
    }

    /// Of a head that is cut, or broken further down, the lines that are there.
    fn of_part(bytes: &[u8]) -> Self {
        let mut lines = bytes.split_inclusive(|&byte| byte == b'\n');
        let mut request = Self::default();
        let Some(first) = lines.next().and_then(|line| str::from_utf8(line).ok()) else {
            return request;
        };
        let mut words = first.split_ascii_whitespace();
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        // A target that runs to the cut may be a longer one.
        let is_whole = words.next().is_some();
        request.take_target(method, if is_whole { target } else { "" });
        for line in lines.take(HEADERS_MAX).take_while(|line| line.ends_with(b"\n")) {
            let line = line.trim_ascii_end();
            let Some(colon) = line.iter().position(|&byte| byte == b':') else { break };
            request.take_header(&line[..colon], line[colon + 1..].trim_ascii());
        }
        request
    }

    fn new(parsed: &httparse::Request<'_, '_>) -> Self {
        let mut request = Self::default();
        request.take_target(parsed.method.unwrap_or(""), parsed.path.unwrap_or(""));
        for header in parsed.headers.iter() {
            request.take_header(header.name.as_bytes(), header.value);
        }
        request
    }

    /// The target counts before the header (RFC 9112, section 3.2.2).
    fn take_target(&mut self, method: &str, target: &str) {
        self.is_connect = method == "CONNECT";
        let authority = match target.split_once("://") {
            Some((scheme, rest)) if !scheme.contains('/') => rest.split(['/', '?', '#']).next(),
            Some(_) | None => self.is_connect.then_some(target),
        };
        self.is_proxied = authority.is_some();
        // A name before an @ is a user's.
        let authority = authority.and_then(|authority| authority.rsplit('@').next());
        self.host = authority.and_then(|authority| Name::of_authority(authority.as_bytes()));
    }

    /// Of a header that comes twice, the first counts.
    fn take_header(&mut self, name: &[u8], value: &[u8]) {
        if name.eq_ignore_ascii_case(b"host") && self.host.is_none() {
            self.host = Name::of_authority(value);
        } else if name.eq_ignore_ascii_case(b"user-agent") && self.user_agent.is_none() {
            self.user_agent = Some(value.to_vec());
        }
    }
}

/// Header lines that are read: more than browsers send.
const HEADERS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn host(head: &str) -> Option<String> {
        Request::of(head.as_bytes(), false)?.host.map(|name| name.to_string())
    }

    #[test]
    fn who_is_asked() {
        for (head, name) in [
            ("GET / HTTP/1.1\r\nHost: Files.Example:8080\r\n\r\n", "files.example"),
            ("GET http://a.example/x HTTP/1.1\r\nHost: b.example\r\n\r\n", "a.example"),
            ("GET http://me:pw@a.example:81?x HTTP/1.1\r\n\r\n", "a.example"),
            ("GET /?u=http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "a.example"),
            ("CONNECT a.example:443 HTTP/1.1\r\nHost: p.example\r\n\r\n", "a.example"),
            ("CONNECT [2001:db8::1]:443 HTTP/1.1\r\n\r\n", "2001:db8::1"),
        ] {
            assert_eq!(host(head).as_deref(), Some(name), "{head}");
        }
        assert_eq!(host("GET / HTTP/1.0\r\n\r\n"), None);
    }

    /// The capture kept 420 bytes, the head had 600: the lines that are whole still count.
    #[test]
    fn a_cut_head_gives_its_whole_lines() {
        let head = b"PUT /x HTTP/1.1\r\nHost: files.example\r\nUser-Agent: curl/8\r\nCookie: abc";
        assert_eq!(Request::of(head, false), None);
        let request = Request::of(head, true).unwrap();
        assert_eq!(request.host.unwrap().as_str(), "files.example");
        assert_eq!(request.user_agent.as_deref(), Some(&b"curl/8"[..]));
        assert_eq!(Request::of(b"GET /x HTTP/1.1\r\nHost: files.exa", true).unwrap().host, None);
        assert_eq!(Request::of(b"GET http://files.exa", true).unwrap().host, None);
    }

    proptest! {
        #[test]
        fn no_head_panics(bytes in prop::collection::vec(any::<u8>(), 0..400), is_over: bool) {
            let _ = Request::of(&bytes, is_over);
            let _ = Request::of(&[b"GET / HTTP/1.1\r\n", &bytes[..]].concat(), is_over);
        }
    }
}
