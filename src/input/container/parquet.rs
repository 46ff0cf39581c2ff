//! Rows of a parquet file, as JSON objects.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Repetition, Type as Physical};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use serde_json::{Map, Number, Value};

use super::super::formats;
use super::Sink;
use crate::error::{Diagnostic, Kind, Place, Result};

/// Reads the rows, with only numeric columns and those that some format knows by name. A damaged file ends reading.
pub(super) fn rows(file: File, path: &Path, sink: Sink) -> Result<()> {
    let damaged = |row: usize, found: String| {
        Diagnostic::new(Kind::Malformed, "the parquet file cannot be read")
            .at(Place::file(path).line(row))
            .found(found)
            .remedy("fetch or write the file again, with snappy, gzip, zstd, brotli, lz4 or no compression")
    };
    // The decoder does not validate its input fully and panics on unexpected data.
    let opened = guarded(|| {
        let reader = SerializedFileReader::new(file)?;
        let schema = reader.metadata().file_metadata().schema().clone();
        let known = schema.get_fields().iter().filter(|f| is_read(f)).cloned().collect();
        let names: Vec<_> = schema.get_fields().iter().map(|f| f.name().to_owned()).collect();
        let ignored: Vec<_> =
            schema.get_fields().iter().filter(|f| !is_read(f)).map(|f| f.name().to_owned()).collect();
        let wanted = Type::group_type_builder(schema.name()).with_fields(known).build()?;
        let promised = usize::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0);
        Ok((reader, wanted, names, ignored, promised))
    });
    let (reader, wanted, names, ignored, promised) = opened.map_err(|e| damaged(0, e))?;
    if !wanted.get_fields().iter().any(|f| formats::is_read(f.name())) {
        return Err(Diagnostic::new(Kind::Malformed, "no column is known")
            .at(Place::file(path))
            .expected("the columns of one of the formats of items, such as `prompt`, `chosen`, `rejected`")
            .found(format!("the columns `{}`", names.join("`, `")))
            .remedy("rename the columns")
            .into());
    }
    let reader: Arc<dyn FileReader> = Arc::new(reader);
    let mut rows = guarded(|| reader.get_row_iter(Some(wanted.clone()))).map_err(|e| damaged(0, e))?;
    for number in 1.. {
        let row = match guarded(|| rows.next().transpose()).map_err(|e| damaged(number, e))? {
            Some(row) => row,
            None if number == promised + 1 => break,
            None => {
                let found = format!("{} rows where the file promises {promised}", number - 1);
                return Err(damaged(number, found).into());
            }
        };
        let mut row = object(row);
        // Unread columns appear in each row as a marker, so that the formats can warn about them.
        row.extend(ignored.iter().map(|name| (name.clone(), Value::from("not read"))));
        if sink(super::Row { line: number, number, content: Ok(row) })?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Whether a column is read: one known to some format, or a numeric one, which may be a label.
fn is_read(field: &Type) -> bool {
    let number = field.is_primitive()
        && field.get_basic_info().repetition() != Repetition::REPEATED
        && !matches!(
            field.get_physical_type(),
            Physical::BYTE_ARRAY | Physical::FIXED_LEN_BYTE_ARRAY | Physical::INT96
        );
    number || formats::is_read(field.name())
}

/// Runs the decoder; a panic becomes an error and is not printed.
fn guarded<T>(work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match crate::guard::guarded(work) {
        Ok(done) => done.map_err(|e| e.to_string()),
        Err(_) => Err("data that the decoder cannot make sense of".to_owned()),
    }
}

fn object(row: Row) -> Map<String, Value> {
    row.into_columns().into_iter().map(|(name, field)| (name, value(field))).collect()
}

fn value(field: Field) -> Value {
    // NaN and infinity have no JSON number; as strings they are refused where a number is needed.
    let float = |x: f64| Number::from_f64(x).map_or_else(|| Value::String(x.to_string()), Value::Number);
    match field {
        Field::Null => Value::Null,
        Field::Bool(x) => x.into(),
        Field::Byte(x) => x.into(),
        Field::Short(x) => x.into(),
        Field::Int(x) => x.into(),
        Field::Long(x) => x.into(),
        Field::UByte(x) => x.into(),
        Field::UShort(x) => x.into(),
        Field::UInt(x) => x.into(),
        Field::ULong(x) => x.into(),
        Field::Float16(x) => float(x.into()),
        Field::Float(x) => float(x.into()),
        Field::Double(x) => float(x),
        Field::Str(x) => Value::String(x),
        // A text column without the UTF-8 annotation, as older writers produce.
        Field::Bytes(x) => String::from_utf8(x.data().to_vec())
            .map_or_else(|_| unusable("bytes that are not UTF-8"), Value::String),
        Field::Group(row) => Value::Object(object(row)),
        Field::ListInternal(list) => list.elements().iter().cloned().map(value).collect(),
        Field::MapInternal(map) => map
            .entries()
            .iter()
            .map(|(key, x)| match value(key.clone()) {
                Value::String(key) => (key, value(x.clone())),
                key => (key.to_string(), value(x.clone())),
            })
            .collect::<Map<_, _>>()
            .into(),
        Field::Decimal(_) => {
            field.to_string().parse().map_or_else(|_| unusable("a decimal that is no number"), float)
        }
        Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_) => unusable("a date or time"),
    }
}

/// Placeholder for a value that is neither text nor number: no field accepts this object, so it is refused and shown
/// where such a field is needed.
fn unusable(what: &str) -> Value {
    Map::from_iter([("unusable".to_owned(), Value::from(what))]).into()
}
