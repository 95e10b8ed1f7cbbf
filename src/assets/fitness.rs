//! Why a file is served as it is.

use std::fmt;

/// What keeps a file from being minified. It is no error: the file goes out untouched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is larger than this many bytes.
    Large(usize),
    /// Its brackets are nested so deep, or so many, that a recursive parser might run out of stack.
    Nested,
    /// It is not valid, as the parser says.
    Invalid(String),
    /// It is a JavaScript module, which is no script.
    Module,
    /// It asks where it was loaded from, so it has to stay there.
    Placed,
    /// It is minified already.
    Minified,
    /// The minifier failed.
    Failed(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Large(limit) => write!(f, "it is larger than {limit} bytes"),
            Self::Nested => f.write_str("its brackets are nested too deep"),
            Self::Invalid(reason) => write!(f, "it cannot be parsed: {reason}"),
            Self::Module => f.write_str("it is a JavaScript module"),
            Self::Placed => f.write_str("it depends on the address it is loaded from"),
            Self::Minified => f.write_str("it is minified already"),
            Self::Failed(reason) => write!(f, "the minifier failed: {reason}"),
        }
    }
}
