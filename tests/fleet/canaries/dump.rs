//! A dump of the database, field by field: as it stands there, and what is behind its escapes and hexadecimal digits.

/// A field of a table.
pub(crate) struct Field {
    pub(crate) table: String,
    pub(crate) column: String,
    /// Without the escapes of `COPY`; of a bytea its bytes.
    pub(crate) value: Vec<u8>,
}

pub(crate) fn fields(dump: &str) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut lines = dump.lines();
    while let Some(line) = lines.next() {
        let Some((table, rest)) = line.strip_prefix("COPY public.").and_then(|rest| rest.split_once(" (")) else { continue };
        let columns: Vec<&str> = rest.strip_suffix(") FROM stdin;").unwrap().split(", ").collect();
        for row in lines.by_ref().take_while(|row| *row != "\\.") {
            let values: Vec<&str> = row.split('\t').collect();
            assert_eq!(values.len(), columns.len(), "{row}");
            let field = |(column, value): (&&str, &str)| {
                let column = column.trim_matches('"').to_owned();
                Field { table: table.to_owned(), column, value: bytes(unescaped(value)) }
            };
            fields.extend(columns.iter().zip(values).map(field));
        }
    }
    fields
}

fn unescaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                // A null value: a letter that says nothing.
                Some(other) => other,
                None => c,
            },
            _ => c,
        });
    }
    out
}

fn bytes(value: String) -> Vec<u8> {
    let digits = value.strip_prefix("\\x").filter(|digits| digits.len() % 2 == 0);
    let byte = |at: usize, digits: &str| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let decoded = digits.and_then(|digits| (0..digits.len()).step_by(2).map(|at| byte(at, digits)).collect::<Option<Vec<u8>>>());
    decoded.unwrap_or_else(|| value.into_bytes())
}
