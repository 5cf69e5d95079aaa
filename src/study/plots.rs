//! The pictures of a study: means, marks, preferences, agreement.

use super::analysis::{Alpha, Analysis};
use super::report::{MEASURES, signed};
use super::{CRITERIA, MOST};
use crate::render::svg::{Anchor, SYSTEMS, Svg, short};

const LABELS: f64 = 190.0;
const PANEL: f64 = 470.0;
const VALUES: f64 = 150.0;
const WIDTH: f64 = LABELS + PANEL + VALUES;
const ROW: f64 = 20.0;
const HEAD: f64 = 26.0;
const TOP: f64 = 28.0;

/// A scale over the panel, with lines at `ticks`.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn x(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        LABELS + share.clamp(0.0, 1.0) * PANEL
    }

    fn grid(&self, svg: &mut Svg, ticks: &[f64], label: &dyn Fn(f64) -> String, bottom: f64) {
        for tick in ticks {
            let x = self.x(*tick);
            svg.line("grid", (x, TOP - 8.0), (x, bottom));
            svg.text("tick", (x, TOP - 13.0), Anchor::Middle, &label(*tick));
        }
    }
}

/// Rows grouped by criterion, a row a system: calls `row` with criterion, system and the row's middle.
fn groups(
    svg: &mut Svg,
    titles: &[&str],
    systems: &[String],
    row: &mut dyn FnMut(&mut Svg, usize, usize, f64),
) {
    let block = HEAD + ROW * systems.len() as f64 + 6.0;
    for (group, title) in titles.iter().enumerate() {
        let y = TOP + block * group as f64;
        svg.line("rule", (0.0, y), (WIDTH, y));
        svg.text("head", (4.0, y + 18.0), Anchor::Start, title);
        for (system, name) in systems.iter().enumerate() {
            let y = y + HEAD + ROW * (system as f64 + 0.5);
            svg.text("label", (LABELS - 14.0, y + 4.0), Anchor::End, &short(name));
            row(svg, group, system, y);
        }
    }
}

fn height(groups: usize, systems: usize) -> f64 {
    TOP + (HEAD + ROW * systems as f64 + 6.0) * groups as f64 + 8.0
}

/// Means with 95 % intervals, by criterion.
pub(super) fn means(analysis: &Analysis) -> String {
    let height = height(MEASURES.len(), analysis.systems.len());
    let mut svg = Svg::new(WIDTH, height);
    let scale = Scale { low: 1.0, high: f64::from(MOST) };
    let ticks: Vec<f64> = (1..=MOST).map(f64::from).collect();
    scale.grid(&mut svg, &ticks, &|tick| format!("{tick:.0}"), height);
    groups(&mut svg, &MEASURES, &analysis.systems, &mut |svg, measure, system, y| {
        let Some(mean) = analysis.means[system][measure] else { return };
        let (low, high) = (mean.interval.low, mean.interval.high);
        let class = format!("whisker s{}", system % SYSTEMS);
        svg.line(&class, (scale.x(low), y), (scale.x(high), y));
        let figures = format!("{:.2} [{low:.2}, {high:.2}]", mean.mean);
        let title = format!("{}, {}: {figures}", analysis.systems[system], MEASURES[measure]);
        svg.mark(system, (scale.x(mean.mean), y), 5.0, &title);
        svg.text("value", (LABELS + PANEL + 16.0, y + 4.0), Anchor::Start, &figures);
    });
    svg.finish(
        "Mean marks with 95 % intervals, by criterion and system",
        "The same figures stand in the tables below",
    )
}

/// How often each mark was given, as shares of a bar.
pub(super) fn marks(analysis: &Analysis) -> String {
    let titles = CRITERIA.map(|(_, title, _)| title);
    let height = height(titles.len(), analysis.systems.len());
    let mut svg = Svg::new(WIDTH, height);
    let scale = Scale { low: 0.0, high: 1.0 };
    let ticks = [0.0, 0.25, 0.5, 0.75, 1.0];
    scale.grid(&mut svg, &ticks, &|tick| format!("{:.0} %", tick * 100.0), height);
    for mark in 1..=MOST {
        let x = LABELS + PANEL + 34.0 + f64::from(mark - 1) * 23.0;
        svg.rect(&format!("m{mark}"), (x, TOP - 21.0), (10.0, 10.0), &format!("mark {mark}"));
        svg.text("tick", (x + 13.0, TOP - 12.0), Anchor::Start, &mark.to_string());
    }
    groups(&mut svg, &titles, &analysis.systems, &mut |svg, criterion, system, y| {
        let counts = analysis.marks[system][criterion];
        let total: usize = counts.iter().sum();
        let mut before = 0;
        for (mark, count) in (1..).zip(counts).filter(|(_, count)| *count > 0) {
            let (from, to) = (before as f64 / total as f64, (before + count) as f64 / total as f64);
            let size = (scale.x(to) - scale.x(from), 12.0);
            let title =
                format!("{}: {count} of {total} marks are {mark}", analysis.systems[system]);
            svg.rect(&format!("m{mark}"), (scale.x(from), y - 6.0), size, &title);
            before += count;
        }
        let high = counts.iter().rev().take(2).sum::<usize>() as f64 / total.max(1) as f64;
        let figures = format!("{:.0} % are 4 or 5", high * 100.0);
        svg.text("value", (LABELS + PANEL + 16.0, y + 4.0), Anchor::Start, &figures);
    });
    svg.finish("Shares of the marks 1 to 5, by criterion and system", "Red is low, blue is high")
}

/// Shares of preferences with their intervals.
pub(super) fn preferences(analysis: &Analysis) -> String {
    let systems = &analysis.systems;
    let height = TOP + (ROW + 8.0) * systems.len() as f64 + 8.0;
    let mut svg = Svg::new(WIDTH, height);
    let scale = Scale { low: 0.0, high: 1.0 };
    let ticks = [0.0, 0.25, 0.5, 0.75, 1.0];
    scale.grid(&mut svg, &ticks, &|tick| format!("{:.0} %", tick * 100.0), height);
    let chance = scale.x(1.0 / systems.len().max(1) as f64);
    svg.line("limit", (chance, TOP - 8.0), (chance, height));
    for (system, name) in systems.iter().enumerate() {
        let y = TOP + (ROW + 8.0) * (system as f64 + 0.5);
        svg.text("label", (LABELS - 14.0, y + 4.0), Anchor::End, &short(name));
        let Some((share, interval)) = analysis.preference.shares[system] else { continue };
        let class = system % SYSTEMS;
        let figures = format!(
            "{:.0} % [{:.0}, {:.0}]",
            share * 100.0,
            interval.low * 100.0,
            interval.high * 100.0
        );
        let size = (scale.x(share) - scale.x(0.0), 14.0);
        let title = format!("{name}: preferred in {figures} of judgements");
        svg.rect(&format!("bar soft s{class}"), (scale.x(0.0), y - 7.0), size, &title);
        svg.line("rule", (scale.x(interval.low), y), (scale.x(interval.high), y));
        for end in [interval.low, interval.high] {
            svg.line("rule", (scale.x(end), y - 4.0), (scale.x(end), y + 4.0));
        }
        svg.text("value", (LABELS + PANEL + 16.0, y + 4.0), Anchor::Start, &figures);
    }
    svg.finish(
        "Share of judgements that prefer each system, with 95 % intervals",
        "The dashed line is chance",
    )
}

/// Krippendorff's alpha, ordinal, with intervals.
pub(super) fn agreement(analysis: &Analysis) -> String {
    let height = TOP + (ROW + 4.0) * CRITERIA.len() as f64 + 8.0;
    let mut svg = Svg::new(WIDTH, height);
    let found = |alpha: &Alpha| alpha.ordinal;
    let lowest = analysis.agreement.iter().filter_map(found).map(|a| a.interval.low);
    let low = (lowest.fold(0.0, f64::min) * 5.0).floor() / 5.0;
    let scale = Scale { low: low.max(-1.0), high: 1.0 };
    let ticks: Vec<f64> =
        (-5..=5).map(|n| f64::from(n) / 5.0).filter(|t| *t >= scale.low).collect();
    scale.grid(&mut svg, &ticks, &|tick| format!("{tick:.1}"), height);
    for limit in [0.667, 0.8] {
        svg.line("limit", (scale.x(limit), TOP - 8.0), (scale.x(limit), height));
    }
    for (at, ((_, title, _), alpha)) in CRITERIA.iter().zip(&analysis.agreement).enumerate() {
        let y = TOP + (ROW + 4.0) * (at as f64 + 0.5);
        svg.text("label", (LABELS - 14.0, y + 4.0), Anchor::End, title);
        let figures = match alpha.ordinal {
            Some(found) => {
                let (low, high) = (found.interval.low, found.interval.high);
                svg.line("whisker s0", (scale.x(low), y), (scale.x(high), y));
                let figures =
                    format!("{} [{}, {}]", signed(found.alpha), signed(low), signed(high));
                svg.mark(0, (scale.x(found.alpha), y), 5.0, &format!("{title}: {figures}"));
                figures
            }
            None => "no variation, or one reader".to_owned(),
        };
        svg.text("value", (LABELS + PANEL + 16.0, y + 4.0), Anchor::Start, &figures);
    }
    svg.finish(
        "Krippendorff's alpha (ordinal) with 95 % intervals, by criterion",
        "The dashed lines are 0.667 and 0.8",
    )
}
