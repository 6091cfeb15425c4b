//! An operator's own interpreter: variables and functions that stay from line to line, and bounds
//! on steps, time and memory, so that no line harms the process.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use rhai::{
    AST, Array, Blob, Dynamic, Engine, EvalAltResult, FnPtr, ImmutableString, LexError, Map,
    OptimizationLevel, ParseError, ParseErrorType, Position, Scope,
};

use super::control::Control;
use super::registry::Catalogue;
use super::show;

mod bounded;

/// Steps of one line: `loop {}` ends after some seconds.
const MOST_STEPS: u64 = 5_000_000;

/// One line may take so long; much of it is waiting for peers.
pub(super) const LONGEST_RUN: Duration = Duration::from_secs(600);

/// The longest text, and the longest of all texts in a list together, in bytes.
const LONGEST_TEXT: usize = 512 * 1024;

/// Elements of a list, those of lists in it included.
const MOST_ELEMENTS: usize = 20_000;

/// Variables at once, in all functions that are running together.
const MOST_VARIABLES: usize = 64;

/// What all variables together may hold from one line to the next, in bytes.
const MOST_KEPT: usize = 32 << 20;

/// How deep lists in lists may be from one line to the next.
const DEEPEST_KEPT: usize = 1000;

/// Functions that an operator may define.
const MOST_FUNCTIONS: usize = 100;

/// Functions that call one another: each takes some KiB of a thread's 2 MiB.
const DEEPEST_CALLS: usize = 24;

/// Nesting of an expression.
const DEEPEST_EXPRESSION: usize = 48;

/// What became of a line.
#[derive(Debug)]
pub(super) enum Ran {
    /// It has a value, as text; empty if there is nothing to show.
    Value(String),
    /// It failed.
    Failed(String),
}

/// The interpreter.
pub(super) struct Shell {
    engine: Engine,
    scope: Scope<'static>,
    functions: AST,
    catalogue: Catalogue,
}

impl Shell {
    pub(super) fn new(catalogue: Catalogue, control: &Arc<Control>) -> Shell {
        let mut engine = Engine::new();
        engine
            .set_optimization_level(OptimizationLevel::None)
            .set_max_operations(MOST_STEPS)
            .set_max_string_size(LONGEST_TEXT)
            .set_max_array_size(MOST_ELEMENTS)
            .set_max_map_size(MOST_ELEMENTS)
            .set_max_variables(MOST_VARIABLES)
            .set_max_functions(MOST_FUNCTIONS)
            .set_max_call_levels(DEEPEST_CALLS)
            .set_max_expr_depths(DEEPEST_EXPRESSION, DEEPEST_EXPRESSION)
            // A text that is run is seen by nobody who reads the log.
            .disable_symbol("eval")
            .set_default_tag(Dynamic::from(Arc::clone(control)))
            .register_global_module(Arc::clone(&catalogue.module));
        let printed = Arc::clone(control);
        engine.on_print(move |text| printed.print(text));
        let printed = Arc::clone(control);
        engine.on_debug(move |text, _, position| match position.is_none() {
            true => printed.print(text),
            false => printed.print(&format!("{position}: {text}")),
        });
        let watched = Arc::clone(control);
        engine.on_progress(move |_| watched.check_step());
        bounded::register(&mut engine);
        Shell {
            engine,
            scope: Scope::new(),
            functions: AST::empty(),
            catalogue,
        }
    }

    /// True iff more lines have to come before this makes sense.
    pub(super) fn is_unfinished(&self, text: &str) -> bool {
        match self.engine.compile_with_scope(&self.scope, text) {
            Ok(_) => false,
            Err(ParseError(error, position)) => match *error {
                ParseErrorType::UnexpectedEOF => true,
                // A text in backticks may have several lines, one in quotes may not.
                ParseErrorType::BadInput(LexError::UnterminatedString) => {
                    text.matches('`').count() % 2 == 1
                }
                ParseErrorType::MissingToken(..) | ParseErrorType::FnMissingBody(_) => {
                    is_end(text, position)
                }
                _ => false,
            },
        }
    }

    /// Runs a line. Blocks until it is done, or until the [`Control`] says that it is enough.
    pub(super) fn run(&mut self, text: &str) -> Ran {
        let before = self.scope.len();
        let run = AssertUnwindSafe(|| self.evaluate(text));
        let outcome = catch_unwind(run);
        // After a panic, too: what the line has left behind is dropped.
        let ran = match outcome {
            Ok(Ok(value)) => Ran::Value(show::outcome(&value, &self.catalogue.kinds)),
            Ok(Err(error)) => {
                self.scope.rewind(before);
                Ran::Failed(message(&error))
            }
            Err(panic) => {
                self.scope.rewind(before);
                let reason = said(&*panic);
                tracing::error!(line = text, reason, "a function of the backdoor panicked");
                Ran::Failed(format!("a function panicked: {reason}"))
            }
        };
        // `let x` again is another variable in the place of the first.
        self.scope = self.scope.clone_visible();
        let mut kept = Weight::default();
        for (_, _, value) in self.scope.iter() {
            kept.add(&value, 0);
        }
        if kept.is_too_much() {
            self.scope.clear();
            return Ran::Failed(format!(
                "the variables took more than {} MiB, or were lists in lists {DEEPEST_KEPT} deep; \
                 they are gone",
                MOST_KEPT >> 20
            ));
        }
        ran
    }

    fn evaluate(&mut self, text: &str) -> Result<Dynamic, Box<EvalAltResult>> {
        let new = self.engine.compile_with_scope(&self.scope, text)?;
        let all = self.functions.merge(&new);
        let value = self.engine.eval_ast_with_scope(&mut self.scope, &all)?;
        self.functions = all;
        self.functions.clear_statements();
        Ok(value)
    }
}

/// What went wrong, in a line.
fn message(error: &EvalAltResult) -> String {
    match innermost(error) {
        // Where it was stopped says nothing, and a function's own words say enough.
        EvalAltResult::ErrorTerminated(reason, _) | EvalAltResult::ErrorRuntime(reason, _) => {
            reason.to_string()
        }
        EvalAltResult::ErrorTooManyOperations(_) => {
            format!("stopped: more than {MOST_STEPS} steps")
        }
        _ => error.to_string(),
    }
}

/// The error inside of functions that have failed because of it.
fn innermost(error: &EvalAltResult) -> &EvalAltResult {
    match error {
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _) => innermost(inner),
        error => error,
    }
}

/// What a panic has said.
fn said(panic: &(dyn Any + Send)) -> String {
    crate::tasks::panic_text(panic).unwrap_or_else(|| "it did not say why".to_owned())
}

/// About how much memory values take.
#[derive(Debug, Default)]
struct Weight {
    bytes: usize,
    /// How deep they are: lists in lists.
    deepest: usize,
    /// True iff it is among what several values share, in which there may be more of that, and
    /// itself: it is not looked into again.
    is_shared: bool,
}

impl Weight {
    /// Of another copy of a value: what is shared is not copied.
    fn of_copy(value: &Dynamic) -> Weight {
        let mut weight = Weight {
            is_shared: true,
            ..Weight::default()
        };
        weight.add(value, 0);
        weight
    }

    fn is_too_much(&self) -> bool {
        self.bytes > MOST_KEPT || self.deepest > DEEPEST_KEPT
    }

    /// Adds a value that is so deep in others.
    fn add(&mut self, value: &Dynamic, depth: usize) {
        self.bytes = self.bytes.saturating_add(size_of::<Dynamic>());
        self.deepest = depth.max(self.deepest);
        let was_shared = self.is_shared;
        if self.is_too_much() || (value.is_shared() && was_shared) {
            return;
        }
        self.is_shared |= value.is_shared();
        if let Some(array) = value.read_lock::<Array>() {
            array.iter().for_each(|value| self.add(value, depth + 1));
        } else if let Some(map) = value.read_lock::<Map>() {
            for (key, value) in map.iter() {
                self.bytes = self.bytes.saturating_add(32 + key.len());
                self.add(value, depth + 1);
            }
        } else if let Some(function) = value.read_lock::<FnPtr>() {
            // What it has been given, and what it has seen where it was made.
            let curry = function.curry();
            curry.iter().for_each(|value| self.add(value, depth + 1));
        } else if let Some(text) = value.read_lock::<ImmutableString>() {
            self.bytes = self.bytes.saturating_add(text.len());
        } else if let Some(blob) = value.read_lock::<Blob>() {
            self.bytes = self.bytes.saturating_add(blob.len());
        }
        self.is_shared = was_shared;
    }
}

/// True iff a position is that of the end of a text: what is missing there may come.
fn is_end(text: &str, position: Position) -> bool {
    let (Some(line), Some(column)) = (position.line(), position.position()) else {
        return true;
    };
    let rest = text.lines().nth(line - 1).unwrap_or_default();
    let rest: String = rest.chars().skip(column - 1).collect();
    let after: String = text.lines().skip(line).collect();
    rest.trim().is_empty() && after.trim().is_empty()
}

#[cfg(test)]
#[path = "engine/tests.rs"]
mod tests;
