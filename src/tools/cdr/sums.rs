//! Sums of call detail records. Owns: a row for each combination. Takes: records. Gives: the rows in order. Never: adds up
//! prices of two currencies; rounds.

use super::{Format, csv, plain};
use crate::tools::json::Object;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;

/// One row.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    records: u64,
    /// Millionths of the currency.
    price: i128,
}

/// All rows.
#[derive(Debug)]
pub(super) struct Sums {
    names: Vec<&'static str>,
    /// By the values of the columns, the currency last.
    rows: BTreeMap<Vec<String>, Sum>,
}

impl Sums {
    pub(super) fn new(names: impl Iterator<Item = &'static str>) -> Self {
        Self { names: names.collect(), rows: BTreeMap::new() }
    }

    /// One more record, of the row with these values.
    pub(super) fn add(&mut self, mut row: Vec<String>, record: &Value) {
        row.push(plain(record.get("currency")));
        let sum = self.rows.entry(row).or_default();
        sum.records += 1;
        sum.price += record.get("price").and_then(Value::as_str).and_then(millionths).unwrap_or(0);
    }

    /// Writes the rows; in a table the sum of all stands last.
    pub(super) fn write(&self, format: Format, out: &mut dyn Write) -> std::io::Result<()> {
        let head: Vec<String> =
            self.names.iter().copied().chain(["records", "price", "currency"]).map(str::to_owned).collect();
        let rows: Vec<Vec<String>> = self.rows.iter().map(|(row, sum)| cells(row, *sum)).collect();
        match format {
            Format::Json => rows.iter().try_for_each(|row| writeln!(out, "{}", object(&head, row))),
            Format::Csv => {
                csv(out, &head)?;
                rows.iter().try_for_each(|row| csv(out, row))
            }
            Format::Table => table(out, &head, &rows, self.rows.values().map(|sum| sum.records).sum()),
        }
    }
}

fn cells(row: &[String], sum: Sum) -> Vec<String> {
    let (values, currency) = row.split_at(row.len().saturating_sub(1));
    let currency = currency.concat();
    let price = if currency.is_empty() { String::new() } else { money(sum.price) };
    values.iter().cloned().chain([sum.records.to_string(), price, currency]).collect()
}

fn object(head: &[String], row: &[String]) -> String {
    let mut object = Object::new();
    for (name, value) in head.iter().zip(row) {
        match value.parse() {
            Ok(records) if name == "records" => object.number(name, records),
            _ => object.text(name, value),
        };
    }
    object.finish()
}

fn table(out: &mut dyn Write, head: &[String], rows: &[Vec<String>], all: u64) -> std::io::Result<()> {
    let lines = || core::iter::once(head).chain(rows.iter().map(Vec::as_slice));
    let width = |at: usize| lines().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..head.len()).map(|at| width(at).unwrap_or(0)).collect();
    for row in lines() {
        let padded = row.iter().zip(head).zip(&widths).map(|((cell, name), width)| match name.as_str() {
            "records" | "price" => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        });
        writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    writeln!(out, "{all} records")
}

/// A price as its line has it: at most six places.
fn millionths(text: &str) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
    let places = format!("{places:0<6}");
    let value =
        whole.parse::<i128>().ok()?.checked_mul(1_000_000)? + places.get(..6)?.parse::<i128>().ok()?;
    Some(if negative { -value } else { value })
}

fn money(millionths: i128) -> String {
    let sign = if millionths < 0 { "-" } else { "" };
    let all = millionths.unsigned_abs();
    format!("{sign}{}.{:06}", all / 1_000_000, all % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_read_as_it_is_written() {
        for text in ["0.012500", "-0.000005", "12.000000", "9223372036854.775807"] {
            assert_eq!(millionths(text).map(money).as_deref(), Some(text));
        }
        assert_eq!((millionths("7"), millionths("x"), millionths("")), (Some(7_000_000), None, None));
    }
}
