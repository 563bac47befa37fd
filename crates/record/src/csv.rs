//! The one dialect of every CSV file: comma-separated with quotes where needed (RFC 4180), a header row, lines that end
//! in LF, UTF-8. Numbers have a decimal point, full precision and no unit; a missing number is an empty field.

use std::io;

/// A CSV file as text.
///
/// # Errors
/// When a row has another length than the header.
pub fn to_string<F: AsRef<str>>(header: &[F], rows: impl IntoIterator<Item = Vec<String>>) -> io::Result<String> {
    let mut writer = ::csv::WriterBuilder::new().from_writer(Vec::new());
    writer.write_record(header.iter().map(AsRef::as_ref))?;
    for row in rows {
        writer.write_record(&row)?;
    }
    let bytes = writer.into_inner().map_err(::csv::IntoInnerError::into_error)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// A number as a field: the shortest text that reads back as the same number; empty where there is none.
#[must_use]
pub fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_needed_and_read_back_as_they_were() {
        let rows = vec![vec!["say \"x\"\r\n".to_owned(), number(Some(0.1 + 0.2))]];
        let text = to_string(&["a", "b,c"], rows.clone()).expect("rows are as long as the header");
        assert_eq!(text, "a,\"b,c\"\n\"say \"\"x\"\"\r\n\",0.30000000000000004\n");
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        let read: Vec<Vec<String>> = reader.deserialize().collect::<Result<_, _>>().expect("it is CSV");
        assert_eq!(read, rows);
    }

    #[test]
    fn a_row_of_another_length_is_an_error() {
        assert!(to_string(&["a", "b"], [vec!["1".to_owned()]]).is_err());
    }

    #[test]
    fn a_missing_number_is_an_empty_field() {
        assert_eq!(number(None), "");
        assert_eq!(number(Some(1e-9)), "0.000000001");
    }
}
