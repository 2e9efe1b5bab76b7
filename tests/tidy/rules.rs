//! The rules that one file can break on its own.

use crate::Fault;
use crate::arrows::room;
use crate::source::{Token, functions, paths, tokens};
use crate::tree::File;

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 800;
/// Rooms that touch the world: the only ones with a clock.
const WORLDLY: [&str; 2] = ["io", "sidecar"];

/// Functions of at most 70 lines, files of at most 800.
pub(crate) fn sizes(file: &File) -> Vec<Fault> {
    let mut faults = Vec::new();
    let lines = file.text.lines().count();
    if lines > FILE_LINES_MAX {
        faults.push(Fault::new(
            &file.path,
            lines,
            format!("the file has {lines} lines, over {FILE_LINES_MAX}"),
        ));
    }
    for (name, line, lines) in functions(&tokens(&file.text)) {
        if lines > FUNCTION_LINES_MAX {
            let what = format!("{name} has {lines} lines, over {FUNCTION_LINES_MAX}");
            faults.push(Fault::new(&file.path, line, what));
        }
    }
    faults
}

/// Clocks, sleeps, cells and locks only where they may be.
pub(crate) fn effects(file: &File) -> Vec<Fault> {
    let tokens = tokens(&file.text);
    let worldly = file.is_source() && WORLDLY.contains(&room(&file.path));
    let mut faults = Vec::new();
    for path in paths(&tokens) {
        let line = tokens[path.at].line;
        if !worldly && names_sleep(&path.names) {
            faults.push(Fault::new(&file.path, line, "only io and sidecar wait by the clock"));
        }
        if !worldly && file.is_source() && names_clock(&path.names) {
            faults.push(Fault::new(&file.path, line, "only io and sidecar read a clock"));
        }
    }
    if file.is_source() {
        faults.extend(shared_state(file, &tokens));
    }
    let two = |first: &'static str, second: &'static str| {
        tokens.windows(2).filter(move |two| two[0].text == first && two[1].text == second)
    };
    faults.extend(
        two("static", "mut").map(|two| Fault::new(&file.path, two[0].line, "static mut has no owner")),
    );
    faults
}

fn names_sleep(names: &[&str]) -> bool {
    let sleeps = ["sleep", "sleep_ms", "sleep_until", "park_timeout"];
    names.len() > 1 && names.iter().any(|name| sleeps.contains(name))
}

fn names_clock(names: &[&str]) -> bool {
    let standard =
        names.starts_with(&["std", "time"]) && names.iter().any(|name| *name == "Instant" || *name == "*");
    let read = names.windows(2).any(|two| matches!(two, ["Instant" | "SystemTime" | "Utc" | "Local", "now"]));
    standard || read || names.contains(&"SystemTime") || names.contains(&"clock_gettime")
}

fn shared_state(file: &File, tokens: &[Token<'_>]) -> Vec<Fault> {
    let room = room(&file.path);
    let mut faults = Vec::new();
    for token in tokens {
        if token.text == "RefCell" && room != "io" {
            faults.push(Fault::new(&file.path, token.line, "the only RefCell is in io"));
        }
        if matches!(token.text, "Mutex" | "RwLock") && room != "sidecar" {
            faults.push(Fault::new(&file.path, token.line, "no lock: one owner, one writer"));
        }
    }
    faults
}

/// `unsafe` only in `src/io` (and in tests), each with its reason.
pub(crate) fn unsafe_code(file: &File) -> Vec<Fault> {
    let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
    let mut faults = Vec::new();
    for token in tokens(&file.text).iter().filter(|token| token.text == "unsafe") {
        if file.is_source() && room(&file.path) != "io" {
            faults.push(Fault::new(&file.path, token.line, "unsafe lives in io"));
        }
        if !has_reason(&lines, token.line - 1) {
            faults.push(Fault::new(&file.path, token.line, "unsafe without a SAFETY line"));
        }
    }
    faults
}

/// The comment directly above the statement, or on its line, says why it is sound.
fn has_reason(lines: &[&str], at: usize) -> bool {
    if lines[at].contains("// SAFETY:") {
        return true;
    }
    let above = lines[..at].iter().rev();
    let part = |line: &&&str| {
        let comment = line.starts_with("//") || line.starts_with("#[");
        comment || !(line.is_empty() || line.ends_with(';') || line.ends_with('{') || line.ends_with('}'))
    };
    above.take_while(part).any(|line| line.starts_with("// SAFETY:"))
}

/// Every file says what it is; a room's door says what it owns, takes, gives and never does. The unit tests of a
/// module are named after it and need say no more.
pub(crate) fn header(file: &File) -> Vec<Fault> {
    if file.is_source() && file.test {
        return Vec::new();
    }
    let header: Vec<&str> = file.text.lines().take_while(|line| line.starts_with("//!")).collect();
    if header.is_empty() {
        return vec![Fault::new(&file.path, 1, "no //! header")];
    }
    let below = file.path.trim_start_matches("src/");
    let door = below.ends_with("/mod.rs") && below.matches('/').count() == 1;
    let of_a_room = door || !below.contains('/');
    if !file.is_source() || below == "lib.rs" || !of_a_room {
        return Vec::new();
    }
    let header = header.join(" ").to_lowercase();
    let words: Vec<&str> = header.split(|c: char| !c.is_alphabetic()).collect();
    let missing = ["owns", "takes", "gives", "never"].into_iter().filter(|word| !words.contains(word));
    missing.map(|word| Fault::new(&file.path, 1, format!("the header does not say: {word}"))).collect()
}

/// Nothing left for later, nothing switched off without a reason, nothing unwrapped outside tests.
pub(crate) fn finished(file: &File) -> Vec<Fault> {
    let tokens = tokens(&file.text);
    let texts = |at: usize, count: usize| -> Vec<&str> {
        tokens[at..].iter().take(count).map(|token| token.text).collect()
    };
    let mut faults = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let what = match token.text {
            "todo" | "unimplemented" if texts(at + 1, 1) == ["!"] => "nothing is left for later",
            "ignore" if at >= 2 && texts(at - 2, 4) == ["#", "[", "ignore", "]"] => {
                "ignored without a reason"
            }
            "." if file.is_source() && !file.test && !token.test => match texts(at + 1, 3).as_slice() {
                ["unwrap", "(", ")"] | ["expect", "(", _] => "unwrapped outside tests",
                _ => continue,
            },
            _ => continue,
        };
        faults.push(Fault::new(&file.path, token.line, what));
    }
    faults
}

/// Words for work that is not done, in any text.
pub(crate) fn words(file: &File) -> Vec<Fault> {
    let unfinished = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let mut faults = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        if let Some(word) = words.find(|word| unfinished.contains(word)) {
            faults.push(Fault::new(&file.path, number + 1, format!("{word} is work left undone")));
        }
    }
    faults
}

/// No path of one machine and no registry's host, in any text.
pub(crate) fn places(file: &File) -> Vec<Fault> {
    let folders =
        [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tm", "p/h/"), concat!("/ho", "me/")];
    let hosts = [
        concat!("crates", ".io"),
        concat!("pypi", ".org"),
        concat!("pythonhosted", ".org"),
        concat!("npmjs", ".org"),
        concat!("npmjs", ".com"),
        concat!("debian", ".org"),
        concat!("ubuntu", ".com"),
    ];
    let locked = file.path == "Cargo.lock" || file.path.ends_with("/Cargo.lock");
    let mut faults = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        if locked && line.starts_with("source = \"registry+") {
            continue;
        }
        if let Some(folder) = folders.iter().find(|folder| names_folder(line, folder)) {
            faults.push(Fault::new(&file.path, number + 1, format!("{folder} is a folder of one machine")));
        }
        if let Some(host) = hosts.iter().find(|host| line.contains(**host)) {
            faults.push(Fault::new(&file.path, number + 1, format!("{host} is a registry's host")));
        }
    }
    faults
}

/// `a/b/c` is a path of ours; the folder counts only where a path begins.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        !line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | '*' | ')'))
    })
}

/// The top level holds the house and nothing else.
pub(crate) fn top_level(names: &[String]) -> Vec<Fault> {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "CHANGELOG.md",
        "README.md",
        "src",
        "bench",
        "config",
        "tools",
        "tests",
        "target",
    ];
    let strange = names.iter().filter(|name| !name.starts_with('.') && !allowed.contains(&name.as_str()));
    strange.map(|name| Fault::new(name, 1, "does not belong at the top level")).collect()
}
