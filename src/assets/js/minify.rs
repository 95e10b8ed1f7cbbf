//! White space, comments and, if asked for, the names of local variables.
//!
//! Owns: the way through oxc (parser, mangler, printer). Nothing is rewritten: compressing syntax trees
//! cannot be checked by comparing them, this was (339 of 339 real files print to an equal tree, where
//! `minifier` broke 47 and the PHP minifiers 15 to 18).
//!
//! The parser recurses, and what overflows a stack ends the process. So the caller gives it a stack of
//! its own (`guard`), and a file with more brackets than fit there is left alone ([`MOST_BRACKETS`]):
//! how deep they are nested cannot be told without a parser, how many there are can.

use oxc_allocator::Allocator;
use oxc_ast::ast::{Program, Statement};
use oxc_codegen::{Codegen, CodegenOptions, CommentOptions, LegalComment};
use oxc_mangler::{MangleOptions, Mangler};
use oxc_parser::{Parser, ParserReturn};
use oxc_span::SourceType;

use crate::assets::fitness::Unfit;

/// Opening brackets and other beginnings of nested syntax in one file.
pub const MOST_BRACKETS: usize = 40_000;

/// A minified script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The text.
    pub text: String,
    /// It may share a file with others, inside a `try` block: nothing in it depends on being the top
    /// level of a script. Functions, classes, `let` and `const` would be local to the block, and
    /// `'use strict'` would be no directive there.
    pub shares: bool,
}

/// Minifies `source`.
///
/// # Errors
/// When it is no script that can be parsed, or may be nested too deep.
pub fn minify(source: &str, shorten_names: bool) -> Result<Script, Unfit> {
    if brackets(source) > MOST_BRACKETS {
        return Err(Unfit::Nested);
    }
    let allocator = Allocator::default();
    let parsed = parse(&allocator, source)?;
    let shares = shares(&parsed.program);
    let text = print(&parsed.program, shorten_names);
    // What was printed must be readable: if ever it is not, the file stays as it is.
    parse(&Allocator::default(), &text)
        .map_err(|_| Unfit::Failed("it printed what cannot be parsed".into()))?;
    Ok(Script { text, shares })
}

fn parse<'a>(allocator: &'a Allocator, source: &'a str) -> Result<ParserReturn<'a>, Unfit> {
    let parsed = Parser::new(allocator, source, SourceType::script()).parse();
    let fault = parsed.diagnostics.errors().next().map(|error| error.message.to_string());
    match fault {
        None if parsed.module_record.has_module_syntax => Err(Unfit::Module),
        None if !parsed.panicked => Ok(parsed),
        _ if is_module(source) => Err(Unfit::Module),
        fault => Err(Unfit::Invalid(fault.unwrap_or_default())),
    }
}

fn is_module(source: &str) -> bool {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, source, SourceType::mjs()).parse();
    !parsed.panicked && !parsed.diagnostics.has_errors() && parsed.module_record.has_module_syntax
}

fn shares(program: &Program<'_>) -> bool {
    let is_bound_to_the_top = |statement: &Statement<'_>| match statement {
        Statement::VariableDeclaration(declaration) => !declaration.kind.is_var(),
        Statement::LabeledStatement(_) => true,
        other => other.is_declaration(),
    };
    program.hashbang.is_none()
        && program.directives.is_empty()
        && !program.body.iter().any(is_bound_to_the_top)
}

fn print(program: &Program<'_>, shorten_names: bool) -> String {
    let comments =
        CommentOptions { normal: false, jsdoc: false, annotation: false, legal: LegalComment::Inline };
    let options = CodegenOptions { comments, ..CodegenOptions::minify() };
    let printer = Codegen::new().with_options(options);
    if !shorten_names {
        return printer.build(program).code;
    }
    // Names of the top level belong to the page.
    let options = MangleOptions { top_level: Some(false), ..MangleOptions::default() };
    let mangled = Mangler::new().with_options(options).build(program);
    printer
        .with_scoping(Some(mangled.scoping))
        .with_private_member_mappings(Some(mangled.class_private_mappings))
        .build(program)
        .code
}

/// Counts what may nest, wherever it stands: in strings and comments too, so never too few.
fn brackets(source: &str) -> usize {
    let bytes = source.as_bytes();
    let opening = bytes.iter().filter(|byte| matches!(byte, b'(' | b'[' | b'{')).count();
    let arrows = bytes.windows(2).filter(|pair| pair == b"=>").count();
    opening + arrows
}
