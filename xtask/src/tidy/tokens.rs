//! Rust code as tokens, without the parts that only tests compile.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::tree::File;

/// The tokens of a file; what `#[test]` and `#[cfg(test)]` mark is left out.
///
/// # Errors
/// The file is not Rust.
pub(super) fn without_tests(file: &File) -> Result<TokenStream, String> {
    let all: TokenStream = file.text.parse().map_err(|error| format!("{}: {error}", file.path))?;
    Ok(filtered(all))
}

/// Whether a token is the punctuation mark.
pub(super) fn is_punct(token: Option<&TokenTree>, mark: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == mark)
}

/// What a plain string literal holds.
pub(super) fn string(token: &TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else {
        return None;
    };
    let literal: syn::LitStr = syn::parse2(TokenTree::Literal(literal.clone()).into()).ok()?;
    Some(literal.value())
}

fn filtered(stream: TokenStream) -> TokenStream {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let mut kept = Vec::with_capacity(tokens.len());
    let mut rest = tokens.as_slice();
    while let Some(token) = rest.first() {
        if is_punct(Some(token), '#') && marks_test(rest.get(1)) {
            rest = &rest[2 + item_length(&rest[2..])..];
            drop_attributes(&mut kept);
            continue;
        }
        kept.push(match token {
            TokenTree::Group(group) => TokenTree::Group(Group::new(group.delimiter(), filtered(group.stream()))),
            other => other.clone(),
        });
        rest = &rest[1..];
    }
    kept.into_iter().collect()
}

/// Drops the attributes at the end: they belong to an item that is left out.
fn drop_attributes(kept: &mut Vec<TokenTree>) {
    while let [.., mark, TokenTree::Group(attribute)] = kept.as_slice()
        && is_punct(Some(mark), '#')
        && attribute.delimiter() == Delimiter::Bracket
    {
        kept.truncate(kept.len() - 2);
    }
}

/// Whether the attribute is one of a test: `[test]`, `[cfg(test)]`, `[cfg(all(test, …))]`.
fn marks_test(attribute: Option<&TokenTree>) -> bool {
    let Some(TokenTree::Group(attribute)) = attribute else {
        return false;
    };
    let text: String = attribute.stream().to_string().split_whitespace().collect();
    attribute.delimiter() == Delimiter::Bracket
        && (text == "test"
            || ["cfg(test", "cfg(all(test", "cfg(any(test"]
                .iter()
                .any(|cfg| text.starts_with(cfg)))
}

/// How many tokens the item has that begins here: up to its block, its `;` or, in a list, its `,`.
fn item_length(tokens: &[TokenTree]) -> usize {
    let (mut has_commas, mut has_block) = (false, true);
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(ident) => match ident.to_string().as_str() {
                "fn" | "impl" | "struct" | "enum" | "trait" => (has_commas, has_block) = (true, true),
                "use" | "const" | "static" | "type" | "let" if !has_commas => has_block = false,
                _ => {}
            },
            TokenTree::Group(group) if has_block && group.delimiter() == Delimiter::Brace => return index + 1,
            TokenTree::Punct(punct) if punct.as_char() == ';' => return index + 1,
            TokenTree::Punct(punct) if punct.as_char() == ',' && has_block && !has_commas => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::super::tree::file;
    use super::*;

    fn kept(text: &str) -> String {
        let tokens = without_tests(&file("a.rs", text)).expect("Rust");
        tokens.to_string().split_whitespace().collect()
    }

    #[test]
    fn items_of_tests_are_left_out_whole() {
        for item in [
            "#[cfg(test)] mod tests;",
            "/// Two lines,\n/// for tests.\n#[inline] #[cfg(test)] #[must_use] fn f() -> u8 { 1 }",
            "#[cfg(test)] mod tests { fn f() {} }",
            "#[cfg(test)] use a::{b, c};",
            "#[test] fn f<A, B>(a: A, b: B) -> (u8, u8) { g(); }",
            "#[cfg(all(test, unix))] const A: [u8; 2] = [1, 2];",
            "#[cfg(test)] pub struct S { a: u8, b: u8 }",
            "#[cfg(test)] impl<A, B> S<A, B> { fn f() {} }",
        ] {
            assert_eq!(
                kept(&format!("fn before() {{}} {item} fn after() {{}}")),
                "fnbefore(){}fnafter(){}",
                "{item}"
            );
        }
        assert_eq!(kept("struct S { #[cfg(test)] a: u8, b: u8 }"), "structS{b:u8}");
        assert_eq!(kept("#[cfg(not(test))] fn f() {}"), "#[cfg(not(test))]fnf(){}");
    }
}
