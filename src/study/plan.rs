//! Which report comes when, and which system stands where: another plan for every reader, the same one
//! whenever it is asked for.

use super::{Study, letter};
use crate::digest::sha256;
use crate::render::csv::table;
use crate::sampler::SplitMix64;
use crate::{Error, Result};

/// One screen of a reader's plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Position of the report in [`Study::items`].
    pub item: usize,
    /// The system in place A, B, …, as positions in [`Study::systems`].
    pub places: Vec<usize>,
}

/// A reader's plan: all reports in random order; in every run of as many reports as there are systems
/// each system stands once in each place (a Latin square of random rows and columns), so that over the
/// whole study no place has a system more than once oftener than another.
///
/// Seed, study and reader decide everything.
///
/// # Errors
/// [`Error::BadOption`] for a reader's code that is empty, longer than 40 characters or has control
/// characters.
pub fn plan(study: &Study, reader: &str) -> Result<Vec<Shown>> {
    let reader = code(reader)?;
    let digest = sha256(format!("{} {reader}", study.hash()));
    let seed = digest.bytes().take(16).fold(0u64, |seed, digit| {
        let digit = char::from(digit).to_digit(16).unwrap_or(0);
        seed << 4 | u64::from(digit)
    });
    let mut random = SplitMix64::new(seed);
    let mut items: Vec<usize> = (0..study.items.len()).collect();
    shuffle(&mut items, &mut random);
    let systems = study.systems.len();
    let mut plan = Vec::with_capacity(items.len());
    for block in items.chunks(systems.max(1)) {
        let (mut columns, mut rows): (Vec<usize>, Vec<usize>) =
            ((0..systems).collect(), (0..systems).collect());
        shuffle(&mut columns, &mut random);
        shuffle(&mut rows, &mut random);
        for (item, row) in block.iter().zip(rows) {
            let places = (0..systems).map(|place| columns[(place + row) % systems]).collect();
            plan.push(Shown { item: *item, places });
        }
    }
    Ok(plan)
}

/// Which system stands where for a reader, as a CSV table: what readers must not see.
///
/// # Errors
/// As [`plan`].
pub fn key(study: &Study, reader: &str) -> Result<String> {
    let places = (0..study.systems.len()).map(|place| letter(place).to_string());
    let head = ["study", "reader", "order", "report"].map(str::to_owned).into_iter();
    let mut rows = vec![head.chain(places).collect()];
    for (order, shown) in (1..).zip(plan(study, reader)?) {
        let systems = shown.places.iter().map(|system| study.systems[*system].clone());
        let report = study.items[shown.item].id.clone();
        let row = [study.hash(), code(reader)?.to_owned(), order.to_string(), report];
        rows.push(row.into_iter().chain(systems).collect());
    }
    Ok(table(rows))
}

/// A reader's code as it stands in files.
///
/// # Errors
/// As [`plan`].
pub fn code(reader: &str) -> Result<&str> {
    let reader = reader.trim();
    let long = reader.chars().count() > 40;
    if reader.is_empty() || long || reader.chars().any(char::is_control) {
        return Err(Error::BadOption {
            option: "the reader's code",
            value: if reader.is_empty() { "empty" } else { "too long or not printable" }.into(),
            expected: "initials or a code of at most 40 characters",
        });
    }
    Ok(reader)
}

/// Fisher and Yates'.
fn shuffle(list: &mut [usize], random: &mut SplitMix64) {
    for end in (1..list.len()).rev() {
        // Multiply-shift, as in the bootstrap.
        let other = ((u128::from(random.next()) * (end as u128 + 1)) >> 64) as usize;
        list.swap(end, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Item;

    fn study(reports: usize, systems: usize) -> Study {
        let items = (0..reports).map(|n| Item {
            id: n.to_string(),
            findings: "f".into(),
            outputs: vec![String::new(); systems],
            ..Item::default()
        });
        let systems = (0..systems).map(|n| format!("s{n}")).collect();
        Study { systems, items: items.collect(), ..Study::default() }
    }

    #[test]
    fn every_system_stands_equally_often_in_every_place() {
        for (reports, systems) in [(30, 2), (31, 2), (20, 3), (41, 4), (1, 4)] {
            let study = study(reports, systems);
            for reader in ["A", "B", "Dr. Čapek"] {
                let plan = plan(&study, reader).unwrap();
                let mut items: Vec<usize> = plan.iter().map(|shown| shown.item).collect();
                items.sort_unstable();
                assert_eq!(items, (0..reports).collect::<Vec<_>>());
                let mut counts = vec![vec![0; systems]; systems];
                for shown in &plan {
                    let mut places = shown.places.clone();
                    (0..systems).for_each(|place| counts[place][shown.places[place]] += 1);
                    places.sort_unstable();
                    assert_eq!(places, (0..systems).collect::<Vec<_>>());
                }
                let all = counts.concat();
                let (least, most) = (all.iter().min().unwrap(), all.iter().max().unwrap());
                assert!(most - least <= 1, "{counts:?}");
            }
        }
    }

    #[test]
    fn readers_and_seeds_have_plans_of_their_own_and_keep_them() {
        let study = study(30, 2);
        let of = |study: &Study, reader: &str| plan(study, reader).unwrap();
        assert_eq!(of(&study, "A"), of(&study, " A "));
        assert_ne!(of(&study, "A"), of(&study, "B"));
        assert_ne!(of(&study, "A"), of(&Study { seed: 1, ..study.clone() }, "A"));
        let order: Vec<usize> = of(&study, "A").iter().map(|shown| shown.item).collect();
        assert_ne!(order, (0..30).collect::<Vec<_>>());
        for bad in ["", "  ", "a\nb", &"x".repeat(41)] {
            assert_eq!(plan(&study, bad).unwrap_err().code(), "bad_option");
        }
    }
}
