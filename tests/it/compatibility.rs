//! `docs/compatibility.md` lists all supported formats and families.

use std::path::Path;

use vstar::input::formats::FORMATS;
use vstar::model::config::FAMILIES;

fn between<'p>(page: &'p str, name: &str) -> &'p str {
    let rest = page.split_once(&format!("<!-- {name} -->\n")).expect(name).1;
    rest.split_once(&format!("<!-- /{name} -->")).expect(name).0
}

#[test]
fn the_page_lists_the_formats_and_families_of_the_program() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/compatibility.md");
    let mut page = std::fs::read_to_string(&path).expect("the page");
    let formats: String =
        FORMATS.iter().map(|f| format!("- {}\n  ```json\n  {}\n  ```\n", f.about, f.example)).collect();
    let families: String =
        FAMILIES.iter().map(|(_, name, what)| format!("| `{name}` | {what} |\n")).collect();
    let families = format!("| `model_type` | what of it is computed, or refused |\n|---|---|\n{families}");
    for (name, text) in [("formats", formats), ("families", families)] {
        let there = between(&page, name).to_owned();
        if std::env::var_os("UPDATE_PAGES").is_some() {
            page = page.replace(
                &format!("<!-- {name} -->\n{there}<!-- /{name} -->"),
                &format!("<!-- {name} -->\n{text}<!-- /{name} -->"),
            );
            std::fs::write(&path, &page).expect("written");
            continue;
        }
        assert_eq!(there, text, "run this test with UPDATE_PAGES=1");
    }
}
