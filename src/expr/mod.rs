//! The expression language, independent of HTTP.
//!
//! [`compile`](compile::compile) turns the syntax of an expression into a
//! [`Program`], which is evaluated against a [`Scope`] for each request.
//! Whatever the text settles is settled then: evaluation resolves no name, parses nothing and
//! borrows its result where it can.

mod access;
pub mod compile;
pub mod eval;
pub mod function;
pub mod json;
mod lib;
pub mod number;
mod path;
pub mod program;
pub mod snapshot;
mod template;
#[cfg(test)]
mod tests;
pub mod text;
mod unify;
pub mod value;
pub mod variable;

pub use compile::{CompileContext, Mode, compile, compile_str, eval_start};
pub use eval::{EvalError, Nothing, Scope};
pub use function::{Args, Arity, Function, Registry};
pub use json::Fractions;
pub(crate) use lib::collections::merge_values;
pub use number::Number;
pub use program::{Finding, Program, Reference};
pub use snapshot::Snapshot;
pub use text::Text;
pub use value::{Fields, Items, Value};
pub use variable::{Field, Step, Variable};
