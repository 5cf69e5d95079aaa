//! Moments as RFC 3339 writes them, and as the formats want them. There is no clock here and no
//! calculation: what is given is written in another form.

use crate::error::{Error, Result};

/// A date, or a date and a time of day with its distance from UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    /// Year, month, day.
    date: (u32, u32, u32),
    clock: Option<Clock>,
    /// As it was given, with `T` and `Z` in capitals: RFC 3339 is FHIR's `instant`, and its date is FHIR's `date`.
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Clock {
    hour: u32,
    minute: u32,
    second: u32,
    /// `+hhmm` or `-hhmm`.
    offset: String,
}

impl Moment {
    /// Reads `2026-11-27`, `2026-11-27T10:30:00Z` or `2026-11-27T10:30:00.5+01:00`; nothing else is one.
    pub(super) fn parse(text: &str) -> Option<Moment> {
        let text = text.trim();
        let bytes = text.as_bytes();
        let number = |from: usize, to: usize| -> Option<u32> {
            let digits = bytes.get(from..to)?;
            let all = digits.iter().all(u8::is_ascii_digit);
            all.then(|| digits.iter().fold(0, |n, digit| n * 10 + u32::from(digit - b'0')))
        };
        let is = |at: usize, mark: u8| bytes.get(at).is_some_and(|b| b.eq_ignore_ascii_case(&mark));
        let date = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (year, month, day) = date;
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            1..=12 => 31,
            _ => return None,
        };
        if !is(4, b'-') || !is(7, b'-') || year == 0 || day == 0 || day > days {
            return None;
        }
        if bytes.len() == 10 {
            return Some(Moment { date, clock: None, text: text.to_owned() });
        }
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if !is(10, b'T')
            || !is(13, b':')
            || !is(16, b':')
            || hour > 23
            || minute > 59
            || second > 59
        {
            return None;
        }
        let mut at = 19;
        if is(at, b'.') {
            let digits = bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            at += 1 + digits;
        }
        let offset = if is(at, b'Z') && bytes.len() == at + 1 {
            "+0000".to_owned()
        } else {
            let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
            let far = hours > 14 || minutes > 59 || (hours == 14 && minutes > 0);
            if !(is(at, b'+') || is(at, b'-')) || !is(at + 3, b':') || bytes.len() != at + 6 || far
            {
                return None;
            }
            format!("{}{hours:02}{minutes:02}", if is(at, b'-') { '-' } else { '+' })
        };
        let text = text.to_ascii_uppercase();
        Some(Moment { date, clock: Some(Clock { hour, minute, second, offset }), text })
    }

    /// A moment that must have a time of day.
    ///
    /// # Errors
    /// [`Error::BadOption`].
    pub(super) fn instant(option: &'static str, text: &str) -> Result<Moment> {
        Moment::parse(text).filter(|moment| moment.clock.is_some()).ok_or_else(|| Error::BadOption {
            option,
            value: "not a time".to_owned(),
            expected: "a time by RFC 3339 with its distance from UTC, as in 2026-11-27T10:30:00+01:00",
        })
    }

    /// FHIR's `instant` or `date`.
    pub(super) fn fhir(&self) -> &str {
        &self.text
    }

    /// HL7 v2's DTM: `YYYYMMDD` or `YYYYMMDDHHMMSS+ZZZZ`.
    pub(super) fn hl7(&self) -> String {
        let offset = self.clock.as_ref().map_or("", |clock| &clock.offset);
        format!("{}{}{offset}", self.dicom_date(), self.dicom_time())
    }

    /// DICOM's DA.
    pub(super) fn dicom_date(&self) -> String {
        let (year, month, day) = self.date;
        format!("{year:04}{month:02}{day:02}")
    }

    /// DICOM's TM; empty where the time of day is not known.
    pub(super) fn dicom_time(&self) -> String {
        self.clock.as_ref().map_or(String::new(), |Clock { hour, minute, second, .. }| {
            format!("{hour:02}{minute:02}{second:02}")
        })
    }

    /// Timezone Offset From UTC, `±hhmm`.
    #[cfg(any(feature = "dicom", test))]
    pub(super) fn offset(&self) -> Option<&str> {
        self.clock.as_ref().map(|clock| clock.offset.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_written() {
        let moment = Moment::parse("2026-11-27t10:30:05.25-05:30").unwrap();
        assert_eq!(moment.fhir(), "2026-11-27T10:30:05.25-05:30");
        assert_eq!(moment.hl7(), "20261127103005-0530");
        assert_eq!(
            (moment.dicom_date(), moment.dicom_time()),
            ("20261127".into(), "103005".into())
        );
        assert_eq!(moment.offset(), Some("-0530"));
        let date = Moment::parse("2024-02-29").unwrap();
        assert_eq!((date.hl7(), date.fhir()), ("20240229".to_owned(), "2024-02-29"));
        assert_eq!(Moment::parse("2026-11-27T10:30:05Z").unwrap().hl7(), "20261127103005+0000");
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in [
            "",
            "2026",
            "2026-13-01",
            "2026-02-29",
            "2100-02-29",
            "0000-01-01",
            "2026-11-27 10:30:00Z",
            "2026-11-27T24:00:00Z",
            "2026-11-27T10:30Z",
            "2026-11-27T10:30:00",
            "2026-11-27T10:30:00.Z",
            "2026-11-27T10:30:00+1:00",
            "2026-11-27T10:30:00+15:00",
            "2026-11-27T10:30:00Zx",
            "２０２６-11-27",
            "2026-11-2\u{e9}",
            "20261127",
            "2026-11-27T10:30:00+0100",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
        assert!(Moment::instant("time", "2026-11-27").is_err());
    }
}
