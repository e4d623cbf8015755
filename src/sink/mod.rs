//! Where records go: a person or a program.

mod baseline;
mod bulletin;
mod census;
mod csv;
mod flows;
mod incidents;
mod json_lines;
mod rules;
mod text;
mod zeek;

use std::io;

pub use baseline::{Projection, write_profile};
pub use bulletin::Bulletin;
pub use census::{CensusFormat, Listed, Width, write_census};
pub use flows::{FlowFormat, Flows};
pub use incidents::{IncidentFormat, write_incident, write_incidents};
pub use json_lines::JsonLines;
pub use rules::{RuleRecord, RuleRow, RuleStatus, write_what_if};
pub use text::Text;

use crate::alert::Record;

/// A place records go to.
pub trait Sink {
    /// Takes one record.
    ///
    /// # Errors
    /// When it cannot be written.
    fn write(&mut self, record: &Record) -> io::Result<()>;

    /// Sees to it that what was written reaches its reader: an alert that sits in a buffer has not been
    /// told.
    ///
    /// # Errors
    /// When it cannot be written.
    fn flush(&mut self) -> io::Result<()>;
}

/// Text as it may be shown on a terminal: whatever could steer it is escaped.
pub fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let is_steering = c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            let (escaped, plain) =
                if is_steering { (Some(c.escape_unicode()), None) } else { (None, Some(c)) };
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::printable;

    /// A file name may hold an escape sequence that repaints the analyst's terminal.
    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}c\né"), "a\\u{1b}[2Jb\\u{202e}c\\u{a}é");
    }
}
