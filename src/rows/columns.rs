//! Which column of a file is what.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Fields, Report};

/// What a column may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The report's id.
    Id,
    /// Its findings.
    Findings,
    /// A prior report.
    Prior,
    /// What the examination was compared with.
    Comparison,
    /// The impression that somebody wrote.
    Reference,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 5] =
        [Role::Id, Role::Findings, Role::Prior, Role::Comparison, Role::Reference];

    /// Its name, which is also that of its option: `--findings-column`.
    pub fn name(self) -> &'static str {
        match self {
            Role::Id => "id",
            Role::Findings => "findings",
            Role::Prior => "prior",
            Role::Comparison => "comparison",
            Role::Reference => "reference",
        }
    }

    /// The names that a column is known by, in any case, the likeliest first.
    fn usual(self) -> &'static [&'static str] {
        match self {
            Role::Id => &["id", "report_id", "study_id", "accession"],
            Role::Findings => &["findings"],
            Role::Prior => &["prior"],
            Role::Comparison => &["comparison"],
            Role::Reference => &["reference", "impression"],
        }
    }
}

/// The names of the columns as somebody chose them; without one the usual names are looked for. An empty name:
/// the column is not to be used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Columns {
    /// Where ids are.
    pub id: Option<String>,
    /// Where findings are.
    pub findings: Option<String>,
    /// Where prior reports are.
    pub prior: Option<String>,
    /// Where comparisons are.
    pub comparison: Option<String>,
    /// Where people's impressions are.
    pub reference: Option<String>,
}

/// The places of a table's columns, in the order of [`Role::ALL`].
pub(super) type Chosen = [Option<usize>; 5];

impl Columns {
    /// The name chosen for a role.
    pub fn of(&self, role: Role) -> Option<&str> {
        let name = match role {
            Role::Id => &self.id,
            Role::Findings => &self.findings,
            Role::Prior => &self.prior,
            Role::Comparison => &self.comparison,
            Role::Reference => &self.reference,
        };
        name.as_deref()
    }

    /// Where in `names` a role is: the chosen name as it is written, else a usual one in any case.
    pub fn find<'n>(
        &self,
        role: Role,
        names: impl Iterator<Item = &'n str> + Clone,
    ) -> Option<usize> {
        match self.of(role) {
            Some(chosen) => names.clone().position(|name| name == chosen && !chosen.is_empty()),
            None => role
                .usual()
                .iter()
                .find_map(|usual| names.clone().position(|name| name.eq_ignore_ascii_case(usual))),
        }
    }

    /// The places of all columns in a header.
    pub(super) fn choose(&self, header: &[String]) -> Result<Chosen, String> {
        let mut chosen = [None; 5];
        for (place, role) in chosen.iter_mut().zip(Role::ALL) {
            *place = self.find(role, header.iter().map(String::as_str));
            let asked = self.of(role).is_some_and(|name| !name.is_empty());
            if place.is_none() && (asked || role == Role::Findings) {
                return Err(self.missing(role, header));
            }
            let name = place.and_then(|place| header.get(place));
            if name.is_some_and(|name| header.iter().filter(|other| *other == name).count() > 1) {
                return Err(format!(
                    "the header has the column for the {} more than once; rename one of them",
                    role.name()
                ));
            }
        }
        Ok(chosen)
    }

    /// What to say where a column is missing.
    pub(super) fn missing(&self, role: Role, header: &[String]) -> String {
        let name = self.of(role).filter(|name| !name.is_empty());
        let name = name.unwrap_or(role.usual()[0]);
        let hint = if header.iter().any(|name| name.contains('\0')) {
            "the file looks like UTF-16 without a byte order mark: name its encoding, utf-16le or utf-16be"
        } else {
            "name the right one"
        };
        format!("has no column {name:?} for the {0}; {hint} (--{0}-column)", role.name())
    }

    /// What a row says, by role.
    pub(super) fn texts(&self, chosen: Option<&Chosen>, fields: Fields) -> Texts {
        Texts(match fields {
            Fields::Cells(mut cells) => chosen.copied().unwrap_or_default().map(|place| {
                let cell = place.and_then(|place| cells.get_mut(place));
                Ok(cell.map(std::mem::take))
            }),
            Fields::Object(mut object) => Role::ALL.map(|role| self.field(role, &mut object)),
        })
    }

    fn field(&self, role: Role, object: &mut Map<String, Value>) -> Result<Option<String>, String> {
        let at = self.find(role, object.keys().map(String::as_str));
        let value = at
            .and_then(|at| object.keys().nth(at).cloned())
            .and_then(|name| object.get_mut(&name).map(Value::take));
        let asked = self.of(role).is_some_and(|name| !name.is_empty());
        match value {
            Some(Value::String(text)) => Ok(Some(text)),
            // Numbers as ids: as in pairs files.
            Some(Value::Number(number)) if role == Role::Id && number.is_u64() => {
                Ok(Some(number.to_string()))
            }
            Some(Value::Null) if role != Role::Id => Ok(Some(String::new())),
            Some(_) if role == Role::Id => {
                Err("has an id that is neither a text nor a whole number".to_owned())
            }
            Some(_) => Err(format!("has {} that are no text", role.name())),
            None if role == Role::Findings || (role == Role::Id && asked) => {
                let name = self.of(role).unwrap_or(role.usual()[0]);
                Err(format!("has no field {name:?} for the {}", role.name()))
            }
            None => Ok(None),
        }
    }
}

/// The texts of a row or what is wrong with them, in the order of [`Role::ALL`].
#[derive(Debug)]
pub(super) struct Texts([Result<Option<String>, String>; 5]);

impl Texts {
    /// The id, or the row's number where there is no such column.
    pub(super) fn id(&mut self, number: u64, most: usize) -> Result<String, String> {
        match std::mem::replace(&mut self.0[0], Ok(None))? {
            None => Ok(number.to_string()),
            Some(id) if id.trim().is_empty() => Err("has an empty id".to_owned()),
            Some(id) if id.len() > most => {
                Err(format!("has an id of more than {most} bytes; is it the right column?"))
            }
            Some(id) => Ok(id),
        }
    }

    /// The rest.
    pub(super) fn report(self) -> Result<Report, String> {
        let [_, findings, prior, comparison, reference] = self.0;
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        Ok(Report {
            findings: findings?.unwrap_or_default(),
            prior: filled(prior?),
            comparison: filled(comparison?),
            reference: filled(reference?),
        })
    }
}
