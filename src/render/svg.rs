//! As much SVG as our plots need. Colours and fonts come from page.css by class.

use std::fmt::Write;

/// Text as it may stand in HTML and SVG, also in an attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A name that fits beside a plot.
pub(crate) fn short(name: &str) -> String {
    match name.char_indices().nth(20) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// The mark of a system beside its name, in text.
pub(crate) fn key(index: usize) -> String {
    let mut svg = Svg::new(16.0, 14.0);
    svg.mark(index, (8.0, 7.0), 5.0, "");
    let svg = svg.finish("", "");
    svg.replace(" role=\"img\" aria-label=\". \"", " aria-hidden=\"true\"").trim_end().to_owned()
}

/// A picture in the making; lengths in pixels.
pub(crate) struct Svg {
    width: f64,
    height: f64,
    body: String,
}

/// Where a text is anchored.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    pub(crate) fn new(width: f64, height: f64) -> Svg {
        Svg { width, height, body: String::new() }
    }

    pub(crate) fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let _ = write!(
            self.body,
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        );
    }

    pub(crate) fn rect(&mut self, class: &str, (x, y): (f64, f64), size: (f64, f64), title: &str) {
        let _ = write!(
            self.body,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}</title></rect>",
            size.0.max(0.0),
            size.1.max(0.0),
            escape(title)
        );
    }

    pub(crate) fn text(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = write!(
            self.body,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
            escape(text)
        );
    }

    pub(crate) fn polyline(&mut self, class: &str, points: &[(f64, f64)]) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = write!(self.body, "<polyline class=\"{class}\" points=\"{}\"/>", points.join(" "));
    }

    /// The mark of the system at `index`: shape and class are its own.
    pub(crate) fn mark(&mut self, index: usize, (x, y): (f64, f64), r: f64, title: &str) {
        let class = format!("mark s{}", index % SYSTEMS);
        let title = if title.is_empty() {
            String::new()
        } else {
            format!("<title>{}</title>", escape(title))
        };
        let path = |points: &[(f64, f64)]| {
            let points: Vec<String> = points
                .iter()
                .map(|(dx, dy)| format!("{:.1} {:.1}", x + dx * r, y + dy * r))
                .collect();
            format!("<path class=\"{class}\" d=\"M{}Z\">{title}</path>", points.join("L"))
        };
        let shape = match index % SYSTEMS {
            0 => format!(
                "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r:.1}\">{title}</circle>"
            ),
            1 => path(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
            2 => path(&[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)]),
            3 => path(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]),
            4 => path(&[(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)]),
            _ => path(&[(-1.3, -0.5), (1.3, -0.5), (1.3, 0.5), (-1.3, 0.5)]),
        };
        self.body.push_str(&shape);
    }

    /// One of many: small, round and faint.
    pub(crate) fn dot(&mut self, index: usize, (x, y): (f64, f64)) {
        let index = index % SYSTEMS;
        let _ = write!(
            self.body,
            "<circle class=\"mark dot s{index}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.2\"/>"
        );
    }

    /// The whole element. `title` and `about` are what a screen reader says.
    pub(crate) fn finish(self, title: &str, about: &str) -> String {
        format!(
            "<svg viewBox=\"0 0 {:.0} {:.0}\" width=\"{:.0}\" role=\"img\" aria-label=\"{}. {}\" xmlns=\"http://www.w3.org/2000/svg\">{}</svg>\n",
            self.width,
            self.height,
            self.width,
            escape(title),
            escape(about),
            self.body
        )
    }
}

/// Systems that have a look of their own; page.css has a colour for each.
pub(crate) const SYSTEMS: usize = 6;

/// Round numbers from 0 to at least `end`, about `count` of them.
pub(crate) fn ticks(end: f64, count: usize) -> Vec<f64> {
    let rough = (end / count.max(1) as f64).max(f64::MIN_POSITIVE);
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let last = (end / step - 1e-9).ceil().max(1.0) as usize;
    (0..=last).map(|tick| tick as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_end() {
        assert_eq!(ticks(1.0, 5), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(ticks(43.0, 5), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert_eq!(ticks(1.0, 1), [0.0, 1.0]);
    }

    #[test]
    fn nothing_is_taken_for_markup() {
        assert_eq!(escape("a<b> & \"c\""), "a&lt;b&gt; &amp; &quot;c&quot;");
    }
}
