//! The functions and methods that execute SQL, and where each finds it.

/// How to find out what a call executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// The statement is this argument.
    Text(usize),
    /// The same, and the next argument may be an array of bound values.
    TextAndValues(usize),
    /// Nothing is executed: the statement in this argument is prepared, and the object returned.
    Prepared(usize),
    /// Nothing is executed: the statement in this argument is prepared in a statement object.
    PreparedInto(Object, usize),
    /// What was prepared in this object is executed; the argument may be an array of bound values.
    Statement(Object, usize),
    /// The same of PDO, whose objects carry their statement.
    QueryString,
}

/// Where the statement object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// The first argument.
    First,
    /// The object whose method is called.
    This,
}

/// A function, or the method of a class, by their names in lower case.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The class; `None` for a function.
    pub class: Option<&'static str>,
    /// The function or method.
    pub name: &'static str,
    /// Where the SQL is.
    pub reads: Reads,
}

const fn function(name: &'static str, reads: Reads) -> Target {
    Target { class: None, name, reads }
}

const fn method(class: &'static str, name: &'static str, reads: Reads) -> Target {
    Target { class: Some(class), name, reads }
}

/// Every target. A class that inherits from one of these after they were replaced inherits our handlers;
/// those of extensions may have been made before, so they are listed.
pub const TARGETS: [Target; 28] = [
    function("mysqli_query", Reads::Text(1)),
    function("mysqli_real_query", Reads::Text(1)),
    function("mysqli_multi_query", Reads::Text(1)),
    function("mysqli_execute_query", Reads::TextAndValues(1)),
    function("mysqli_prepare", Reads::Prepared(1)),
    function("mysqli_stmt_prepare", Reads::PreparedInto(Object::First, 1)),
    function("mysqli_stmt_execute", Reads::Statement(Object::First, 1)),
    function("mysqli_execute", Reads::Statement(Object::First, 1)),
    method("mysqli", "query", Reads::Text(0)),
    method("mysqli", "real_query", Reads::Text(0)),
    method("mysqli", "multi_query", Reads::Text(0)),
    method("mysqli", "execute_query", Reads::TextAndValues(0)),
    method("mysqli", "prepare", Reads::Prepared(0)),
    method("mysqli_stmt", "__construct", Reads::PreparedInto(Object::This, 1)),
    method("mysqli_stmt", "prepare", Reads::PreparedInto(Object::This, 0)),
    method("mysqli_stmt", "execute", Reads::Statement(Object::This, 0)),
    method("pdo", "query", Reads::Text(0)),
    method("pdo", "exec", Reads::Text(0)),
    method("pdostatement", "execute", Reads::QueryString),
    method("pdo\\mysql", "query", Reads::Text(0)),
    method("pdo\\mysql", "exec", Reads::Text(0)),
    method("pdo\\sqlite", "query", Reads::Text(0)),
    method("pdo\\sqlite", "exec", Reads::Text(0)),
    method("pdo\\pgsql", "query", Reads::Text(0)),
    method("pdo\\pgsql", "exec", Reads::Text(0)),
    method("pdo\\odbc", "query", Reads::Text(0)),
    method("pdo\\odbc", "exec", Reads::Text(0)),
    method("pdo\\firebird", "query", Reads::Text(0)),
];
