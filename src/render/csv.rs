//! CSV tables (RFC 4180). For a table of short cells the csv crate would be 20 KB of the browser's module.

/// Rows as a table. Cells with a delimiter, a quote or a line break in them are quoted.
pub(crate) fn table(rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let cell = |cell: String| match cell.contains([',', ';', '"', '\n', '\r', '\t']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    };
    let line = |row: Vec<String>| {
        let cells: Vec<String> = row.into_iter().map(cell).collect();
        format!("{}\n", cells.join(","))
    };
    rows.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_would_end_a_cell_is_quoted() {
        let row = ["a", "b,c", "d\"e", "f\ng", ""].map(str::to_owned).to_vec();
        assert_eq!(super::table([row]), "a,\"b,c\",\"d\"\"e\",\"f\ng\",\n");
    }
}
