//! Writes a table as LaTeX with rules of the package `booktabs`.

use super::table::{Cell, Table, Tone};

/// Writes a `tabular`: text columns left-aligned, number columns right-aligned, verdicts in bold.
pub fn table(table: &Table) -> String {
    let columns: String = table.columns.iter().map(|c| if c.right { 'r' } else { 'l' }).collect();
    let head: Vec<String> = table.columns.iter().map(|c| escaped(&c.title)).collect();
    let mut out =
        format!("\\begin{{tabular}}{{{columns}}}\n\\toprule\n{} \\\\\n\\midrule\n", head.join(" & "));
    for row in &table.rows {
        let cells: Vec<String> = row.iter().map(cell).collect();
        out += &format!("{} \\\\\n", cells.join(" & "));
    }
    out + "\\bottomrule\n\\end{tabular}\n"
}

fn cell(cell: &Cell) -> String {
    let text = escaped(&cell.text);
    if matches!(cell.tone, Tone::Up | Tone::Down) { format!("\\textbf{{{text}}}") } else { text }
}

/// Escapes text for any engine: LaTeX special characters are escaped, and symbols used in tables become commands.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\\' => out += "\\textbackslash{}",
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
            '~' => out += "\\textasciitilde{}",
            '^' => out += "\\textasciicircum{}",
            '<' => out += "\\textless{}",
            '>' => out += "\\textgreater{}",
            '|' => out += "\\textbar{}",
            '−' => out += "$-$",
            '≤' => out += "$\\le$",
            '≥' => out += "$\\ge$",
            '×' => out += "$\\times$",
            '·' => out += "$\\cdot$",
            '√' => out += "$\\sqrt{}$",
            '⟨' => out += "$\\langle$",
            '⟩' => out += "$\\rangle$",
            '²' => out += "$^2$",
            'ρ' => out += "$\\rho$",
            'σ' => out += "$\\sigma$",
            'η' => out += "$\\eta$",
            'λ' => out += "$\\lambda$",
            'Δ' => out += "$\\Delta$",
            'Σ' => out += "$\\Sigma$",
            'ᵀ' => out += "$^\\top$",
            '‖' => out += "$\\|$",
            '₀'..='₉' => out += &format!("$_{}$", c as u32 - '₀' as u32),
            '–' => out += "--",
            '…' => out += "\\dots{}",
            '“' => out += "``",
            '”' => out += "''",
            '‘' => out += "`",
            '’' => out += "'",
            '\u{a0}' => out.push('~'),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_a_tabular_and_no_text_becomes_a_command() {
        let mut of = Table::titled(&["name", ">⟨v_c, v*⟩ [95 %]"]);
        of.rows.push(vec![
            Cell::name("a_b & \\input{x} 50%"),
            Cell { text: "−0.41 [−0.5, −0.3]".into(), tone: Tone::Down },
        ]);
        let told = "\\begin{tabular}{lr}\n\\toprule\nname & $\\langle$v\\_c, v*$\\rangle$ [95 \\%] \\\\\n\\midrule\n\
                    a\\_b \\& \\textbackslash{}input\\{x\\} 50\\% & \\textbf{$-$0.41 [$-$0.5, $-$0.3]} \\\\\n\\bottomrule\n\\end{tabular}\n";
        assert_eq!(table(&of), told);
    }
}
