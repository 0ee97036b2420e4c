//! What must hold, and whether it does.

use super::paper::{Table, median, told};

#[derive(Default)]
pub struct Targets {
    all: Vec<Target>,
}

struct Target {
    what: String,
    /// `None`: a distance that is stated.
    bound: Option<f64>,
    unit: &'static str,
    digits: usize,
    values: Vec<f64>,
}

impl Targets {
    /// The median of `values` must be at most `bound`.
    pub fn hold(&mut self, what: String, bound: f64, unit: &'static str, values: Vec<f64>) {
        let digits = if bound < 10.0 { 2 } else { 0 };
        self.all.push(Target {
            what,
            bound: Some(bound),
            unit,
            digits,
            values,
        });
    }

    /// A figure without a bound, which has to be stated.
    pub fn state(&mut self, what: String, unit: &'static str, values: Vec<f64>) {
        self.all.push(Target {
            what,
            bound: None,
            unit,
            digits: 2,
            values,
        });
    }

    pub fn told(&self) -> String {
        let mut table = Table::new(["target", "at most", "measured", ""]);
        for target in &self.all {
            let (digits, unit) = (target.digits, target.unit);
            let bound = target.bound.map_or_else(
                || String::from("stated"),
                |bound| format!("{bound:.digits$}{unit}"),
            );
            let verdict = match (target.bound, median(&target.values)) {
                (_, None) => "not measured",
                (None, Some(_)) => "",
                (Some(bound), Some(median)) if median <= bound => "reached",
                (Some(_), Some(_)) => "**missed**",
            };
            let measured = match target.values.is_empty() {
                true => String::from("–"),
                false => format!("{}{unit}", told(&target.values, digits)),
            };
            table.row([target.what.clone(), bound, measured, verdict.to_owned()]);
        }
        format!("### Targets\n\n{table}")
    }
}
