//! What is said of bad files.

use super::{SMALL, drawn, load_files, load_text};
use proptest::prelude::*;

#[test]
fn show() {
    println!(
        "{}",
        drawn(&format!(
            "{}\n[esme.beta]\nwindw_max = 5\npassword = \"pa\u{e4}ss\u{1}\"\nwindow_max = \"5\"\nsessions_max = 0\nattempts_max = 3\npool = \"mian\"\nanswer_timeout = 20\n allow_from = [\"10.1.2.3/16\", 5]\nunknown_status = \"ESME_ROK\"\n[[route]]\npool = \"main\"\nwhen = {{ to = [\"+382*\", \"3*2\"] }}\n",
            SMALL
        ))
    );
    println!("{}", drawn("[esme.a\nx = = 4\npassword = \"abc\n[node]\nname = \"\"\nname = \"b\"\n"));
    println!("{}", drawn(&format!("{SMALL}[esme.acme]\npassword = \"z\"\n")));
    println!(
        "{}",
        load_files(&[
            ("main.toml", &format!("include = [\"a.toml\", \"b.toml\", \"a.toml\"]\n{SMALL}")),
            ("a.toml", "[esme.acme]\npassword = \"zz\"\n[node]\n")
        ])
        .unwrap_err()
        .render(false)
    );
    println!("{}", load_files(&[]).unwrap_err().render(false));
    println!("{}", load_files(&[]).unwrap_err().to_json());
}
