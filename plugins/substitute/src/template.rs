//! Finds the expressions in a text: `${var}`, `${var:=default}` and the like, as Flux's `envsubst` does.
//!
//! The grammar is that of its scanner, oddities included: `$$` stands for one `$` outside of expressions; inside, a backslash takes `/` and
//! `\` as they are, in the arguments of `${var/from/to}` only; what follows the one argument of `${var#pattern}` must be `}`.

/// How deep expressions may stand in each other: `${a:=${b:=c}}`.
const DEPTH: usize = 64;

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// What stays as it is.
    Text(String),
    /// What is replaced.
    Expression(Expression),
}

/// `${name}`, or with an operator `${name:=default}`.
#[derive(Debug, PartialEq, Eq)]
pub struct Expression {
    /// Where it begins in the text, in bytes.
    pub offset: usize,
    /// The variable.
    pub name: String,
    /// The operator; empty for none.
    pub operator: String,
    /// What the operator is given.
    pub arguments: Vec<Part>,
}

/// An expression that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Where it begins in the text, in bytes.
    pub offset: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// No name follows the brace.
    Name,
    /// What follows the name is no operator, or its arguments are not those that it takes.
    Operator,
    /// Its closing brace is missing.
    Unclosed,
    /// Too many expressions stand in each other.
    Deep,
}

/// Takes a text apart. `is_whole` says whether what lies between two places can be one expression.
pub fn parse(text: &str, is_whole: impl Fn(usize, usize) -> bool) -> Result<Vec<Part>, Malformed> {
    let mut scanner = Scanner { text, at: 0, token: String::new() };
    let mut parts = Vec::new();
    loop {
        let offset = scanner.at;
        match scanner
            .scan(Mode { text: true, opening: true, escapes: Escapes::Dollar, ..Mode::NONE }, |_, _| true)
        {
            Token::End => return Ok(parts),
            Token::Text => parts.push(Part::Text(std::mem::take(&mut scanner.token))),
            Token::Opening => {
                let parsed = scanner.expression(offset, DEPTH);
                // What runs on into the next field was not closed in its own.
                if !is_whole(offset, scanner.at) {
                    return Err(Malformed { offset, problem: Problem::Unclosed });
                }
                parts.push(Part::Expression(parsed?));
            }
            Token::Closing | Token::Other => return Err(Malformed { offset, problem: Problem::Operator }),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    End,
    Text,
    /// `${`
    Opening,
    /// `}`
    Closing,
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    None,
    Dollar,
    DollarAndBackslash,
}

/// Which tokens are looked for.
#[derive(Clone, Copy)]
struct Mode {
    text: bool,
    opening: bool,
    closing: bool,
    escapes: Escapes,
}

impl Mode {
    const NONE: Self = Self { text: false, opening: false, closing: false, escapes: Escapes::None };
    const TEXT: Self = Self { text: true, ..Self::NONE };
    const CLOSING: Self = Self { closing: true, ..Self::NONE };
    const ARGUMENT: Self = Self { text: true, opening: true, ..Self::NONE };
    const ESCAPED_ARGUMENT: Self = Self { escapes: Escapes::DollarAndBackslash, ..Self::ARGUMENT };
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// The last token of text, without what escaped its characters.
    token: String,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn read(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// Reads one token. `accept` is asked for each character of a text, with the length of the token up to and with it.
    fn scan(&mut self, mode: Mode, accept: impl Fn(char, usize) -> bool) -> Token {
        self.token.clear();
        let Some(first) = self.read() else {
            return Token::End;
        };
        if self.opens(first, mode) {
            return Token::Opening;
        }
        if mode.closing && first == '}' {
            return Token::Closing;
        }
        if !mode.text {
            return Token::Other;
        }
        if self.escapes(first, mode) {
            self.take_next();
        } else if accept(first, first.len_utf8()) {
            self.token.push(first);
        } else {
            return Token::Other;
        }
        loop {
            let before = self.at;
            let Some(next) = self.read() else {
                return Token::Text;
            };
            if self.opens(next, mode) {
                self.at = before;
                return Token::Text;
            }
            if self.escapes(next, mode) {
                self.take_next();
            } else if accept(next, self.token.len() + next.len_utf8()) {
                self.token.push(next);
            } else {
                self.at = before;
                return Token::Text;
            }
        }
    }

    fn opens(&mut self, character: char, mode: Mode) -> bool {
        let opens = mode.opening && character == '$' && self.peek() == Some('{');
        if opens {
            self.at += 1;
        }
        opens
    }

    fn escapes(&self, character: char, mode: Mode) -> bool {
        match (character, mode.escapes) {
            ('$', Escapes::Dollar | Escapes::DollarAndBackslash) => self.peek() == Some('$'),
            ('\\', Escapes::DollarAndBackslash) => matches!(self.peek(), Some('/' | '\\')),
            _ => false,
        }
    }

    fn take_next(&mut self) {
        let next = self.read();
        self.token.extend(next);
    }

    /// What follows `${`.
    fn expression(&mut self, offset: usize, depth: usize) -> Result<Expression, Malformed> {
        let wrong = |problem| Malformed { offset, problem };
        let depth = depth.checked_sub(1).ok_or(wrong(Problem::Deep))?;
        let mut expression =
            Expression { offset, name: String::new(), operator: String::new(), arguments: Vec::new() };
        if self.peek() == Some('#') {
            expression.operator = self
                .operator(|character, length| character == '#' && length == 1)
                .ok_or(wrong(Problem::Operator))?;
            expression.name = self.name().ok_or(wrong(Problem::Name))?;
            return self.closed(expression);
        }
        expression.name = self.name().ok_or(wrong(Problem::Name))?;
        let found = match self.peek() {
            Some(':') => self.default_or_substring(&mut expression, depth),
            Some('=') => self
                .default_value(&mut expression, depth, |character, length| character == '=' && length == 1),
            Some(',' | '^') => self.casing(&mut expression),
            Some('/') => self.replacement(&mut expression, depth),
            Some('#') => self.removal(&mut expression, depth, '#'),
            Some('%') => self.removal(&mut expression, depth, '%'),
            Some('}') => Ok(()),
            Some(next) if !next.is_whitespace() => Err(wrong(Problem::Operator)),
            _ => Err(wrong(Problem::Unclosed)),
        };
        found?;
        self.closed(expression)
    }

    fn closed(&mut self, expression: Expression) -> Result<Expression, Malformed> {
        match self.scan(Mode::CLOSING, |_, _| false) {
            Token::Closing => Ok(expression),
            Token::End => Err(Malformed { offset: expression.offset, problem: Problem::Unclosed }),
            _ => Err(Malformed { offset: expression.offset, problem: Problem::Operator }),
        }
    }

    fn name(&mut self) -> Option<String> {
        let found = self.scan(Mode::TEXT, |character, _| character.is_alphanumeric() || character == '_');
        (found == Token::Text).then(|| std::mem::take(&mut self.token))
    }

    fn operator(&mut self, accept: impl Fn(char, usize) -> bool) -> Option<String> {
        (self.scan(Mode::TEXT, accept) == Token::Text).then(|| std::mem::take(&mut self.token))
    }

    fn set_operator(
        &mut self,
        expression: &mut Expression,
        accept: impl Fn(char, usize) -> bool,
    ) -> Result<(), Malformed> {
        let operator = self.operator(accept);
        expression.operator =
            operator.ok_or(Malformed { offset: expression.offset, problem: Problem::Operator })?;
        Ok(())
    }

    fn argument(
        &mut self,
        expression: &mut Expression,
        depth: usize,
        mode: Mode,
        accept: impl Fn(char) -> bool,
    ) -> Result<(), Malformed> {
        let offset = self.at;
        let argument = match self.scan(mode, |character, _| accept(character)) {
            Token::Opening => Part::Expression(self.expression(offset, depth)?),
            Token::Text => Part::Text(std::mem::take(&mut self.token)),
            Token::End => return Err(Malformed { offset: expression.offset, problem: Problem::Unclosed }),
            Token::Closing | Token::Other => {
                return Err(Malformed { offset: expression.offset, problem: Problem::Operator });
            }
        };
        expression.arguments.push(argument);
        Ok(())
    }

    /// `:=`, `:-`, `:?` and `:+`, or a substring.
    fn default_or_substring(&mut self, expression: &mut Expression, depth: usize) -> Result<(), Malformed> {
        let after = self.text[self.at..].chars().nth(1);
        if matches!(after, Some('=' | '-' | '?' | '+')) {
            return self.default_value(expression, depth, |character, length| match length {
                1 => character == ':',
                2 => matches!(character, '=' | '-' | '?' | '+'),
                _ => false,
            });
        }
        self.set_operator(expression, |character, length| character == ':' && length == 1)?;
        self.argument(expression, depth, Mode::ARGUMENT, |character| character != ':' && character != '}')?;
        if self.peek() == Some('}') {
            return Ok(());
        }
        if self.scan(Mode::TEXT, |character, _| character == ':') != Token::Text {
            return Err(Malformed { offset: expression.offset, problem: Problem::Operator });
        }
        self.argument(expression, depth, Mode::ARGUMENT, |character| character != '}')
    }

    fn default_value(
        &mut self,
        expression: &mut Expression,
        depth: usize,
        accept: impl Fn(char, usize) -> bool,
    ) -> Result<(), Malformed> {
        self.set_operator(expression, accept)?;
        while self.peek() != Some('}') {
            self.argument(expression, depth, Mode::ARGUMENT, |character| character != '}')?;
        }
        Ok(())
    }

    fn casing(&mut self, expression: &mut Expression) -> Result<(), Malformed> {
        self.set_operator(expression, |character, length| matches!(character, ',' | '^') && length < 3)
    }

    fn replacement(&mut self, expression: &mut Expression, depth: usize) -> Result<(), Malformed> {
        self.set_operator(expression, |character, length| match length {
            1 => character == '/',
            2 => matches!(character, '/' | '#' | '%'),
            _ => false,
        })?;
        self.argument(expression, depth, Mode::ESCAPED_ARGUMENT, |character| character != '/')?;
        if self.scan(Mode::TEXT, |character, _| character == '/') != Token::Text {
            return Err(Malformed { offset: expression.offset, problem: Problem::Operator });
        }
        if self.peek() == Some('}') {
            return Ok(());
        }
        self.argument(expression, depth, Mode::ESCAPED_ARGUMENT, |character| character != '}')
    }

    fn removal(&mut self, expression: &mut Expression, depth: usize, sign: char) -> Result<(), Malformed> {
        self.set_operator(expression, |character, length| character == sign && length < 3)?;
        self.argument(expression, depth, Mode::ARGUMENT, |character| character != '}')
    }
}
