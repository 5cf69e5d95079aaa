//! Numbers with units, normalised: 1.2 cm is 12 mm.

use super::text::{Kind, Text};

/// What a unit measures; numbers of one dimension can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dimension {
    /// In mm.
    Length,
    /// In ml.
    Volume,
    /// In %.
    Share,
    /// In degrees.
    Angle,
    /// In French, a catheter's size.
    French,
    /// In Hounsfield units.
    Attenuation,
}

/// A number with its unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measure {
    /// Token of the number.
    pub(super) first: usize,
    /// Behind the last token.
    pub(super) last: usize,
    pub(super) dimension: Dimension,
    /// In the dimension's unit; nothing where a de-identified text hides the number.
    pub(super) value: Option<f64>,
    /// What one in the last written place is worth.
    step: f64,
}

impl Measure {
    /// Whether `self`, in an impression, may be what the findings say is `other`: the same, or the same
    /// rounded to as many places as it is written with, within a tenth.
    pub(super) fn agrees(&self, other: &Measure) -> bool {
        if self.dimension != other.dimension {
            return false;
        }
        let (Some(own), Some(there)) = (self.value, other.value) else { return true };
        let difference = (own - there).abs();
        let largest = own.abs().max(there.abs());
        difference <= largest * 1e-6
            || (difference <= self.step * 0.500_001 && difference <= largest * 0.1)
    }
}

fn unit(word: &str) -> Option<(Dimension, f64)> {
    let lower = word.to_ascii_lowercase();
    Some(match lower.as_str() {
        "mm" | "millimeter" | "millimeters" | "millimetre" | "millimetres" => {
            (Dimension::Length, 1.0)
        }
        "cm" | "cms" | "centimeter" | "centimeters" | "centimetre" | "centimetres" => {
            (Dimension::Length, 10.0)
        }
        "inch" | "inches" => (Dimension::Length, 25.4),
        "ml" | "cc" | "milliliter" | "milliliters" | "millilitre" | "millilitres" => {
            (Dimension::Volume, 1.0)
        }
        "liter" | "liters" | "litre" | "litres" => (Dimension::Volume, 1000.0),
        "%" | "percent" => (Dimension::Share, 1.0),
        "°" | "degree" | "degrees" => (Dimension::Angle, 1.0),
        "french" | "fr" => (Dimension::French, 1.0),
        "hu" => (Dimension::Attenuation, 1.0),
        _ => return None,
    })
}

/// Most numbers before one unit ("1.2 x 0.8 x 2 cm").
const CHAIN: usize = 4;

/// All measures of a text.
pub(super) fn measures(text: &Text) -> Vec<Measure> {
    let mut found = Vec::new();
    // Numbers that wait for a unit.
    let mut open: Vec<usize> = Vec::new();
    let mut at = 0;
    while at < text.tokens.len() {
        let word = text.token(at);
        let number = text.tokens[at].kind == Kind::Number || hidden(text, at);
        if number {
            open.push(at);
            if open.len() > CHAIN {
                open.remove(0);
            }
        } else if let Some((dimension, factor)) = unit(word).filter(|_| !open.is_empty()) {
            let last_number = open.len() - 1;
            for (place, number) in open.drain(..).enumerate() {
                let written = text.token(number);
                let places = written.split_once('.').map_or(0, |(_, decimals)| decimals.len());
                let step = factor * 10f64.powi(-(places.min(12) as i32));
                let value = written.parse::<f64>().ok().map(|value| value * factor);
                let last = if place == last_number { at + 1 } else { number + 1 };
                found.push(Measure { first: number, last, dimension, value, step });
            }
        } else {
            let joins =
                matches!(word, "x" | "X" | "×" | "*" | "-" | "–" | "by" | "to" | "and" | "or");
            if !joins {
                open.clear();
            }
        }
        at += 1;
    }
    found
}

/// Whether a de-identified text hides a word here ("XXXX", "___").
pub(super) fn hidden(text: &Text, at: usize) -> bool {
    let word = text.token(at);
    (word.len() >= 2 && word.bytes().all(|b| b == b'X')) || word == "_"
}
