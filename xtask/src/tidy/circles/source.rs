//! The modules of a crate as they are written: what each defines, imports and names.

use std::collections::{BTreeMap, BTreeSet};

use quote::ToTokens as _;
use syn::{Attribute, Item, ItemMod, ItemUse, UseTree, Visibility};

use super::super::tokens;
use super::super::tree::File;
use super::paths::{Found, name};

/// A module; the first of a crate is its root.
pub(super) struct Module {
    /// The file that it stands in.
    pub(super) file: String,
    pub(super) parent: Option<usize>,
    pub(super) children: BTreeMap<String, usize>,
    /// The names that it defines itself.
    pub(super) items: BTreeSet<String>,
    pub(super) imports: Vec<Import>,
    /// The paths in its code.
    pub(super) paths: Vec<Vec<String>>,
}

/// One name of a `use` declaration.
pub(super) struct Import {
    /// What it is called here; absent for a glob.
    pub(super) name: Option<String>,
    pub(super) path: Vec<String>,
    /// Whether others see it.
    pub(super) is_reexport: bool,
}

/// Reads a crate from its root file.
///
/// # Errors
/// A file that is no Rust, or a module without a file.
pub(super) fn read(files: &[File], root: &str) -> Result<Vec<Module>, String> {
    let mut reader = Reader {
        files: files.iter().map(|file| (file.path.as_str(), file)).collect(),
        modules: Vec::new(),
    };
    reader.file(root, &folder(root), None)?;
    Ok(reader.modules)
}

struct Reader<'a> {
    files: BTreeMap<&'a str, &'a File>,
    modules: Vec<Module>,
}

impl Reader<'_> {
    /// Reads a module that is a file; its child modules lie in `below`.
    fn file(&mut self, path: &str, below: &str, parent: Option<usize>) -> Result<usize, String> {
        let file = self.files.get(path).ok_or(format!("{path}: no such file"))?;
        let parsed: syn::File =
            syn::parse2(tokens::without_tests(file)?).map_err(|error| format!("{path}: {error}"))?;
        self.module(path, below, parent, &parsed.items)
    }

    fn module(&mut self, file: &str, below: &str, parent: Option<usize>, items: &[Item]) -> Result<usize, String> {
        let index = self.modules.len();
        self.modules.push(Module {
            file: file.to_owned(),
            parent,
            children: BTreeMap::new(),
            items: BTreeSet::new(),
            imports: Vec::new(),
            paths: Vec::new(),
        });
        let mut found = Found::default();
        for item in items {
            match item {
                Item::Mod(child) => self.child(file, below, index, child)?,
                Item::Use(declaration) => self.modules[index].import(declaration),
                other => {
                    self.modules[index].items.extend(defined(other));
                    found.read(other.to_token_stream());
                }
            }
        }
        let module = &mut self.modules[index];
        for declaration in &found.uses {
            module.import(declaration);
        }
        module.paths = found.paths;
        Ok(index)
    }

    fn child(&mut self, file: &str, below: &str, parent: usize, child: &ItemMod) -> Result<(), String> {
        let child_name = name(&child.ident);
        if child_name == "tests" {
            return Ok(());
        }
        let inside = format!("{below}{child_name}/");
        let index = if let Some((_, items)) = &child.content {
            self.module(file, &inside, Some(parent), items)?
        } else {
            let path = self.path_of(file, below, &child_name, &child.attrs)?;
            self.file(&path, &inside, Some(parent))?
        };
        self.modules[parent].children.insert(child_name, index);
        Ok(())
    }

    fn path_of(&self, file: &str, below: &str, child: &str, attributes: &[Attribute]) -> Result<String, String> {
        let named = attributes.iter().filter(|attribute| attribute.path().is_ident("path"));
        let named = named.filter_map(|attribute| match &attribute.meta {
            syn::Meta::NameValue(pair) => Some(pair.value.to_token_stream().to_string()),
            _ => None,
        });
        let mut candidates = vec![format!("{below}{child}.rs"), format!("{below}{child}/mod.rs")];
        candidates.extend(named.map(|text| format!("{}{}", folder(file), text.trim_matches('"'))));
        candidates
            .into_iter()
            .find(|path| self.files.contains_key(path.as_str()))
            .ok_or(format!("{file}: the module {child} has no file"))
    }
}

impl Module {
    fn import(&mut self, declaration: &ItemUse) {
        if declaration.leading_colon.is_none() {
            let is_reexport = !matches!(declaration.vis, Visibility::Inherited);
            self.import_tree(&declaration.tree, &[], is_reexport);
        }
    }

    fn import_tree(&mut self, tree: &UseTree, before: &[String], is_reexport: bool) {
        let joined = |ident| {
            let last = name(ident);
            let mut path = before.to_vec();
            // `a::{self}` is `a`.
            if last != "self" || path.is_empty() {
                path.push(last);
            }
            path
        };
        let (name, path) = match tree {
            UseTree::Path(path) => return self.import_tree(&path.tree, &joined(&path.ident), is_reexport),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import_tree(tree, before, is_reexport);
                }
                return;
            }
            UseTree::Name(last) => {
                let path = joined(&last.ident);
                (path.last().cloned(), path)
            }
            UseTree::Rename(rename) => (Some(name(&rename.rename)), joined(&rename.ident)),
            UseTree::Glob(_) => (None, before.to_vec()),
        };
        self.imports.push(Import {
            name,
            path,
            is_reexport,
        });
    }
}

/// The names that an item defines in its module.
fn defined(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name(ident))
}

/// The folder of a file, with the slash.
fn folder(path: &str) -> String {
    path[..path.rfind('/').map_or(0, |slash| slash + 1)].to_owned()
}
