//! Tables of quantities that have an additional key.

use crate::document::table::{Cell, Table};
use crate::theory::base::estimate::{Control, Estimate, Quantity};
use crate::theory::reading::index::Index;
use crate::theory::reading::quote::{NOTHING, detail};

/// Table of quantities that have an additional key: `value_cos`, `value_concentration`, `tilt_gain`.
pub(crate) fn keyed(index: &Index<'_>, quantity: Quantity) -> Table {
    let mut out = match quantity {
        Quantity::ValueCos => Table::titled(&["value", "and", "control", ">cos(v*₁, v*₂) [95 %]"]),
        Quantity::ValueConcentration => Table::titled(&["value", "control", ">k", ">ρ²_k"]),
        _ => Table::titled(&["value", "constitution", "control", ">λ·sd(r_c)", ">gain in the value [95 %]"]),
    };
    for e in index.estimates.iter().filter(|e| e.quantity == quantity && e.judge.is_none()) {
        let mut cells = vec![Cell::name(e.value.as_deref().unwrap_or(NOTHING))];
        match quantity {
            Quantity::ValueCos => cells.push(Cell::name(e.value2.as_deref().unwrap_or(NOTHING))),
            Quantity::ValueConcentration => {}
            _ => cells.push(Cell::name(e.constitution.as_deref().unwrap_or(NOTHING))),
        }
        cells.push(Cell::plain(control(e)));
        match quantity {
            Quantity::ValueCos => {}
            Quantity::ValueConcentration => {
                cells.push(Cell::number(e.k.map_or_else(|| NOTHING.to_owned(), |k| k.to_string())));
            }
            _ => cells.push(Cell::number(e.lambda_sd.map_or_else(|| NOTHING.to_owned(), |l| l.to_string()))),
        }
        cells.push(Cell::number(detail(e)));
        out.rows.push(cells);
    }
    out
}

/// Name of a control.
pub(crate) fn control(e: &Estimate) -> &'static str {
    match e.control {
        Control::None => "none",
        Control::Length => "length",
    }
}
