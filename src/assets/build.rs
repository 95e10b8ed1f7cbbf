//! What a bundle is made of.
//!
//! Owns: which file is minified, which goes in as it is and which stays where it is, and what is said
//! about it. Pure: texts in, texts out, on a thread that may overflow nobody's stack.

use super::css::join::{Member, Part, join};
use super::css::minify::minify as minify_css;
use super::css::rebase::Move;
use super::fitness::Unfit;
use super::guard;
use super::js::isolate::{Piece, bundle};
use super::js::minify as js;
use super::{Type, fault};
use crate::error::Result;

/// A file that was read.
#[derive(Clone, Debug)]
pub struct Text {
    /// What is said of it, and what tools call it.
    pub name: String,
    /// Its content.
    pub text: String,
    /// URLs of its folder and of the bundle's, in the same terms.
    pub from: String,
    /// The bundle's.
    pub to: String,
    /// Its own name in its folder.
    pub file: String,
}

/// How to build.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What the files are.
    pub kind: Type,
    /// Whether one file is to take the place of one, and not to be touched unless that is worth it.
    pub alone: bool,
    /// Whether local variables get short names.
    pub shorten_names: bool,
    /// Larger files are left alone, in bytes.
    pub max_size: usize,
    /// Whether the bundle is fetched from another host.
    pub abroad: bool,
}

/// A bundle, not yet written.
#[derive(Debug, Default)]
pub struct Built {
    /// One is the bundle itself; several are to be imported; none: the original is to be used.
    pub parts: Vec<Part>,
    /// What a person should know: which file was not minified, and why.
    pub notes: Vec<String>,
}

/// Builds a bundle of `texts`.
///
/// # Errors
/// When one of them can be in no bundle.
pub fn build(texts: Vec<Text>, options: Options) -> Result<Built> {
    let work = move || match options.kind {
        Type::Css => Ok(stylesheet(&texts, options)),
        Type::Js => script(&texts, options),
    };
    guard::run(work).unwrap_or_else(|unfit| Err(fault(unfit.to_string())))
}

fn stylesheet(texts: &[Text], options: Options) -> Built {
    let mut built = Built::default();
    let mut members = Vec::new();
    for text in texts {
        let moving = Move { from: &text.from, to: &text.to, abroad: options.abroad };
        let gain =
            if options.alone && is_minified(&text.file, &text.text) { Err(Unfit::Minified) } else { Ok(()) };
        let fit = gain
            .and_then(|()| sized(text, options))
            .and_then(|()| minify_css(&text.text, &|url| moving.rebase(url)));
        match fit {
            Ok(sheet) => members.push(Member::Sheet(sheet)),
            Err(unfit) => {
                built.note(text, &unfit);
                let stays = moving.rebase(&text.file).unwrap_or_default();
                members.push(Member::Elsewhere(stays));
            }
        }
    }
    built.parts = join(members);
    built
}

fn script(texts: &[Text], options: Options) -> Result<Built> {
    let mut built = Built::default();
    let mut pieces = Vec::new();
    let mut stays = false;
    for text in texts {
        let fit = sized(text, options).and_then(|()| piece(text, options));
        match fit {
            Ok(piece) => pieces.push(piece),
            Err(Unfit::Module) if !options.alone => {
                return Err(
                    fault("it is a JavaScript module, which runs in no bundle").context(text.name.clone())
                );
            }
            Err(unfit) => {
                stays = true;
                built.note(text, &unfit);
                pieces.push(Piece { name: text.name.clone(), text: text.text.clone(), shares: false });
            }
        }
    }
    built.parts = match pieces.as_slice() {
        // Alone it needs no isolation; as it was it needs no copy.
        [_] if options.alone && stays => Vec::new(),
        [piece] => vec![Part::Text(piece.text.clone())],
        pieces => vec![Part::Text(bundle(pieces))],
    };
    Ok(built)
}

fn piece(text: &Text, options: Options) -> Result<Piece, Unfit> {
    let is_minified = is_minified(&text.file, &text.text);
    if options.alone && is_minified {
        return Err(Unfit::Minified);
    }
    if options.alone && asks_for_its_place(&text.text) {
        return Err(Unfit::Placed);
    }
    let script = js::minify(&text.text, options.shorten_names && !is_minified)?;
    let shorter = script.text.len() < text.text.len() && !is_minified;
    let best = if shorter { script.text } else { text.text.clone() };
    Ok(Piece { name: text.name.clone(), text: best, shares: script.shares })
}

fn sized(text: &Text, options: Options) -> Result<(), Unfit> {
    if text.text.len() > options.max_size { Err(Unfit::Large(options.max_size)) } else { Ok(()) }
}

/// Whether somebody has minified it: minifying again gains 0.0 to 1.2 %.
fn is_minified(file: &str, text: &str) -> bool {
    const LONG_LINE: usize = 500;
    let named = file.contains(".min.") || file.contains("-min.");
    named || text.len() / (text.lines().count() + 1) > LONG_LINE
}

/// Whether a script may look up the address it was loaded from, which would be another.
fn asks_for_its_place(text: &str) -> bool {
    ["currentScript", "import(", "import.meta", "document.scripts", "(\"script\")[", "('script')["]
        .iter()
        .any(|sign| text.contains(sign))
}

impl Built {
    fn note(&mut self, text: &Text, unfit: &Unfit) {
        // That somebody has minified a file is nothing to mend.
        if *unfit == Unfit::Minified {
            return;
        }
        self.notes.push(format!("{}: {unfit}", text.name));
    }
}
