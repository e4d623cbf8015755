//! What is wrong with a rules folder, and where.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

/// Why a rules folder was refused.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// The folder itself cannot be read.
    #[error("rules folder {}: {source}; name an existing folder with --rules", super::escaped(&path.to_string_lossy()))]
    Folder {
        /// The folder asked for.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The folder holds no rule file at all.
    #[error(
        "rules folder {}: holds no .yaml or .yml file; put at least one of {} there",
        super::escaped(&path.to_string_lossy()), super::Kind::file_names()
    )]
    Empty {
        /// The folder asked for.
        path: PathBuf,
    },
    /// The files have mistakes; one line each.
    #[error("{0}")]
    Problems(Problems),
}

impl RulesError {
    /// For people: every problem with its line, a caret and the remedy, as a compiler shows them.
    pub fn render(&self, style: Style) -> String {
        match self {
            Self::Folder { .. } | Self::Empty { .. } => {
                let title = self.to_string();
                style.renderer().render(&[Group::with_title(Level::ERROR.primary_title(title))])
            }
            Self::Problems(problems) => problems.render(style),
        }
    }

    /// The mistakes in the files, in the order of files and lines.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Folder { .. } | Self::Empty { .. } => &[],
            Self::Problems(problems) => &problems.list,
        }
    }
}

/// How a rendered error looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For files, pipes and logs.
    Plain,
    /// For a terminal that knows ANSI colours.
    Coloured,
}

impl Style {
    fn renderer(self) -> Renderer {
        match self {
            Self::Plain => Renderer::plain(),
            Self::Coloured => Renderer::styled(),
        }
    }
}

/// The problems found so far; keeps the first [`Problems::MAX`] and counts the others.
#[derive(Debug, Default)]
pub struct Problems {
    list: Vec<Problem>,
    left_out: usize,
}

impl Problems {
    /// How many are kept: a file of rubbish must not flood a terminal.
    pub const MAX: usize = 100;

    pub(super) fn push(&mut self, problem: Problem) {
        if self.list.len() < Self::MAX {
            self.list.push(problem);
        } else {
            self.left_out += 1;
        }
    }

    /// `Err` with everything found, or the value when nothing was.
    pub(super) fn or<T>(mut self, value: T) -> Result<T, RulesError> {
        if self.list.is_empty() {
            return Ok(value);
        }
        // Checks across files report late: an operator reads a file from top to bottom.
        self.list
            .sort_by_key(|problem| (problem.file.clone(), problem.at.as_ref().map(Place::start)));
        Err(RulesError::Problems(self))
    }

    fn render(&self, style: Style) -> String {
        let renderer = style.renderer();
        let mut text = String::new();
        for problem in &self.list {
            text.push_str(&problem.render(&renderer));
            text.push_str("\n\n");
        }
        text.push_str(&self.count());
        text
    }

    fn count(&self) -> String {
        match self.list.len() + self.left_out {
            1 => "1 problem in the rules".to_owned(),
            count if self.left_out > 0 => {
                format!("{count} problems in the rules, the first {} shown", Self::MAX)
            }
            count => format!("{count} problems in the rules"),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.list.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        if self.left_out > 0 {
            write!(f, "\n{}", self.count())?;
        }
        Ok(())
    }
}

/// One mistake: `rules/networks.yaml:12:5: message; remedy`.
#[derive(Debug)]
pub struct Problem {
    file: Arc<str>,
    at: Option<Place>,
    fault: Fault,
    also: Option<(Place, &'static str)>,
}

impl Problem {
    /// A mistake in the text of a file.
    pub(super) fn at(place: &Place, fault: Fault) -> Self {
        Self { file: place.source.name.clone(), at: Some(place.clone()), fault, also: None }
    }

    /// A mistake of a whole file.
    pub(super) fn of_file(file: &str, fault: Fault) -> Self {
        Self { file: file.into(), at: None, fault, also: None }
    }

    /// Shows a second place, which the first contradicts.
    pub(super) fn and(mut self, place: &Place, label: &'static str) -> Self {
        self.also = Some((place.clone(), label));
        self
    }

    /// The file's path as it was opened.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line from 1; 0 when the whole file is meant.
    pub fn line(&self) -> usize {
        self.at.as_ref().map_or(0, |at| at.line_column().0)
    }

    /// The column from 1, in characters; 0 when the whole file is meant.
    pub fn column(&self) -> usize {
        self.at.as_ref().map_or(0, |at| at.line_column().1)
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.fault.message
    }

    /// What to do about it.
    pub fn remedy(&self) -> &str {
        &self.fault.remedy
    }

    fn render(&self, renderer: &Renderer) -> String {
        let mut title = self.fault.message.clone();
        if self.at.is_none() {
            title = format!("{}: {title}", super::escaped(&self.file));
        }
        let mut group = Group::with_title(Level::ERROR.primary_title(title));
        if let Some(at) = &self.at {
            let also = self.also.as_ref();
            let (near, far): (Vec<_>, Vec<_>) =
                also.into_iter().partition(|(place, _)| Arc::ptr_eq(&place.source, &at.source));
            let mut excerpt = Excerpt::around(at);
            for (place, _) in &near {
                excerpt.widen(place);
            }
            let mut snippet =
                excerpt.snippet().annotation(excerpt.mark(at, AnnotationKind::Primary));
            for (place, label) in near {
                snippet =
                    snippet.annotation(excerpt.mark(place, AnnotationKind::Context).label(*label));
            }
            group = group.element(snippet);
            for (place, label) in far {
                let excerpt = Excerpt::around(place);
                let mark = excerpt.mark(place, AnnotationKind::Context).label(*label);
                group = group.element(excerpt.snippet().annotation(mark));
            }
        }
        let remedy = Level::HELP.message(self.fault.remedy.clone());
        renderer.render(&[group.element(remedy)])
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", super::escaped(&self.file))?;
        if let Some(at) = &self.at {
            let (line, column) = at.line_column();
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}", self.fault.message)?;
        if let Some((place, label)) = &self.also {
            let (line, column) = place.line_column();
            write!(f, " ({label} at {}:{line}:{column})", super::escaped(&place.source.name))?;
        }
        write!(f, "; {}", self.fault.remedy)
    }
}

/// What is wrong and what to do about it, not yet tied to a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) remedy: String,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: remedy.into() }
    }

    /// A word that is none of `known`, with the nearest of them when one is near.
    pub(super) fn unknown(what: &str, word: &str, known: &[&str]) -> Self {
        let message = format!("unknown {what} {}", super::quoted(word));
        match nearest(word, known) {
            Some(near) => Self::new(message, format!("did you mean `{near}`?")),
            None if known.is_empty() => Self::new(message, "remove it"),
            None => Self::new(message, format!("write one of {}", known.join(", "))),
        }
    }
}

impl From<super::UnitError> for Fault {
    fn from(error: super::UnitError) -> Self {
        Self::new(error.message(), error.remedy())
    }
}

/// A rule file's name and text.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: Arc<str>,
    pub(super) text: String,
}

/// A stretch of a rule file's text, in bytes.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) source: Arc<Source>,
    start: usize,
    end: usize,
}

impl Place {
    /// The bytes from `start` to `end`, moved to the nearest characters if they are not on any.
    pub(super) fn new(source: &Arc<Source>, start: usize, end: usize) -> Self {
        let start = source.text.floor_char_boundary(start.min(source.text.len()));
        let end = source.text.ceil_char_boundary(end.clamp(start, source.text.len()));
        Self { source: source.clone(), start, end }
    }

    /// The text itself.
    pub(super) fn text(&self) -> &str {
        &self.source.text[self.start..self.end]
    }

    /// Where it starts, for putting places of one file in order.
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// Line and column from 1; the column counts characters.
    pub(super) fn line_column(&self) -> (usize, usize) {
        let before = &self.source.text[..self.start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// The first tab before the first letter of this place's line.
    pub(super) fn tab_in_indentation(&self) -> Option<Self> {
        let text = &self.source.text;
        let line_start = text[..self.start].rfind('\n').map_or(0, |at| at + 1);
        let line = text[line_start..].lines().next()?;
        let indentation = &line[..line.len() - line.trim_start().len()];
        let tab = line_start + indentation.find('\t')?;
        Some(Self::new(&self.source, tab, tab + 1))
    }

    /// What a caret goes under: the first line of the stretch, without the space behind it.
    fn range(&self) -> std::ops::Range<usize> {
        let first = self.text().lines().next().unwrap_or("").trim_end();
        self.start..self.start + first.len()
    }
}

/// Whole lines of a file: a large file is not laid out again for each of its mistakes.
#[derive(Debug)]
struct Excerpt<'a> {
    source: &'a Source,
    start: usize,
    end: usize,
}

impl<'a> Excerpt<'a> {
    fn around(place: &'a Place) -> Self {
        let mut excerpt = Self { source: &place.source, start: place.start, end: place.start };
        excerpt.widen(place);
        excerpt
    }

    fn widen(&mut self, place: &Place) {
        let text = &self.source.text;
        let range = place.range();
        let line_start = text[..range.start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[range.end..].find('\n').map_or(text.len(), |at| range.end + at);
        self.start = self.start.min(line_start);
        self.end = self.end.max(line_end);
    }

    fn snippet(&self) -> Snippet<'a, Annotation<'a>> {
        let lines_before = self.source.text[..self.start].matches('\n').count();
        Snippet::source(visible(&self.source.text[self.start..self.end]))
            .line_start(lines_before + 1)
            .path(super::escaped(&self.source.name))
    }

    fn mark(&self, place: &Place, kind: AnnotationKind) -> Annotation<'a> {
        let range = place.range();
        let shown_at = |at| visible(&self.source.text[self.start..at]).len();
        kind.span(shown_at(range.start)..shown_at(range.end))
    }
}

/// Lines of a file as an excerpt shows them. The renderer draws ASCII control characters as symbols,
/// but passes on those of Latin-1, of which U+009B begins a command to a terminal.
fn visible(text: &str) -> String {
    let is_kept = |letter: char| letter.is_ascii() || !super::is_steering(letter);
    text.chars()
        .map(|letter| if is_kept(letter) { letter } else { char::REPLACEMENT_CHARACTER })
        .collect()
}

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) at: Place,
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for Placed<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

/// The known word that `word` was probably meant to be.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(64).flat_map(char::to_lowercase).collect();
    let (edits, near) =
        known.iter().map(|&each| (edits(&word, each), each)).min_by_key(|&(edits, _)| edits)?;
    // A third of the letters may be wrong: `rolse` is roles, `frobs` is nothing we know.
    (edits <= near.chars().count().div_ceil(3)).then_some(near)
}

/// Optimal string alignment distance: insertions, deletions, substitutions and swapped neighbours.
fn edits(word: &[char], known: &str) -> usize {
    let known: Vec<char> = known.chars().collect();
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=known.len()).collect();
    for (i, &letter) in word.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &other) in known.iter().enumerate() {
            let replaced = last[j] + usize::from(letter != other);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            let swapped = i > 0 && j > 0 && letter == known[j - 1] && word[i - 1] == other;
            if swapped {
                let before: &Vec<usize> = &before_last;
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[known.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["internal", "external", "roles"];
        assert_eq!(nearest("rolse", &known), Some("roles"));
        assert_eq!(nearest("Interal", &known), Some("internal"));
        assert_eq!(nearest("extrenal", &known), Some("external"));
        assert_eq!(nearest("frobs", &known), None);
        assert_eq!(nearest("", &known), None);
        assert_eq!(nearest("roles", &[]), None);
    }

    /// A place in the middle of a character, or beyond the text, must not panic when shown.
    #[test]
    fn places_stay_on_characters() {
        let source = Arc::new(Source { name: "x.yaml".into(), text: "あい\nう".to_owned() });
        assert_eq!(Place::new(&source, 1, 2).text(), "あ");
        assert_eq!(Place::new(&source, 99, 3).text(), "");
        assert_eq!(Place::new(&source, 7, 10).line_column(), (2, 1));
        assert_eq!(Place::new(&source, 3, 6).line_column(), (1, 2));
    }
}
