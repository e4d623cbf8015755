//! Conditions in the Common Expression Language: `role == "server" && bytes > 1000000`.

use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{Expr, IdedExpr};
use cel::{Context, Env, ExecutionError, Program, Value};

use super::destinations::Category;
use super::matcher::Matter;
use super::networks::Role;
use super::problem::{Fault, Place, Placed, Problem};
use crate::names::Service;

/// A condition on an upload, compiled once.
///
/// What can be called is what CEL has without macros: nothing that goes round in loops, so that a condition costs
/// what its length says.
#[derive(Clone)]
pub(super) struct Condition {
    text: Box<str>,
    program: Arc<Program>,
}

impl Condition {
    /// Compiles a condition, and tries it and each part of it on an upload that is made up: a comparison of a text
    /// with a number, or a variable that there is none of, is found before it matters.
    pub(super) fn check(written: &Placed<String>) -> Result<Self, Box<Problem>> {
        let text = &written.value;
        if let Some(fault) = too_large(text) {
            return Err(Box::new(Problem::at(&written.at, fault)));
        }
        let program = ENV.compile(text).map_err(|errors| {
            let first = errors.errors.first();
            let (line, column) = first.map_or((1, 1), |error| error.pos);
            let message = first.map_or("", |error| error.msg.as_str());
            let message = message.trim_start_matches("Syntax error: ");
            let fault = Fault::new(
                format!("not a condition: {}", super::escaped(message)),
                "write one like role == \"server\" && bytes > 1000000",
            );
            Problem::at(&part(written, line, column, 1), fault)
        })?;
        let known = |name: &&str| VARIABLES.iter().any(|variable| variable.name == *name);
        let references = program.references();
        let mut strangers: Vec<&str> =
            references.variables().into_iter().filter(|name| !known(name)).collect();
        strangers.sort_unstable_by_key(|name| text.find(name));
        if let Some(name) = strangers.first() {
            let names = VARIABLES.map(|variable| variable.name);
            let at = text.find(name).map_or_else(
                || written.at.clone(),
                |start| {
                    let before = &text[..start];
                    let line = before.matches('\n').count() + 1;
                    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
                    part(written, line as isize, column as isize, name.len())
                },
            );
            return Err(Box::new(Problem::at(&at, Fault::unknown("variable", name, &names))));
        }
        let context = context(&Matter::made_up());
        try_parts(program.expression(), &context).map_err(|message| {
            let fault = Fault::new(message, "compare numbers with numbers and texts with texts");
            Problem::at(&written.at, fault)
        })?;
        Ok(Self { text: text.as_str().into(), program: Arc::new(program) })
    }

    /// Does it hold? What cannot be computed (a division by nothing) does not.
    pub(super) fn holds(&self, matter: &Matter<'_>) -> bool {
        matches!(self.program.execute(&context(matter)), Ok(Value::Bool(true)))
    }

    /// As it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.text).finish()
    }
}

/// What is longer or deeper would exhaust the stack of the parser, which descends.
fn too_large(text: &str) -> Option<Fault> {
    let (mut depth, mut deepest) = (0usize, 0usize);
    for letter in text.chars() {
        match letter {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if text.chars().count() > LETTERS_MAX {
        let message = format!("longer than {LETTERS_MAX} letters");
        return Some(Fault::new(message, "make two rules of it"));
    }
    (deepest > DEPTH_MAX).then(|| {
        let message = format!("brackets more than {DEPTH_MAX} deep");
        Fault::new(message, "make two rules of it")
    })
}

/// Tries the two sides of each "and", "or" and "not" by itself: one that is passed over is never tried otherwise.
fn try_parts(expression: &IdedExpr, context: &Context<'_, '_>) -> Result<(), String> {
    if let Expr::Call(call) = &expression.expr
        && ["_&&_", "_||_", "!_"].contains(&call.func_name.as_str())
    {
        return call.args.iter().try_for_each(|part| try_parts(part, context));
    }
    match context.resolve(expression) {
        Ok(Value::Bool(_)) => Ok(()),
        Ok(_) => Err("neither true nor false".to_owned()),
        Err(ExecutionError::UndeclaredReference(name)) => {
            Err(format!("unknown function {}", super::quoted(&name)))
        }
        Err(error) => Err(format!("cannot be computed: {}", super::escaped(&error.to_string()))),
    }
}

/// The place of a part of a condition; the whole, where it is written otherwise than it reads, as with escapes.
fn part(written: &Placed<String>, line: isize, column: isize, len: usize) -> Place {
    let (text, whole) = (&written.value, written.at.text());
    let Some(begin) = whole.find(text.as_str()) else { return written.at.clone() };
    let lines = usize::try_from(line - 1).unwrap_or(0);
    let columns = usize::try_from(column - 1).unwrap_or(0);
    let line_start: usize = text.split_inclusive('\n').take(lines).map(str::len).sum();
    let before: usize = text[line_start..].chars().take(columns).map(char::len_utf8).sum::<usize>();
    let start = written.at.start() + begin + line_start + before;
    Place::new(&written.at.source, start, start + len)
}

fn context(matter: &Matter<'_>) -> Context<'static, 'static> {
    let mut context = Context::with_env(ENV.clone());
    for Variable { name, value } in VARIABLES {
        context.add_variable_from_value(name, value(matter));
    }
    context
}

/// What a condition may ask for.
struct Variable {
    name: &'static str,
    value: fn(&Matter<'_>) -> Value,
}

/// What is not known is an empty text.
const VARIABLES: [Variable; 13] = [
    Variable { name: "host", value: |matter| text(matter.hosts.last()) },
    Variable { name: "role", value: |matter| text(matter.role.map(Role::name)) },
    Variable { name: "name", value: |matter| text(matter.names.first()) },
    Variable { name: "destination", value: |matter| text(matter.names.last()) },
    Variable { name: "category", value: |matter| text(matter.category.map(Category::name)) },
    Variable { name: "service", value: |matter| text(matter.service.map(Service::name)) },
    Variable {
        name: "ports",
        value: |matter| matter.ports.iter().map(|&port| i64::from(port)).collect::<Vec<_>>().into(),
    },
    Variable { name: "family", value: |matter| text(Some(matter.upload.name())) },
    Variable {
        name: "bytes",
        value: |matter| i64::try_from(matter.bytes).unwrap_or(i64::MAX).into(),
    },
    Variable { name: "score", value: |matter| matter.score.into() },
    Variable { name: "hour", value: |matter| i64::from(matter.local.hour()).into() },
    Variable {
        name: "weekday",
        value: |matter| i64::from(matter.local.weekday().to_monday_one_offset()).into(),
    },
    Variable { name: "holiday", value: |matter| matter.is_holiday.into() },
];

fn text(value: Option<impl fmt::Display>) -> Value {
    value.map_or_else(String::new, |value| value.to_string()).into()
}

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::default().with_stdlib()));

/// Letters of a condition, and how deep its brackets go. Half a megabyte of stack is enough for that.
pub(super) const LETTERS_MAX: usize = 500;
const DEPTH_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::super::problem::Source;
    use super::*;

    fn check(text: &str) -> Result<Condition, Box<Problem>> {
        let source = Arc::new(Source { name: "t.yaml".into(), text: text.to_owned() });
        let at = Place::new(&source, 0, text.len());
        Condition::check(&Placed { value: text.to_owned(), at })
    }

    #[test]
    fn conditions_hold_or_do_not() {
        let matter = Matter { bytes: 5_000_000, score: 7.5, ports: &[443], ..Matter::made_up() };
        for (text, holds) in [
            ("bytes > 1000000", true),
            ("bytes > 1000000 && score >= 8", false),
            ("score > 7 || role == 'nobody'", true),
            ("443 in ports", true),
            ("22 in ports", false),
            ("!(role == 'server')", true),
            ("host.startsWith('10.') && family == 'volume'", true),
            ("weekday <= 5 && hour >= 9 && hour < 18", true),
            ("1000000 / (bytes - 5000000) == 1", false),
        ] {
            assert_eq!(check(text).unwrap().holds(&matter), holds, "{text}");
        }
    }

    /// A condition that can never be computed must not wait for the theft to show it.
    #[test]
    fn what_cannot_hold_is_refused_at_its_place() {
        for (text, column, says) in [
            ("bytes > ", 9, "not a condition"),
            ("rloe == 'server'", 1, "unknown variable `rloe`"),
            ("bytes > 10 && rloe == 'x'", 15, "unknown variable `rloe`"),
            ("bytes", 1, "neither true nor false"),
            ("role > 3", 1, "cannot be computed"),
            ("bytes > 10 || role > 3", 1, "cannot be computed"),
            ("foo(bytes)", 1, "unknown function `foo`"),
            ("bytes > 25MB", 11, "not a condition"),
        ] {
            let problem = check(text).unwrap_err();
            assert_eq!(problem.column(), column, "{text}: {problem}");
            assert!(problem.message().contains(says), "{text}: {problem}");
        }
        assert!(check("rloe == 'x'").unwrap_err().remedy().contains("role"));
    }

    /// Nesting that would take all of the stack is refused before anybody descends.
    #[test]
    fn depth_and_length_are_bounded() {
        let nested = |depth: usize| "(".repeat(depth) + "true" + &")".repeat(depth);
        assert!(check(&nested(DEPTH_MAX)).is_ok());
        for text in [
            nested(DEPTH_MAX + 1),
            nested(200),
            "[".repeat(100_000),
            "true && ".repeat(100) + "true",
        ] {
            assert!(check(&text).is_err());
        }
        for text in ["!".repeat(496) + "true", "a".to_owned() + &".b".repeat(249), "-".repeat(500)]
        {
            let _ = check(&text);
        }
    }
}
