//! The paths and the `use` declarations in a stretch of code, macros included.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::ItemUse;

use super::super::tokens::is_punct;

/// What a stretch of code names.
#[derive(Default)]
pub(super) struct Found {
    /// Paths, segment by segment: `a::b::C`. A lone lower-case name is a path where it is called.
    pub(super) paths: Vec<Vec<String>>,
    /// Declarations inside functions.
    pub(super) uses: Vec<ItemUse>,
}

impl Found {
    /// Adds what `code` names.
    pub(super) fn read(&mut self, code: TokenStream) {
        let tokens: Vec<TokenTree> = code.into_iter().collect();
        let mut rest = tokens.as_slice();
        while !rest.is_empty() {
            rest = &rest[self.step(rest).max(1)..];
        }
    }

    /// Reads what the tokens begin with; how many tokens that was.
    fn step(&mut self, tokens: &[TokenTree]) -> usize {
        match &tokens[0] {
            TokenTree::Group(group) => {
                self.read(group.stream());
                1
            }
            TokenTree::Literal(_) => 1,
            TokenTree::Punct(punct) => match punct.as_char() {
                // A lifetime.
                '\'' => 2,
                // A range, then a field or a method.
                '.' if is_punct(tokens.get(1), '.') => 2,
                '.' => 2,
                // A path that begins outside the crate, or the rest of `<T as Trait>::Item`.
                ':' if is_punct(tokens.get(1), ':') => 2 + path(&tokens[2..]).1,
                _ => 1,
            },
            TokenTree::Ident(ident) if ident == "use" => self.declaration(tokens),
            TokenTree::Ident(ident) if ident == "fn" => 2,
            TokenTree::Ident(_) => {
                let (segments, length) = path(tokens);
                if segments.len() > 1 || names_item(&segments, tokens.get(length)) {
                    self.paths.push(segments);
                }
                length
            }
        }
    }

    fn declaration(&mut self, tokens: &[TokenTree]) -> usize {
        let Some(end) = tokens.iter().position(|token| is_punct(Some(token), ';')) else {
            return 1;
        };
        let code: TokenStream = tokens[..=end].iter().cloned().collect();
        match syn::parse2(code) {
            Ok(declaration) => {
                self.uses.push(declaration);
                end + 1
            }
            // The `use<'a>` of a bound.
            Err(_) => 1,
        }
    }
}

/// The path at the head of the tokens, and how many tokens it has.
fn path(tokens: &[TokenTree]) -> (Vec<String>, usize) {
    let mut segments = Vec::new();
    let mut length = 0;
    while let Some(TokenTree::Ident(ident)) = tokens.get(length) {
        segments.push(name(ident));
        length += 1;
        let goes_deeper = is_punct(tokens.get(length), ':')
            && is_punct(tokens.get(length + 1), ':')
            && matches!(tokens.get(length + 2), Some(TokenTree::Ident(_)));
        if !goes_deeper {
            break;
        }
        length += 2;
    }
    (segments, length)
}

/// An identifier as it is looked up: `r#type` is `type`.
pub(super) fn name(ident: &proc_macro2::Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map(str::to_owned).unwrap_or(text)
}

/// Whether a lone name can be an item: a variable or a field is written in lower case and not called.
fn names_item(segments: &[String], next: Option<&TokenTree>) -> bool {
    let is_capital = segments[0].starts_with(char::is_uppercase);
    let is_called = match next {
        Some(TokenTree::Group(group)) => group.delimiter() == Delimiter::Parenthesis,
        other => is_punct(other, '!') || is_punct(other, ':'),
    };
    is_capital || is_called
}
