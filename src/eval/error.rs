//! Why nothing was evaluated.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::capture::error::CaptureError;

/// Why nothing was evaluated.
#[derive(Debug, Error)]
pub enum EvalError {
    /// The input cannot be read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The labels cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The labels are not of the form.
    #[error("{}:{line}:{column}: {message}; sekisho schema labels prints the form", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// Where in the line.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// The labels say what cannot be.
    #[error("{}: {place}: {problem}", path.display())]
    Label {
        /// The file.
        path: PathBuf,
        /// The key, from the top.
        place: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// Nothing is left to judge.
    #[error("no working day comes after {learned} days of learning; give the office more days")]
    NoDays {
        /// Days of learning.
        learned: u32,
    },
    /// Ramps need more days than there are.
    #[error("ramps need {needed} days after {learned} days of learning; give the office more days")]
    TooFewDays {
        /// Days of learning.
        learned: u32,
        /// Days after them, from the first working day on.
        needed: u32,
    },
    /// There is nothing to read.
    #[error("{}: names no captures; name them on the command line", path.display())]
    NoCaptures {
        /// The labels.
        path: PathBuf,
    },
}

impl EvalError {
    pub(super) fn of_form(path: &Path, error: &serde_json::Error) -> Self {
        let text = error.to_string();
        // The place stands before the message already.
        let message = text.rfind(" at line ").map_or(text.as_str(), |at| &text[..at]).to_owned();
        Self::Form { path: path.to_owned(), line: error.line(), column: error.column(), message }
    }
}
