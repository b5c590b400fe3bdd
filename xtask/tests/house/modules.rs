//! The modules of a crate, and what each imports.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::tokens::{Token, is_word, tokens};

/// How often an import may lead to another import.
const LONGEST: usize = 16;

/// The modules of a target. A module is a file; modules within a file belong to it. What is
/// compiled for tests only is left out.
#[derive(Debug, Default)]
pub struct Modules {
    /// By path, such as `dataplane::pins`; the crate's root is the empty path. With the path of
    /// the file's own module: another one for a module within a file.
    files: BTreeMap<String, String>,
    uses: Vec<Use>,
}

/// A path in a module's source.
#[derive(Clone, Debug)]
pub struct Use {
    /// The module that it stands in, perhaps within a file.
    pub module: String,
    pub line: usize,
    /// As written, from a `use` with each name of it spelled out.
    pub path: Vec<String>,
    /// In a `use`, and under which name it can be found there.
    name: Option<String>,
    /// In a `pub use`.
    public: bool,
}

/// A module that uses another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    pub from: String,
    pub to: String,
    /// Where, and the path.
    pub why: String,
}

impl Modules {
    /// Reads the target that begins with a file.
    pub fn read(file: &Path) -> Self {
        let mut modules = Self::default();
        let folder = file.parent().unwrap_or(file);
        modules.read_file(String::new(), file, folder);
        modules
    }

    /// Which module uses which. A module that re-exports what a module below it has does not use
    /// that one thereby.
    pub fn edges(&self) -> Vec<Edge> {
        let edges = self.uses.iter().filter_map(|it| {
            let from = self.files.get(&it.module)?.clone();
            let to = self.target(&it.module, &it.path, LONGEST)?;
            let exported = it.public && is_below(&to, &from);
            let why = format!("{}:{}: {}", name(&from), it.line, it.path.join("::"));
            (from != to && !exported).then_some(Edge { from, to, why })
        });
        edges.collect()
    }

    /// All paths, each with the module that it stands in, and the line. One within the crate is
    /// told as the module that it leads to: `crate::dataplane::pins`.
    pub fn paths(&self) -> impl Iterator<Item = (&str, usize, String)> {
        self.uses.iter().filter_map(|it| {
            let path = match self.target(&it.module, &it.path, LONGEST) {
                Some(module) => join("crate", &module),
                None => it.path.join("::"),
            };
            let file = self.files.get(&it.module)?;
            Some((file.as_str(), it.line, path))
        })
    }

    /// The module of a file that a path in a module leads to; none for other crates' paths.
    fn target(&self, module: &str, path: &[String], longest: usize) -> Option<String> {
        let mut at: Vec<&str> = module.split("::").filter(|it| !it.is_empty()).collect();
        let mut rest = path;
        let mut own = false;
        while let [first, others @ ..] = rest {
            match first.as_str() {
                "crate" => at.clear(),
                "super" => drop(at.pop()),
                "self" => {}
                _ => break,
            }
            (rest, own) = (others, true);
        }
        while let [first, others @ ..] = rest {
            let below = [&at[..], &[first.as_str()]].concat();
            if !self.files.contains_key(&below.join("::")) {
                break;
            }
            (at, rest, own) = (below, others, true);
        }
        if !own {
            return None;
        }
        let at = at.join("::");
        let imported = rest.first().and_then(|name| self.import(&at, name));
        if let (Some(import), true) = (imported, longest > 0) {
            let path = [&import.path, &rest[1..]].concat();
            return self.target(&at, &path, longest - 1);
        }
        self.files.get(&at).cloned()
    }

    fn import(&self, module: &str, name: &str) -> Option<&Use> {
        let mut uses = self.uses.iter();
        uses.find(|it| it.module == module && it.name.as_deref() == Some(name))
    }

    /// Modules below the file's are in `folder`.
    fn read_file(&mut self, path: String, file: &Path, folder: &Path) {
        let source = fs::read_to_string(file)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
        self.files.insert(path.clone(), path.clone());
        let mut reader = Reader {
            modules: self,
            file: path.clone(),
            module: path,
            within: Vec::new(),
            source: file,
            folder,
        };
        reader.read(&tokens(&source));
    }
}

/// A module's name for people.
pub fn name(module: &str) -> &str {
    if module.is_empty() { "(root)" } else { module }
}

fn is_below(module: &str, above: &str) -> bool {
    above.is_empty()
        || module
            .strip_prefix(above)
            .is_some_and(|rest| rest.starts_with("::"))
}

fn join(module: &str, name: &str) -> String {
    if module.is_empty() {
        name.to_owned()
    } else {
        format!("{module}::{name}")
    }
}

/// Goes through one file.
struct Reader<'a> {
    modules: &'a mut Modules,
    file: String,
    /// Where it is now: the file's module, or one within it.
    module: String,
    /// The modules within the file that it is in, each with the depth of its braces.
    within: Vec<(String, usize)>,
    source: &'a Path,
    folder: &'a Path,
}

impl Reader<'_> {
    fn read(&mut self, tokens: &[Token<'_>]) {
        let mut depth = 0;
        let mut at = 0;
        let mut path_attribute = None;
        let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
        while at < tokens.len() {
            match text(at) {
                "#" if text(at + 1) == "[" || text(at + 2) == "[" => {
                    let end = end_of_group(tokens, at + 1 + usize::from(text(at + 1) == "!"));
                    let attribute = &tokens[at..end];
                    let has = |word| attribute.iter().any(|token| token.text == word);
                    if has("path") {
                        let literal = attribute.iter().find(|it| it.text.starts_with('"'));
                        path_attribute = literal.map(|it| it.text.trim_matches('"').to_owned());
                    }
                    at = end;
                    if has("cfg") && has("test") && !has("not") {
                        at = end_of_item(tokens, at);
                    }
                    continue;
                }
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    if self.within.last().is_some_and(|(_, open)| *open == depth) {
                        self.within.pop();
                        let last = self.within.last();
                        self.module = last.map_or(&self.file, |(module, _)| module).clone();
                    }
                }
                "mod" if text(at + 2) == ";" => {
                    self.declare(text(at + 1), path_attribute.take());
                    at += 2;
                }
                "mod" if text(at + 2) == "{" => {
                    self.module = join(&self.module, text(at + 1));
                    let file = self.file.clone();
                    self.modules.files.insert(self.module.clone(), file);
                    self.within.push((self.module.clone(), depth));
                    depth += 1;
                    at += 2;
                }
                "use" if text(at.wrapping_sub(1)) != "." => {
                    let public = at > 0 && ["pub", ")"].contains(&text(at - 1));
                    at += 1;
                    self.read_tree(tokens, &mut at, &[], public);
                }
                word if is_word(word) && text(at + 1) == "::" => {
                    let line = tokens[at].line;
                    let mut path = vec![word.to_owned()];
                    while text(at + 1) == "::" && is_word(text(at + 2)) {
                        path.push(text(at + 2).to_owned());
                        at += 2;
                    }
                    self.note(line, path, None, false);
                    if text(at + 1) == "::" {
                        at += 1; // `::<`: what follows is another path
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Reads what follows `use`, or a part of it: `a`, `a::b as c`, `a::{b, c::d}`, `a::*`.
    fn read_tree(&mut self, tokens: &[Token<'_>], at: &mut usize, prefix: &[String], public: bool) {
        let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
        let mut path = prefix.to_vec();
        let line = tokens.get(*at).map_or(0, |token| token.line);
        loop {
            match text(*at) {
                "{" => {
                    *at += 1;
                    while text(*at) != "}" && *at < tokens.len() {
                        self.read_tree(tokens, at, &path, public);
                        if text(*at) == "," {
                            *at += 1;
                        }
                    }
                    *at += 1;
                    return;
                }
                "*" => {
                    *at += 1;
                    self.note(line, path, None, public);
                    return;
                }
                // The module itself, in braces after it.
                "self" if !prefix.is_empty() => {}
                "::" => {}
                "as" => {
                    let name = text(*at + 1).to_owned();
                    *at += 2;
                    self.note(line, path, Some(name), public);
                    return;
                }
                word if is_word(word) => path.push(word.to_owned()),
                _ => {
                    let name = path.last().cloned();
                    self.note(line, path, name, public);
                    return;
                }
            }
            *at += 1;
        }
    }

    fn note(&mut self, line: usize, path: Vec<String>, name: Option<String>, public: bool) {
        self.modules.uses.push(Use {
            module: self.module.clone(),
            line,
            path,
            name,
            public,
        });
    }

    fn declare(&mut self, name: &str, at: Option<String>) {
        let folder = match self.module.strip_prefix(&self.file) {
            Some("") | None => self.folder.to_owned(),
            Some(within) => self
                .folder
                .join(within.trim_matches(':').replace("::", "/")),
        };
        let candidates = match at {
            Some(at) => vec![self.source.with_file_name("").join(at)],
            None => vec![
                folder.join(format!("{name}.rs")),
                folder.join(name).join("mod.rs"),
            ],
        };
        let file = candidates.iter().find(|file| file.is_file());
        let file: &PathBuf =
            file.unwrap_or_else(|| panic!("`mod {name};` in {}: no file", self.source.display()));
        let path = join(&self.module, name);
        self.modules.read_file(path, file, &folder.join(name));
    }
}

/// The place after the group that opens at `at`.
fn end_of_group(tokens: &[Token<'_>], mut at: usize) -> usize {
    let mut depth = 0;
    while let Some(token) = tokens.get(at) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}

/// The place after the item, field or match arm that begins at `at`.
fn end_of_item(tokens: &[Token<'_>], mut at: usize) -> usize {
    while tokens.get(at).is_some_and(|token| token.text == "#") {
        at = end_of_group(tokens, at + 1);
    }
    const ITEMS: [&str; 12] = [
        "pub", "fn", "mod", "use", "impl", "struct", "enum", "const", "static", "type", "trait",
        "async",
    ];
    let first = tokens.get(at).map_or("", |token| token.text);
    let item = ITEMS.contains(&first);
    let import = tokens[at..].iter().take(2).any(|token| token.text == "use");
    while let Some(token) = tokens.get(at) {
        match token.text {
            ";" => return at + 1,
            "," if !item => return at + 1,
            "}" => return at,
            "{" if !import => return end_of_group(tokens, at),
            "(" | "[" | "{" => at = end_of_group(tokens, at),
            _ => at += 1,
        }
    }
    at
}
